"""Nodes with a network, a host name, /tmp and /dev/shm of their own: what one machine of virtual nodes would hide."""

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sandbox import CHECKOUT
from harness.slurm import SCRIPTS, daemon_environment

pytestmark = [pytest.mark.invented, pytest.mark.slow]


@pytest.fixture
def apart() -> Iterator[Path]:
    """The folder of a Slurm of two nodes in namespaces of their own."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("only root may make network namespaces")
    if not shutil.which("slurmctld", path=daemon_environment()["PATH"]) or not SCRIPTS.is_dir():
        pytest.skip("there is no Slurm on this machine, or no scripts to bring it up")
    lock = os.open(SCRIPTS, os.O_RDONLY)  # the scripts' namespaces have fixed names: one at a time on a machine
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = Path(tempfile.mkdtemp(prefix="batchai-apart-", dir="/var/tmp"))
    try:
        subprocess.run(
            [str(SCRIPTS / "slurm-netns-up.sh"), str(folder), "2"], env=daemon_environment(), check=True, timeout=60
        )
        yield folder
    finally:
        down = [str(SCRIPTS / "slurm-netns-down.sh"), str(folder)]
        subprocess.run(down, env=daemon_environment(), check=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@pytest.mark.skipif(not shutil.which("mpirun"), reason="there is no Open MPI on this machine")
def test_a_gang_on_two_machines(apart: Path) -> None:
    torch = "torch" if importlib.util.find_spec("torch") else "no torch"
    driver = CHECKOUT / "tests" / "slurm" / "apart.py"
    command = [str(apart / "enter"), "ctl", sys.executable, str(driver), str(apart / "shared" / "home"), torch]
    done = subprocess.run(
        command, env=daemon_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["where"] in ("n0\n", "n1\n"), seen["exit code"]) == (True, 3)
    assert seen["mpi"] == ["succeeded", None]
    lines = [line.split() for line in seen["mpi output"].splitlines()]
    host_of = {line[0]: line[1] for line in lines}  # which node is the first is Slurm's choice
    assert len({tuple(line[:2]) for line in lines}) == 4
    assert host_of["0"] == host_of["1"] != host_of["2"] == host_of["3"]
    assert set(host_of.values()) == {"n0", "n1"}
    assert sorted((line[0], int(line[4])) for line in lines) == [(str(r), i) for r in range(4) for i in range(1, 201)]
    assert {(line[5], line[6]) for line in lines} == {("x" * 6000, "end")}  # no line is torn
    assert [line for line in seen["mpi errors"] if "stderr of" in line] == [f"to stderr of {r}" for r in range(4)]
    assert seen["pipes"] == []  # NFS would not carry them from node to node
    assert seen["failing code"] == 7
    assert "last words" in seen["failing output"]
    if torch == "torch":
        assert seen["gloo"] == ["succeeded", None]
        assert seen["gloo output"] == ["n0 3.0\n", "n1 3.0\n"]

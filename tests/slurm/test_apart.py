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
from typing import Any

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


def see(apart: Path, scenario: str) -> dict[str, Any]:
    """Run a scenario of apart.py on the login node."""
    driver = CHECKOUT / "tests" / "slurm" / "apart.py"
    command = [str(apart / "enter"), "ctl", sys.executable, str(driver), str(apart / "shared" / "home"), scenario]
    done = subprocess.run(
        command, env=daemon_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.skipif(not shutil.which("mpirun"), reason="there is no Open MPI on this machine")
def test_a_gang_on_two_machines(apart: Path) -> None:
    seen = see(apart, "gang")
    assert (seen["where"] in ("n0\n", "n1\n"), seen["exit code"]) == (True, 3)
    assert seen["mpi"] == ["succeeded", None]
    lines = [line.split() for line in seen["mpi output"].splitlines()]
    host_of = {line[0]: line[1] for line in lines}  # which node is the first is Slurm's choice
    assert len({tuple(line[:2]) for line in lines}) == 4
    assert host_of["0"] == host_of["1"] != host_of["2"] == host_of["3"]
    assert set(host_of.values()) == {"n0", "n1"}
    assert sorted((line[0], int(line[4])) for line in lines) == [(str(r), i) for r in range(4) for i in range(1, 201)]
    assert {(line[5], line[6]) for line in lines} == {("x" * 6000, "end")}  # no line is torn
    # There are none in the state folder: NFS would not carry them from node to node.
    assert [line for line in seen["mpi errors"] if "seen by" in line] == [f"0 pipes seen by {r}" for r in range(4)]
    assert seen["failing code"] == 7
    assert "last words" in seen["failing output"]
    if importlib.util.find_spec("torch"):
        assert seen["gloo"] == ["succeeded", None]
        assert seen["gloo output"] == ["n0 3.0\n", "n1 3.0\n"]


@pytest.mark.skipif(not Path("/usr/lib/openssh/sftp-server").exists(), reason="there is no sftp-server on this machine")
def test_what_is_run_copied_and_forwarded_by_ssh_is_on_the_node(apart: Path) -> None:
    seen = see(apart, "login")
    host = seen["host"]
    assert host in ("n0", "n1")
    status, lines, stderr = seen["exec"]
    assert (status, lines[0], lines[3], stderr) == (7, host, "stdin", "problem\n")
    assert lines[1] == lines[2] and lines[1].endswith("/home")
    status, words = seen["terminal"]
    assert status == 4
    assert words[-6].endswith(host) and words[-5].startswith("/dev/pts/")  # what was typed is echoed before
    assert words[-4:] == ["33", "91", "read", "typed"]
    assert (seen["sftp"][0], seen["sftp"][-1], seen["not here"]) == ("by sftp", "relative\n", True)
    assert seen["-L"] == f"{host} over there\n"
    assert seen["-L path"] == f"{host} by a path\n"
    assert seen["-R"] == "refused"


def test_a_state_folder_that_nodes_do_not_see(apart: Path) -> None:
    seen = see(apart, "not_shared")
    [error] = seen["errors"]
    assert error["code"] == "SharedFolderMissing"
    details = {detail["name"]: detail["value"] for detail in error["details"]}
    assert details["Folder"] == "/tmp/home" and details["Host"] in ("n0", "n1")
    assert "AZURE_BATCHAI_HOME" in details["Info"]
    [checks] = seen["checks"]
    assert (checks[-1]["check"], checks[-1]["passed"]) == ("node", False)
    assert "/tmp/home is not there on n" in checks[-1]["said"]

"""A real Slurm of virtual nodes on this machine, for the tests that need one."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.processes import wait_until
from harness.sandbox import CHECKOUT

SCRIPTS = CHECKOUT.parent / "shared" / "engines"
NODES = 40  # some tests leave their clusters behind
# The virtual nodes have no GPUs, whatever a size promises.
SIZES = {size: {"gres": ""} for size in ("STANDARD_NC6", "STANDARD_NC12", "STANDARD_NC24")}
PROFILE = {"type": "slurm", "lowPriority": {"partition": "low"}, "vmSizes": SIZES}


class Slurm:
    """`folder` has its configuration, state and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "etc" / "slurm.conf")}

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command of Slurm's; what it says on stdout."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=check
        ).stdout

    def jobs(self, *options: str, fields: str = "%A %T %j") -> list[list[str]]:
        """The words of each line of squeue."""
        return [line.split() for line in self.run("squeue", "-h", "-o", fields, *options).splitlines()]

    def occupy(self, nodes: int, *options: str) -> str:
        """Take so many nodes with a job of somebody else's, when they are free; its number."""
        job = self.run("sbatch", "--parsable", f"-N{nodes}", "-o", "/dev/null", *options, "--wrap", "sleep 600").strip()
        wait_until(lambda: self.jobs("-j", job, fields="%T") == [["RUNNING"]], "the other job runs")
        return job

    def controller(self) -> int:
        return int((self.folder / "run" / "slurmctld.pid").read_text())

    def wait_until_saved(self) -> None:
        """A controller that is killed forgets what it has not written yet, also that a job runs."""
        file = self.folder / "state" / "job_state"
        before = file.stat().st_mtime_ns if file.exists() else 0
        for job, _, _ in self.jobs():
            self.run("scontrol", "update", f"jobid={job}", "comment=to-be-saved")
        wait_until(lambda: file.exists() and file.stat().st_mtime_ns > before, "Slurm has written its state")

    def start_controller(self) -> None:
        subprocess.run(["slurmctld", "-f", self.environment["SLURM_CONF"]], env=daemon_environment(), check=True)
        wait_until(lambda: "is UP" in self.run("scontrol", "ping", check=False), "slurmctld answers")

    def node_daemon(self, node: str) -> int:
        return int((self.folder / "run" / f"slurmd-{node}.pid").read_text())

    def start_node_daemon(self, node: str) -> None:
        subprocess.run([str(self.folder / "node-up"), node], env=daemon_environment(), check=True)

    def set_down(self, node: str) -> None:
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def set_up(self, node: str) -> None:
        self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)  # it may be back already


def daemon_environment() -> dict[str, str]:
    """Without what names a state folder: a daemon outlives the test that starts it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    return {**kept, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


@contextmanager
def running(nodes: int, mode: str = "static") -> Iterator[Slurm]:
    """Bring one up, with nodes that are there or, in mode `cloud`, powered up when they are wanted.

    Skips the test where there is no Slurm.
    """
    if not shutil.which("slurmctld", path=daemon_environment()["PATH"]) or not shutil.which("sbatch"):
        pytest.skip("there is no Slurm on this machine (apt install slurmctld slurmd slurm-client munge)")
    if not SCRIPTS.is_dir():
        pytest.skip("the scripts that bring Slurm up are not beside this checkout")
    folder = Path(tempfile.mkdtemp(prefix="batchai-slurm-", dir="/var/tmp"))
    script = [str(SCRIPTS / "slurm-up.sh"), str(folder), str(nodes), str(_free_ports(nodes + 1)), mode]
    quick = {"SUSPEND_TIME": "5", "SUSPEND_TIMEOUT": "3"}  # seconds until an idle node is powered down
    try:
        subprocess.run(script, env={**daemon_environment(), **quick}, stdin=subprocess.DEVNULL, check=True, timeout=60)
        yield Slurm(folder)
    finally:
        subprocess.run([str(SCRIPTS / "slurm-down.sh"), str(folder)], env=daemon_environment(), check=True, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody uses; workers begin at places of their own."""
    for base in range(12000 + os.getpid() % 80 * 100, 30000, 100):
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("there are no free ports")

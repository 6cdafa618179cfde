"""What is killed, cancelled, preempted or fails under a job on Slurm: it runs again once, or its true end is known."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.processes import alive, wait_until
from harness.slurm import PROFILE, Slurm
from wire.api import Api

pytestmark = pytest.mark.invented

# A job that tells of each of its starts, and ends when it is told to.
LINE = (
    "cd $AZ_BATCHAI_MOUNT_ROOT/afs; echo $$ $AZ_BATCHAI_NODE_ID >> starts; echo begin; "
    "while [ ! -e go ]; do sleep 0.02; done; echo end; exit 5"
)
STUBBORN = "trap 'exit 3' TERM; " + LINE


def share(api: Api) -> Path:
    return api.service.home / "storage" / api.account / "files" / "share"


def starts(api: Api) -> list[list[str]]:
    file = share(api) / "starts"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def wait_for_start(api: Api, count: int = 1) -> str:
    """Wait until the job has been started so often; the pid of its latest start."""
    return wait_until(lambda: len(starts(api)) == count and starts(api)[-1][0], f"start {count}")


def go(api: Api) -> dict[str, Any]:
    (share(api) / "go").touch()
    info: dict[str, Any] = api.wait_for_job("job")["executionInfo"]
    return info


def processes_with(*words: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if all(word in line for word in words):
                found.append(int(entry.name))
    return found


def agents(api: Api) -> list[int]:
    """Python processes that are agents of this service's nodes; the runners are forks of them."""
    found = processes_with("agent.py", str(api.service.home), "python")
    return [pid for pid in found if Path(f"/proc/{pid}/comm").read_text().startswith("python")]


def relays(api: Api) -> list[int]:
    return processes_with("srun", "relay.py", str(api.service.home))


def log_of(api: Api) -> str:
    return api.output("job", "execution.log").decode()


def test_a_killed_service_adopts_a_gang(api: Api) -> None:
    api.create_cluster(nodes=2)
    api.wait_for_cluster(idle=2)
    api.create_job("job", LINE, nodeCount=2)
    wait_for_start(api)
    api.service.kill()
    assert api.service.start()["status"] == "ready"
    assert api.properties(api.job("job"))["executionState"] == "running"
    assert go(api)["exitCode"] == 5
    assert (len(starts(api)), api.output("job")) == (1, b"begin\nend\n")


def test_what_ended_while_no_service_was_there_is_known_although_the_nodes_are_gone(api: Api, slurm: Slurm) -> None:
    api.create_cluster()
    api.create_job("job", LINE)
    pid = wait_for_start(api)
    api.service.kill()
    (share(api) / "go").touch()
    wait_until(lambda: not alive(int(pid)), "the job has ended")
    tasks = api.service.home / "nodes"
    wait_until(lambda: list(tasks.glob("*/tasks/*/main-0/exit.json")), "its end is written down")
    slurm.run("scancel", "-u", "root" if os.geteuid() == 0 else str(os.geteuid()))
    wait_until(lambda: not slurm.jobs(), "the block is gone")
    assert api.service.start()["status"] == "ready"
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 5
    assert len(starts(api)) == 1


def test_an_end_that_slurm_caused_while_no_service_was_there_is_not_the_jobs(api: Api, slurm: Slurm) -> None:
    api.create_cluster()
    api.create_job("job", STUBBORN)
    wait_for_start(api)
    api.service.kill()
    [[job]] = slurm.jobs(fields="%A")
    slurm.run("scancel", job)
    wait_until(lambda: not slurm.jobs(), "the block is gone")
    assert api.service.start()["status"] == "ready"
    wait_for_start(api, 2)
    assert go(api)["exitCode"] == 5


def test_killed_relays_are_replaced(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", LINE)
    wait_for_start(api)
    before = set(relays(api))
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(relays(api)) - before, "there are new ones")
    assert go(api)["exitCode"] == 5
    assert len(starts(api)) == 1


def test_a_killed_controller_ends_nothing(api: Api, slurm: Slurm) -> None:
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    slurm.wait_until_saved()
    api.create_job("job", LINE)
    wait_for_start(api)
    pid = slurm.controller()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "slurmctld is dead")
    try:
        assert go(api)["exitCode"] == 5
        api.create_job("next", "exit 6")
        assert api.wait_for_job("next")["executionInfo"]["exitCode"] == 6
    finally:
        slurm.start_controller()
    api.create_job("last")
    assert api.wait_for_job("last")["executionState"] == "succeeded"


def test_a_killed_agent_loses_its_node(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", LINE)
    first = wait_for_start(api)
    [agent] = agents(api)
    os.kill(agent, signal.SIGKILL)
    wait_for_start(api, 2)
    assert not alive(int(first))
    assert starts(api)[0][1] != starts(api)[1][1]
    assert go(api)["exitCode"] == 5
    assert len(starts(api)) == 2


def test_a_killed_slurmd_ends_nothing(api: Api, slurm: Slurm) -> None:
    api.create_cluster()
    api.create_job("job", LINE)
    wait_for_start(api)
    [[host]] = slurm.jobs(fields="%N")
    daemon = slurm.node_daemon(host)
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon), "slurmd is dead")
    slurm.start_node_daemon(host)
    assert go(api)["exitCode"] == 5
    assert len(starts(api)) == 1
    api.create_job("next", "exit 6")
    assert api.wait_for_job("next")["executionInfo"]["exitCode"] == 6


@pytest.mark.slow
def test_a_job_that_had_all_the_time_of_its_nodes_fails(api: Api, profiles: Callable[..., None]) -> None:
    """Slurm looks at time limits every 30 s only: a limit of a minute is over after 60 to 90 s."""
    profiles(slurm={**PROFILE, "walltime": "1"})
    api.create_cluster(nodes=0, scaleSettings={"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 1}})
    api.create_job("job", STUBBORN)
    wait_for_start(api)
    info = api.wait_for_job("job", "failed", seconds=180)["executionInfo"]
    assert [error["code"] for error in info["errors"]] == ["WallTimeExceeded"]
    assert len(starts(api)) == 1


@pytest.mark.parametrize("line", [LINE, STUBBORN], ids=["killed by TERM", "with a trap"])
def test_a_cancelled_block_is_replaced_and_its_job_runs_again(api: Api, slurm: Slurm, line: str) -> None:
    api.create_cluster()
    api.create_job("job", line)
    wait_for_start(api)
    [[job]] = slurm.jobs(fields="%A")
    slurm.run("scancel", job)
    wait_for_start(api, 2)
    assert go(api)["exitCode"] == 5
    assert len(starts(api)) == 2
    assert "its Slurm job was cancelled" in log_of(api)
    api.wait_for_cluster(idle=1)


def test_a_failed_node_takes_only_itself(api: Api, slurm: Slurm) -> None:
    api.create_cluster(nodes=0, scaleSettings={"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2}})
    api.create_job("job", LINE, nodeCount=2)
    wait_for_start(api)
    [[_, count, hosts]] = slurm.jobs(fields="%A %D %N")
    assert count == "2"
    nodes = {entry["nodeId"] for entry in logins(api)}
    failed = hosts.rstrip("]").replace("[", "").replace("n", "").replace("-", ",").split(",")[-1]
    slurm.set_down(f"n{failed}")
    try:
        wait_for_start(api, 2)
        after = {entry["nodeId"] for entry in logins(api)}
        assert len(nodes & after) == 1
        assert go(api)["exitCode"] == 5
        assert len(starts(api)) == 2
    finally:
        slurm.set_up(f"n{failed}")


def logins(api: Api) -> Any:
    return api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]


def test_a_preempted_node_comes_back_and_its_job_runs_again(api: Api, slurm: Slurm) -> None:
    api.create_cluster(vmPriority="lowpriority")
    api.create_job("job", STUBBORN)
    wait_for_start(api)
    assert slurm.jobs(fields="%P") == [["low"]]
    other = slurm.occupy(4, "-p", "high")
    api.wait_for_job("job", "queued")
    assert len(starts(api)) == 1
    slurm.run("scancel", other)
    wait_for_start(api, 2)
    assert go(api)["exitCode"] == 5
    assert "preempted" in log_of(api)

"""The service killed at one chosen moment: what the next one finds, tells and removes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from crash.conftest import Crashes
from crash.crashing_service import end
from harness.processes import alive, wait_until
from wire.api import USER

pytestmark = pytest.mark.invented
ENDED = ("succeeded", "failed")


def errors(properties: dict[str, Any]) -> list[str]:
    return [error["code"] for error in properties["executionInfo"].get("errors", ())]


def left_of_jobs(crashes: Crashes) -> list[Path]:
    home = crashes.service.home
    found = [*home.glob("nodes/*/jobs/*/*/*"), *home.glob("nodes/*/waste/*"), *home.glob("nodes/*/tasks/*")]
    return [path for path in found if path.name != "setup"]


LONG = "cd $AZ_BATCHAI_MOUNT_ROOT/afs; echo $$ > pid.new; mv pid.new begun; while [ ! -e go ]; do sleep 0.02; done"


@pytest.mark.parametrize("moment", ["before rename:1", "after rename:1", "after rename:2"])
def test_a_job_that_has_ended_well_stays_so(crashes: Crashes, moment: str) -> None:
    """Killed while the job's folders are moved out of the way: they go, its outcome stays."""
    crashes.create_cluster()
    crashes.wait_for_cluster(idle=1)
    crashes.create_job("job", f"{LONG}; echo done")
    crashes.begun()
    crashes.restart(at=moment)
    (crashes.share / "go").touch()
    crashes.dies()
    crashes.restart()
    done = crashes.wait_for_job("job")
    assert (done["executionState"], done["executionInfo"]["exitCode"]) == ("succeeded", 0)
    assert crashes.output("job") == b"done\n"
    wait_until(lambda: not left_of_jobs(crashes), "what the job has left is gone")
    assert "Traceback" not in crashes.service.log()


def test_an_acknowledged_termination_of_a_waiting_job_is_kept(crashes: Crashes) -> None:
    crashes.create_cluster(nodes=0)
    for number in range(5):
        crashes.create_job(f"job{number}")
        assert crashes.call("POST", f"{crashes.job(f'job{number}')}/terminate")[0] == 202
        crashes.restart()
        done = crashes.properties(crashes.job(f"job{number}"))
        assert (done["executionState"], errors(done)) == ("failed", ["JobTerminated"])


def test_a_job_is_started_after_kills_in_its_start_window(crashes: Crashes) -> None:
    crashes.create_cluster()
    crashes.wait_for_cluster(idle=1)
    crashes.restart(at="before a start:1")
    crashes.create_job("job", "echo start >> $AZ_BATCHAI_MOUNT_ROOT/afs/starts; exit 3")
    crashes.dies()
    for moment in ("before link:1", "after link:1", "before a start:1", "after link:1", "after a start:1"):
        crashes.restart(at=moment)
        crashes.dies()
    crashes.restart()
    done = crashes.wait_for_job("job")
    assert (done["executionInfo"]["exitCode"], errors(done)) == (3, ["JobFailed"])
    assert (crashes.share / "starts").read_text() == "start\n"


def test_jobs_are_started_under_another_claim_where_the_launcher_dies(crashes: Crashes) -> None:
    crashes.create_cluster(nodes=5)
    crashes.wait_for_cluster(idle=5)
    crashes.restart(launcher="process:3")  # each launcher forks one runner and dies over the second
    for number in range(12):
        crashes.create_job(f"job{number}", f"echo {number} >> $AZ_BATCHAI_MOUNT_ROOT/afs/starts")
    for number in range(12):
        assert crashes.wait_for_job(f"job{number}")["executionState"] == "succeeded"
    starts = (crashes.share / "starts").read_text().split()
    assert sorted(starts, key=int) == [str(number) for number in range(12)]
    assert crashes.service.last_words.read_text().count("fork") >= 3  # they did die


# What runs is taken up first, whatever else is wrong


def test_a_job_goes_on_although_its_share_was_moved(crashes: Crashes) -> None:
    crashes.create_cluster()
    crashes.create_job("job", f"{LONG}; exit 6", mountVolumes=crashes.mounts())
    crashes.begun()
    crashes.service.kill()
    moved = crashes.share.rename(crashes.share.with_name("moved"))
    crashes.restart()
    assert crashes.properties(crashes.job("job"))["executionState"] == "running"
    (moved / "go").touch()
    assert crashes.wait_for_job("job")["executionInfo"]["exitCode"] == 6


def test_a_job_goes_on_although_its_file_server_is_deleted(crashes: Crashes) -> None:
    disks = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
    server = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": disks}
    path = f"{crashes.workspace}/fileServers/nfs"
    crashes.finish(crashes.call("PUT", path, {"properties": server})[1])
    crashes.create_cluster()
    mounts = {"fileServers": [{"fileServer": {"id": path}, "relativeMountPath": "nfs", "mountOptions": "rw"}]}
    crashes.create_job("job", f"{LONG}; exit 6", mountVolumes=mounts)
    crashes.begun()
    crashes.finish(crashes.call("DELETE", path)[1])
    crashes.restart()
    assert crashes.properties(crashes.job("job"))["executionState"] == "running"
    (crashes.share / "go").touch()
    assert crashes.wait_for_job("job")["executionInfo"]["exitCode"] == 6


@pytest.mark.parametrize("key", ["node_key.pub", "nodes/*/ssh_host_ed25519_key"])
def test_a_job_goes_on_although_a_key_is_damaged(crashes: Crashes, key: str) -> None:
    crashes.create_cluster()
    crashes.create_job("job", f"{LONG}; exit 6")
    crashes.begun()
    pid = int((crashes.share / "begun").read_text())
    crashes.service.kill()
    [path] = crashes.service.home.glob(key)
    if key == "node_key.pub":
        path.unlink()
    else:
        path.write_text("no key")
    crashes.restart()
    cluster = f"{crashes.workspace}/clusters/cluster"
    wait_until(lambda: crashes.properties(cluster)["nodeStateCounts"]["unusableNodeCount"], "the node is unusable")
    [error] = crashes.properties(cluster)["errors"]
    assert error["code"] == "NodeAllocationFailed"
    assert alive(pid) and crashes.properties(crashes.job("job"))["executionState"] == "running"
    (crashes.share / "go").touch()
    assert crashes.wait_for_job("job")["executionInfo"]["exitCode"] == 6


@pytest.mark.parametrize("descriptors", [17, 20, 22])
def test_jobs_go_on_although_descriptors_are_short(crashes: Crashes, descriptors: int) -> None:
    crashes.create_cluster(nodes=6)
    for number in range(6):
        waits = LONG.replace("begun", f"begun{number}").replace("pid.new", f"{number}.new")
        line = f"{waits}; echo {number} >> ended; exit {number}"
        crashes.create_job(f"job{number}", line)
    for number in range(6):
        crashes.begun(f"begun{number}")
    pids = [int((crashes.share / f"begun{number}").read_text()) for number in range(6)]
    crashes.restart(descriptors=str(descriptors))
    time.sleep(2.5)  # it tries until it may have more
    assert all(map(alive, pids))
    if not crashes.service.process or crashes.service.process.poll() is not None:
        crashes.restart()  # so few that it could not even start
    states = {crashes.properties(crashes.job(f"job{number}"))["executionState"] for number in range(6)}
    assert states == {"running"}
    (crashes.share / "go").touch()
    for number in range(6):
        assert crashes.wait_for_job(f"job{number}")["executionInfo"]["exitCode"] == number
    assert sorted((crashes.share / "ended").read_text().split()) == [str(number) for number in range(6)]


def test_a_gang_that_has_lost_a_node_ends_everywhere_and_runs_again(crashes: Crashes) -> None:
    crashes.create_cluster(nodes=2)
    line = 'echo $AZ_BATCHAI_TASK_INDEX $$ >> "$AZ_BATCHAI_MOUNT_ROOT/afs/pids"; sleep 1000'
    toolkit = {
        "pythonInterpreterPath": "/bin/sh",
        "pythonScriptFilePath": f"-c '{line}'",
        "processCount": 2,
        "communicationBackend": "tcp",
    }
    body = crashes.job_body(nodeCount=2)
    del body["properties"]["customToolkitSettings"]
    body["properties"]["pyTorchSettings"] = toolkit
    assert crashes.call("PUT", crashes.job("gang"), body)[0] == 202
    pids = crashes.share / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().splitlines()) == 2, "both run")
    first = [int(line.split()[1]) for line in pids.read_text().splitlines()]
    crashes.service.kill()
    [gone] = [path.parents[2] for path in crashes.service.home.glob("nodes/*/tasks/*/main-1")]
    shutil.rmtree(gone)
    crashes.restart()
    crashes.wait_for_job("gang", "queued")  # there is one good node left
    assert not any(map(alive, first))
    assert crashes.call("POST", f"{crashes.job('gang')}/terminate")[0] == 202


def test_a_gang_whose_preparation_cannot_be_taken_up_leaves_nothing_running(crashes: Crashes) -> None:
    """One node's preparation was lost with its runner: the other's is ended with it."""
    crashes.create_cluster(nodes=2)
    line = 'echo $$ $PPID >> "$AZ_BATCHAI_MOUNT_ROOT/afs/pids"; sleep 1000'
    crashes.create_job("gang", nodeCount=2, jobPreparation={"commandLine": line})
    pids = crashes.share / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().splitlines()) == 2, "both prepare")
    processes = [list(map(int, line.split())) for line in pids.read_text().splitlines()]
    crashes.service.kill()
    end(_runner(processes[0][0]))
    crashes.restart()
    assert errors(crashes.wait_for_job("gang")) == ["NodeLost"]
    assert not any(alive(pid) for pid, _ in processes)


def _runner(pid: int) -> int:
    """The runner above a process (bubblewrap may be between)."""
    while not Path(f"/proc/{pid}/comm").read_text().startswith("bai-"):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


# Nodes


def test_a_node_that_was_leaving_goes_with_all_that_runs_there(crashes: Crashes) -> None:
    """A daemon that was started over SSH has nothing to do with any job."""
    import asyncio

    import asyncssh

    crashes.create_cluster()
    crashes.wait_for_cluster(idle=1)
    [login] = crashes.call("POST", f"{crashes.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    daemon = crashes.share / "daemon"

    async def start_daemon() -> None:
        options = {"username": USER["adminUserName"], "password": USER["adminUserPassword"], "known_hosts": None}
        async with asyncssh.connect(login["ipAddress"], login["port"], client_keys=[], **options) as connection:
            line = f"setsid sh -c 'echo $$ > {daemon}.new; mv {daemon}.new {daemon}; exec sleep 1000' >&- 2>&- <&- &"
            await connection.run(line)

    asyncio.run(start_daemon())
    wait_until(daemon.exists, "the daemon runs")
    crashes.restart(at="before kill:1")
    pid = int(daemon.read_text())
    manual = {"scaleSettings": {"manual": {"targetNodeCount": 0}}}
    crashes.call("PATCH", f"{crashes.workspace}/clusters/cluster", {"properties": manual})
    crashes.dies()
    assert alive(pid)
    crashes.restart()
    crashes.wait_for_cluster()
    assert not alive(pid)
    assert not list((crashes.service.home / "nodes").iterdir())


def test_a_new_cluster_has_its_initial_nodes(crashes: Crashes) -> None:
    crashes.restart(at="after COMMIT:3")
    scale = {"autoScale": {"minimumNodeCount": 0, "initialNodeCount": 2, "maximumNodeCount": 2}}
    body = crashes.cluster_body(scaleSettings=scale)
    with pytest.raises(OSError):
        crashes.call("PUT", f"{crashes.workspace}/clusters/cluster", body)
    crashes.dies()
    crashes.restart()
    crashes.wait_for_cluster(idle=2)


# A machine that is started anew


@pytest.mark.parametrize(
    ("setting", "own", "again"),
    [("", "", False), ("", "1", True), ("1", "", True), ("1", "0", False)],
    ids=["by default it has failed", "the job asks", "the service asks", "the job refuses"],
)
def test_after_a_reboot_a_job_may_be_queued_again(crashes: Crashes, setting: str, own: str, again: bool) -> None:
    crashes.create_cluster()
    line = "cd $AZ_BATCHAI_MOUNT_ROOT/afs; echo start >> starts; while [ ! -e go ]; do sleep 0.02; done"
    wish = [{"name": "AZ_BATCHAI_REQUEUE_ON_REBOOT", "value": own}] if own else []
    crashes.create_job("job", line, environmentVariables=wish)
    crashes.begun("starts")
    [(claim, runner)] = crashes.service.claims().items()
    crashes.service.kill()
    os.kill(runner, signal.SIGTERM)  # the reboot ends everything, and leaves no result
    wait_until(lambda: not alive(runner), "its runner is gone")
    claim.with_name("exit.json").unlink()
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "bootId": "another boot"}))
    crashes.service.settings["AZURE_BATCHAI_REQUEUE_ON_REBOOT"] = setting
    crashes.restart()
    (crashes.share / "go").touch()
    done = crashes.wait_for_job("job")
    if not again:
        assert errors(done) == ["NodeLost"]
        return
    assert done["executionState"] == "succeeded"
    assert (crashes.share / "starts").read_text() == "start\nstart\n"
    assert b"the job runs again: its machine was started anew" in crashes.output("job", "execution.log")


# Names


def test_a_deleted_jobs_name_can_be_used_again_at_once(crashes: Crashes) -> None:
    crashes.create_cluster()
    for number in range(8):
        crashes.create_job("job", f"exit {number}", environmentVariables=[{"name": "N", "value": str(number)}])
        if number % 2:
            crashes.wait_for_job("job", "running", *ENDED)
        else:
            assert crashes.wait_for_job("job")["executionInfo"]["exitCode"] == number
        crashes.finish(crashes.call("DELETE", crashes.job("job"))[1])


def test_the_harness_runs_as_a_program() -> None:
    script = Path(__file__).parent
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "--seed" in done.stdout

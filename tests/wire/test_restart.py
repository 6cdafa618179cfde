"""A service that is killed, stopped, or cannot write: what the next one finds and does (P1 to P9)."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.processes import alive, wait_until
from harness.service import Service
from wire.api import USER, Api

pytestmark = pytest.mark.invented


@pytest.fixture
def api(home: Path) -> Api:
    service = Service(home)
    assert service.start()["status"] == "ready"
    return Api(service, "lab")


def share(api: Api) -> Path:
    return api.service.home / "storage" / api.account / "files" / "share"


def restart(api: Api, kill: bool = True) -> None:
    pid = api.service.info["pid"]
    if kill:
        api.service.kill()
    else:
        assert api.service.request("POST", "/_local/shutdown")[0] == 202
        wait_until(lambda: not alive(pid), "the service has stopped")
        assert not (api.service.home / "service.json").exists()
    assert api.service.start()["status"] == "ready"


@pytest.mark.parametrize("kill", [True, False], ids=["kill -9", "shutdown"])
def test_a_running_job_goes_on_and_its_end_is_known(api: Api, kill: bool) -> None:
    api.create_cluster()
    line = "touch made-here; cd $AZ_BATCHAI_MOUNT_ROOT/afs; echo begin; while [ ! -e go ]; do sleep 0.02; done"
    api.create_job("job", f"{line}; ls -d $OLDPWD/made-here; exit 5")
    wait_until(lambda: api.properties(api.job("job"))["executionState"] == "running", "it runs")
    wait_until(lambda: list(share(api).rglob("stdout.txt")), "it has begun")
    restart(api, kill)
    assert api.properties(api.job("job"))["executionState"] == "running"
    (share(api) / "go").touch()
    done = api.wait_for_job("job")
    assert (done["executionState"], done["executionInfo"]["exitCode"]) == ("failed", 5)
    begin, made = api.output("job").decode().split()
    assert begin == "begin" and made.endswith("/wd/made-here")  # its working directory was left alone
    api.create_job("next")
    assert api.wait_for_job("next")["executionState"] == "succeeded"


def test_the_end_by_a_signal_is_known_after_adoption(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "echo $$ > $AZ_BATCHAI_MOUNT_ROOT/afs/pid; while :; do sleep 0.05; done")
    pid = share(api) / "pid"
    wait_until(lambda: pid.exists() and pid.read_text(), "it has begun")
    restart(api)
    os.kill(int(pid.read_text()), 9)
    info = api.wait_for_job("job")["executionInfo"]
    assert info["exitCode"] == 137
    assert {"name": "Signal", "value": "9"} in info["errors"][0]["details"]


def test_queued_jobs_keep_their_order_and_start_once(api: Api) -> None:
    api.create_cluster(nodes=0)
    for name, priority in (("low", "low"), ("first", "normal"), ("second", "normal"), ("high", "high")):
        api.create_job(name, f"echo {name} >> $AZ_BATCHAI_MOUNT_ROOT/afs/order", schedulingPriority=priority)
    restart(api)
    manual = {"scaleSettings": {"manual": {"targetNodeCount": 1}}}
    api.call("PATCH", f"{api.workspace}/clusters/cluster", {"properties": manual})
    api.wait_for_job("low")
    assert (share(api) / "order").read_text().split() == ["high", "first", "second", "low"]


def test_a_setup_task_in_progress_is_taken_up(api: Api) -> None:
    line = "echo ran >> runs; while [ ! -e go ]; do sleep 0.02; done"
    setup = {
        "commandLine": f"cd $AZ_BATCHAI_MOUNT_ROOT/afs; {line}",
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
    }
    api.create_cluster(nodeSetup={"mountVolumes": api.mounts(), "setupTask": setup})
    wait_until(lambda: (share(api) / "runs").exists(), "the setup task has begun")
    before = api.wait_for_cluster(preparing=1)
    restart(api)
    assert api.properties(f"{api.workspace}/clusters/cluster") == before
    (share(api) / "go").touch()
    api.wait_for_cluster(idle=1)
    assert (share(api) / "runs").read_text() == "ran\n"


def test_endpoints_keep_their_ports(api: Api) -> None:
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    disks = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
    server = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": disks}
    api.finish(api.call("PUT", f"{api.workspace}/fileServers/nfs", {"properties": server})[1])
    login = f"{api.workspace}/clusters/cluster/listRemoteLoginInformation"
    before = api.call("POST", login)[2], api.properties(f"{api.workspace}/fileServers/nfs")
    restart(api)
    after = api.call("POST", login)[2], api.properties(f"{api.workspace}/fileServers/nfs")
    assert after == before


def test_an_ended_operation_can_still_be_polled(api: Api) -> None:
    _, headers, _ = api.call("PUT", f"{api.workspace}/clusters/cluster", api.cluster_body())
    operation = headers["azure-asyncoperation"]
    restart(api)
    path = operation.split("/", 3)[3]
    assert api.service.request("GET", f"/{path}")[2]["status"] == "Succeeded"


def test_a_deletion_half_done_is_finished(api: Api) -> None:
    api.create_cluster()
    api.create_job("stubborn", "trap '' TERM; touch $AZ_BATCHAI_MOUNT_ROOT/afs/begun; while :; do sleep 0.05; done")
    wait_until(lambda: (share(api) / "begun").exists(), "the job has begun")
    assert api.call("DELETE", api.workspace)[0] == 202
    api.service.kill()  # long before the job's grace time is over
    assert api.service.start()["status"] == "ready"
    wait_until(lambda: api.call("GET", api.workspace)[0] == 404, "the workspace is gone")
    assert not list((api.service.home / "nodes").iterdir())


def test_a_termination_half_done_is_finished(api: Api) -> None:
    api.create_cluster()
    api.create_job("stubborn", "trap '' TERM; touch $AZ_BATCHAI_MOUNT_ROOT/afs/begun; while :; do sleep 0.05; done")
    wait_until(lambda: (share(api) / "begun").exists(), "the job has begun")
    assert api.call("POST", f"{api.job('stubborn')}/terminate")[0] == 202
    assert api.properties(api.job("stubborn"))["executionState"] == "terminating"
    restart(api)
    info = api.wait_for_job("stubborn")["executionInfo"]
    assert info["errors"][0]["code"] == "JobTerminated"


@pytest.mark.parametrize("request_first", ["DELETE", "terminate"])
def test_a_job_can_be_ended_in_the_first_moment_after_a_restart(api: Api, request_first: str) -> None:
    """The job is not adopted yet when the request comes."""
    api.create_cluster()
    api.create_job("job", "echo $$ > $AZ_BATCHAI_MOUNT_ROOT/afs/pid; sleep 1000")
    pid = share(api) / "pid"
    wait_until(lambda: pid.exists() and pid.read_text(), "it has begun")
    restart(api)
    if request_first == "DELETE":
        _, headers, _ = api.call("DELETE", api.job("job"))
    else:
        _, headers, _ = api.call("POST", f"{api.job('job')}/terminate")
    assert api.finish(headers)["status"] == "Succeeded"
    assert not alive(int(pid.read_text()))


def test_after_a_reboot_a_running_job_ends_in_a_defined_state(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "sleep 1000")
    claim = wait_until(
        lambda: next(iter((api.service.home / "nodes").glob("*/tasks/*/main-0/claim.*")), None), "the job has begun"
    )
    api.service.kill()
    record = json.loads(claim.read_text())
    os.kill(record["pid"], 15)  # the reboot ends everything, and leaves no result
    wait_until(lambda: not alive(record["pid"]), "its runner is gone")
    claim.with_name("exit.json").unlink()
    claim.write_text(json.dumps({**record, "bootId": "another boot"}))
    assert api.service.start()["status"] == "ready"
    done = api.wait_for_job("job")
    assert done["executionState"] == "failed"
    assert done["executionInfo"]["errors"][0]["code"] == "NodeLost"
    api.create_job("next")
    assert api.wait_for_job("next")["executionState"] == "succeeded"


def test_a_full_disk_refuses_new_work_and_keeps_what_runs(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a file system of a few megabytes can be mounted by root only")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    service = Service(disk / "home")
    try:
        assert service.start()["status"] == "ready"
        api = Api(service, "lab")
        api.create_cluster()
        line = "cd $AZ_BATCHAI_MOUNT_ROOT/afs; touch begun; while [ ! -e go ]; do sleep 0.02; done; exit 3"
        api.create_job("job", line)
        wait_until((share(api) / "begun").exists, "the job has begun")
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        big = "x" * 20000  # larger than what is free in the pages the state file has already
        for number in range(20):
            status, _, body = api.call("PUT", api.job(f"new{number}"), api.job_body(f"true {big}"))
            if status != 202:
                break
        assert (status, body["error"]["code"]) == (503, "ServiceUnavailable")
        assert api.call("GET", api.job(f"new{number}"))[0] == 404  # refused is refused
        assert api.properties(api.job("job"))["executionState"] == "running"
        filler.unlink()
        (share(api) / "go").touch()
        assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 3
        api.create_job("after")
        for name in ("after", *(f"new{done}" for done in range(number))):
            assert api.wait_for_job(name)["executionState"] == "succeeded"
    finally:
        service.destroy()
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("break_it", ["garbage", "newer"])
def test_a_state_file_that_cannot_be_used_is_left_alone(home: Path, break_it: str) -> None:
    import sqlite3

    service = Service(home)
    assert service.start()["status"] == "ready"
    service.request("POST", "/_local/shutdown")
    wait_until(lambda: not (home / "service.json").exists(), "it has stopped")
    wait_until(lambda: not service.leftovers(0.1), "its process is gone")
    database = home / "state.db"
    if break_it == "garbage":
        database.write_bytes(b"no database at all, but a long enough file " * 100)
    else:
        with sqlite3.connect(database) as db:
            db.execute("PRAGMA user_version=99")
        db.close()
    before = database.read_bytes()
    answer = service.start()
    assert (answer["status"], answer["code"]) == ("failed", "StateUnusable")
    assert str(database) in answer["message"]
    assert database.read_bytes() == before


def test_starts_that_cannot_succeed_say_why(home: Path, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = Service(home).start("--port", str(taken.getsockname()[1]))
    assert (answer["status"], answer["code"]) == ("failed", "PortInUse")
    service = Service(tmp_path / "other")
    service.home.mkdir()
    (service.home / "state.db").mkdir()
    answer = service.start()
    assert (answer["status"], answer["code"]) == ("failed", "StateUnusable")


def test_no_cpu_when_idle(api: Api) -> None:
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    time.sleep(0.3)

    def ticks() -> tuple[int, ...]:
        fields = Path(f"/proc/{api.service.info['pid']}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]), int(fields[12])

    def wakeups() -> int:
        status = Path(f"/proc/{api.service.info['pid']}/status").read_text()
        return int(status.partition("nonvoluntary_ctxt_switches")[0].rpartition("voluntary_ctxt_switches:")[2])

    before = ticks(), wakeups()
    time.sleep(1.5)
    assert (ticks(), wakeups()) == before  # it sleeps: nothing wakes it up but work

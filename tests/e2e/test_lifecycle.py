"""The life of the embedded service: started by need, one per folder, outlives its client, loses nothing when killed."""

import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import az, processes
from harness.az import Outcome
from harness.cluster import ok, wait_for_nodes
from harness.processes import alive, wait_until
from harness.service import Service

RG = ("-g", "research")
WHERE = (*RG, "-w", "lab", "-e", "exp")
STARTED = "Started the local Batch AI service"


def prepare(nodes: int = 1) -> None:
    ok(az.run("batchai", "workspace", "create", *RG, "-n", "lab"))
    ok(az.run("batchai", "experiment", "create", *RG, "-w", "lab", "-n", "exp"))
    create = ("batchai", "cluster", "create", *RG, "-w", "lab", "-n", "mycluster", "-s", "Standard_NC6")
    ok(az.run(*create, "-t", str(nodes), "--use-auto-storage", "-p", "secretpassword"))
    wait_for_nodes("lab", idle=nodes)


def show(job: str):
    return ok(az.run("batchai", "job", "show", *WHERE, "-n", job))


def wait_for_state(job: str, state: str) -> None:
    wait_until(lambda: show(job)["executionState"] == state, f"{job} is {state}")


def test_the_first_command_starts_it_and_says_so_once(home: Path) -> None:
    first = az.run_process("batchai", "workspace", "list")
    assert (first.code, first.json()) == (0, [])
    [line] = [line for line in first.stderr.splitlines() if line.strip()]
    assert STARTED in line
    assert Service(home).info["endpoint"] in line
    second = az.run_process("batchai", "workspace", "list")
    assert (second.code, second.json(), second.stderr) == (0, [], "")


def test_only_show_errors_hides_the_start_line(home: Path) -> None:
    outcome = az.run_process("batchai", "workspace", "list", "--only-show-errors")
    assert (outcome.code, outcome.json(), outcome.stderr) == (0, [], "")


def test_its_files_are_private_and_its_port_is_on_loopback(home: Path) -> None:
    service = Service(home)
    service.start()
    assert stat.S_IMODE((home / "service.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert service.info["endpoint"].startswith("http://127.0.0.1:")
    status, _, body = service.request("GET", "/_local/status", token="wrong")
    assert (status, body["error"]["code"]) == (401, "AuthenticationFailed")


def test_it_outlives_the_process_group_of_its_client(home: Path) -> None:
    client = az.start_process("batchai", "job", "list", *WHERE, start_new_session=True)
    service = Service(home)
    pid = wait_until(lambda: service.info.get("pid"), "the service is ready")
    os.killpg(client.pid, signal.SIGHUP)  # the terminal is closed
    os.killpg(client.pid, signal.SIGINT)
    client.communicate(timeout=20)
    time.sleep(0.3)
    assert alive(pid)
    assert service.request("GET", "/_local/status")[0] == 200


def test_two_starts_at_once_give_one_service(home: Path) -> None:
    outcomes: list[Outcome] = []
    command = ("batchai", "workspace", "list")
    threads = [threading.Thread(target=lambda: outcomes.append(az.run_process(*command))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.code for outcome in outcomes] == [0] * 4, [outcome.stderr for outcome in outcomes]
    assert sum(STARTED in outcome.stderr for outcome in outcomes) == 1
    services = [line for line in processes.of_home(home).values() if "__main__.py" in line and "--home" in line]
    assert len(services) == 1


def test_a_killed_service_is_started_again_and_adopts_the_running_job(home: Path, submit) -> None:
    prepare()
    service = Service(home)
    gate = home / "go"
    submit("long", f"i=0; while [ ! -e {gate} ]; do i=$((i+1)); echo $i; sleep 0.02; done; echo end $i; exit 5")
    wait_for_state("long", "running")
    before = show("long")["executionInfo"]["startTime"]
    wait_until(lambda: any(path.stat().st_size for path in home.rglob("stdout.txt")), "it has begun")
    service.kill()
    time.sleep(0.5)  # the job goes on meanwhile
    outcome = az.run_process("batchai", "job", "show", *WHERE, "-n", "long")
    assert outcome.code == 0, outcome.stderr
    assert STARTED in outcome.stderr
    assert outcome.json()["executionState"] == "running"
    assert outcome.json()["executionInfo"]["startTime"] == before
    gate.touch()
    assert az.run("batchai", "job", "wait", *WHERE, "-n", "long", "--interval", "1").code == 5
    *numbers, end = az.run("batchai", "job", "file", "stream", *WHERE, "-j", "long", "-f", "stdout.txt").output.split(
        "\n"
    )[:-1]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]  # nothing lost, nothing twice
    assert end == f"end {len(numbers)}"
    assert len(numbers) > 25


def test_a_job_that_ends_while_no_service_runs(home: Path, submit) -> None:
    prepare()
    submit("short", "sleep 0.5; echo done; exit 4")
    wait_for_state("short", "running")
    Service(home).kill()
    time.sleep(1)
    wait_for_state("short", "failed")
    assert show("short")["executionInfo"]["exitCode"] == 4
    assert az.run("batchai", "job", "file", "stream", *WHERE, "-j", "short", "-f", "stdout.txt").output == "done\n"


def test_a_queued_job_survives_a_kill_and_runs_once(home: Path, submit) -> None:
    prepare()
    submit("first", "sleep 1; echo 1 >> $AZ_BATCHAI_MOUNT_ROOT/autoafs/runs")
    submit("second", "echo 2 >> $AZ_BATCHAI_MOUNT_ROOT/autoafs/runs")
    Service(home).kill()
    assert az.run("batchai", "job", "wait", *WHERE, "-n", "second", "--interval", "1").code == 0
    [runs] = home.glob("storage/*/files/batchaishare/runs")
    assert runs.read_text() == "1\n2\n"


def test_resources_survive_a_restart(home: Path) -> None:
    prepare()
    before = ok(az.run("batchai", "cluster", "show", *RG, "-w", "lab", "-n", "mycluster"))
    [node] = ok(az.run("batchai", "cluster", "node", "list", *RG, "-w", "lab", "-c", "mycluster"))
    ok(az.run("batchai", "local", "down"))
    assert wait_for_nodes("lab", idle=1)["creationTime"] == before["creationTime"]
    [after] = ok(az.run("batchai", "cluster", "node", "list", *RG, "-w", "lab", "-c", "mycluster"))
    assert after["nodeId"] == node["nodeId"]


def test_local_up_status_down(home: Path) -> None:
    stopped = az.run("batchai", "local", "status")
    assert STARTED not in stopped.stderr  # asking does not start it
    assert not Service(home).info
    ok(az.run("batchai", "local", "up"))
    status = ok(az.run("batchai", "local", "status"))
    assert status["status"] == "running"
    assert status["pid"] == Service(home).info["pid"]
    assert status["home"] == str(home)
    table = az.run("batchai", "local", "status", "-o", "table")
    assert str(status["pid"]) in table.output
    assert az.run("batchai", "local", "down").code == 0
    assert not alive(status["pid"])
    assert not (home / "service.json").exists()
    assert az.run("batchai", "local", "down").code == 0  # nothing to stop is no fault


def test_local_up_on_a_port_in_use(home: Path, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = az.run_process("batchai", "local", "up", "--port", str(port))
    assert outcome.code == 1
    assert str(port) in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.output == ""
    assert not Service(home).info


def test_local_down_leaves_running_jobs_and_says_so(home: Path, submit) -> None:
    prepare()
    submit("going", "sleep 3041")
    wait_for_state("going", "running")
    outcome = az.run("batchai", "local", "down")
    assert outcome.code == 0
    assert "go on running: 1" in outcome.stderr
    assert [line for line in processes.of_home(home).values() if "sleep 3041" in line]
    assert show("going")["executionState"] == "running"  # adopted by the service that this command started


def test_local_reset_ends_and_deletes_everything(home: Path, submit) -> None:
    prepare()
    submit("going", "sleep 3042")
    wait_for_state("going", "running")
    refused = az.run("batchai", "local", "reset")
    assert refused.code == 1  # it asks, and there is no terminal to answer on
    assert az.run("batchai", "local", "reset", "--yes").code == 0
    assert not Service(home).leftovers()
    assert ok(az.run("batchai", "workspace", "list")) == []


def test_local_logs(home: Path) -> None:
    ok(az.run("batchai", "workspace", "list"))
    logs = az.run("batchai", "local", "logs", "--tail", "5")
    assert logs.code == 0
    assert 0 < len(logs.output.splitlines()) <= 5


def test_a_stale_state_file_is_ignored(home: Path) -> None:
    ok(az.run("batchai", "workspace", "create", *RG, "-n", "kept"))
    Service(home).kill()
    assert (home / "service.json").exists()
    assert [found["name"] for found in ok(az.run("batchai", "workspace", "list"))] == ["kept"]


def test_a_reused_pid_is_not_taken_for_the_service(home: Path) -> None:
    import json

    service = Service(home)
    service.start()
    info = service.info
    service.kill()
    with subprocess.Popen(["sleep", "3043"]) as stranger:
        try:
            (home / "service.json").write_text(json.dumps({**info, "pid": stranger.pid}), encoding="utf-8")
            assert ok(az.run("batchai", "workspace", "list")) == []
            assert service.info["pid"] != stranger.pid
            assert stranger.poll() is None  # and it is left alone
        finally:
            stranger.kill()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(tmp_path / "state"))
    outcome = az.run("batchai", "workspace", "list")
    assert outcome.code == 1
    assert "Traceback" not in outcome.stderr


def test_a_home_that_is_a_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("not a folder")
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(tmp_path / "state"))
    outcome = az.run("batchai", "workspace", "list")
    assert outcome.code == 1
    assert "Traceback" not in outcome.stderr
    assert str(tmp_path / "state") in outcome.stderr

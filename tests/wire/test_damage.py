"""What a damaged state costs: the start, where no promise could be kept; else the damaged record and no more."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from harness.processes import wait_until
from harness.sandbox import CHECKOUT
from harness.service import MAIN, Service
from wire.api import Api

pytestmark = pytest.mark.invented


@pytest.fixture
def api(home: Path) -> Api:
    service = Service(home)
    assert service.start()["status"] == "ready"
    return Api(service, "lab")


def stop(api: Api) -> None:
    assert api.service.request("POST", "/_local/shutdown")[0] == 202
    wait_until(lambda: not api.service.leftovers(0.1), "it has stopped")
    assert not (api.service.home / "state.db-wal").exists()


def change(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "state.db") as db:
        assert db.execute(statement).rowcount
        db.execute("PRAGMA application_id=0")  # as the service says where it finds no WAL after a kill
    db.close()


def clear(home: Path) -> None:
    """What a test has left that no service can be started on."""
    (home / "state.db").unlink(missing_ok=True)


@pytest.mark.parametrize("what", ["emptied", "cut", "table"])
def test_the_start_says_what_is_wrong_and_what_to_do(api: Api, what: str) -> None:
    home = api.service.home
    stop(api)
    if what == "emptied":
        (home / "state.db").write_bytes(b"")
    elif what == "cut":
        os.truncate(home / "state.db", 8192)
    else:
        with sqlite3.connect(home / "state.db") as db:
            db.execute("DROP TABLE operations")
        db.close()
    log = len(api.service.log())
    done = subprocess.run(
        [sys.executable, str(MAIN), "--home", str(home)], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"], answer["code"]) == (1, "failed", "StateUnusable")
    for words in (str(home / "state.db"), "Nothing was changed", "Put back a copy"):
        assert words in answer["message"]
    assert "Traceback" not in done.stderr + api.service.log()[log:]
    clear(home)


def test_a_lost_wal_is_refused_after_a_kill(api: Api) -> None:
    api.service.kill()
    (api.service.home / "state.db-wal").unlink()
    answer = api.service.start()
    assert (answer["status"], answer["code"]) == ("failed", "StateUnusable")
    assert "state.db-wal" in answer["message"]
    clear(api.service.home)


def test_the_identity_of_the_state_cannot_be_guessed(api: Api) -> None:
    stop(api)
    change(api.service.home, "UPDATE resources SET body='{}' WHERE key='/local/subscription'")
    answer = api.service.start()
    assert (answer["status"], answer["code"]) == ("failed", "StateUnusable")
    assert "/local/subscription" in answer["message"]
    clear(api.service.home)


def test_one_damaged_job_is_told_and_can_be_deleted(api: Api) -> None:
    api.create_cluster()
    for name in ("before", "broken", "after"):
        api.create_job(name)
        api.wait_for_job(name)
    stop(api)
    change(api.service.home, "UPDATE resources SET body=substr(body, 1, 50) WHERE key LIKE '%/jobs/broken'")
    assert api.service.start()["status"] == "ready"

    jobs = api.job("")[:-1]
    status, headers, body = api.call("GET", jobs)
    assert (status, [job["name"] for job in body["value"]]) == (200, ["before", "after"])
    assert "broken" in headers["warning"]
    page = api.call("GET", jobs, query="&maxresults=1")[2]
    assert [job["name"] for job in page["value"]] == ["before"]
    _, _, page = api.service.request("GET", page["nextLink"].removeprefix(api.service.info["endpoint"]))
    assert [job["name"] for job in page["value"]] == ["after"]

    for method, body in (("GET", None), ("PUT", api.job_body()), ("PUT", api.job_body("false"))):
        status, _, error = api.call(method, api.job("broken"), body)
        assert (status, error["error"]["code"]) == (409, "ResourceDamaged"), error
    [told] = api.service.request("GET", "/_local/status")[2]["damagedRecords"]
    assert "/jobs/broken is damaged" in told
    assert "Traceback" not in api.service.log()

    assert api.call("DELETE", api.job("broken"))[0] == 200
    assert api.call("GET", api.job("broken"))[0] == 404
    api.create_job("broken")
    assert api.wait_for_job("broken")["executionState"] == "succeeded"


@pytest.mark.parametrize(
    "change_it",
    [
        'body=replace(body, \'"executionState": "queued"\', \'"executionState": "dancing"\')',
        'body=replace(body, \'"executionState": "queued"\', \'"executionState": "running"\')',
        "body=replace(body, 'maxWallClockTime', 'minWallClockTime')",
        "internal='{}'",
        "body='[' || body",
    ],
)
def test_a_job_that_a_start_would_have_taken_up_does_not_stop_it(api: Api, change_it: str) -> None:
    api.create_cluster(nodes=0)
    api.create_job("broken")
    api.create_job("sound")
    stop(api)
    change(api.service.home, f"UPDATE resources SET {change_it} WHERE key LIKE '%/jobs/broken'")
    assert api.service.start()["status"] == "ready"
    status, _, body = api.call("GET", api.job("broken"))
    assert (status, body["error"]["code"]) == (409, "ResourceDamaged")
    manual = {"scaleSettings": {"manual": {"targetNodeCount": 1}}}
    api.call("PATCH", f"{api.workspace}/clusters/cluster", {"properties": manual})
    assert api.wait_for_job("sound")["executionState"] == "succeeded"


def test_what_lies_below_a_damaged_record_keeps_it(api: Api) -> None:
    api.create_cluster(nodes=0)
    api.create_job("queued")
    experiment = f"{api.workspace}/experiments/exp"
    stop(api)
    change(api.service.home, "UPDATE resources SET body='{}' WHERE kind='experiment'")
    assert api.service.start()["status"] == "ready"
    for method, path in (("DELETE", experiment), ("GET", experiment), ("GET", api.job("queued"))):
        status, _, error = api.call(method, path)
        assert (status, error["error"]["code"]) == (409, "ResourceDamaged")
    assert api.properties(f"{api.workspace}/clusters/cluster")  # the others do not care
    # With what is above it, it goes.
    assert api.finish(api.call("DELETE", api.workspace)[1])["status"] == "Succeeded"
    with sqlite3.connect(api.service.home / "state.db") as db:
        left = [row for row in db.execute("SELECT key FROM resources") if "/workspaces/" in row[0]]
    db.close()
    assert left == []


def test_the_job_of_a_damaged_node_runs_again_elsewhere_and_nothing_goes_on_beside_it(api: Api) -> None:
    api.create_cluster()
    line = "cd $AZ_BATCHAI_MOUNT_ROOT/afs; echo $$ >> begun; while [ ! -e go ]; do sleep 0.02; done"
    api.create_job("job", line)
    share = api.service.home / "storage" / api.account / "files" / "share"
    wait_until((share / "begun").exists, "it runs")
    api.service.kill()
    change(api.service.home, "UPDATE resources SET internal='{}' WHERE kind='node'")
    assert api.service.start()["status"] == "ready"
    first, second = wait_until(lambda: (pids := (share / "begun").read_text().split())[1:] and pids, "it runs again")
    assert not Path(f"/proc/{first}").exists() or first == second
    (share / "go").touch()
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert len(list((api.service.home / "nodes").iterdir())) == 1


def test_a_reset_half_done_is_finished(api: Api) -> None:
    home = api.service.home
    stop(api)
    (home / "reset").touch()
    (home / "state.db").unlink()
    assert api.service.start()["status"] == "ready"
    assert api.call("GET", api.workspace)[0] == 404
    assert not (home / "reset").exists()
    assert not (home / "storage" / api.account).exists()

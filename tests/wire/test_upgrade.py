"""State of an earlier release, as it was left when that release was killed, goes on under this one."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from harness.frozen import thaw
from harness.processes import wait_until
from harness.sandbox import CHECKOUT
from harness.service import Service
from wire.api import SUBSCRIPTION, Api

pytestmark = pytest.mark.invented

LAB = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lab/providers/Microsoft.BatchAI/workspaces/lab"


def opened(home: Path) -> Api:
    """The workspace of the frozen state."""
    service = Service(home)
    answer = service.start()
    assert answer["status"] == "ready", answer
    api = Api.__new__(Api)
    api.service, api.workspace, api.account = service, LAB, "fixtureaccount"
    return api


def test_what_1_0_0b1_left_goes_on(home: Path) -> None:
    thaw("state-1.0.0b1", home)
    api = opened(home)
    assert api.service.info["subscription"] == "b3cf73a1-b455-4086-9118-a6c779e17174"

    # What had ended is as it was, and so is what it wrote.
    assert api.properties(api.job("well"))["executionInfo"]["exitCode"] == 0
    assert api.properties(api.job("badly"))["executionInfo"]["exitCode"] == 3
    assert api.output("well") == b"well\n"

    # One ended while no service was there to see it; one went with its machine.
    assert api.wait_for_job("survivor")["executionInfo"]["exitCode"] == 4
    assert api.wait_for_job("lost")["executionInfo"]["errors"][0]["code"] == "NodeLost"

    # Nodes, file server and accounts are there and work.
    cluster = api.wait_for_cluster(idle=2)
    assert cluster["userAccountSettings"]["adminUserName"] == "demo"
    server = f"{LAB}/fileServers/nfs"
    wait_until(lambda: api.properties(server)["provisioningState"] == "succeeded", "the file server is there")
    api.create_job("next", "echo next")
    assert api.wait_for_job("next")["executionState"] == "succeeded"

    # The queued job still waits, and its secret is still its secret.
    assert api.properties(api.job("queued"))["executionState"] == "queued"
    manual = {"scaleSettings": {"manual": {"targetNodeCount": 1}}}
    api.call("PATCH", f"{LAB}/clusters/empty", {"properties": manual})
    assert api.wait_for_job("queued")["executionState"] == "succeeded"
    assert api.output("queued") == b"plain kept-secret\n"


def test_a_damaged_record_of_1_0_0b1_does_not_stop_the_upgrade(home: Path) -> None:
    thaw("state-1.0.0b1", home)
    with sqlite3.connect(home / "state.db") as db:
        db.execute("UPDATE resources SET internal='{\"cut' WHERE key LIKE '%/jobs/badly'")
    db.close()
    api = opened(home)
    assert api.properties(api.job("well"))["executionState"] == "succeeded"
    status, _, body = api.call("GET", api.job("badly"))
    assert (status, body["error"]["code"]) == (409, "ResourceDamaged")



def test_a_job_goes_on_while_the_files_of_the_release_are_replaced(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `az extension update` does it: the old files are gone before the new service starts."""
    old = tmp_path / "old"
    shutil.copytree(CHECKOUT / "azext_batchai", old / "azext_batchai", ignore=shutil.ignore_patterns("__pycache__"))
    (old / "azext_batchai" / "_version.py").write_text('VERSION = "1.0.0b0"\n', encoding="utf-8")
    service = Service(home)
    with monkeypatch.context() as patched:
        patched.setattr("harness.service.MAIN", old / "azext_batchai" / "service" / "__main__.py")
        assert service.start()["version"] == "1.0.0b0"
    api = Api(service, "lab")
    api.create_cluster()
    line = "i=0; while [ ! -e $AZ_BATCHAI_MOUNT_ROOT/afs/go ]; do i=$((i+1)); echo $i; sleep 0.02; done; exit 5"
    api.create_job("going", line)
    share = home / "storage" / api.account / "files" / "share"
    wait_until(lambda: any(path.stat().st_size for path in share.rglob("stdout.txt")), "it writes")
    assert service.request("POST", "/_local/shutdown")[0] == 202
    wait_until(lambda: not service.info, "the old service has let go")
    shutil.rmtree(old)
    assert service.start()["version"] != "1.0.0b0"
    assert api.properties(api.job("going"))["executionState"] == "running"
    (share / "go").touch()
    assert api.wait_for_job("going")["executionInfo"]["exitCode"] == 5
    numbers = api.output("going").split()
    assert numbers == [b"%d" % number for number in range(1, len(numbers) + 1)]
    api.create_job("next")
    assert api.wait_for_job("next")["executionState"] == "succeeded"

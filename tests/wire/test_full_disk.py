"""A disk without room: what is told, what is kept, and that work goes on when there is room again (design P9)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.invented


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a file system of a few megabytes can be mounted by root only")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield folder
    Service(folder / "home").destroy()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def test_it_says_that_the_disk_is_full_and_goes_on_when_there_is_room(disk: Path) -> None:
    service = Service(disk / "home")
    assert service.start()["status"] == "ready"
    api = Api(service, "lab")
    api.create_cluster(nodes=0)
    filler = fill(disk)
    big = "x" * 20000  # larger than what is free in the pages the state file has already
    for number in range(50):
        status, _, body = api.call("PUT", api.job(f"job{number}"), api.job_body(f"true {big}"))
        if status != 202:
            break
    assert (status, body["error"]["code"]) == (503, "ServiceUnavailable")
    message = body["error"]["message"]
    for words in ("The disk is full", "Nothing was changed", str(service.home)):
        assert words in message
    assert api.call("GET", api.job(f"job{number}"))[0] == 404
    assert "Traceback" not in service.log() and "cannot rollback" not in service.log()

    # A file of a share is refused in the same words; what was half written is not there.
    share = service.home / "storage" / api.account / "files" / "share"
    before = sorted(share.rglob("*"))
    status, _, body = api.call("PUT", f"{api.storage}/fileServices/default/shares/another{'s' * 40}", {})
    assert status in (201, 503) and (status == 201 or "The disk is full" in body["error"]["message"])
    assert sorted(share.rglob("*")) == before

    filler.unlink()
    assert api.call("PUT", api.job(f"job{number}"), api.job_body("true"))[0] == 202


def test_a_start_without_room_says_so_and_leaves_alone_what_runs(disk: Path) -> None:
    service = Service(disk / "home")
    assert service.start()["status"] == "ready"
    api = Api(service, "lab")
    api.create_cluster()
    api.create_job("job", "while [ ! -e $AZ_BATCHAI_MOUNT_ROOT/afs/go ]; do sleep 0.02; done; exit 3")
    api.wait_for_job("job", "running")
    service.kill()
    filler = fill(disk)
    answer = service.start()
    assert (answer["status"], answer["code"]) == ("failed", "DiskFull")
    assert "The disk is full" in answer["message"] and "Traceback" not in service.log()
    filler.unlink()
    assert service.start()["status"] == "ready"
    (service.home / "storage" / api.account / "files" / "share" / "go").touch()
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 3

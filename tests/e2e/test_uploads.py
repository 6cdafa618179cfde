"""Files sent over REST, as to Azure: nothing twice, on from where it broke off, executable where they were."""

import io
import os
import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from azext_batchai.jobs import source
from azext_batchai.jobs.transfer import Tally, upload
from azext_batchai.storage import data_plane, uploads
from azext_batchai.storage.places import Place
from azext_batchai.transport.http import session as http_session
from harness.service import Service
from wire import accounts

pytestmark = pytest.mark.invented
RANGE = 4 << 20


class Target:
    """A share or a container: as the commands see it, and its folder on this machine."""

    def __init__(self, service: Service, kind: str) -> None:
        account = accounts.create(service, f"up{uuid.uuid4().hex[:12]}")
        endpoint = account.endpoints["file" if kind == "share" else "blob"]
        seen = data_plane.Account(account.name, account.keys[0], endpoint)
        self.folder: Any = getattr(seen, kind)("data")
        self.session = http_session()
        seen.put(self.session, seen.url("data"), {"restype": kind}, {})
        self.place = Place(self.folder, "")
        self.path = account.folder("files" if kind == "share" else "blobs", "data")

    def send(self, name: str, content: bytes, told: uploads.Told = lambda _: None) -> tuple[bool, int]:
        """Whether anything was sent, and how many bytes."""
        sent = []
        done = uploads.put_file(
            self.folder, self.session, name, io.BytesIO(content), lambda size: (sent.append(size), told(size))
        )
        return done, sum(sent)


def tally() -> Tally:
    return Tally(SimpleNamespace(visible=False))


@pytest.fixture(params=["share", "container"])
def target(request: pytest.FixtureRequest, service: Service) -> Target:
    return Target(service, request.param)


class Broken(Exception):
    pass


def fail(_: int) -> None:
    raise Broken


def test_an_upload_goes_on_where_it_broke_off(target: Target) -> None:
    content = os.urandom(2 * RANGE + 17)
    with pytest.raises(Broken):
        target.send("large", content, fail)
    assert target.send("large", content) == (True, RANGE + 17)
    assert (target.path / "large").read_bytes() == content
    assert target.send("large", content) == (False, 0)


def test_what_came_over_of_another_file_is_not_kept(target: Target) -> None:
    with pytest.raises(Broken):
        target.send("large", bytes(2 * RANGE), fail)
    content = b"x" + bytes(2 * RANGE)
    assert target.send("large", content) == (True, len(content))
    assert (target.path / "large").read_bytes() == content


def test_a_change_that_leaves_the_size_is_sent(target: Target) -> None:
    assert target.send("small", b"lr = 1") == (True, 6)
    assert target.send("small", b"lr = 2") == (True, 6)
    assert (target.path / "small").read_bytes() == b"lr = 2"
    assert target.send("small", b"") == (True, 0)
    assert (target.path / "small").read_bytes() == b""
    assert target.send("small", b"") == (False, 0)


def test_room_that_was_not_written_to_is_no_upload(service: Service) -> None:
    """A share's file grows, then it is written to: what is killed in between leaves zeros of the right size."""
    target, content = Target(service, "share"), os.urandom(RANGE + 17)
    with pytest.raises(Broken):
        target.send("large", content, fail)
    os.truncate(target.path / "large", len(content))
    assert target.send("large", content) == (True, len(content) - RANGE)  # what is compared, is so in whole ranges
    assert (target.path / "large").read_bytes() == content


def test_what_another_client_has_sent_is_compared(service: Service) -> None:
    target, content = Target(service, "share"), os.urandom(RANGE + 17)
    (target.path / "whole").write_bytes(content)
    assert target.send("whole", content) == (False, 0)


def test_blocks_that_another_client_has_left_are_no_obstacle(service: Service) -> None:
    target = Target(service, "container")
    url, account = target.folder.account.url("data", "large"), target.folder.account
    account.put(target.session, url, {"comp": "block", "blockid": "MQ=="}, {}, data=b"one")
    assert target.send("large", b"two") == (True, 3)
    assert (target.path / "large").read_bytes() == b"two"


def test_a_folder_is_sent_with_its_executables_once(target: Target, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "a" / "b" / "run.sh").chmod(0o755)
    (tmp_path / "a" / "data").write_text("x")
    for copied in (2, 0):
        told = tally()
        upload(tmp_path, target.place, told)
        assert (told.copied, told.kept) == (copied, 2 - copied)
        assert os.access(target.path / "a" / "b" / "run.sh", os.X_OK)
        assert not (target.path / "a" / "data").stat().st_mode & 0o111
    (tmp_path / "a" / "b" / "run.sh").chmod(0o644)
    (tmp_path / "a" / "data").chmod(0o744)
    upload(tmp_path, target.place, told := tally())
    assert told.copied == 0
    assert not (target.path / "a" / "b" / "run.sh").stat().st_mode & 0o111
    assert (target.path / "a" / "data").stat().st_mode & 0o111


def test_of_a_changed_source_only_the_change_is_sent(target: Target, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "lib").mkdir(parents=True)
    for name in ("run.sh", "lib/a", "lib/b"):
        (folder / name).write_text(name)
    (folder / "run.sh").chmod(0o755)

    def copy() -> tuple[Path, int, int]:
        where = source.copy(folder, target.place, told := tally())
        return target.path / where, told.copied, told.kept

    first, *counts = copy()
    assert counts == [3, 0]
    assert copy() == (first, 0, 3)
    (folder / "lib" / "a").write_text("A")
    second, *counts = copy()
    assert counts == [1, 2]
    assert [(second / name).read_text() for name in ("run.sh", "lib/a", "lib/b")] == ["run.sh", "A", "lib/b"]
    assert os.access(second / "run.sh", os.X_OK)
    assert (first / "lib" / "a").read_text() == "lib/a", "an earlier job's copy has changed"

    (second / "lib" / "b").unlink()
    assert copy() == (second, 1, 2)
    shutil.rmtree(second)
    (folder / "lib" / "b").write_text("B")
    third, *counts = copy()
    assert counts == [3, 0], "what the version before has lost cannot be copied from there"
    assert sorted(path.name for path in third.rglob("*") if path.is_file()) == ["a", "b", "run.sh"]


class Unsteady(requests.Session):
    """Of three times a request is sent, the first finds no connection and the second is done, but answered with 503."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def request(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        self.sent += 1
        if self.sent % 3 == 1:
            raise requests.exceptions.ConnectionError
        answer = super().request(*args, **options)
        if self.sent % 3 == 2:
            answer.status_code = 503
        return answer


def test_requests_are_sent_again(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.cli.core.azclierror import AzureConnectionError

    monkeypatch.setattr(data_plane, "_PAUSES", (0, 0))
    target.session = Unsteady()
    content = os.urandom(RANGE + 17)
    target.send("large", content)
    assert (target.path / "large").read_bytes() == content
    monkeypatch.setattr(data_plane, "_PAUSES", ())
    target.session.sent = 0
    with pytest.raises(AzureConnectionError, match="cannot be reached"):
        target.send("other", content)

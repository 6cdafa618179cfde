"""Azure Files of the embedded service, driven by the stock `az storage` with a connection string."""

import os
from pathlib import Path
from typing import Any

import pytest

from harness import az
from harness.cluster import ok
from wire.accounts import Account

pytestmark = pytest.mark.documented


@pytest.fixture
def share(account: Account) -> Path:
    """The folder of a share `data` made by az."""
    assert ok(az.run("storage", "share", "create", "-n", "data")) == {"created": True}
    return account.folder("files", "data")


def test_shares(account: Account, share: Path) -> None:
    assert share.is_dir()
    assert ok(az.run("storage", "share", "create", "-n", "data")) == {"created": False}
    assert ok(az.run("storage", "share", "exists", "-n", "data")) == {"exists": True}
    assert ok(az.run("storage", "share", "exists", "-n", "other")) == {"exists": False}
    ok(az.run("storage", "share", "create", "-n", "more"))
    assert [item["name"] for item in ok(az.run("storage", "share", "list"))] == ["data", "more"]
    assert ok(az.run("storage", "share", "show", "-n", "data"))["name"] == "data"
    assert ok(az.run("storage", "share", "delete", "-n", "data")) == {"deleted": True}
    assert not share.exists()
    assert az.run("storage", "share", "show", "-n", "data").code == 3


def test_directories(share: Path) -> None:
    def directory(action: str, name: str) -> Any:
        return az.run("storage", "directory", action, "-s", "data", "-n", name)

    assert ok(directory("create", "runs")) == {"created": True}
    assert ok(directory("create", "runs/1")) == {"created": True}
    assert ok(directory("create", "runs")) == {"created": False}
    assert (share / "runs/1").is_dir()
    assert ok(directory("exists", "runs")) == {"exists": True}
    assert ok(directory("exists", "walks")) == {"exists": False}
    assert ok(directory("show", "runs/1"))["name"] == "runs/1"
    assert "ParentNotFound" in directory("create", "walks/1").stderr
    assert "DirectoryNotEmpty" in directory("delete", "runs").stderr
    assert ok(directory("delete", "runs/1")) == {"deleted": True}
    assert [item["name"] for item in ok(az.run("storage", "directory", "list", "-s", "data"))] == ["runs"]


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (9 << 20) + 17])
def test_a_file_goes_up_and_down(share: Path, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "weights.bin").write_bytes(content)
    where = ("-s", "data", "-p", "weights.bin")
    ok(az.run("storage", "file", "upload", "-s", "data", "--source", str(tmp_path / "weights.bin")))
    assert (share / "weights.bin").read_bytes() == content
    assert ok(az.run("storage", "file", "show", *where))["properties"]["contentLength"] == size
    ok(az.run("storage", "file", "download", *where, "--dest", str(tmp_path / "back")))
    assert (tmp_path / "back").read_bytes() == content


def test_a_part_of_a_file(share: Path, tmp_path: Path) -> None:
    (share / "log.txt").write_text("0123456789", encoding="utf-8")
    span = ("--start-range", "3", "--end-range", "6")
    ok(az.run("storage", "file", "download", "-s", "data", "-p", "log.txt", "--dest", str(tmp_path / "part"), *span))
    assert (tmp_path / "part").read_text() == "3456"


def test_many_files_at_once(share: Path, tmp_path: Path) -> None:
    names = ["a.py", "with space.txt", "größe/日本.txt", "größe/100% & <more>'s.txt"]
    for name in names:
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_text(f"I am {name}", encoding="utf-8")
    ok(
        az.run(
            "storage", "file", "upload-batch", "-s", str(tmp_path / "up"), "-d", "data", "--destination-path", "in/1"
        )
    )
    assert {name: (share / "in/1" / name).read_text(encoding="utf-8") for name in names} == {
        name: f"I am {name}" for name in names
    }
    listed = ok(az.run("storage", "file", "list", "-s", "data", "-p", "in/1/größe"))
    assert [item["name"] for item in listed] == ["100% & <more>'s.txt", "日本.txt"]
    (tmp_path / "down").mkdir()
    ok(az.run("storage", "file", "download-batch", "-s", "data", "-d", str(tmp_path / "down")))
    assert (tmp_path / "down/in/1" / names[-1]).read_text(encoding="utf-8") == f"I am {names[-1]}"
    assert az.run("storage", "file", "delete-batch", "-s", "data/in", "--pattern", "1/a.*").code == 0
    assert sorted(path.name for path in (share / "in/1").iterdir()) == ["größe", "with space.txt"]


def test_what_a_job_wrote_is_listed(share: Path) -> None:
    (share / "runs").mkdir()
    (share / "runs/stdout.txt").write_bytes(b"epoch 1\n")
    (share / "runs/models").mkdir()
    os.mkfifo(share / "runs/pipe")
    listed = ok(az.run("storage", "file", "list", "-s", "data", "-p", "runs"))
    assert [(item["name"], item["type"]) for item in listed] == [("models", "dir"), ("stdout.txt", "file")]
    assert listed[1]["properties"]["contentLength"] == 8
    assert [
        item["name"] for item in ok(az.run("storage", "file", "list", "-s", "data", "-p", "runs", "--exclude-dir"))
    ] == ["stdout.txt"]


def test_names_that_xml_cannot_have(share: Path) -> None:
    (share / "a\x01b").write_text("x")
    assert [item["name"] for item in ok(az.run("storage", "file", "list", "-s", "data"))] == ["a\x01b"]


def test_pages(share: Path) -> None:
    names = [f"f{number:03}" for number in range(25)]
    for name in names:
        (share / name).touch()
    first = az.run("storage", "file", "list", "-s", "data", "--num-results", "10")
    assert [item["name"] for item in ok(first)] == names[:10]
    marker = first.stderr.split()[-1]
    rest = ok(az.run("storage", "file", "list", "-s", "data", "--num-results", "*", "--marker", marker))
    assert [item["name"] for item in rest] == names[10:]


def test_resize_and_delete(share: Path) -> None:
    (share / "f").write_bytes(b"12345678")
    ok(az.run("storage", "file", "resize", "-s", "data", "-p", "f", "--size", "3"))
    assert (share / "f").read_bytes() == b"123"
    ok(az.run("storage", "file", "delete", "-s", "data", "-p", "f"))
    assert not (share / "f").exists()
    assert az.run("storage", "file", "show", "-s", "data", "-p", "f").code == 3
    assert ok(az.run("storage", "file", "exists", "-s", "data", "-p", "f")) == {"exists": False}


def test_ranges_are_written_cleared_and_limited(account: Account, share: Path) -> None:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.fileshare import ShareFileClient

    client = ShareFileClient.from_connection_string(account.connection_string, "data", "f")
    client.create_file(2000)
    assert (share / "f").read_bytes() == bytes(2000)
    client.upload_range(b"abcd" * 256, offset=0, length=1024, validate_content=True)
    client.clear_range(offset=512, length=512)
    content = b"abcd" * 128 + bytes(2000 - 512)
    assert (share / "f").read_bytes() == content
    assert client.get_ranges() == [{"start": 0, "end": 1999}]
    with pytest.raises(HttpResponseError) as refused:
        client.upload_range(b"abcd", offset=1998, length=4)
    assert refused.value.error_code == "InvalidRange"
    assert client.download_file(validate_content=True).readall() == content


def test_what_is_not_supported_is_refused(share: Path) -> None:
    done = az.run("storage", "share", "snapshot", "-n", "data")
    assert done.code == 1
    assert "not supported" in done.stderr, done.stderr


def test_az_keeps_and_shows_what_is_said(share: Path) -> None:
    (share / "f").touch()
    ok(az.run("storage", "file", "upload", "-s", "data", "--metadata", "a=b", "--source", str(share / "f")))
    assert ok(az.run("storage", "file", "metadata", "show", "-s", "data", "-p", "f")) == {"a": "b"}
    ok(az.run("storage", "file", "metadata", "update", "-s", "data", "-p", "f", "--metadata", "c=d"))
    assert ok(az.run("storage", "file", "show", "-s", "data", "-p", "f"))["metadata"] == {"c": "d"}
    ok(az.run("storage", "share", "update", "-n", "data", "--quota", "5"))
    assert ok(az.run("storage", "share", "show", "-n", "data"))["properties"]["quota"] == 5
    assert ok(az.run("storage", "share", "stats", "-n", "data")) == "1"  # GiB, rounded up by az
    ok(az.run("storage", "directory", "create", "-s", "data", "-n", "all"))
    where = ("--source-share", "data", "--destination-share", "data", "--destination-path", "all")
    copied = ok(az.run("storage", "file", "copy", "start-batch", *where))
    assert any(url.endswith("/data/all/f") for url in copied)
    assert ok(az.run("storage", "file", "metadata", "show", "-s", "data", "-p", "all/f")) == {"c": "d"}

"""Azure Blobs of the embedded service, driven by the stock `az storage` with a connection string."""

import os
from pathlib import Path
from typing import Any

import pytest

from harness import az
from harness.cluster import ok
from wire.accounts import Account

pytestmark = pytest.mark.documented


@pytest.fixture
def box(account: Account) -> Path:
    """The folder of a container `box` made by az."""
    assert ok(az.run("storage", "container", "create", "-n", "box")) == {"created": True}
    return account.folder("blobs", "box")


def blob(action: str, name: str, *options: str) -> Any:
    return az.run("storage", "blob", action, "-c", "box", "-n", name, *options)


def test_containers(account: Account, box: Path) -> None:
    assert box.is_dir()
    assert ok(az.run("storage", "container", "create", "-n", "box")) == {"created": False}
    assert ok(az.run("storage", "container", "exists", "-n", "other")) == {"exists": False}
    assert ok(az.run("storage", "container", "show", "-n", "box"))["name"] == "box"
    ok(az.run("storage", "container", "create", "-n", "more"))
    assert [item["name"] for item in ok(az.run("storage", "container", "list"))] == ["box", "more"]
    assert [item["name"] for item in ok(az.run("storage", "container", "list", "--prefix", "m"))] == ["more"]
    assert ok(az.run("storage", "container", "delete", "-n", "box")) == {"deleted": True}
    assert not box.exists()
    refused = az.run("storage", "container", "create", "-n", "public", "--public-access", "blob")
    assert "not supported" in refused.stderr


@pytest.mark.parametrize("name", ["model.bin", "runs/1/größe 日本 & 100%.txt"])
def test_a_blob_goes_up_and_down(box: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "up").write_bytes(b"content")
    ok(blob("upload", name, "-f", str(tmp_path / "up")))
    assert (box / name).read_bytes() == b"content"
    assert ok(blob("exists", name)) == {"exists": True}
    shown = ok(blob("show", name))
    assert (shown["name"], shown["properties"]["contentLength"]) == (name, 7)
    ok(blob("download", name, "-f", str(tmp_path / "down")))
    assert (tmp_path / "down").read_bytes() == b"content"
    assert "already exists" in blob("upload", name, "-f", str(tmp_path / "up")).stderr
    (tmp_path / "up").write_bytes(b"new")
    ok(blob("upload", name, "-f", str(tmp_path / "up"), "--overwrite"))
    assert (box / name).read_bytes() == b"new"
    ok(blob("delete", name))
    assert list(box.iterdir()) == []
    assert ok(blob("exists", name)) == {"exists": False}


def test_a_part_of_a_blob(box: Path, tmp_path: Path) -> None:
    (box / "log.txt").write_bytes(b"0123456789")
    span = ("--start-range", "3", "--end-range", "6")
    ok(blob("download", "log.txt", "-f", str(tmp_path / "part"), *span))
    assert (tmp_path / "part").read_bytes() == b"3456"


def test_blocks(account: Account, box: Path, tmp_path: Path) -> None:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobBlock, BlobClient

    content = os.urandom((3 << 20) + 5)
    client = BlobClient.from_connection_string(
        account.connection_string, "box", "a/big", max_single_put_size=1 << 20, max_block_size=1 << 20
    )
    client.upload_blob(content, max_concurrency=2, validate_content=True)
    assert (box / "a/big").read_bytes() == content
    assert client.download_blob(max_concurrency=2, validate_content=True).readall() == content
    client.stage_block("one", b"1")
    client.stage_block("two", b"2")
    client.stage_block("one", b"3")
    assert (box / "a/big").read_bytes() == content  # nothing is seen of blocks before they are committed
    with pytest.raises(HttpResponseError) as refused:
        client.commit_block_list([BlobBlock("one"), BlobBlock("three")])
    assert refused.value.error_code == "InvalidBlockList"
    client.commit_block_list([BlobBlock("two"), BlobBlock("one")])
    assert (box / "a/big").read_bytes() == b"23"
    assert not list((box.parent.parent / "blocks").glob("*/*"))
    assert [path.name for path in box.rglob("*")] == ["a", "big"]


def test_lists(box: Path) -> None:
    for name in ("a/2", "a/1", "a-b", "a.txt", "b/c/d", "z"):
        (box / name).parent.mkdir(parents=True, exist_ok=True)
        (box / name).write_bytes(b"xyz")

    def names(*options: str) -> list[str]:
        return [item["name"] for item in ok(az.run("storage", "blob", "list", "-c", "box", *options))]

    assert names() == ["a-b", "a.txt", "a/1", "a/2", "b/c/d", "z"]
    assert names("--prefix", "a") == ["a-b", "a.txt", "a/1", "a/2"]
    assert names("--delimiter", "/") == ["a/", "b/", "a-b", "a.txt", "z"]  # the SDK puts prefixes first
    assert names("--prefix", "b/", "--delimiter", "/") == ["b/c/"]
    first = az.run("storage", "blob", "list", "-c", "box", "--num-results", "3", "--show-next-marker")
    *found, last = ok(first)
    assert [item["name"] for item in found] == ["a-b", "a.txt", "a/1"]
    assert names("--marker", last["nextMarker"]) == ["a/2", "b/c/d", "z"]


def test_many_blobs_at_once(box: Path, tmp_path: Path) -> None:
    names = ["x.py", "deep/er/ä b.txt"]
    for name in names:
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_text(name, encoding="utf-8")
    ok(az.run("storage", "blob", "upload-batch", "-s", str(tmp_path / "up"), "-d", "box"))
    assert {name: (box / name).read_text(encoding="utf-8") for name in names} == {name: name for name in names}
    (tmp_path / "down").mkdir()
    ok(az.run("storage", "blob", "download-batch", "-s", "box", "-d", str(tmp_path / "down")))
    assert (tmp_path / "down" / names[1]).read_text(encoding="utf-8") == names[1]


def test_a_blob_cannot_lie_under_a_blob(box: Path, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(b"1")
    ok(blob("upload", "a", "-f", str(tmp_path / "up")))
    assert "ResourceTypeMismatch" in blob("upload", "a/b", "-f", str(tmp_path / "up")).stderr
    ok(blob("upload", "c/d", "-f", str(tmp_path / "up")))
    assert "ResourceTypeMismatch" in blob("upload", "c", "-f", str(tmp_path / "up")).stderr
    assert sorted(path.name for path in box.iterdir()) == ["a", "c"]


@pytest.mark.parametrize(
    ("action", "options"),
    [
        ("upload", ("--type", "append", "--data", "1")),
        ("upload", ("--type", "page", "--data", "x" * 512)),
        ("upload", ("--tier", "Cool", "--data", "1")),
        ("upload", ("--metadata", "a=b", "--data", "1")),
        ("set-tier", ("--tier", "Cool")),
        ("snapshot", ()),
    ],
)
def test_what_is_not_supported_is_refused(box: Path, action: str, options: tuple[str, ...]) -> None:
    done = blob(action, "b", *options)
    assert done.code == 1
    assert "not supported" in done.stderr, done.stderr
    assert list(box.iterdir()) == []

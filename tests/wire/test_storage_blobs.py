"""Azure Blobs of the embedded service, driven by the stock `az storage` with a connection string."""

import base64
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from harness import az
from harness.cluster import ok
from wire.accounts import Account
from wire.storage_requests import account_sas, send

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
    waiting = client.get_block_list("uncommitted")[1]
    assert sorted((block.id, block.size) for block in waiting) == [("one", 1), ("two", 1)]
    client.commit_block_list([BlobBlock("two"), BlobBlock("one")])
    assert (box / "a/big").read_bytes() == b"23"
    assert not list((box.parent.parent / "blocks").glob("*/*"))
    assert [path.name for path in box.rglob("*")] == ["a", "big"]


def test_blocks_are_written_once(account: Account, box: Path, tmp_path: Path) -> None:
    """Those that come in their order are where the blob will be; the last of them may overtake another."""
    from azure.storage.blob import BlobBlock, BlobClient

    client = BlobClient.from_connection_string(account.connection_string, "box", "big")
    for order in (range(8), (0, 1, 3, 2, 4, 5, 7, 6)):
        for number in order:
            client.stage_block(f"{number:02}", bytes([number]) * (200_000 if number < 7 else 10))
        [data] = (box.parent.parent / "blocks").glob("box/*/data")
        inode = data.stat().st_ino
        before = time.time()
        client.commit_block_list([BlobBlock(f"{number:02}") for number in range(8)])
        assert (box / "big").read_bytes() == b"".join(bytes([n]) * (200_000 if n < 7 else 10) for n in range(8))
        assert (box / "big").stat().st_ino == inode
        assert (box / "big").stat().st_mtime >= before - 0.1
        assert not list((box.parent.parent / "blocks").glob("box/*"))


def test_a_commit_that_is_refused_keeps_the_blocks(account: Account, box: Path) -> None:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobBlock, BlobClient

    client = BlobClient.from_connection_string(account.connection_string, "box", "b")
    client.upload_blob(b"old")
    client.stage_block("1", b"new")
    with pytest.raises(HttpResponseError):
        client.commit_block_list([BlobBlock("1")], if_unmodified_since=datetime(2001, 1, 1, tzinfo=timezone.utc))
    assert (box / "b").read_bytes() == b"old"
    client.commit_block_list([BlobBlock("1")])
    assert (box / "b").read_bytes() == b"new"
    client.commit_block_list([])
    assert (box / "b").read_bytes() == b""


def test_a_reader_sees_the_old_or_the_new_blob(account: Account, box: Path) -> None:
    from azure.storage.blob import BlobBlock, BlobClient

    def client() -> BlobClient:
        return BlobClient.from_connection_string(account.connection_string, "box", "b")

    def write(number: int) -> None:
        blob, names = client(), ["1", "2", "3", "4"]
        for name in names if number % 2 else ("1", "3", "2", "4"):
            blob.stage_block(name, bytes([number]) * 300_000)
        blob.commit_block_list([BlobBlock(name) for name in names])

    write(0)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write(number) for number in range(1, 12)])
        while not writing.done():
            content = (box / "b").read_bytes()
            assert content == content[:1] * 1_200_000
            content = client().download_blob().readall()
            assert content == content[:1] * 1_200_000
        writing.result()


def test_a_block_has_an_md5_where_it_is_asked_for(account: Account, box: Path) -> None:
    content, target = b"block", f"/{account.name}.blob/box/b?comp=block&blockid=YQ==&{account_sas(account)}"
    digest = base64.b64encode(hashlib.md5(content).digest()).decode()
    status, headers, _ = send(account.service, "PUT", target, {"Content-MD5": digest}, content)
    assert (status, headers["content-md5"]) == (201, digest)
    status, headers, _ = send(account.service, "PUT", target, {}, content)
    assert (status, headers["content-md5"]) == (201, None)
    wrong = {"Content-MD5": base64.b64encode(bytes(16)).decode()}
    status, headers, _ = send(account.service, "PUT", target, wrong, content)
    assert (status, headers["x-ms-error-code"]) == (400, "Md5Mismatch")


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
        ("set-tier", ("--tier", "Cool")),
        ("snapshot", ()),
    ],
)
def test_what_is_not_supported_is_refused(box: Path, action: str, options: tuple[str, ...]) -> None:
    done = blob(action, "b", *options)
    assert done.code == 1
    assert "not supported" in done.stderr, done.stderr
    assert list(box.iterdir()) == []

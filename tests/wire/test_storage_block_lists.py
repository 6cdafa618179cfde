"""Of which blocks a blob was made: kept, listed, used again for the next blob, and forgotten with it."""

import base64
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient, ContentSettings

from harness.service import Service
from wire import accounts
from wire.accounts import Account
from wire.storage_requests import account_sas, send, signed

pytestmark = pytest.mark.documented
_UNCHANGED = MatchConditions.IfNotModified


@pytest.fixture(scope="module")
def account(service: Service) -> Account:
    return accounts.create(service, f"blocks{uuid.uuid4().hex[:12]}")


@pytest.fixture
def box(account: Account) -> ContainerClient:
    name = f"box-{uuid.uuid4().hex[:12]}"
    box = ContainerClient.from_connection_string(account.connection_string, name, retry_total=0)
    box.create_container()
    return box


@pytest.fixture
def folder(account: Account, box: ContainerClient) -> Path:
    return account.folder("blobs", box.container_name)


@pytest.fixture
def blob(box: ContainerClient) -> BlobClient:
    """Of the blocks `1`, `2` and `3`."""
    blob = box.get_blob_client("d/b")
    stage(blob, "1", "2", "3")
    blob.commit_block_list([BlobBlock(name) for name in "123"])
    return blob


def content(name: str) -> bytes:
    return name.encode() * (ord(name[0]) % 16 + 1)


def stage(blob: BlobClient, *names: str) -> None:
    for name in names:
        blob.stage_block(name, content(name))


def identifier(name: str) -> str:
    """As the SDK encodes it."""
    return base64.b64encode(name.encode()).decode()


def put(account: Account, blob: BlobClient, listed: str, **headers: str) -> tuple[int, bytes]:
    """The answer to a block list of words like `C1 U2 L3`: where to look, and the block's name."""
    tags = {"C": "Committed", "U": "Uncommitted", "L": "Latest"}
    blocks = [f"<{tags[word[0]]}>{identifier(word[1:])}</{tags[word[0]]}>" for word in listed.split()]
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{"".join(blocks)}</BlockList>'.encode()
    path = f"/{account.name}.blob/{blob.container_name}/{blob.blob_name}?comp=blocklist"
    return signed(account, "PUT", path, body=body, standard=headers)


def lists(blob: BlobClient) -> tuple[str, str]:
    """The names of the committed blocks and of the others, and that the former make up the blob."""
    committed, waiting = blob.get_block_list("all")
    if committed:
        assert sum(block.size for block in committed) == blob.get_blob_properties().size
    return "".join(block.id for block in committed), "".join(block.id for block in waiting)


def bytes_of(names: str) -> bytes:
    return b"".join(map(content, names))


def test_what_is_listed(account: Account, box: ContainerClient, blob: BlobClient) -> None:
    stage(blob, "4")
    committed, waiting = blob.get_block_list("all")
    assert [(block.id, block.size) for block in committed] == [(name, len(content(name))) for name in "123"]
    assert [(block.id, block.size) for block in waiting] == [("4", len(content("4")))]
    assert [len(found) for found in blob.get_block_list("committed")] == [3, 0]
    assert [len(found) for found in blob.get_block_list("uncommitted")] == [0, 1]

    def answer(name: str, kind: str) -> tuple[int, Any, list[str]]:
        path = f"/{account.name}.blob/{box.container_name}/{name}?comp=blocklist{kind}&{account_sas(account)}"
        status, headers, body = send(account.service, "GET", path)
        return status, headers, [child.tag for child in ElementTree.fromstring(body)]

    said = blob.get_blob_properties()
    for kind, tags in (
        ("", ["CommittedBlocks"]),
        ("&blocklisttype=committed", ["CommittedBlocks"]),
        ("&blocklisttype=Uncommitted", ["UncommittedBlocks"]),
        ("&blocklisttype=all", ["CommittedBlocks", "UncommittedBlocks"]),
    ):
        status, headers, found = answer("d/b", kind)
        assert (status, found, headers["content-type"]) == (200, tags, "application/xml")
        assert (headers["x-ms-blob-content-length"], headers["etag"]) == (str(said.size), said.etag)
        assert headers["last-modified"]
    status, headers, _ = answer("d/b", "&blocklisttype=x")
    assert (status, headers["x-ms-error-code"]) == (400, "InvalidQueryParameterValue")
    status, headers, _ = answer("none", "&blocklisttype=all")
    assert (status, headers["x-ms-error-code"]) == (404, "BlobNotFound")
    stage(box.get_blob_client("new"), "1")
    status, headers, found = answer("new", "")
    assert (status, found, headers["etag"]) == (200, ["CommittedBlocks"], None)


def test_a_list_whose_answer_was_lost_is_sent_again(account: Account, folder: Path, blob: BlobClient) -> None:
    before = blob.get_blob_properties()
    for listed in ("L1 L2 L3", "C1 C2 C3"):
        assert put(account, blob, listed)[0] == 201
        assert (folder / "d/b").read_bytes() == bytes_of("123")
        assert lists(blob) == ("123", "")
    assert put(account, blob, "U1 U2 U3")[0] == 400  # they wait no more
    assert blob.get_blob_properties().etag != before.etag


def test_a_log_grows_by_a_block(folder: Path, box: ContainerClient) -> None:
    blob = box.get_blob_client("log")
    for number, name in enumerate("abcdef"):
        stage(blob, name)
        committed, waiting = blob.get_block_list("all")
        assert (len(committed), len(waiting)) == (number, 1)
        blob.commit_block_list([*committed, *waiting], metadata={"n": str(number)})
        assert (folder / "log").read_bytes() == bytes_of("abcdef"[: number + 1])
        assert blob.get_blob_properties().metadata == {"n": str(number)}
    assert lists(blob) == ("abcdef", "")
    assert [path.name for path in folder.iterdir()] == ["log"]


def test_large_blocks_are_used_again(folder: Path, box: ContainerClient) -> None:
    blob = box.get_blob_client("b")
    parts = {name: os.urandom((1 << 20) + number) for number, name in enumerate("abc")}
    for name, data in parts.items():
        blob.stage_block(name, data)
    blob.commit_block_list([BlobBlock(name) for name in "abc"])
    parts["b"] = os.urandom(3)
    blob.stage_block("b", parts["b"])
    blob.commit_block_list([BlobBlock(name) for name in "cba"])
    assert (folder / "b").read_bytes() == parts["c"] + parts["b"] + parts["a"]


@pytest.mark.parametrize(
    ("listed", "made"),
    [
        ("C3 C1 C2", "312"),
        ("C2 C2 L1 C2", "2212"),
        ("C1", "1"),
        ("U4 C1 U5", "415"),
        ("L4 L1 L5 L5", "4155"),
        ("", ""),
    ],
)
def test_blocks_in_any_order(account: Account, folder: Path, blob: BlobClient, listed: str, made: str) -> None:
    stage(blob, "4", "5")
    assert put(account, blob, listed)[0] == 201
    assert (folder / "d/b").read_bytes() == bytes_of(made)
    assert lists(blob) == (made, ""), "the blocks that were not used are gone, too"
    assert not list((folder.parents[1] / "blocks" / folder.name).glob("*"))


@pytest.mark.parametrize(
    ("listed", "made"), [("C1 L2", b"1?"), ("U2 C1", b"?1"), ("C1 C2", b"12"), ("C2 U2 L2", b"2??")]
)
def test_the_list_in_which_a_block_is_looked_for(
    account: Account, folder: Path, box: ContainerClient, listed: str, made: bytes
) -> None:
    blob = box.get_blob_client("b")
    for name in "12":
        blob.stage_block(name, name.encode())
    blob.commit_block_list([BlobBlock(name) for name in "12"])
    blob.stage_block("2", b"?")
    assert put(account, blob, listed)[0] == 201
    assert (folder / "b").read_bytes() == made


@pytest.mark.parametrize("listed", ["C4 C1", "U1 U4", "C1 U2", "L6", "C1 C2 C3 C6", "U4 U5 U6"])
def test_a_list_that_is_refused_changes_nothing(account: Account, folder: Path, blob: BlobClient, listed: str) -> None:
    stage(blob, "4", "5")
    before = blob.get_blob_properties()
    status, answer = put(account, blob, listed)
    assert status == 400 and b"InvalidBlockList" in answer
    assert (folder / "d/b").read_bytes() == bytes_of("123")
    assert (lists(blob), blob.get_blob_properties().etag) == (("123", "45"), before.etag)


def test_conditions(account: Account, folder: Path, blob: BlobClient) -> None:
    stage(blob, "4")
    etag = blob.get_blob_properties().etag
    for condition in ({"if-match": '"0x1"'}, {"if-none-match": etag}, {"if-none-match": "*"}):
        assert put(account, blob, "C1 L4", **condition)[0] in (409, 412)
        assert ((folder / "d/b").read_bytes(), lists(blob)) == (bytes_of("123"), ("123", "4"))
    assert put(account, blob, "C1 L4", **{"if-match": etag})[0] == 201
    assert ((folder / "d/b").read_bytes(), lists(blob)) == (bytes_of("14"), ("14", ""))
    assert put(account, blob, "C1 L4", **{"if-match": etag})[0] == 412


def test_a_blob_that_a_job_has_changed_has_no_blocks(account: Account, folder: Path, blob: BlobClient) -> None:
    def is_none() -> None:
        assert lists(blob) == ("", "4")
        assert put(account, blob, "C1 L4")[0] == 400
        assert put(account, blob, "L4 L1")[0] == 400

    stage(blob, "4")
    path = folder / "d/b"
    with path.open("r+b") as file:
        file.write(b"x")
    is_none()
    changed = path.read_bytes()
    blob.set_blob_metadata({"k": "v"})
    is_none()
    assert path.read_bytes() == changed
    assert put(account, blob, "L4")[0] == 201
    assert lists(blob) == ("4", "")
    stage(blob, "4")
    path.unlink()
    path.write_bytes(content("4"))
    assert lists(blob) == ("", "4")
    path.unlink()
    assert lists(blob) == ("", "4")


def test_what_is_said_of_it_changes_no_blocks(account: Account, blob: BlobClient) -> None:
    blob.set_blob_metadata({"executable": "true"})
    blob.set_http_headers(ContentSettings("a/b"))
    assert lists(blob) == ("123", "")
    assert put(account, blob, "C2 C3")[0] == 201
    said = blob.get_blob_properties()
    assert (said.metadata, said.content_settings.content_type) == ({}, "application/octet-stream")


@pytest.mark.parametrize("way", ["upload", "from_url", "copy", "delete"])
def test_a_blob_that_is_written_whole(
    account: Account, box: ContainerClient, folder: Path, blob: BlobClient, way: str
) -> None:
    """Neither the old blob's blocks are there any more, nor those that wait for it."""
    other = box.upload_blob("other", b"other")
    if way == "delete":
        blob.delete_blob()
        with pytest.raises(ResourceNotFoundError):
            blob.get_block_list("all")
        blob.upload_blob(b"other")
    else:
        stage(blob, "4")
    if way == "upload":
        blob.upload_blob(b"other", overwrite=True)
    elif way == "from_url":
        blob.upload_blob_from_url(other.url, overwrite=True)
    elif way == "copy":
        blob.start_copy_from_url(other.url)
    assert lists(blob) == ("", "")
    for listed in ("L1", "C1", "L4", "C1 L4"):
        assert put(account, blob, listed)[0] == 400
    assert (folder / "d/b").read_bytes() == b"other"


def test_a_copy_has_the_blocks_of_its_source(account: Account, box: ContainerClient, blob: BlobClient) -> None:
    stage(blob, "4")
    copy = box.get_blob_client("copy")
    stage(copy, "5")
    for options in ({}, {"requires_sync": True}):
        copy.start_copy_from_url(blob.url, **options)
        assert lists(copy) == ("123", "")
    blob.start_copy_from_url(blob.url, metadata={"k": "v"})  # to itself
    assert lists(blob) == ("123", "")
    assert put(account, copy, "C3 C1")[0] == 201
    assert (copy.download_blob().readall(), lists(blob)) == (bytes_of("31"), ("123", ""))
    copy.upload_blob_from_url(blob.url, overwrite=True)  # of which only the bytes are taken
    assert lists(copy) == ("", "")
    copy.start_copy_from_url(blob.url)
    copy.start_copy_from_url(box.upload_blob("other", b"1").url)
    assert lists(copy) == ("", "")


def test_a_container_of_the_same_name_has_nothing_of_it(account: Account, box: ContainerClient, folder: Path) -> None:
    blob = box.upload_blob("x", b"1")
    stage(blob, "1")
    blob.commit_block_list([BlobBlock("1")])
    box.delete_container()
    box.create_container()
    with pytest.raises(ResourceNotFoundError):
        blob.get_block_list("all")
    blob.upload_blob(b"1")
    assert lists(blob) == ("", "")


def test_many_blocks(account: Account, folder: Path, box: ContainerClient) -> None:
    """As many as a list may have; what is read of the blob otherwise does not know of them."""
    blob = box.get_blob_client("many")
    stage(blob, "1", "2")
    assert put(account, blob, " ".join(["L1", "L2"] * 25_000))[0] == 201
    stage(blob, "3")
    assert put(account, blob, " ".join(["L3", *["C2", "L1"] * 24_999, "L2"]))[0] == 201
    made = content("3") + bytes_of("21") * 24_999 + content("2")
    assert (folder / "many").read_bytes() == made
    committed = blob.get_block_list("committed")[0]
    assert [block.id for block in committed] == ["3", *"21" * 24_999, "2"]
    assert (folder.parents[1] / "properties.db").stat().st_size < 4 << 20


def test_two_that_append_at_once(account: Account, folder: Path, blob: BlobClient) -> None:
    """With If-Match each block is there once, whoever came first."""

    def append(name: str) -> None:
        while True:
            etag = blob.get_blob_properties().etag
            stage(blob, name)
            try:
                committed = blob.get_block_list("committed")[0]
                blob.commit_block_list([*committed, BlobBlock(name)], etag=etag, match_condition=_UNCHANGED)
                return
            except HttpResponseError as error:
                assert error.error_code in ("ConditionNotMet", "InvalidBlockList", "InvalidBlobOrBlock"), error

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, "456789"))
    found = lists(blob)[0]
    assert found[:3] == "123" and sorted(found) == list("123456789")
    assert (folder / "d/b").read_bytes() == bytes_of(found)


def test_a_reader_sees_the_old_or_the_new_blob(folder: Path, box: ContainerClient) -> None:
    blob = box.get_blob_client("b")
    blob.stage_block("0", bytes(400_000))
    blob.commit_block_list([BlobBlock("0")])

    def write() -> None:
        for number in range(1, 12):
            blob.stage_block(str(number % 2), bytes([number]) * 400_000)
            blob.commit_block_list([*blob.get_block_list("committed")[0][-2:], BlobBlock(str(number % 2))])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            read = (folder / "b").read_bytes()
            assert read == b"".join(read[at : at + 1] * 400_000 for at in range(0, len(read), 400_000))
        writing.result()

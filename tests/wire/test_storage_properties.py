"""What is said of files and blobs beside their bytes: kept, copied, renamed, and gone with them."""

import os
import sqlite3
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    AccessPolicy,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.fileshare import ContentSettings as FileContent
from azure.storage.fileshare import ShareClient, ShareServiceClient

from harness.service import Service
from wire import accounts
from wire.accounts import Account
from wire.storage_requests import signed

pytestmark = pytest.mark.documented


@pytest.fixture(scope="module")
def account(service: Service) -> Account:
    return accounts.create(service, f"said{uuid.uuid4().hex[:12]}")


def blobs(account: Account) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(account.connection_string, retry_total=0)


@pytest.fixture
def box(account: Account) -> ContainerClient:
    return blobs(account).create_container(f"box-{uuid.uuid4().hex[:12]}", metadata={"owner": "me"})


@pytest.fixture
def share(account: Account) -> ShareClient:
    service = ShareServiceClient.from_connection_string(account.connection_string, retry_total=0)
    return service.create_share(f"share-{uuid.uuid4().hex[:12]}", quota=7, metadata={"owner": "me"})


def soon() -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=1)


def test_a_blob_keeps_what_is_said_of_it(account: Account, box: ContainerClient) -> None:
    settings = ContentSettings("text/x-mine", None, "de", 'attachment; filename="x"', "no-cache")
    blob = box.upload_blob("d/x.txt", b"hello", metadata={"First": "1", "second": "zwei"}, content_settings=settings)
    said = blob.get_blob_properties()
    assert said.metadata == {"first": "1", "second": "zwei"}
    kept = said.content_settings
    assert (kept.content_type, kept.content_language, kept.cache_control) == ("text/x-mine", "de", "no-cache")
    assert kept.content_disposition == 'attachment; filename="x"'
    [listed] = box.list_blobs(include=["metadata"])
    assert (listed.metadata, listed.content_settings.content_type) == (said.metadata, "text/x-mine")
    [listed] = box.walk_blobs("d/", include=["metadata"])
    assert listed.metadata == said.metadata
    assert not box.list_blobs().next().metadata  # where it is not asked for

    before = said.etag
    blob.set_blob_metadata({"third": "3"})
    blob.set_http_headers(ContentSettings(cache_control="max-age=1"))
    said = blob.get_blob_properties()
    assert said.metadata == {"third": "3"} and said.etag != before
    kept = said.content_settings
    assert (kept.content_type, kept.content_language, kept.cache_control) == ("text/plain", None, "max-age=1")
    # Bytes are plain files all the while, and an upload without a word begins anew.
    assert (account.folder("blobs", box.container_name) / "d" / "x.txt").read_bytes() == b"hello"
    blob.upload_blob(b"again", overwrite=True)
    assert blob.get_blob_properties().metadata == {}


def test_a_blob_of_blocks_keeps_it_too(box: ContainerClient) -> None:
    blob = box.get_blob_client("b")
    blob.stage_block("AAAA", b"1")
    blob.commit_block_list(["AAAA"], content_settings=ContentSettings("a/b"), metadata={"k": "v"})
    said = blob.get_blob_properties()
    assert (said.metadata, said.content_settings.content_type) == ({"k": "v"}, "a/b")


def test_what_a_job_writes_in_its_place_has_nothing_of_it(account: Account, box: ContainerClient) -> None:
    blob = box.upload_blob("x.txt", b"1", metadata={"k": "v"}, content_settings=ContentSettings("a/b"))
    path = account.folder("blobs", box.container_name) / "x.txt"
    path.write_bytes(b"other")
    said = blob.get_blob_properties()
    assert (said.metadata, said.content_settings.content_type) == ({}, "text/plain")
    blob.delete_blob()
    box.upload_blob("x.txt", b"2")
    assert blob.get_blob_properties().metadata == {}


def test_metadata_make_files_executable(account: Account, box: ContainerClient, share: ShareClient) -> None:
    told = {"executable": "true"}
    blob = box.upload_blob("run.sh", b"#!/bin/sh", metadata=told)
    file = share.get_file_client("run.sh")
    file.upload_file(b"#!/bin/sh", metadata=told)
    container, files = account.folder("blobs", box.container_name), account.folder("files", share.share_name)
    for client, folder in ((blob, container), (file, files)):
        set_metadata = getattr(client, "set_blob_metadata", None) or client.set_file_metadata
        path = folder / "run.sh"
        assert path.stat().st_mode & 0o111 == (path.stat().st_mode & 0o444) >> 2
        set_metadata({"executable": "false"})
        assert not path.stat().st_mode & 0o111
        path.chmod(0o755)
        set_metadata({"other": "1"})
        assert path.stat().st_mode & 0o111, "what a job has made executable is not the metadata's"
    blob.set_blob_metadata(told)
    box.get_blob_client("copy").start_copy_from_url(blob.url)
    assert (container / "copy").stat().st_mode & 0o111


def test_containers_and_shares_have_metadata(account: Account, box: ContainerClient, share: ShareClient) -> None:
    assert box.get_container_properties().metadata == {"owner": "me"}
    box.set_container_metadata({"a": "b"})
    listed = blobs(account).list_containers(box.container_name, include_metadata=True)
    assert [entry.metadata for entry in listed] == [{"a": "b"}]
    assert (share.get_share_properties().quota, share.get_share_properties().metadata) == (7, {"owner": "me"})
    share.set_share_quota(9)
    share.set_share_metadata({"c": "d"})
    properties = share.get_share_properties()
    assert (properties.quota, properties.metadata) == (9, {"c": "d"})
    box.delete_container()
    again = blobs(account).create_container(box.container_name)
    assert again.get_container_properties().metadata == {}


def test_a_share_tells_how_much_is_in_it(account: Account, share: ShareClient) -> None:
    folder = account.folder("files", share.share_name)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "a").write_bytes(b"12345")
    (folder / "b").write_bytes(b"123")
    (folder / "link").symlink_to("/usr")
    assert share.get_share_stats() == 8


def test_files_and_directories_keep_it(share: ShareClient) -> None:
    directory = share.create_directory("dir", metadata={"d": "1"})
    file = directory.upload_file("f.txt", b"1", metadata={"m": "1"}, content_settings=FileContent("x/y"))
    assert directory.get_directory_properties().metadata == {"d": "1"}
    said = file.get_file_properties()
    assert (said.metadata, said.content_settings.content_type) == ({"m": "1"}, "x/y")
    file.set_file_metadata({"n": "2"})
    file.resize_file(5)  # says nothing of the others
    assert file.get_file_properties().content_settings.content_type == "x/y"
    file.set_http_headers(FileContent(content_language="de"))
    said = file.get_file_properties()
    assert (said.metadata, said.content_settings.content_type) == ({"n": "2"}, "text/plain")
    assert (said.content_settings.content_language, said.size) == ("de", 5)
    directory.set_directory_metadata({"d": "2"})
    assert directory.get_directory_properties().metadata == {"d": "2"}
    file.delete_file()
    directory.delete_directory()
    assert share.create_directory("dir").get_directory_properties().metadata == {}


def test_a_blob_is_copied_with_what_is_said_of_it(box: ContainerClient) -> None:
    source = box.upload_blob("a", b"hello", metadata={"k": "v"}, content_settings=ContentSettings("a/b"))
    copy = box.get_blob_client("b")
    assert copy.start_copy_from_url(source.url)["copy_status"] == "success"
    said = copy.get_blob_properties()
    assert (said.metadata, said.content_settings.content_type) == ({"k": "v"}, "a/b")
    assert (said.copy.status, said.copy.source, said.copy.progress) == ("success", source.url, "5/5")
    assert copy.download_blob().readall() == b"hello"
    [listed] = box.list_blobs("b", include=["copy"])
    assert (listed.copy.id, listed.copy.status) == (said.copy.id, "success")
    with pytest.raises(ResourceExistsError, match="NoPendingCopyOperation"):
        copy.abort_copy(str(said.copy.id))
    copy.start_copy_from_url(source.url, metadata={"other": "1"}, requires_sync=True)
    assert copy.get_blob_properties().metadata == {"other": "1"}
    # To the same name, which some do to change what is said of it.
    source.start_copy_from_url(source.url, metadata={"new": "1"})
    assert (source.get_blob_properties().metadata, source.download_blob().readall()) == ({"new": "1"}, b"hello")


def test_blobs_of_other_blobs(box: ContainerClient) -> None:
    source = box.upload_blob("a", b"hello", content_settings=ContentSettings("a/b"))
    whole = box.get_blob_client("whole")
    whole.upload_blob_from_url(source.url)
    assert whole.download_blob().readall() == b"hello"
    assert whole.get_blob_properties().copy.status is None
    part = box.get_blob_client("part")
    part.stage_block_from_url("AAAA", source.url, source_offset=1, source_length=3)
    part.stage_block_from_url("BBBB", source.url)
    part.commit_block_list(["BBBB", "AAAA"])
    assert part.download_blob().readall() == b"helloell"
    with pytest.raises(HttpResponseError, match="InvalidRange"):
        part.stage_block_from_url("CCCC", source.url, source_offset=9, source_length=3)


def test_a_copy_from_another_account_needs_a_signature(service: Service, box: ContainerClient) -> None:
    source = box.upload_blob("a b+c%20ü", b"hello")
    other = accounts.create(service, f"other{uuid.uuid4().hex[:12]}")
    copy = blobs(other).create_container("box").get_blob_client("copy")
    with pytest.raises(HttpResponseError, match="CannotVerifyCopySource"):
        copy.start_copy_from_url(source.url)
    key = box.credential.account_key
    for permission, works in (("r", True), ("w", False)):
        names = (box.account_name, box.container_name, source.blob_name)
        signature = generate_blob_sas(*names, account_key=key, permission=permission, expiry=soon())
        if works:
            copy.start_copy_from_url(f"{source.url}?{signature}")
            assert copy.download_blob().readall() == b"hello"
            assert "sig=" not in copy.get_blob_properties().copy.source
            copy.delete_blob()
        else:
            with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
                copy.start_copy_from_url(f"{source.url}?{signature}")
    assert not copy.exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a/b",
        "https://real.blob.core.windows.net/a/b",
        "http://127.0.0.1:9/account/box/a",
        "file:///etc/passwd",
        "http://[",
        "",
        "x",
    ],
)
def test_a_copy_from_elsewhere_is_refused(account: Account, box: ContainerClient, url: str) -> None:
    path = f"/{account.name}.blob/{box.container_name}/x"
    status, answer = signed(account, "PUT", path, **{"x-ms-copy-source": url})
    assert status == 501 and b"within this service" in answer


@pytest.mark.parametrize("path", ["", "box", "box/missing", "nobox/x", "box/..%2f..%2fsecrets.key", "box/%00"])
def test_a_copy_of_what_is_not_there(account: Account, box: ContainerClient, path: str) -> None:
    root = account.endpoints["blob"].rstrip("/")
    source = f"{root}/{path.replace('box', box.container_name, 1) if path.startswith('box') else path}"
    target = f"/{account.name}.blob/{box.container_name}/x"
    status, _ = signed(account, "PUT", target, **{"x-ms-copy-source": source})
    assert status in (400, 403, 404, 501)
    assert list(box.list_blobs()) == []


def test_a_file_is_copied_and_renamed(account: Account, share: ShareClient) -> None:
    directory = share.create_directory("dir", metadata={"d": "1"})
    file = directory.upload_file("f", b"12345", metadata={"m": "1"})
    copy = share.get_file_client("copy")
    assert copy.start_copy_from_url(file.url)["copy_status"] == "success"
    said = copy.get_file_properties()
    assert (said.copy.status, said.metadata, said.size) == ("success", {"m": "1"}, 5)
    moved = copy.rename_file("dir/moved")
    assert moved.get_file_properties().metadata == {"m": "1"}
    with pytest.raises(ResourceNotFoundError):
        copy.get_file_properties()
    with pytest.raises(ResourceExistsError):
        moved.rename_file("dir/f")
    moved.rename_file("dir/f", overwrite=True)
    renamed = directory.rename_directory("other")
    assert renamed.get_directory_properties().metadata == {"d": "1"}
    assert [entry["name"] for entry in renamed.list_directories_and_files()] == ["f"]
    assert renamed.get_file_client("f").get_file_properties().metadata == {"m": "1"}
    with pytest.raises(HttpResponseError):
        renamed.rename_directory("other/inner")
    assert sorted(os.listdir(account.folder("files", share.share_name))) == ["other"]


def test_files_of_blobs_and_blobs_of_files(box: ContainerClient, share: ShareClient) -> None:
    blob = box.upload_blob("a", b"hello")
    names = (box.account_name, box.container_name, "a")
    signature = generate_blob_sas(*names, account_key=box.credential.account_key, permission="r", expiry=soon())
    file = share.get_file_client("f")
    file.start_copy_from_url(f"{blob.url}?{signature}")
    assert file.download_file().readall() == b"hello"
    part = share.get_file_client("part")
    part.create_file(4)
    part.upload_range_from_url(file.url, 1, 3, 2)
    assert part.download_file().readall() == b"\0llo"
    back = box.get_blob_client("back")
    back.start_copy_from_url(part.url)
    assert back.download_blob().readall() == b"\0llo"


def test_a_stored_access_policy_is_what_a_signature_may(box: ContainerClient) -> None:
    box.upload_blob("a", b"1")
    key = box.credential.account_key

    def client(policy: str, **own: Any) -> ContainerClient:
        names = (box.account_name, box.container_name)
        signature = generate_container_sas(*names, account_key=key, policy_id=policy, **own)
        return ContainerClient.from_container_url(f"{box.url}?{signature}", retry_total=0)

    with pytest.raises(HttpResponseError, match="AuthenticationFailed"):
        list(client("readers").list_blobs())
    box.set_container_access_policy(
        {
            "readers": AccessPolicy(ContainerSasPermissions(read=True, list=True), expiry=soon()),
            "late": AccessPolicy(ContainerSasPermissions(list=True), expiry=soon() - timedelta(hours=2)),
            "open": AccessPolicy(ContainerSasPermissions(list=True)),
        }
    )
    found = box.get_container_access_policy()["signed_identifiers"]
    permissions = {one.id: one.access_policy.permission for one in found}
    assert permissions == {"readers": "rl", "late": "l", "open": "l"}
    assert [blob.name for blob in client("readers").list_blobs()] == ["a"]
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        client("readers").upload_blob("b", b"1")
    for refused in (client("late"), client("open"), client("readers", permission="w")):
        with pytest.raises(HttpResponseError, match="AuthenticationFailed"):
            list(refused.list_blobs())
    assert [blob.name for blob in client("open", expiry=soon()).list_blobs()] == ["a"]
    box.set_container_access_policy({})
    with pytest.raises(HttpResponseError, match="AuthenticationFailed"):
        list(client("readers").list_blobs())


@pytest.mark.parametrize("body", [b"<", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"\xff"])
def test_policies_that_are_none(account: Account, box: ContainerClient, body: bytes) -> None:
    path = f"/{account.name}.blob/{box.container_name}?restype=container&comp=acl"
    status, answer = signed(account, "PUT", path, body=body)
    assert status == 400 and b"InvalidXmlDocument" in answer


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-ms-meta-": "1"}, "InvalidMetadata"),
        ({"x-ms-meta-a-b": "1"}, "InvalidMetadata"),
        ({"x-ms-meta-a": "x" * 9000}, "MetadataTooLarge"),
    ],
)
def test_metadata_that_is_none(account: Account, box: ContainerClient, headers: dict[str, str], code: str) -> None:
    path = f"/{account.name}.blob/{box.container_name}/x"
    status, answer = signed(account, "PUT", path, body=b"1", **{"x-ms-blob-type": "BlockBlob", **headers})
    assert status == 400 and code.encode() in answer
    assert list(box.list_blobs()) == []


def test_a_damaged_file_of_properties_costs_no_bytes(service: Service) -> None:
    account = accounts.create(service, f"hurt{uuid.uuid4().hex[:12]}")
    box = blobs(account).create_container("box")
    box.upload_blob("said", b"1", metadata={"k": "v"})
    path = service.home / "storage" / account.name / "properties.db"
    path.write_bytes(b"no database" * 1000)
    log = len(service.log())
    with pytest.raises(HttpResponseError, match="properties.db cannot be used"):
        box.get_blob_client("said").download_blob()
    assert "Traceback" not in service.log()[log:]
    path.unlink()
    assert box.get_blob_client("said").download_blob().readall() == b"1"


def test_many_writers_at_once(account: Account, box: ContainerClient) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def write(number: int) -> None:
        box.upload_blob(f"b{number}", b"1", metadata={"n": str(number)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(100)))
    found = {blob.name: blob.metadata for blob in box.list_blobs(include=["metadata"], results_per_page=7)}
    assert found == {f"b{number}": {"n": str(number)} for number in range(100)}
    with sqlite3.connect(account.folder("blobs", "x").parents[1] / "properties.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()

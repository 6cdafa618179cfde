"""The storage client libraries against the embedded service, where `az storage` does not show it."""

import os

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.fileshare import ShareClient, ShareServiceClient

from wire.accounts import Account

pytestmark = pytest.mark.documented

NAMES = ["a b", "a+b", "50%", "%41", "ä~(1)'s", "#1?&=", "日本", "a..b", ".hidden", "x" * 255]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files(account: Account, name: str) -> None:
    account.folder("files", "data").mkdir()
    client = ShareClient.from_connection_string(account.connection_string, "data")
    directory = client.create_directory(name)
    directory.upload_file(name, b"content")
    assert (account.folder("files", "data") / name / name).read_bytes() == b"content"
    assert [item.name for item in client.list_directories_and_files(name)] == [name]
    assert directory.get_file_client(name).download_file().readall() == b"content"
    directory.delete_file(name)
    directory.delete_directory()
    assert list(client.list_directories_and_files()) == []


@pytest.mark.parametrize("name", NAMES)
def test_names_of_blobs(account: Account, name: str) -> None:
    account.folder("blobs", "data").mkdir()
    client = BlobServiceClient.from_connection_string(account.connection_string).get_container_client("data")
    client.upload_blob(f"{name}/{name}", b"content")
    assert (account.folder("blobs", "data") / name / name).read_bytes() == b"content"
    assert [item.name for item in client.list_blobs(name_starts_with=f"{name}/")] == [f"{name}/{name}"]
    assert client.download_blob(f"{name}/{name}").readall() == b"content"
    client.delete_blob(f"{name}/{name}")
    assert list(client.list_blobs()) == []


def test_names_that_are_no_text(account: Account) -> None:
    """A job may write such files; clients get to know of them and can read the others."""
    for kind in ("files", "blobs"):
        folder = account.folder(kind, "data")
        folder.mkdir()
        (folder / os.fsdecode(b"\xff")).touch()
        (folder / "z").touch()
    files = ShareClient.from_connection_string(account.connection_string, "data")
    assert [item.name for item in files.list_directories_and_files()][0] == "z"
    blobs = BlobServiceClient.from_connection_string(account.connection_string).get_container_client("data")
    assert [item.name for item in blobs.list_blobs()][0] == "z"


def test_a_bare_key_at_the_endpoint(account: Account) -> None:
    """Clients then take the first segment of the path for the name of the account."""
    blobs = BlobServiceClient(account.endpoints["blob"], credential=account.keys[0])
    blobs.create_container("box").upload_blob("b", b"1")
    files = ShareServiceClient(account.endpoints["file"], credential=account.keys[0])
    files.create_share("data")
    assert (account.folder("blobs", "box") / "b").read_bytes() == b"1"
    assert [item.name for item in files.list_shares()] == ["data"]


def test_conditions(account: Account) -> None:
    account.folder("blobs", "box").mkdir()
    client = BlobClient.from_connection_string(account.connection_string, "box", "b")
    client.upload_blob(b"1")
    first = client.get_blob_properties()
    client.upload_blob(b"2", overwrite=True, etag=first.etag, match_condition=_match("IfNotModified"))
    with pytest.raises(HttpResponseError) as refused:
        client.upload_blob(b"3", overwrite=True, etag=first.etag, match_condition=_match("IfNotModified"))
    assert refused.value.status_code == 412
    with pytest.raises(HttpResponseError) as unchanged:
        client.download_blob(etag=client.get_blob_properties().etag, match_condition=_match("IfModified"))
    assert unchanged.value.status_code == 304
    assert client.download_blob().readall() == b"2"


def test_pages_of_a_large_container(account: Account) -> None:
    folder = account.folder("blobs", "box")
    for number in range(60):
        (folder / f"d{number % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"d{number % 3}" / f"{number:02}").touch()
    client = BlobServiceClient.from_connection_string(account.connection_string).get_container_client("box")
    pages = [[item.name for item in page] for page in client.list_blobs(results_per_page=7).by_page()]
    names = [name for page in pages for name in page]
    assert max(map(len, pages)) == 7
    assert names == sorted(names)
    assert len(names) == 60
    assert [item.name for item in client.walk_blobs()] == ["d0/", "d1/", "d2/"]


def test_what_is_not_there(account: Account) -> None:
    blobs = BlobServiceClient.from_connection_string(account.connection_string)
    files = ShareServiceClient.from_connection_string(account.connection_string)
    account.folder("blobs", "box").mkdir()
    account.folder("files", "data").mkdir()
    for act, code in [
        (blobs.get_blob_client("none", "b").get_blob_properties, "ContainerNotFound"),
        (blobs.get_blob_client("box", "b").get_blob_properties, "BlobNotFound"),
        (blobs.get_blob_client("box", "b").delete_blob, "BlobNotFound"),
        (files.get_share_client("none").get_share_properties, "ShareNotFound"),
        (files.get_share_client("data").get_file_client("f").get_file_properties, "ResourceNotFound"),
        (files.get_share_client("data").get_directory_client("d").delete_directory, "ResourceNotFound"),
    ]:
        with pytest.raises(ResourceNotFoundError) as missing:
            act()
        assert missing.value.error_code == code


def test_folders_of_the_user_do_not_disturb(account: Account) -> None:
    (account.folder("blobs", "My Data")).mkdir()
    (account.folder("blobs", "box")).mkdir()
    blobs = BlobServiceClient.from_connection_string(account.connection_string)
    assert [item.name for item in blobs.list_containers()] == ["box"]


def _match(name: str) -> object:
    from azure.core import MatchConditions

    return MatchConditions[name]

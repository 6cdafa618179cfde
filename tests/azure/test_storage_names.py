"""Storage accounts by host name, as Azure's own clients name them, through the proxy and TLS."""

import json
import os
import subprocess
import sys
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, generate_account_sas, generate_blob_sas
from azure.storage.fileshare import ShareServiceClient, generate_file_sas, generate_share_sas

from harness.service import Service
from wire import accounts

pytestmark = pytest.mark.documented


class Names:
    """An account as clients behind the proxy see it."""

    def __init__(self, service: Service) -> None:
        self.facts = service.request("POST", "/_local/front", {})[2]
        self.account = accounts.create(service, f"acct{uuid.uuid4().hex[:12]}")
        self.key = self.account.keys[0]
        self.proxies = {"https": self.facts["proxy"]}
        self.network = {
            "proxies": self.proxies,
            "connection_verify": self.facts["certificate"],
            "retry_total": 0,
        }

    def url(self, service: str) -> str:
        return f"https://{self.account.name}.{service}.core.localhost"

    def blobs(self, credential: Any = None) -> BlobServiceClient:
        return BlobServiceClient(self.url("blob"), credential or self.key, **self.network)

    def files(self, credential: Any = None, **more: Any) -> ShareServiceClient:
        return ShareServiceClient(self.url("file"), credential or self.key, **self.network, **more)


class Credential:
    """What a logged-in client has."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._token, 2**31)


@pytest.fixture(scope="module")
def names(service: Service) -> Names:
    return Names(service)


def token(service: Service, audience: str) -> str:
    form = f"grant_type=client_credentials&client_id=a&client_secret=b&scope={audience}/.default"
    _, _, content = accounts.fetch(f"{service.info['endpoint']}/common/oauth2/v2.0/token", "POST", form.encode())
    return json.loads(content)["access_token"]


def test_blobs(names: Names) -> None:
    container = names.blobs().create_container("images")
    container.upload_blob("a b/c+d%20ü.txt", b"content")
    assert [blob.name for blob in container.list_blobs()] == ["a b/c+d%20ü.txt"]
    assert container.download_blob("a b/c+d%20ü.txt").readall() == b"content"
    assert (names.account.folder("blobs", "images") / "a b" / "c+d%20ü.txt").read_bytes() == b"content"
    assert [item.name for item in names.blobs().list_containers()] == ["images"]


def test_files(names: Names) -> None:
    share = names.files().create_share("data")
    share.create_directory("in")
    share.get_directory_client("in").upload_file("x y.txt", b"content")
    assert [item["name"] for item in share.list_directories_and_files("in")] == ["x y.txt"]
    assert [item.name for item in names.files().list_shares()] == ["data"]
    assert (names.account.folder("files", "data") / "in" / "x y.txt").read_bytes() == b"content"


def test_the_list_names_the_endpoint_that_was_asked(names: Names) -> None:
    signature = generate_account_sas(
        names.account.name, names.key, "s", "l", datetime.now(timezone.utc) + timedelta(minutes=5)
    )
    answer = requests.get(
        f"{names.url('blob')}/?comp=list&{signature}",
        proxies=names.proxies,
        verify=names.facts["certificate"],
        timeout=10,
    )
    assert f'ServiceEndpoint="{names.url("blob")}/"' in answer.text


def test_a_signature_for_https_alone_is_good_here_and_not_over_http(names: Names) -> None:
    soon = datetime.now(timezone.utc) + timedelta(minutes=5)
    signature = generate_account_sas(names.account.name, names.key, "sco", "rl", soon, protocol="https")
    assert list(names.blobs(signature).list_containers()) is not None
    plain = BlobServiceClient(names.account.endpoints["blob"], signature, retry_total=0)
    with pytest.raises(HttpResponseError, match="AuthorizationProtocolMismatch"):
        list(plain.list_containers())


def test_a_login_opens_the_data(service: Service, names: Names) -> None:
    credential = Credential(token(service, "https://storage.azure.com"))
    container = names.blobs(credential).create_container("logged-in")
    container.upload_blob("x", b"1")
    assert container.download_blob("x").readall() == b"1"
    share = names.files(credential, token_intent="backup").create_share("logged-in")
    assert list(share.list_directories_and_files()) == []


def test_a_login_can_be_delegated(service: Service, names: Names) -> None:
    """A signature under a key that was made of the login, which knows no account key."""
    container = names.blobs().create_container("delegated")
    container.upload_blob("x", b"1")
    start, end = datetime.now(timezone.utc) - timedelta(minutes=1), datetime.now(timezone.utc) + timedelta(minutes=5)
    login = names.blobs(Credential(token(service, "https://storage.azure.com")))
    key = login.get_user_delegation_key(start, end)
    where = (names.account.name, "delegated", "x")
    good = generate_blob_sas(*where, user_delegation_key=key, permission="r", expiry=end)
    blob = names.blobs(good).get_blob_client("delegated", "x")
    assert blob.download_blob().readall() == b"1"
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        blob.upload_blob(b"2", overwrite=True)
    key.signed_oid = str(uuid.uuid4())  # not who has logged in
    forged = generate_blob_sas(*where, user_delegation_key=key, permission="r", expiry=end)
    with pytest.raises(ClientAuthenticationError, match="Signature did not match"):
        names.blobs(forged).get_blob_client("delegated", "x").download_blob()
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        names.blobs().get_user_delegation_key(start, end)  # an account key is no login
    with pytest.raises(HttpResponseError, match="within seven days"):
        login.get_user_delegation_key(start, end + timedelta(days=8))


def test_a_login_can_be_delegated_for_files(service: Service, names: Names) -> None:
    share = names.files().create_share("delegated")
    share.get_file_client("x").upload_file(b"1")
    share.get_file_client("y").upload_file(b"2")
    start, end = datetime.now(timezone.utc) - timedelta(minutes=1), datetime.now(timezone.utc) + timedelta(minutes=5)
    login = names.files(Credential(token(service, "https://storage.azure.com")), token_intent="backup")
    key = login.get_user_delegation_key(start=start, expiry=end)
    where = {"account_name": names.account.name, "share_name": "delegated", "user_delegation_key": key, "expiry": end}

    def read(name: str, signature: str) -> bytes:
        return names.files(signature).get_share_client("delegated").get_file_client(name).download_file().readall()

    of_file = generate_file_sas(**where, file_path=["x"], permission="r")
    assert read("x", of_file) == b"1"
    with pytest.raises(ClientAuthenticationError, match="Signature did not match"):
        read("y", of_file)
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        names.files(of_file).get_share_client("delegated").get_file_client("x").delete_file()
    of_share = generate_share_sas(**where, permission="rl")
    assert read("y", of_share) == b"2"
    listed = names.files(of_share).get_share_client("delegated").list_directories_and_files()
    assert [entry.name for entry in listed] == ["x", "y"]
    of_blobs = names.blobs(Credential(token(service, "https://storage.azure.com"))).get_user_delegation_key(start, end)
    wrong = generate_file_sas(**{**where, "user_delegation_key": of_blobs}, file_path=["x"], permission="r")
    key.signed_tid = str(uuid.uuid4())  # not who has logged in
    forged = generate_file_sas(**where, file_path=["x"], permission="r")
    for signature, why in ((wrong, "of another service"), (forged, "Signature did not match")):
        with pytest.raises(ClientAuthenticationError, match=why):
            read("x", signature)
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        names.files().get_user_delegation_key(start=start, expiry=end)  # an account key is no login


def test_a_login_for_something_else_does_not(service: Service, names: Names) -> None:
    for wrong in (token(service, "https://management.azure.com"), "x", service.info["token"]):
        with pytest.raises(ClientAuthenticationError, match="InvalidAuthenticationInfo"):
            names.blobs(Credential(wrong)).create_container("refused")
    assert not names.account.folder("blobs", "refused").exists()


def test_a_wrong_key_does_not(names: Names) -> None:
    with pytest.raises(ClientAuthenticationError, match="AuthenticationFailed"):
        names.blobs(names.account.keys[1][::-1].replace("=", "") + "==").create_container("refused")


def test_an_account_that_does_not_exist_is_said(service: Service, names: Names) -> None:
    credential = Credential(token(service, "https://storage.azure.com"))
    missing = BlobServiceClient("https://nosuchaccount.blob.core.localhost", credential, **names.network)
    with pytest.raises(ResourceNotFoundError, match="no storage account 'nosuchaccount'"):
        missing.create_container("x")
    assert not (service.home / "storage" / "nosuchaccount").exists()


def test_another_storage_service_is_refused(names: Names) -> None:
    answer = requests.get(names.url("queue"), proxies=names.proxies, verify=names.facts["certificate"], timeout=10)
    assert answer.status_code == 501
    assert "no storage service 'queue'" in answer.text


def test_a_path_is_no_account_where_the_host_is_one(names: Names) -> None:
    """`/ACCOUNT/x` at an account's host is the container ACCOUNT."""
    container = names.blobs().create_container(names.account.name)
    container.upload_blob("x", b"1")
    assert (names.account.folder("blobs", names.account.name) / "x").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["metadata", "tenants"])
def test_accounts_with_names_of_resource_manager_are_reached_by_name(service: Service, names: Names, name: str) -> None:
    made = accounts.create(service, name)
    client = BlobServiceClient(f"https://{name}.blob.core.localhost", made.keys[0], **names.network)
    client.create_container("images")
    assert made.folder("blobs", "images").is_dir()
    plain = BlobServiceClient.from_connection_string(made.connection_string, retry_total=0)
    assert [item.name for item in plain.list_containers()] == ["images"]
    assert service.request("GET", "/tenants?api-version=2022-12-01")[0] == 200


def test_the_asynchronous_clients(names: Names, tmp_path: Path) -> None:
    """They take the proxy and the authority from the environment."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import asyncio, sys
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.fileshare.aio import ShareServiceClient

async def main(account, key):
    async with BlobServiceClient(f"https://{account}.blob.core.localhost", key) as blobs:
        container = await blobs.create_container("aio")
        async with container:
            await container.upload_blob("x", b"1" * 20_000_000, max_concurrency=4)
            content = await (await container.download_blob("x", max_concurrency=4)).readall()
    async with ShareServiceClient(f"https://{account}.file.core.localhost", key) as files:
        share = await files.create_share("aio")
        async with share:
            await share.get_directory_client("").upload_file("x", b"1" * 10_000_000, max_concurrency=4)
    print(len(content))

asyncio.run(main(*sys.argv[1:]))
"""
    )
    env = {**os.environ, "HTTPS_PROXY": names.facts["proxy"], "SSL_CERT_FILE": names.facts["certificate"]}
    command = [sys.executable, str(program), names.account.name, names.key]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "20000000\n", done.stderr
    assert (names.account.folder("files", "aio") / "x").stat().st_size == 10_000_000

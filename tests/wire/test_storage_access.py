"""Who may use the storage of the embedded service, and what is refused."""

import base64
import http.client
import os
import re
import socket
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness import az
from harness.cluster import ok
from harness.processes import wait_until
from harness.service import Service
from wire.accounts import Account, create, fetch
from wire.api import VERSION, Api
from wire.storage_requests import signed

pytestmark = pytest.mark.documented

WRONG = base64.b64encode(b"w" * 64).decode()
SOON = "2099-01-01T00:00Z"


@pytest.fixture
def share(account: Account) -> Path:
    folder = account.folder("files", "data")
    folder.mkdir()
    (folder / "f ü.txt").write_bytes(b"0123456789")
    return folder


@pytest.fixture
def box(account: Account) -> Path:
    folder = account.folder("blobs", "data")
    folder.mkdir()
    (folder / "f.txt").write_bytes(b"blob")
    return folder


def file_url(account: Account, sas: str, path: str = "data/f%20%C3%BC.txt") -> str:
    return f"{account.endpoints['file']}{path}?{sas}"


def test_a_wrong_key_is_refused(account: Account, share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", account.connection_string_with(WRONG))
    for service in (("storage", "share", "create"), ("storage", "container", "create")):
        done = az.run(*service, "-n", "other")
        assert done.code != 0
        assert "Authentication" in done.stderr
    assert not account.folder("files", "other").exists()


def test_the_other_key_serves_too(account: Account, share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", account.connection_string_with(account.keys[1]))
    assert len(ok(az.run("storage", "file", "list", "-s", "data"))) == 1


def test_key_of_another_account(service: Service, account: Account, share: Path) -> None:
    other = create(service, account.name[::-1].replace("a", "b")[:20])
    account.keys[1] = other.keys[1]
    assert signed(account, "GET", f"/{account.name}.file/data/f%20%C3%BC.txt")[0] == 403


@pytest.mark.parametrize("authorization", ["", "SharedKeyLite a:b", "SharedKey ACCOUNT:", "SharedKey"])
def test_without_the_key(account: Account, share: Path, authorization: str) -> None:
    value = authorization.replace("ACCOUNT", account.name)
    headers = {"Authorization": value, "x_ms_date": formatdate(usegmt=True)} if value else {}
    status, answered, body = fetch(file_url(account, ""), **headers)
    assert (status, answered["x-ms-error-code"]) == (403, "AuthenticationFailed")
    assert answered["content-type"] == "application/xml"
    assert b"<Code>AuthenticationFailed</Code>" in body


def test_an_old_request_is_refused(account: Account, share: Path) -> None:
    path = f"/{account.name}.file/data/f%20%C3%BC.txt"
    assert signed(account, "GET", path) == (200, b"0123456789")
    assert signed(account, "GET", path, date=formatdate(0, usegmt=True))[0] == 403


def test_ways_of_signing(account: Account, share: Path) -> None:
    """Clients differ in whether hyphens count when headers are sorted, and in whether a plus is a space."""
    path = f"/{account.name}.file/data/f%20%C3%BC.txt"
    headers = {"x-ms-a-z": "1", "x-ms-aa": "2"}
    assert signed(account, "GET", path, **headers)[0] == 200
    assert signed(account, "GET", path, order=lambda name: name.replace("-", ""), **headers)[0] == 200
    assert signed(account, "GET", path, order=lambda name: name[::-1], **headers)[0] == 403
    assert signed(account, "GET", f"/{account.name}.file/data?comp=list&prefix=a+b&restype=directory")[0] == 200


def test_arm_and_management_keep_their_paths(service: Service, api: Api) -> None:
    for name in ("subscriptions", "providers"):
        made = create(service, name)
        assert api.call("GET", made.resource)[0] == 200
    assert api.call("GET", "/providers/Microsoft.BatchAI/operations")[0] == 200
    assert service.request("GET", "/_local/status")[0] == 200
    assert service.request("GET", f"/nosuchaccount/data?{VERSION}")[2]["error"]["code"] == "ResourceNotFound"


@pytest.mark.parametrize(
    "path",
    [
        "data/../../../secrets.key",
        "data/..%2f..%2f..%2f..%2fsecrets.key",
        "data/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secrets.key",
        "data//etc/passwd",
        "data/%2fetc%2fpasswd",
        "data/f%00.txt",
        "../secrets.key",
        "..%2f..%2fdata",
        "data/out/secrets.key",
        "data/.az-upload-1",
    ],
)
@pytest.mark.parametrize("kind", ["file", "blob"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_nothing_leads_out_of_a_share(
    account: Account, share: Path, box: Path, kind: str, method: str, path: str
) -> None:
    home = account.service.home
    (share / "out").symlink_to(home)
    (box / "out").symlink_to(home)
    secret = (home / "secrets.key").read_bytes()
    before = sorted(entry.name for entry in home.iterdir())
    headers = {"x-ms-type": "file", "x-ms-content-length": "0"} if kind == "file" else {"x-ms-blob-type": "BlockBlob"}
    status, body = signed(account, method, f"/{account.name}.{kind}/{path}", **(headers if method == "PUT" else {}))
    assert status in (400, 404), (status, body)
    assert secret not in body
    assert (home / "secrets.key").read_bytes() == secret
    assert sorted(entry.name for entry in home.iterdir()) == before


def test_links_inside_a_share_are_followed(account: Account, share: Path) -> None:
    (share / "latest").symlink_to("f ü.txt")
    (share / "away").symlink_to("/etc/hostname")
    (share / "loop").symlink_to("loop")
    assert [item["name"] for item in ok(az.run("storage", "file", "list", "-s", "data"))] == ["f ü.txt", "latest"]
    assert signed(account, "GET", f"/{account.name}.file/data/latest") == (200, b"0123456789")
    assert signed(account, "GET", f"/{account.name}.file/data/loop")[0] == 404
    assert signed(account, "DELETE", f"/{account.name}.file/data/latest")[0] == 202
    assert (share / "f ü.txt").exists()


class TestSignatures:
    def test_of_a_file(self, account: Account, share: Path) -> None:
        sas = ok(
            az.run(
                "storage", "file", "generate-sas", "-s", "data", "-p", "f ü.txt", "--permissions", "r", "--expiry", SOON
            )
        )
        assert fetch(file_url(account, sas))[::2] == (200, b"0123456789")
        status, headers, body = fetch(file_url(account, sas), Range="bytes=7-")
        assert (status, headers["content-range"], body) == (206, "bytes 7-9/10", b"789")
        assert fetch(file_url(account, sas), "HEAD")[1]["content-length"] == "10"
        assert fetch(file_url(account, sas), Range="bytes=10-")[0] == 416
        status, headers, _ = fetch(file_url(account, sas), "DELETE")
        assert (status, headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
        (share / "other").touch()
        assert fetch(file_url(account, sas, "data/other"))[0] == 403
        assert fetch(file_url(account, sas.replace("sp=r", "sp=rwd")), "DELETE")[0] == 403

    def test_of_a_share(self, account: Account, share: Path) -> None:
        sas = ok(az.run("storage", "share", "generate-sas", "-n", "data", "--permissions", "rl", "--expiry", SOON))
        assert fetch(file_url(account, sas))[0] == 200
        status, _, body = fetch(file_url(account, f"restype=directory&comp=list&{sas}", "data"))
        assert (status, "<Name>f ü.txt</Name>" in body.decode()) == (200, True)
        assert fetch(file_url(account, f"restype=share&{sas}", "data"), "DELETE")[0] == 403
        assert share.is_dir()

    def test_of_a_blob(self, account: Account, box: Path) -> None:
        asked = ("--permissions", "r", "--expiry", SOON, "--content-disposition", "attachment")
        sas = ok(az.run("storage", "blob", "generate-sas", "-c", "data", "-n", "f.txt", *asked))
        status, headers, body = fetch(f"{account.endpoints['blob']}data/f.txt?{sas}")
        assert (status, headers["content-disposition"], body) == (200, "attachment", b"blob")
        put = fetch(f"{account.endpoints['blob']}data/f.txt?{sas}", "PUT", b"x", x_ms_blob_type="BlockBlob")
        assert put[0] == 403

    def test_that_creates_but_does_not_overwrite(self, account: Account, box: Path) -> None:
        sas = ok(az.run("storage", "container", "generate-sas", "-n", "data", "--permissions", "c", "--expiry", SOON))

        def put(name: str) -> int:
            return fetch(f"{account.endpoints['blob']}data/{name}?{sas}", "PUT", b"new", x_ms_blob_type="BlockBlob")[0]

        assert (put("g.txt"), put("f.txt"), put("g.txt")) == (201, 403, 403)
        assert (box / "f.txt").read_bytes() == b"blob"

    def test_of_the_account(self, account: Account, share: Path, box: Path) -> None:
        def sas(services: str, types: str, permissions: str) -> str:
            asked = ("--services", services, "--resource-types", types, "--permissions", permissions, "--expiry", SOON)
            return str(ok(az.run("storage", "account", "generate-sas", *asked)))

        assert fetch(file_url(account, sas("f", "o", "r")))[0] == 200
        for services, types, permissions, code in [
            ("b", "o", "r", "AuthorizationServiceMismatch"),
            ("f", "c", "r", "AuthorizationResourceTypeMismatch"),
            ("f", "o", "w", "AuthorizationPermissionMismatch"),
        ]:
            status, headers, _ = fetch(file_url(account, sas(services, types, permissions)))
            assert (status, headers["x-ms-error-code"]) == (403, code)

    def test_used_by_az(self, account: Account, share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sas = ok(
            az.run(
                *("storage", "account", "generate-sas", "--services", "bf", "--resource-types", "sco"),
                *("--permissions", "rwdlc", "--expiry", SOON),
            )
        )
        text = f"SharedAccessSignature={sas};FileEndpoint={account.endpoints['file']}"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        (tmp_path / "up").write_bytes(b"by signature")
        ok(az.run("storage", "file", "upload", "-s", "data", "--source", str(tmp_path / "up"), "-p", "up.txt"))
        assert (share / "up.txt").read_bytes() == b"by signature"

    @pytest.mark.parametrize(
        "options",
        [
            ("--expiry", "2020-01-01T00:00Z"),
            ("--expiry", SOON, "--start", "2098-01-01T00:00Z"),
            ("--expiry", SOON, "--https-only"),
            ("--expiry", SOON, "--ip", "10.0.0.1-10.0.0.9"),
        ],
    )
    def test_not_valid_here_and_now(self, account: Account, share: Path, options: tuple[str, ...]) -> None:
        asked = ("-s", "data", "-p", "f ü.txt", "--permissions", "r", *options)
        assert fetch(file_url(account, ok(az.run("storage", "file", "generate-sas", *asked))))[0] == 403


class TestOneEndpointForBoth:
    """http://127.0.0.1:PORT/ACCOUNT/ without .file and .blob, as emulators have it."""

    def test_told_by_the_request_or_by_what_there_is(
        self, account: Account, share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account.endpoints = {kind: url.replace(f".{kind}/", "/") for kind, url in account.endpoints.items()}
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", account.connection_string)
        ok(az.run("storage", "file", "download", "-s", "data", "-p", "f ü.txt", "--dest", str(tmp_path / "down")))
        assert (tmp_path / "down").read_bytes() == b"0123456789"
        ok(az.run("storage", "container", "create", "-n", "box"))
        ok(az.run("storage", "blob", "upload", "-c", "box", "-n", "b", "--data", "1"))
        assert (account.folder("blobs", "box") / "b").read_bytes() == b"1"

    def test_never_guessed(self, account: Account, share: Path, box: Path) -> None:
        status, body = signed(account, "DELETE", f"/{account.name}/data/f.txt")
        assert (status, b"<Code>AmbiguousService</Code>" in body) == (400, True)
        assert (box / "f.txt").exists()
        assert signed(account, "DELETE", f"/{account.name}.blob/data/f.txt")[0] == 202


class TestBodies:
    def test_an_upload_that_breaks_off_leaves_nothing(self, account: Account, box: Path) -> None:
        sas = ok(az.run("storage", "container", "generate-sas", "-n", "data", "--permissions", "w", "--expiry", SOON))
        url = urlsplit(account.endpoints["blob"])
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as connection:
            head = f"PUT {url.path}data/f.txt?{sas} HTTP/1.1\r\nHost: x\r\nx-ms-blob-type: BlockBlob\r\n"
            connection.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + bytes(3_000_000))
            wait_for_partial(box)
        wait_until_alone(box)
        assert (box / "f.txt").read_bytes() == b"blob"

    def test_content_that_does_not_have_its_md5(self, account: Account, box: Path) -> None:
        sas = ok(az.run("storage", "container", "generate-sas", "-n", "data", "--permissions", "w", "--expiry", SOON))
        url = f"{account.endpoints['blob']}data/f.txt?{sas}"
        status, headers, _ = fetch(url, "PUT", b"x", x_ms_blob_type="BlockBlob", Content_MD5=WRONG[:24])
        assert (status, headers["x-ms-error-code"]) == (400, "Md5Mismatch")
        assert (box / "f.txt").read_bytes() == b"blob"

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b'<!DOCTYPE b [<!ENTITY a "aaaa">]><BlockList><Latest>&a;</Latest></BlockList>', "InvalidXmlDocument"),
            ("<!DOCTYPE b><BlockList/>".encode("utf-16"), "InvalidXmlDocument"),
            (b"<BlockList><Latest>", "InvalidXmlDocument"),
            (b"<Other/>", "InvalidXmlDocument"),
            (b"<BlockList>" + b"<Latest>YQ==</Latest>" * 50_001 + b"</BlockList>", "BlockListTooLong"),
            (b"x" * (9 << 20), "RequestBodyTooLarge"),
        ],
    )
    def test_block_lists_that_are_none(self, account: Account, box: Path, body: bytes, code: str) -> None:
        sas = ok(az.run("storage", "container", "generate-sas", "-n", "data", "--permissions", "w", "--expiry", SOON))
        url = f"{account.endpoints['blob']}data/f.txt?comp=blocklist&{sas}"
        status, headers, _ = fetch(url, "PUT", body)
        assert (status // 100, headers["x-ms-error-code"]) == (4, code)

    def test_a_large_upload_costs_no_memory(self, account: Account, box: Path) -> None:
        sas = ok(az.run("storage", "container", "generate-sas", "-n", "data", "--permissions", "w", "--expiry", SOON))
        size, chunk = 300 << 20, os.urandom(1 << 20)
        url = urlsplit(f"{account.endpoints['blob']}data/big?{sas}")
        before = peak_memory(account.service)
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Length": str(size)}
        connection.request("PUT", f"{url.path}?{url.query}", (chunk for _ in range(size >> 20)), headers)
        assert connection.getresponse().status == 201
        connection.close()
        assert (box / "big").stat().st_size == size
        assert peak_memory(account.service) - before < 64 << 20


def wait_for_partial(folder: Path) -> None:
    wait_until(lambda: list(folder.glob(".az-upload-*")), "the upload has begun")


def wait_until_alone(folder: Path) -> None:
    wait_until(lambda: not list(folder.glob(".az-upload-*")), "the partial file is gone")


def peak_memory(service: Service) -> int:
    """The most that the service ever had in memory, in bytes."""
    status = Path(f"/proc/{service.info['pid']}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10

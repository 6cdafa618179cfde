"""What no client sends by mistake: an answer for all of it, never a stumble, and nothing learnt by asking."""

import base64
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.service import Service
from wire.accounts import Account
from wire.api import GROUP, VERSION, Api
from wire.storage_requests import account_sas, file_sas, send, signed

pytestmark = pytest.mark.invented

FAR = "Fri, 01 Jan 99999999999999999999 00:00:00 GMT"
NO_KEY = base64.b64encode(b"w" * 64).decode()


@pytest.fixture(autouse=True)
def calm(service: Service) -> Iterator[None]:
    """The service never stumbles over a request of these tests."""
    before = len(service.log())
    yield
    assert "Traceback" not in service.log()[before:]


@pytest.fixture
def share(account: Account) -> Path:
    folder = account.folder("files", "data")
    folder.mkdir()
    (folder / "f.txt").write_bytes(b"0123456789")
    return folder


@pytest.fixture
def box(account: Account) -> Path:
    folder = account.folder("blobs", "box")
    folder.mkdir()
    (folder / "b").write_bytes(b"blob")
    return folder


class TestWithoutCredentials:
    @pytest.mark.parametrize("signature", ["%C3%A9", "%00", "%ED%A0%80", "%FF", ""])
    def test_a_link(self, service: Service, signature: str) -> None:
        status, _, body = send(service, "GET", f"/_files/a/b/c?se=x&sig={signature}")
        assert (status, json.loads(body)["error"]["code"]) == (403, "AuthenticationFailed")

    @pytest.mark.parametrize(
        "date", [FAR, "", "x", "Fri, 01 Jan 0001 00:00:00 +9999", "1 Jan 2020 99999999999:0:0", "-1 Jan -1"]
    )
    def test_a_date(self, account: Account, date: str) -> None:
        headers = {"x-ms-date": date, "Authorization": f"SharedKey {account.name}:{NO_KEY}"}
        assert send(account.service, "GET", f"/{account.name}.file/data/f.txt", headers)[0] == 403

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
    @pytest.mark.parametrize(
        "credential",
        [
            {},
            {"Authorization": "SharedKey NAME:{key}"},
            {"Authorization": "SharedKey NAME:"},
            {"Authorization": "SharedKey other:{key}"},
            {"Authorization": "SharedKeyLite NAME:{key}"},
            {"Authorization": "Bearer {key}"},
            {"Authorization": "Bearer {token}"},
            {"sig": "sp=r&sr=f&se=2099-01-01&sv=2018-03-28&sig=x"},
            {"sig": "sp=r&sr=c&se=2001-01-01&sv=2018-03-28&sig=x"},
            {"sig": "sp=r&sr=x&se=x&sv=2018-03-28&sig=x"},
            {"sig": "ss=bf&srt=sco&sp=r&se=2099-01-01&sv=2018-03-28&sig=x"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("endpoint", ["", ".file", ".blob"])
    def test_no_account_answers_as_a_wrong_key_does(
        self, account: Account, share: Path, method: str, credential: dict[str, str], endpoint: str
    ) -> None:
        """Nor does a share that is not there answer other than one that is."""

        def ask(name: str, container: str) -> tuple[int, str | None, bytes]:
            texts = {"key": NO_KEY, "token": "no-token"}
            headers = {"x-ms-date": formatdate(usegmt=True)}
            if "Authorization" in credential:
                headers["Authorization"] = credential["Authorization"].replace("NAME", name).format(**texts)
            target = f"/{name}{endpoint}/{container}/f.txt?{credential.get('sig', '')}"
            status, answered, body = send(account.service, method, target, headers, b"" if method == "PUT" else None)
            return status, answered["x-ms-error-code"], body

        known, unknown = ask(account.name, "data"), ask("nosuchaccount", "data")
        assert known == unknown == ask(account.name, "none")
        assert known[0] in (401, 403)

    def test_the_keys_of_an_account_that_is_gone(self, account: Account, share: Path) -> None:
        """They are made of the name, and would open an account of this name again."""
        assert signed(account, "GET", f"/{account.name}.file/data/f.txt")[0] == 200
        assert account.service.request("DELETE", f"{account.resource}?api-version=2023-01-01")[0] == 200
        gone = signed(account, "GET", f"/{account.name}.file/data/f.txt")
        account.keys[1] = NO_KEY
        assert gone == signed(account, "GET", f"/{account.name}.file/data/f.txt")
        assert gone[0] == 403


class TestTimes:
    @pytest.mark.parametrize(("minutes", "status"), [(-14, 200), (14, 200), (-16, 403), (16, 403)])
    def test_a_request_dated_otherwise(self, account: Account, share: Path, minutes: int, status: int) -> None:
        date = formatdate(datetime.now(timezone.utc).timestamp() + minutes * 60, usegmt=True)
        assert signed(account, "GET", f"/{account.name}.file/data/f.txt", date=date)[0] == status

    @pytest.mark.parametrize("hours", [-9, 0, 5])
    @pytest.mark.parametrize(("start", "end", "status"), [(-5, 5, 200), (-5, -1, 403), (1, 5, 403)])
    def test_a_signature_with_offsets(
        self, account: Account, share: Path, hours: int, start: int, end: int, status: int
    ) -> None:
        now, zone = datetime.now(timezone.utc), timezone(timedelta(hours=hours))

        def moment(minutes: int) -> str:
            return (now + timedelta(minutes=minutes)).astimezone(zone).isoformat(timespec="seconds")

        target = f"/{account.name}.file/data/f.txt?" + file_sas(account, "data/f.txt", st=moment(start), se=moment(end))
        assert send(account.service, "GET", target)[0] == status

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"se": "0001-01-01T00:00:00+01:00"}, 403),
            ({"se": "9999-12-31T23:59:59-01:00"}, 200),
            ({"se": "9999-12-31T23:59:59-01:00", "st": "9999-12-31T23:59:58-23:59"}, 403),
            ({"se": "2099-01-01"}, 200),
            ({"se": "2099-01-01T00:00"}, 200),
            ({"se": "2099-01-01T00:00:00.1234567Z"}, 200),
            ({"se": "2099-13-01"}, 400),
            ({"se": "2099-01-01T00:00:00+99:99"}, 400),
            ({"se": "٢٠٩٩-01-01"}, 400),
            ({"se": ""}, 403),
            ({"se": "x\ud800"[:1]}, 400),
        ],
    )
    def test_a_signature_at_the_ends_of_time(
        self, account: Account, share: Path, fields: dict[str, str], status: int
    ) -> None:
        for target in (
            f"/{account.name}.file/data/f.txt?{file_sas(account, 'data/f.txt', **fields)}",
            f"/{account.name}.file/data/f.txt?{account_sas(account, **fields)}",
        ):
            assert send(account.service, "GET", target)[0] == status

    @pytest.mark.parametrize("name", ["if-modified-since", "if-unmodified-since"])
    @pytest.mark.parametrize("date", [FAR, "Fri, 01 Jan 99999999999 00:00:00 GMT", "never"])
    def test_a_condition(self, account: Account, box: Path, name: str, date: str) -> None:
        path = f"/{account.name}.blob/box/b"
        status, body = signed(account, "GET", path, standard={name: date})
        assert (status, b"InvalidHeaderValue" in body) == (400, True)


class TestNames:
    @pytest.mark.parametrize("path", ["d/" * 3000 + "f", "x" * 256, "%00", "a%00b/c", "a/%2e%2e/b", "."])
    @pytest.mark.parametrize(("kind", "root"), [("file", "data"), ("blob", "box")])
    def test_that_cannot_be(self, account: Account, share: Path, box: Path, kind: str, root: str, path: str) -> None:
        headers = (
            {"x-ms-type": "file", "x-ms-content-length": "0"} if kind == "file" else {"x-ms-blob-type": "BlockBlob"}
        )
        for method in ("GET", "DELETE", "PUT"):
            more = headers if method == "PUT" else {}
            assert signed(account, method, f"/{account.name}.{kind}/{root}/{path}", **more)[0] in (400, 404)
        assert sorted(entry.name for entry in (*share.iterdir(), *box.iterdir())) == ["b", "f.txt"]

    @pytest.mark.parametrize("prefix", ["%00", "a%00/b", "../", "d/" * 3000, "%ED%A0%80/", "x" * 5000])
    @pytest.mark.parametrize("delimiter", ["", "&delimiter=/"])
    def test_lists_of_what_cannot_be(self, account: Account, box: Path, prefix: str, delimiter: str) -> None:
        target = f"/{account.name}.blob/box?restype=container&comp=list&prefix={prefix}{delimiter}"
        assert send(account.service, "GET", f"{target}&{account_sas(account)}")[0] in (200, 400)

    @pytest.mark.parametrize("name", [b"data:a\xff,b", b"data:a\x01/\xff,x", b"data:\x7f,", b"a.html;x=\xff"])
    def test_that_look_like_urls(self, account: Account, box: Path, name: bytes) -> None:
        """A content type is guessed from the name's ending; never is it what the name says."""
        path = box / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        target = f"/{account.name}.blob/box?restype=container&comp=list&{account_sas(account)}"
        status, _, body = send(account.service, "GET", target)
        types = [element.text for element in ElementTree.fromstring(body).iter("Content-Type")]
        assert (status, types) == (200, ["application/octet-stream"] * 2)

    @pytest.mark.parametrize("host", ["[", "[::1", "a b", "\xff", "x" * 500, "http://[/"])
    def test_hosts(self, account: Account, box: Path, host: str) -> None:
        target = f"/{account.name}.blob/box?restype=container&comp=list&{account_sas(account)}"
        assert send(account.service, "GET", target, {"Host": host})[0] == 200

    @pytest.mark.parametrize("value", ["a\nb: c", "日本", "\x00", "\x7f"])
    def test_headers_that_a_signature_asks_for(self, account: Account, share: Path, value: str) -> None:
        target = f"/{account.name}.file/data/f.txt?{file_sas(account, 'data/f.txt', rscd=value)}"
        assert send(account.service, "GET", target)[0] == 400


class TestFiles:
    def test_a_large_clearing_writes_nothing(self, account: Account, share: Path) -> None:
        size = 4 << 40
        made = signed(
            account, "PUT", f"/{account.name}.file/data/huge", **{"x-ms-type": "file", "x-ms-content-length": str(size)}
        )
        assert made[0] in (201, 400)  # not every file system has such files
        if made[0] == 201:
            (share / "huge").open("r+b").write(b"data")
            headers = {"x-ms-write": "clear", "x-ms-range": f"bytes=0-{size - 1}"}
            status, body = signed(account, "PUT", f"/{account.name}.file/data/huge?comp=range", **headers)
            assert status == 201, body
            assert (share / "huge").open("rb").read(4) == bytes(4)
            assert (share / "huge").stat().st_blocks * 512 < 1 << 20

    def test_a_link_that_leads_to_itself(self, api: Api) -> None:
        """It was a file when it was listed; no job is needed for this one."""
        folder = api.service.home / "storage" / api.account / "files" / "share"
        api.create_cluster()
        api.create_job("j", "echo 1")
        api.wait_for_job("j")
        _, _, body = api.call("POST", f"{api.job('j')}/listOutputFiles", query="&outputdirectoryid=stdouterr")
        url = body["value"][0]["downloadUrl"].removeprefix(api.service.info["endpoint"])
        assert send(api.service, "GET", url)[0] == 200
        [file] = folder.rglob(body["value"][0]["name"])
        for target in (file.name, "/etc/hostname", str(api.service.home / "secrets.key")):
            file.unlink()
            file.symlink_to(target)
            assert send(api.service, "GET", url)[0] == 404
        file.unlink()
        os.mkfifo(file)
        assert send(api.service, "GET", url)[0] == 404

    def test_a_name_that_becomes_a_pipe(self, account: Account, share: Path) -> None:
        os.mkfifo(share / "pipe")
        for method, more in (("GET", {}), ("DELETE", {}), ("HEAD", {})):
            assert signed(account, method, f"/{account.name}.file/data/pipe", **more)[0] == 404


class TestResourceManager:
    @pytest.fixture
    def group(self, service: Service) -> str:
        return f"{GROUP}?{VERSION}"

    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"location":"\\ud800"}',
            b'{"\\udfff":1}',
            b'{"location":"\xed\xa0\x80"}',
            b'{"location":"east\xff"}',
            b'{"location":NaN}',
            b'{"location":1e999}',
            b"9" * 100_000,
            b'{"location":' + b"[" * 900 + b"]" * 900 + b"}",
        ],
        ids=lambda body: body[:20].decode("latin-1"),
    )
    def test_bodies(self, service: Service, group: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {service.info['token']}"}
        status, _, answer = send(service, "PUT", group, headers, body)
        assert (status, json.loads(answer)["error"]["code"]) == (400, "InvalidRequestContent"), answer

    def test_queries(self, api: Api) -> None:
        api.create_cluster()
        api.create_job("j")
        api.wait_for_job("j")
        for directory in ("%00", "a%00b", "x" * 5000, "d/" * 2500, "%ED%A0%80"):
            query = f"&outputdirectoryid=stdouterr&directory={directory}"
            status, _, body = api.call("POST", f"{api.job('j')}/listOutputFiles", query=query)
            assert (status == 400 and body["error"]["code"]) or (status, body) == (200, {"value": []}), body
            if "%00" in directory or len(directory) >= 5000:
                assert status == 400


class TestDeletion:
    @pytest.mark.parametrize(("kind", "root"), [("file", "data"), ("blob", "box")])
    def test_of_what_others_write_to(self, account: Account, share: Path, box: Path, kind: str, root: str) -> None:
        """A job writes files without asking; the answer is that all is gone, or that it is not."""
        folder = share if kind == "file" else box
        for number in range(300):
            (folder / "d" / str(number)).mkdir(parents=True)
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                with contextlib.suppress(OSError):
                    (folder / "d" / str(number % 300) / f"{number}").touch()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            restype = "share" if kind == "file" else "container"
            status, _ = signed(account, "DELETE", f"/{account.name}.{kind}/{root}?restype={restype}")
            assert (status, folder.exists()) in ((202, False), (409, True))
        finally:
            stop.set()
            writer.join()

"""Generated requests to the storage of the embedded service: whatever comes, there is an answer, and no stumble.

BATCHAI_EXAMPLES is the number of requests of each kind.
"""

import contextlib
import http.client
import os
from collections.abc import Iterator
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from harness.service import Service
from wire.accounts import Account, create
from wire.storage_requests import account_sas, signed

pytestmark = [pytest.mark.invented, pytest.mark.timeout(1200)]

EXAMPLES = int(os.environ.get("BATCHAI_EXAMPLES", "25"))
RUN = settings(
    max_examples=EXAMPLES * 4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    database=None,
)

METHODS = st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "MERGE"])
ODD = st.sampled_from(
    [
        *(b"", b".", b"..", b"...", b"\0", b"\xff", b"\xed\xa0\x80", b"%", b"%zz", b"%2f", b"//", b"a b", b"a+b", b"'"),
        *(b"\r\n", b"[", b"]", b"{}", b"<&>", b"\xc3\xa9", b"\x7f", b".az-upload-1", b"x" * 300, b"d/" * 300, b"C:\\"),
    ]
)
KNOWN = st.sampled_from([b"f", b"d", b"d/f", b"link", b"out", b"loop", b"pipe", b"new", b"d/new", b"f/under"])
SEGMENT = st.one_of(KNOWN, ODD, st.binary(max_size=6))
PATH = st.lists(SEGMENT, max_size=3).map(b"/".join).map(lambda path: quote_from_bytes(path, safe="/"))
NUMBERS = ["0", "1", "-1", "9" * 19, "9" * 20, "9" * 5000, "1e3", "%D9%A3", "", "x", "0x10", "4194305"]
DATES = ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 99999999999 00:00:00 GMT", "1 1 1", "", "Mon, 99 Jan 2020"]
RANGES = [
    "bytes=0-0",
    "bytes=-1",
    "bytes=5-",
    "bytes=3-1",
    "bytes=-0",
    "bytes=",
    f"bytes=0-{'9' * 25}",
    "bytes=0-1,3-4",
]
QUERY = {
    "restype": ["share", "directory", "container", "service", "account", "x", ""],
    "comp": ["list", "range", "rangelist", "properties", "block", "blocklist", "metadata", "lease", "acl", "x", ""],
    "prefix": ["", "d", "d/", "/", "../", "%00", "%FF", "%ED%A0%80", "x" * 5000, "d/" * 400, "%2e%2e%2f"],
    "marker": ["", "f", "%2541", "%00", "%FF", "z" * 5000],
    "delimiter": ["/", "", "x", "%00"],
    "maxresults": NUMBERS,
    "blockid": ["YQ==", "YQ%3D%3D", "", "x", "%FF", "QUFB" * 40, "=", "%00"],
    "snapshot": ["", "x"],
    "timeout": NUMBERS,
    "include": ["metadata", ""],
}
HEADERS = {
    "x-ms-type": ["file", "x", "\xe9"],
    "x-ms-blob-type": ["BlockBlob", "PageBlob", "x", ""],
    "x-ms-content-length": [*NUMBERS, str(5 << 40)],
    "x-ms-write": ["update", "clear", "x"],
    "x-ms-range": RANGES,
    "x-ms-version": ["2019-02-02", "", "\xff", "x" * 300],
    "x-ms-client-request-id": ["a", "\xff", "a\tb", "x" * 2000],
    "x-ms-meta-a": ["b"],
    "x-ms-blob-content-md5": ["x", "1B2M2Y8AsgTpgAmY7PhCfg=="],
    "x-ms-range-get-content-md5": ["true", "x"],
    "x-ms-lease-id": ["x"],
    "x-ms-copy-source": ["http://127.0.0.1/x"],
}
STANDARD = {
    "range": RANGES,
    "if-match": ["*", '"x"', "", ",,,", "\xff"],
    "if-none-match": ["*", '"x"', "W/"],
    "if-modified-since": DATES,
    "if-unmodified-since": DATES,
    "content-md5": ["1B2M2Y8AsgTpgAmY7PhCfg==", "x", "\xff"],
    "content-type": ["application/octet-stream", "\xff"],
}
BLOCK_LIST = b"<BlockList><Latest>YQ==</Latest></BlockList>"
BODY = st.one_of(
    st.sampled_from([b"", b"0", b"content", BLOCK_LIST, b"<BlockList/>", b"<a>" * 5000, b"\xff\xfe<", b"<!DOCTYPE a>"]),
    st.binary(max_size=30),
)


def some(values: dict[str, list[str]], most: int) -> st.SearchStrategy[dict[str, str]]:
    """Some of the names, each with one of its values."""
    pairs = st.sampled_from(sorted(values)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(values[name]))
    )
    return st.lists(pairs, max_size=most).map(dict)


def parameters(query: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in query.items())


@pytest.fixture(scope="module")
def account(service: Service) -> Iterator[Account]:
    """One with a share and a container, in which there is one of everything; its log shows that it never stumbled."""
    made = create(service, "fuzzed")
    _fill(made)
    yield made
    assert "Traceback" not in service.log()


def _fill(account: Account) -> None:
    for folder in (account.folder("files", "data"), account.folder("blobs", "box")):
        (folder / "d").mkdir(parents=True, exist_ok=True)
        for name in ("f", "d/f"):
            with contextlib.suppress(OSError):  # a request may have made a folder of this name
                (folder / name).write_bytes(b"0123456789")
        for name, target in (("link", "f"), ("out", "/etc"), ("loop", "loop")):
            with contextlib.suppress(OSError):
                (folder / name).symlink_to(target)
        with contextlib.suppress(OSError):
            os.mkfifo(folder / "pipe")


def judge(service: Service, status: int) -> None:
    assert status < 500 or status == 501, (status, service.log()[-2000:])
    assert "Traceback" not in service.log()[-5000:], service.log()[-5000:]


ROOTS = st.sampled_from(
    [(".file", "data"), (".blob", "box"), ("", "data"), ("", "box"), (".file", "none"), (".blob", "$root")]
)


@RUN
@given(METHODS, ROOTS, PATH, some(QUERY, 3), some(HEADERS, 3), some(STANDARD, 2), BODY)
def test_signed_with_the_key(
    account: Account,
    method: str,
    root: tuple[str, str],
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    standard: dict[str, str],
    body: bytes,
) -> None:
    _fill(account)
    target = f"/{account.name}{root[0]}/{root[1]}{'/' if path else ''}{path}"
    target += f"?{parameters(query)}" if query else ""
    pairs = [(name, decoded(value)) for name, value in query.items()]
    headers = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
    status, answer = signed(account, method, target, parameters=pairs, body=body, standard=standard, **headers)
    judge(account.service, status)
    assert b"<Code>AuthenticationFailed</Code>" not in answer  # else this test would show nothing of what comes behind


def decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")


SAS = {
    "sp": ["r", "rwdlc", "", "\xff", "x" * 3000],
    "srt": ["sco", "o", ""],
    "ss": ["bf", "b", "f", "", "xyz"],
    "se": ["2099-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2020-02-30", "", "x", "2099-1-1"],
    "st": ["2001-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "x"],
    "sv": ["2019-02-02", "", "2020-12-06", "9", "\xff"],
    "sip": ["127.0.0.1", "0.0.0.0-255.255.255.255", "::1", "x", "-", "127.0.0.1-"],
    "spr": ["http", "https", "https,http", ",", "x"],
    "rscd": ["attachment", "a\r\nb: c", "日本", "\x00"],
}


@RUN
@given(METHODS, ROOTS, PATH, some(QUERY, 3), some(SAS, 3), BODY)
def test_signed_by_a_query(
    account: Account,
    method: str,
    root: tuple[str, str],
    path: str,
    query: dict[str, str],
    sas: dict[str, str],
    body: bytes,
) -> None:
    _fill(account)
    target = f"/{account.name}{root[0]}/{root[1]}{'/' if path else ''}{path}"
    status = send_raw(account.service, method, f"{target}?{parameters(query)}&{account_sas(account, **sas)}", {}, body)
    judge(account.service, status)


TOKENS = st.one_of(st.sampled_from(["x", "%00", "%C3%A9", "%FF", "", "%ED%A0%80"]), st.text("ab%0/=&", max_size=8))
NAMES = st.sampled_from(
    ["se", "sig", "sp", "sr", "sv", "ss", "srt", "st", "si", "skoid", "sip", "spr", "snapshot", "restype", "comp"]
)
CREDENTIALS = st.one_of(
    st.sampled_from(
        ["", "SharedKey", "SharedKey a:b", "SharedKeyLite x", "Bearer", "Bearer \xe9", "Basic x", "\xff \xff"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20),
    st.just("SharedKey fuzzed:d3c="),
)


@RUN
@example("GET", "_files/a/b/c", [("se", "x"), ("sig", "%C3%A9")], "", "", {})
@example("GET", "fuzzed.file/data/f", [], "SharedKey fuzzed:x", "Fri, 01 Jan 99999999999999999999 00:00:00 GMT", {})
@given(
    METHODS,
    st.tuples(
        st.sampled_from(
            ["_files/", "_local/", "fuzzed.file/", "fuzzed.blob/", "fuzzed/", "nosuch.file/", "nosuch/", ""]
        ),
        PATH,
    ).map("".join),
    st.lists(st.tuples(NAMES, TOKENS), max_size=5),
    CREDENTIALS,
    st.sampled_from([*DATES, "Fri, 01 Jan 99999999999999999999 00:00:00 GMT", "\xff"]),
    some({**HEADERS, **STANDARD, "host": ["[", "a b", "\xff", ""], "expect": ["100-continue", "x"]}, 3),
)
def test_without_a_signature(
    account: Account,
    method: str,
    path: str,
    query: list[tuple[str, str]],
    credential: str,
    date: str,
    headers: dict[str, str],
) -> None:
    target = f"/{path}?{'&'.join(f'{name}={value}' for name, value in query)}"
    sent = {"x-ms-date": date, "Authorization": credential, **headers}
    status = send_raw(account.service, method, target, sent, b"")
    judge(account.service, status)
    assert status in (400, 401, 403, 404, 405), status


def send_raw(service: Service, method: str, target: str, headers: dict[str, str], body: bytes) -> int:
    """The status; the connection is new, so that one request cannot disturb the next."""
    connection = http.client.HTTPConnection(urlsplit(service.info["endpoint"]).netloc, timeout=30)
    try:
        connection.putrequest(method, target, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.strip().encode("latin-1", "replace"))
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()

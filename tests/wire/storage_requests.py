"""Requests to the storage of the embedded service as no client library sends them, signed with an account's key."""

import base64
import hashlib
import hmac
import http.client
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode, urlsplit

from harness.service import Service
from wire.accounts import Account


def send(
    service: Service, method: str, target: str, headers: dict[str, str] | None = None, body: Any = None
) -> tuple[int, Any, bytes]:
    """One request over http.client, which leaves the target as it is."""
    connection = http.client.HTTPConnection(urlsplit(service.info["endpoint"]).netloc, timeout=30)
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def signature(account: Account, text: str) -> str:
    digest = hmac.new(base64.b64decode(account.keys[1]), text.encode("utf-8", "surrogateescape"), hashlib.sha256)
    return base64.b64encode(digest.digest()).decode()


def signed(
    account: Account,
    method: str,
    target: str,
    date: str | None = None,
    order: Callable[[str], str] = str,
    parameters: Iterable[tuple[str, str]] | None = None,
    body: bytes = b"",
    standard: dict[str, str] | None = None,
    **headers: str,
) -> tuple[int, bytes]:
    """The answer to a request signed with the account's key.

    `headers` are the x-ms- ones, signed in the `order` of their names; `standard` are others that are signed, by their
    names in lower case. The `parameters` are signed as they stand in the target where they are not given.
    """
    own = {"x-ms-date": date or formatdate(usegmt=True), "x-ms-version": "2019-02-02", **headers}
    standard = {**(standard or {}), **({"content-length": str(len(body))} if body else {})}
    lines = "".join(f"{name}:{value}\n" for name, value in sorted(own.items(), key=lambda item: order(item[0])))
    path, _, query = target.partition("?")
    pairs = [tuple(pair.partition("=")[::2]) for pair in query.split("&") if pair] if parameters is None else parameters
    resource = path + "".join(f"\n{name}:{value}" for name, value in sorted(pairs))
    text = "\n".join([method, *(standard.get(name, "") for name in _STANDARD), f"{lines}/{account.name}{resource}"])
    sent = {**own, **standard, "Authorization": f"SharedKey {account.name}:{signature(account, text)}"}
    status, _, answer = send(account.service, method, target, sent, body)
    return status, answer


_STANDARD = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)


def account_sas(account: Account, **fields: str) -> str:
    """A query that allows everything until 2099, except where `fields` say otherwise."""
    given = {"sp": "rwdlc", "ss": "bf", "srt": "sco", "se": "2099-01-01T00:00Z", "sv": "2019-02-02", **fields}
    names = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")
    text = "\n".join([account.name, *(given.get(name, "") for name in names), ""])
    return urlencode({**given, "sig": signature(account, text)})


def file_sas(account: Account, path: str, **fields: str) -> str:
    """A query that allows everything with one file until 2099, except where `fields` say otherwise."""
    given = {"sp": "rwd", "sr": "f", "se": "2099-01-01T00:00Z", "sv": "2018-03-28", **fields}
    replies = ("rscc", "rscd", "rsce", "rscl", "rsct")
    scope = [given["sp"], given.get("st", ""), given["se"], f"/file/{account.name}/{path}", ""]
    text = "\n".join(
        [*scope, given.get("sip", ""), given.get("spr", ""), given["sv"], *map(given.get, replies, [""] * 5)]
    )
    return urlencode({**given, "sig": signature(account, text)})

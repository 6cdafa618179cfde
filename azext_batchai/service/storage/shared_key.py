"""Shared Key authorization: the request signed with an account key.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from datetime import timedelta
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers

from azext_batchai.service.clock import utc_now
from azext_batchai.service.storage.dates import header_date
from azext_batchai.service.storage.faults import StorageFault, forbidden

_MAX_SKEW = timedelta(minutes=15)
_STANDARD = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def sign(key: bytes, text: str) -> str:
    return base64.b64encode(hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()).decode()


def is_signed(signature: str, keys: Iterable[bytes], texts: Iterable[str]) -> bool:
    """Whether the signature is that of one of the texts under one of the keys."""
    given = signature.encode("utf-8", "surrogateescape")
    texts = list(dict.fromkeys(texts))
    return any(hmac.compare_digest(given, sign(key, text).encode()) for key in keys for text in texts)


def check(
    method: str, headers: Headers, raw_path: str, raw_query: str, names: tuple[str, ...], keys: Iterable[bytes]
) -> None:
    """Raises StorageFault unless the request is signed; `names` are those under which clients may know the account."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    account, _, signature = credential.strip().partition(":")
    if scheme.lower() != "sharedkey":
        raise forbidden(f"The authorization scheme '{scheme}' is not supported; use SharedKey or a SAS.")
    if account not in names:
        raise _refused()
    _check_date(headers.get("x-ms-date") or headers.get("date"))
    if not is_signed(signature, keys, _texts(method, headers, f"/{account}{raw_path}", raw_query)):
        raise _refused()


def _texts(method: str, headers: Headers, resource: str, raw_query: str) -> Iterator[str]:
    """The text to sign, in the ways in which clients are known to write it."""
    values = {name: headers.get(name, "") for name in _STANDARD}
    if values["content-length"] == "0":
        values["content-length"] = ""
    if "x-ms-date" in headers:
        values["date"] = ""
    start = "\n".join([method, *values.values()])
    own = sorted({name for name in headers if name.startswith("x-ms-")})
    lines = {name: f"{name}:{','.join(headers.getlist(name)).strip()}" for name in own}
    # Azure sorts as Windows does for people: hyphens do not count. Some clients sort by code point.
    for order in (sorted(own, key=lambda name: name.replace("-", "")), own):
        for query in (raw_query, raw_query.replace("+", "%2B")):
            yield "\n".join([start, *(lines[name] for name in order), resource + _canonical(query)])


def _canonical(raw_query: str) -> str:
    parameters: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True, errors="surrogateescape"):
        parameters.setdefault(unquote(name).lower(), []).append(value)
    return "".join(f"\n{name}:{','.join(sorted(values))}" for name, values in sorted(parameters.items()))


def _check_date(text: str | None) -> None:
    moment = header_date(text or "")
    if not moment:
        raise forbidden("The x-ms-date header is missing or is no date.")
    if abs(utc_now() - moment) > _MAX_SKEW:
        raise forbidden("The date of the request is more than 15 minutes off.")


def _refused() -> StorageFault:
    return forbidden(
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
        "including the signature."
    )

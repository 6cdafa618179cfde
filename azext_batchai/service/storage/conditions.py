"""Conditional requests: If-Match and its kin, checked against what is there now."""

from __future__ import annotations

import os

from starlette.datastructures import Headers

from azext_batchai.service.storage.content import identity
from azext_batchai.service.storage.dates import header_date
from azext_batchai.service.storage.faults import StorageFault, bad_input


def check(headers: Headers, status: os.stat_result | None, *, reading: bool) -> None:
    """Raises StorageFault: 412 (304 to a reader) where a condition does not hold; `status` is None for nothing."""
    etag = identity(status)["etag"] if status else None
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if wanted is not None and not _names(wanted, etag):
        raise _failed()
    if unwanted is not None and _names(unwanted, etag):
        if reading:
            raise _unchanged()
        if unwanted.strip() == "*":
            raise StorageFault(409, "BlobAlreadyExists", "The specified blob already exists.")
        raise _failed()
    modified = int(status.st_mtime) if status else None
    since = _seconds(headers.get("if-modified-since"))
    if since is not None and modified is not None and modified <= since:
        raise _unchanged() if reading else _failed()
    until = _seconds(headers.get("if-unmodified-since"))
    if until is not None and modified is not None and modified > until:
        raise _failed()


def _names(header: str, etag: str | None) -> bool:
    named = {item.strip().removeprefix("W/").strip('"') for item in header.split(",")}
    return etag is not None and ("*" in named or etag.strip('"') in named)


def _seconds(header: str | None) -> float | None:
    if not header:
        return None
    moment = header_date(header)
    if not moment:
        raise bad_input(f"'{header}' is not a date.", "InvalidHeaderValue")
    return moment.timestamp()


def _failed() -> StorageFault:
    return StorageFault(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def _unchanged() -> StorageFault:
    return StorageFault(304, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")

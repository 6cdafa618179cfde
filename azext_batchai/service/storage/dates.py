"""Dates in headers and signatures: whatever a client sends is one, or is none."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

_SIGNED = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?(?:\.\d+)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def header_date(text: str) -> datetime | None:
    """The moment that an HTTP date names, without a zone in UTC; None for anything else."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # OverflowError: a year that no clock will show
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def signed_date(text: str) -> datetime | None:
    """The moment that `st` or `se` of a signature names: a day, with or without a time and an offset; else None."""
    match = _SIGNED.fullmatch(text)
    if not match:
        return None
    day, minutes, seconds, zone = match.groups()
    try:
        return datetime.fromisoformat(
            f"{day}T{minutes or '00:00'}{seconds or ':00'}{(zone or 'Z').replace('Z', '+00:00')}"
        )
    except ValueError:
        return None

"""Time as the wire writes it, and time that waits may trust."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def wire_time(moment: datetime) -> str:
    """UTC ISO-8601 with milliseconds, trailing zeros trimmed (wire.md 1.0)."""
    moment = moment.astimezone(timezone.utc)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def wire_now() -> str:
    return wire_time(utc_now())


def wire_from_epoch(seconds: float) -> str:
    return wire_time(datetime.fromtimestamp(seconds, timezone.utc))


def http_date(text: str) -> str:
    """An HTTP date (RFC 9110) for a wire time."""
    return parse_wire_time(text).strftime("%a, %d %b %Y %H:%M:%S GMT")


def parse_wire_time(text: str) -> datetime:
    pattern = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)


def monotonic() -> float:
    """Seconds on a clock that no clock change moves: all waits use it."""
    return time.monotonic()


def parse_duration(text: str) -> timedelta:
    """An ISO-8601 duration (`P7D`, `PT1H30M`) as a timedelta; months are 30 days, years 365.

    Raises ValueError for anything else.
    """
    import re

    match = re.fullmatch(
        r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?",
        text,
    )
    if not match:
        raise ValueError(f"{text!r} is not an ISO-8601 duration")
    years, months, weeks, days, hours, minutes = (int(part or 0) for part in match.groups()[:6])
    return timedelta(
        days=years * 365 + months * 30 + weeks * 7 + days,
        hours=hours,
        minutes=minutes,
        seconds=float(match.group(7) or 0),
    )

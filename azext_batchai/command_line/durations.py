"""Durations of configuration files: ISO 8601, as the wire has them, and what people write in its place."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta, timezone

_ISO = re.compile(r"P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
# As az prints one: Python's own form.
_SHOWN = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.\d+)?")
_SHORT = re.compile(r"(\d+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)?", re.IGNORECASE)


def is_iso(text: str) -> bool:
    return bool(_ISO.fullmatch(text))


def of_shown(text: str) -> str | None:
    """The ISO form of `150 days, 0:00:00`; None for what az would not print."""
    match = _SHOWN.fullmatch(text)
    if not match:
        return None
    days, *rest = (int(group or 0) for group in match.groups())
    time = "".join(f"{number}{unit}" for number, unit in zip(rest, "HMS", strict=True) if number)
    return f"P{f'{days}D' if days or not time else ''}{f'T{time}' if time else ''}"


def likely(value: object) -> str:
    """How to write what was likely meant: `1h` is PT1H; '' for what looks like no duration."""
    match = _SHORT.fullmatch(str(value).strip()) if isinstance(value, (str, int)) else None
    if not match:
        return ""
    number, unit = match[1], (match[2] or "s")[0].upper()
    return f"P{number}{unit}" if unit in "DW" else f"PT{number}{unit}"


_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 604800}


def seconds_of(text: str) -> int | None:
    """The seconds of `30m`, `12h` or `7d`; None for what is no such time."""
    match = _SHORT.fullmatch(text.strip())
    return int(match[1]) * _SECONDS[(match[2] or "s")[0].upper()] if match else None


def moment(text: str) -> datetime:
    """`5m`: so long ago; or a time such as 2026-01-31T12:00, of this machine's zone where it names none.

    Raises ArgumentTypeError.
    """
    seconds = seconds_of(text)
    try:
        if seconds is not None:
            return datetime.now(timezone.utc) - timedelta(seconds=seconds)
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone()
    except (OverflowError, ValueError):
        raise argparse.ArgumentTypeError(f"'{text}' is neither a duration such as 5m nor a time") from None

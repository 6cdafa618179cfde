"""Time as the wire writes it, and time that waits may trust."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def wire_time(moment: datetime) -> str:
    """UTC ISO-8601 with milliseconds, trailing zeros trimmed (wire.md 1.0)."""
    return wire_from_epoch(moment.timestamp())


def wire_now() -> str:
    return wire_from_epoch(epoch())


def wire_from_epoch(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1_000_000) // 1000, 1000)
    if not milliseconds:
        return f"{_whole_second(whole)}Z"
    return f"{_whole_second(whole)}.{milliseconds:03d}".rstrip("0") + "Z"


@lru_cache(64)
def _whole_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def http_date(text: str) -> str:
    """An HTTP date (RFC 9110) for a wire time."""
    return parse_wire_time(text).strftime("%a, %d %b %Y %H:%M:%S GMT")


def parse_wire_time(text: str) -> datetime:
    pattern = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)


def monotonic() -> float:
    """Seconds on a clock that no clock change moves: all waits use it."""
    return time.monotonic()


def epoch() -> float:
    """Seconds since 1970, by the wall clock."""
    return time.time()


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


# Read once: later there may be no descriptor left for it, and a wrong answer would mean that all jobs are lost.
_BOOT_ID = _read_boot_id()


def boot_id() -> str:
    """Which run of the machine this is; '' where the machine does not tell."""
    return _BOOT_ID


def since_boot() -> float:
    """Seconds since the machine was started, those in which it slept too: no clock change moves them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Moment:
    """A moment that can be stored and whose age is right after a change of the clock, as long as the machine runs."""

    boot: str
    seconds: float
    epoch: float

    @classmethod
    def now(cls) -> Moment:
        return cls(boot_id(), since_boot(), epoch())

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Moment:
        return cls(stored["boot"], stored["seconds"], stored["epoch"])

    def stored(self) -> dict[str, Any]:
        return vars(self).copy()

    def age(self) -> float:
        """Seconds since then; by the wall clock where the machine was started anew meanwhile."""
        if self.boot == boot_id():
            return since_boot() - self.seconds
        return max(epoch() - self.epoch, 0.0)


@lru_cache(1000)
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

"""Looks for words in a log of any size, in bounded time and memory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from azext_batchai.service.clock import monotonic
from azext_batchai.service.ui.log_lines import LONGEST, Row, text_of

MOST = 200  # matches
LONGEST_NEEDLE = 200  # characters
SECONDS = 3.0
_CHUNK = 1 << 20
_BEFORE, _BEHIND = 120, 240  # bytes around a match that are shown of its line

_Finder = Callable[[bytes, int], "tuple[int, int] | None"]


@dataclass(frozen=True)
class Found:
    """Where the lines that match begin, and what stands around the match. `end`: how far the file was looked through.

    `whole`: to its end.
    """

    rows: list[Row]
    end: int
    whole: bool


def search(file: BinaryIO, needle: str, begin: int, most: int, until: float) -> Found:
    """Lines that hold the needle in upper or lower case, one match of each; `until`: by `clock.monotonic`."""
    find = _finder(needle)
    rows: list[Row] = []
    begin = min(begin, os.fstat(file.fileno()).st_size)
    carry, at, reported = b"", begin, False  # `reported`: the line that goes on here has been
    while True:
        data = os.pread(file.fileno(), _CHUNK, at)
        if not data:
            return Found(rows, at, True)
        window = carry + data
        base, place = at - len(carry), 0
        at += len(data)
        if reported:
            feed = window.find(b"\n", len(carry))
            place = feed + 1 if feed >= 0 else len(window)
            reported = feed < 0
        while match := find(window, place):
            first, last = match
            if last <= len(carry):  # it was seen before
                place = first + 1
                continue
            line = window.rfind(b"\n", 0, first) + 1
            feed = window.find(b"\n", last)
            row = _row(window, base, (line, first, last, feed if feed >= 0 else len(window)))
            rows.append(row)
            if len(rows) >= most:
                return Found(rows, base + (feed + 1 if feed >= 0 else len(window)), False)
            if feed < 0:
                reported = True
                break
            place = feed + 1
        carry = window[window.rfind(b"\n") + 1 :][-LONGEST:]
        if monotonic() > until:
            return Found(rows, max(at - len(carry), begin), False) if not reported else Found(rows, at, False)


def _row(window: bytes, base: int, places: tuple[int, int, int, int]) -> Row:
    """Of a long line the place is one before the match."""
    line, first, last, end = places
    begin = line if first - line <= LONGEST // 2 else _boundary(window, first - LONGEST // 4)
    left, right = max(begin, _boundary(window, max(first - _BEFORE, 0))), min(end, last + _BEHIND)
    text = text_of(window[left:right]).strip()
    return base + begin, f"{'…' if left > line else ''}{text}{'…' if right < end else ''}"


def _boundary(data: bytes, place: int) -> int:
    for skip in range(4):
        if place + skip < len(data) and data[place + skip] & 0xC0 != 0x80:
            return place + skip
    return place


def _finder(needle: str) -> _Finder:
    if needle.isascii():
        wanted = needle.lower().encode()
        lowered: list[bytes] = [b"", b""]  # the last window, and that in lower case

        def find(window: bytes, place: int) -> tuple[int, int] | None:
            if lowered[0] is not window:
                lowered[:] = [window, window.lower()]
            first = lowered[1].find(wanted, place)
            return (first, first + len(wanted)) if first >= 0 else None

        return find
    letters = (sorted({one, one.lower(), one.upper()}) for one in needle)
    forms = (b"|".join(re.escape(form.encode("utf-8", "replace")) for form in each) for each in letters)
    pattern = re.compile(b"".join(b"(?:%s)" % form for form in forms))

    def matched(window: bytes, place: int) -> tuple[int, int] | None:
        match = pattern.search(window, place)
        return match.span() if match else None

    return matched

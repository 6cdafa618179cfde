"""The lines of a log that may grow, be cut, and hold anything: by their places in the file, and as text to be shown.

A line is what ends with a line feed. One that is longer than LONGEST is shown in pieces; of one that a carriage return
takes back to its beginning, as progress bars do, the last state counts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import BinaryIO

LONGEST = 16 << 10  # bytes of a row
PIECE = 256 << 10  # bytes that are read at most at once
TAIL = 64 << 10  # bytes of a file's end that a reader begins with
_BEHIND = 1 << 20  # bytes that a follower may lag behind before it leaves out what is between

# What a terminal would obey and not show: colours and other sequences, by ECMA-48.
_SEQUENCES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) != "\t"} | {0x7F: 0x2421}
# These would change the order of what stands around them.
_CONTROLS |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0x80, 0xA0)], 0xFFFD)

Row = tuple[int, str]


@dataclass(frozen=True)
class Chunk:
    """Rows, each with the place where it begins, of the bytes from `begin` to `end` of a file of `size` bytes.

    `unfinished`: what stands behind them and has no end yet. `cut`: the file is shorter than it was, and was begun
    anew; `skipped`: bytes before it that were left out.
    """

    begin: int
    end: int
    size: int
    rows: list[Row]
    unfinished: str = ""
    cut: bool = False
    skipped: int = 0


def text_of(data: bytes) -> str:
    """A line as it is shown; what is no UTF-8 as U+FFFD, control characters as pictures of them."""
    return _SEQUENCES.sub("", data.decode("utf-8", "replace")).translate(_CONTROLS)


def split(data: bytes, at: int, to_end: bool) -> tuple[list[Row], int]:
    """The rows of data that begins at the place `at`, and how many of its bytes they are.

    `to_end`: what stands at the end without a line feed is a line as well.
    """
    rows: list[Row] = []
    place = 0
    while place < len(data):
        feed = data.find(b"\n", place)
        end = feed if feed >= 0 else len(data)
        if feed < 0 and not to_end:
            if end - place <= LONGEST:
                break
            state = data.rfind(b"\r", place, end - 1) + 1
            if state > place:
                place = state  # what stands before it was overwritten
                continue
            end = _character(data, place + LONGEST)
            rows.append((at + place, text_of(data[place:end])))
            place = end
            continue
        rows += _pieces(data, place, end, at)
        place = feed + 1 if feed >= 0 else end
    return rows, place


def _pieces(data: bytes, begin: int, end: int, at: int) -> list[Row]:
    """The rows of one line, without its line feed."""
    while end > begin and data[end - 1] == 13:
        end -= 1
    shown = max(data.rfind(b"\r", begin, end) + 1, begin)
    if end - shown <= LONGEST:
        return [(at + begin, text_of(data[shown:end]))]
    rows, first = [], begin
    while shown < end:
        until = end if end - shown <= LONGEST else _character(data, shown + LONGEST)
        rows.append((at + first, text_of(data[shown:until])))
        first = shown = until
    return rows


def _character(data: bytes, place: int) -> int:
    """The place, or a little before it where it would cut a character."""
    for back in range(4):
        if place - back < len(data) and data[place - back] & 0xC0 != 0x80:
            return place - back
    return place


def read_on(file: BinaryIO, at: int, to_end: bool) -> Chunk:
    """The rows from a place on where a row begins, of at most PIECE bytes; `to_end` as in `split`."""
    size = os.fstat(file.fileno()).st_size
    at = min(at, size)
    data = os.pread(file.fileno(), PIECE, at)
    rows, used = split(data, at, to_end and at + len(data) >= size)
    rest = data[used:] if at + len(data) >= size else b""
    return Chunk(at, at + used, size, rows, text_of(rest.rstrip(b"\r").rpartition(b"\r")[2]))


def read_back(file: BinaryIO, begin: int, end: int) -> Chunk:
    """The whole rows between two places, at most PIECE bytes before `end`, where a row ends."""
    size = os.fstat(file.fileno()).st_size
    end = min(end, size)
    begin = start_of(file, min(max(begin, end - PIECE), end), end)
    rows, _ = split(os.pread(file.fileno(), end - begin, begin), begin, True)
    return Chunk(begin, end, size, rows)


def start_of(file: BinaryIO, begin: int, end: int) -> int:
    """The first place from `begin` on where a line begins, at most PIECE bytes further; where all of it is one line,
    one where a character does."""
    if begin <= 0:
        return 0
    data = os.pread(file.fileno(), min(end - begin, PIECE) + 1, begin - 1)
    feed = data.find(b"\n", 0, len(data) - 1)
    if feed >= 0:
        return begin + feed
    for skip in range(1, 5):
        if skip < len(data) and data[skip] & 0xC0 != 0x80:
            return begin + skip - 1
    return begin


def follow(file: BinaryIO, at: int | None, tail: int, to_end: bool) -> Chunk:
    """What is new from the place `at` on; the last `tail` bytes where that is None, or far behind."""
    size = os.fstat(file.fileno()).st_size
    cut = at is not None and size < at
    skips = at is not None and not cut and size - at > _BEHIND
    before = at or 0
    if at is None or cut or skips:
        at = start_of(file, max(size - tail, 0), size)
    found = read_on(file, at, to_end)
    skipped = at - before if skips else 0
    return Chunk(found.begin, found.end, found.size, found.rows, found.unfinished, cut, skipped)

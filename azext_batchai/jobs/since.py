"""The part of a log from some moment on, by the times that its own lines begin with.

When a job wrote a line is kept nowhere; most logs say it themselves, and a file tells when it was last written to.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

# 2026-01-31 12:00:00,123 or [2026-01-31T12:00:00.123Z], with a level or two letters before it at most.
_STAMP = re.compile(
    rb"\W{0,2}(?:[A-Z]{4,8}\W{1,3})?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,6})\d*)? ?(Z|[-+]\d\d:?\d\d)?"
)
_HEAD = 64  # bytes of a line that its time is looked for in


def begin_of(reader: Any, size: int, modified: datetime | None, moment: datetime) -> int | None:
    """Where in a file of `size` bytes the lines from `moment` on begin; None where its lines have no times.

    `reader` stands at its beginning; the lines before the first with a time belong to that time.
    """
    if modified and modified < moment:
        return size
    search = _Search(moment)
    reader.copy_news(search)
    if search.found is not None:
        return search.found
    return search.end if search.has_times else None


class _Search:
    """Looks for the first line whose time is not before `moment`, keeping no more than the head of one line."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment
        self._head = b""
        self._line = 0  # where the line begins
        self.end = 0
        self.found: int | None = None
        self.has_times = False

    def write(self, data: bytes) -> None:
        for piece in data.splitlines(keepends=True):
            if len(self._head) < _HEAD:
                self._head += piece[: _HEAD - len(self._head)]
            self.end += len(piece)
            if piece.endswith(b"\n"):
                self._look()
                self._head, self._line = b"", self.end

    def flush(self) -> None:
        self._look()

    def _look(self) -> None:
        moment = None if self.found is not None else time_of(self._head)
        if moment:
            self.has_times = True
            if moment >= self._moment:
                self.found = self._line


def time_of(line: bytes) -> datetime | None:
    """The time that a line begins with; without a zone it is of this machine's."""
    match = _STAMP.match(line)
    if not match:
        return None
    day, minute, second, fraction, zone = (group.decode() if group else "" for group in match.groups())
    text = f"{day} {minute}{second or ':00'}.{fraction or '0':0<6}"
    try:
        naive = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f")
        if not zone:
            return naive.astimezone()
        if zone == "Z":
            return naive.replace(tzinfo=timezone.utc)
        return datetime.strptime(f"{text}{zone.replace(':', '')}", "%Y-%m-%d %H:%M:%S.%f%z")
    except (OverflowError, OSError, ValueError):
        return None

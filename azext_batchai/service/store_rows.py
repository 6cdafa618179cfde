"""Rows of records that nearly every request asks for: what jobs are in, which are few and change seldom."""

from __future__ import annotations

from typing import Any

Row = tuple[Any, ...]  # it begins with key and kind
_KINDS = ("group", "workspace", "experiment", "cluster")
_MOST = 256


class LastingRows:
    """As they stand in the state file. Whoever changes a row there forgets it here, in the same breath."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._sound: set[str] = set()

    def get(self, key: str) -> Row | None:
        """() where it is known that there is none."""
        return self._rows.get(key)

    def keep(self, row: Row) -> None:
        if row[1] in _KINDS:
            self._keep(row[0], row)

    def keep_missing(self, key: str) -> None:
        self._keep(key, ())

    def _keep(self, key: str, row: Row) -> None:
        if len(self._rows) >= _MOST:
            self.forget(next(iter(self._rows)))
        self._rows[key] = row

    def is_sound(self, key: str) -> bool:
        """Whether the row that is kept has been looked at."""
        return key in self._sound

    def note_sound(self, key: str) -> None:
        if key in self._rows:
            self._sound.add(key)

    def forget(self, key: str) -> None:
        self._rows.pop(key, None)
        self._sound.discard(key)

    def forget_all(self) -> None:
        self._rows.clear()
        self._sound.clear()

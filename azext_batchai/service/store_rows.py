"""Rows of records that nearly every request asks for: what jobs are in, which are few and change seldom."""

from __future__ import annotations

from typing import Any

Row = tuple[Any, ...]
_KINDS = ("group", "workspace", "experiment", "cluster")
_MOST = 256


class LastingRows:
    """As they stand in the state file. Whoever changes a row there forgets it here, in the same breath."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def get(self, key: str) -> Row | None:
        return self._rows.get(key)

    def keep(self, key: str, kind: str, row: Row) -> None:
        if kind in _KINDS:
            while len(self._rows) >= _MOST:
                del self._rows[next(iter(self._rows))]
            self._rows[key] = row

    def forget(self, key: str) -> None:
        self._rows.pop(key, None)

    def forget_all(self) -> None:
        self._rows.clear()

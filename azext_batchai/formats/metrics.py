"""The metrics that a job has written: metrics.json, JSON lines and TensorBoard event files, or lines of text."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from azext_batchai.formats import event_files

_STEPS = ("step", "global_step", "iteration", "epoch")
_DEEPEST = 32
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf|infinity)", re.IGNORECASE)


@dataclass
class Series:
    """One metric: its values by steps, in the order in which they were written."""

    points: list[tuple[float, float]] = field(default_factory=list)

    @property
    def last(self) -> float:
        return self.points[-1][1]

    def best(self, greatest: bool) -> tuple[float, float] | None:
        """Step and value; None where there is no number but NaN."""
        found = [point for point in self.points if not math.isnan(point[1])]
        if not found:
            return None
        return max(found, key=lambda point: point[1]) if greatest else min(found, key=lambda point: point[1])


Metrics = dict[str, Series]
Point = tuple[str, "float | None", float]


def is_known(path: str) -> bool:
    """Whether a file of this name may hold metrics."""
    name = path.rpartition("/")[2]
    return name == "metrics.json" or name.endswith((".jsonl", ".ndjson")) or name.startswith(event_files.NAME)


def add(metrics: Metrics, points: Iterable[Point]) -> None:
    """Put points to their series; what says no step counts on."""
    for name, step, value in points:
        series = metrics.setdefault(name, Series())
        series.points.append((len(series.points) if step is None else step, value))


def of_file(path: str, data: bytes) -> Iterator[Point]:
    """Name, step (None: not said) and value of each point of a file; what is no such file has none."""
    name = path.rpartition("/")[2]
    if name.startswith(event_files.NAME):
        yield from event_files.scalars(data)
        return
    text = data.decode("utf-8", "replace")
    if name == "metrics.json":
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None  # it may be lines all the same
        if content is not None:
            yield from _of_json(content)
            return
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue  # blank, or not whole yet
        if isinstance(record, dict):
            yield from _of_record(record)


def _of_json(content: Any) -> Iterator[Point]:
    if isinstance(content, list):
        for record in content:
            if isinstance(record, dict):
                yield from _of_record(record)
    elif isinstance(content, dict):
        for name, value in _flat(content):
            if isinstance(value, list):
                for number in value:
                    if _is_number(number):
                        yield name, None, float(number)
            elif _is_number(value):
                yield name, None, float(value)


def _of_record(record: dict[str, Any]) -> Iterator[Point]:
    step = next((float(record[key]) for key in _STEPS if _is_number(record.get(key))), None)
    for name, value in _flat(record):
        if _is_number(value) and name not in _STEPS:
            yield name, step, float(value)


def _flat(content: dict[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The entries with those of objects inside, which nest no deeper than anybody writes them."""
    for key, value in content.items():
        if isinstance(value, dict):
            if depth < _DEEPEST:
                yield from _flat(value, f"{prefix}{key}/", depth + 1)
        else:
            yield f"{prefix}{key}", value


def _is_number(value: Any) -> bool:
    """Whole numbers that no float can hold are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float)


def of_text(text: str, pattern: re.Pattern[str]) -> Iterator[Point]:
    """The points of each line that the pattern fits; its groups are the metrics, one of them may be the step."""
    for line in text.splitlines():
        for match in pattern.finditer(line):
            values = {
                name: float(group.replace("_", ""))
                for name, group in match.groupdict().items()
                if group is not None and _NUMBER.fullmatch(group)
            }
            step = next((values[key] for key in _STEPS if key in values), None)
            only_step = not values.keys() - set(_STEPS)
            for name, value in values.items():
                if only_step or name not in _STEPS:
                    yield name, step, value


def named(metrics: Metrics, name: str) -> str | None:
    """The metric that is meant: of that name, or the only one that ends with it, as `eval/accuracy` with accuracy."""
    if name in metrics:
        return name
    lower = name.lower()
    close = [there for there in metrics if there.lower() == lower or there.lower().rpartition("/")[2] == lower]
    return close[0] if len(close) == 1 else None

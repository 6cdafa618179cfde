"""Curves that stay small: many points are thinned so that no peak, no break and not the last value is lost."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

_HELD = 4096  # points of one curve in memory
_GROUP = 4  # of these points at most two extremes stay, and the first that is no number
_WORD = re.compile(r"[^a-z0-9]+")
_LESS = re.compile(
    r"loss(es)?|err(ors?)?|perplexity|ppl|[rm]?mse|mae|mape|nll|wer|cer|fid|kl|bp[bc]|divergence|regret|cost|time|"
    r"seconds|duration|latency|memory|energy"
)
_MORE = re.compile(
    r"acc(uracy)?|au[cp]r?o?c?|ap|map|f1|fbeta|precision|recall|bleu|rouge|meteor|rewards?|returns?|scores?|m?iou|dice|"
    r"r2|psnr|ssim|mrr|ndcg|mcc|kappa|specificity|sensitivity|success|throughput"
)


def goal_of(name: str) -> str:
    """`max` for metrics that are good when great, by their names; else `min`."""
    for word in reversed(_WORD.split(name.lower())):
        stem = word.rstrip("0123456789")
        if _MORE.fullmatch(word) or _MORE.fullmatch(stem):
            return "max"
        if _LESS.fullmatch(stem):
            return "min"
    return "min"


def extremes(points: Sequence[Point]) -> list[Point]:
    """Of neighbours the lowest, the highest and the first that is no number, in their order."""
    kept: set[int] = set()
    low = high = -1
    for index, (_, value) in enumerate(points):
        if not math.isfinite(value):
            if not any(not math.isfinite(points[one][1]) for one in kept):
                kept.add(index)
            continue
        if low < 0 or value < points[low][1]:
            low = index
        if high < 0 or value > points[high][1]:
            high = index
    return [points[index] for index in sorted(kept | ({low, high} - {-1}))]


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """About `most` of the points (sorted by step): the first, the last, and the extremes of each piece between."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) * 2 / max(most - 2, 2))
    kept = [points[0]]
    for start in range(1, len(points) - 1, size):
        kept += extremes(points[start : min(start + size, len(points) - 1)])  # noqa: E203
    return [*kept, points[-1]]


class Curve:
    """The points of one metric in one file; adding more takes no more memory. Older ones are thinned as newer are."""

    __slots__ = ("_open", "_steps", "_stride", "_values", "implicit", "last", "total")

    def __init__(self) -> None:
        self._steps, self._values = array("d"), array("d")
        self._open: list[Point] = []
        self._stride = 1  # so many points become one group
        self.total = 0
        self.implicit = True  # no point has said its step
        self.last: Point | None = None

    def __len__(self) -> int:
        return len(self._steps) + len(self._open)

    def add(self, step: float | None, value: float) -> None:
        if step is not None and not math.isfinite(step):
            return
        self.implicit = self.implicit and step is None
        point = (float(self.total) if step is None else step, value)
        self.total += 1
        if self.last is None or point[0] >= self.last[0]:
            self.last = point
        self._open.append(point)
        if len(self._open) >= self._stride:
            self._close()

    def _close(self) -> None:
        self._keep(extremes(self._open))
        self._open.clear()
        if len(self._steps) > _HELD:
            points = list(zip(self._steps, self._values))
            self._steps, self._values = array("d"), array("d")
            for start in range(0, len(points), _GROUP):
                self._keep(extremes(points[start : start + _GROUP]))  # noqa: E203
            self._stride = max(self._stride * 2, _GROUP)

    def _keep(self, points: Sequence[Point]) -> None:
        for step, value in points:
            self._steps.append(step)
            self._values.append(value)

    def points(self, shift: float = 0.0) -> list[Point]:
        """In the order in which they were written; `shift` is added to each step."""
        found = [*zip(self._steps, self._values), *extremes(self._open)]
        if self.last and self.last not in found:
            found.append(self.last)
        return [(step + shift, value) for step, value in found] if shift else found


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table shows of one metric: the last point, and the lowest and highest that are numbers."""

    last: Point
    low: Point | None
    high: Point | None

    @classmethod
    def of(cls, points: Sequence[Point]) -> Summary:
        """Of at least one point, sorted by step."""
        numbers = [point for point in points if math.isfinite(point[1])]
        low = min(numbers, key=lambda point: point[1], default=None)
        high = max(numbers, key=lambda point: point[1], default=None)
        return cls(points[-1], low, high)

    def best(self, goal: str) -> Point | None:
        return self.high if goal == "max" else self.low


def text(value: float | None) -> str:
    """A value as a person reads it: four digits, `NaN`, `∞`."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{int(value)}" if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"

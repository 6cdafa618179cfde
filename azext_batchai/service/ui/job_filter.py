"""Which jobs of an experiment are shown, and in which order: what the query string of its page says."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azext_batchai.service.ui.job_rows import Row
from azext_batchai.service.ui.series import goal_of

STATES = ("queued", "running", "terminating", "succeeded", "failed")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_CONDITION = re.compile(
    r"\s*(?P<name>[\w./-]+)\s*(?P<how><=|>=|!=|==|=|<|>)\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^\s,]+))(?:[\s,]+|$)"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DIGITS = re.compile(r"[0-9]+")
_WIDTH = 12  # to which numbers in texts are filled up, so that they compare as numbers
_COMPARED = 200  # characters of a text
_LONGEST = 1000  # characters of what is asked for
PARAMETER, METRIC = "p:", "m:"  # before the names of columns


def number_of(text: Any) -> float | None:
    """The number that a text is; None for other texts, infinity and NaN."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Condition:
    """`lr<0.1`: of a parameter, or of a metric's value."""

    name: str
    how: str
    value: str

    def fits(self, found: str | float | None) -> bool:
        """A job without a value fits `!=` only."""
        if found is None:
            return self.how == "!="
        wanted, number = number_of(self.value), number_of(found)
        if self.how in _COMPARE:
            return wanted is not None and number is not None and _COMPARE[self.how](number, wanted)
        both = wanted is not None and number is not None
        same = number == wanted if both else str(found) == self.value
        return same == (self.how != "!=")


def conditions_of(text: str) -> tuple[list[Condition], str]:
    """The conditions of a line such as `lr<0.1 model=cnn`, and what of it is none."""
    found: list[Condition] = []
    place = 0
    text = text.strip()
    while place < len(text):
        match = _CONDITION.match(text, place)
        if not match:
            return found, text[place:]
        value = match["plain"] if match["quoted"] is None else match["quoted"]
        found.append(Condition(match["name"], match["how"], value))
        place = match.end()
    return found, ""


@dataclass(frozen=True)
class Wanted:
    """What the query string asks for; all fields have a meaning where it asks for nothing.

    `metric` is the one that ranks the jobs, `goal` max or min of it; `value`: whether tables show its last or best.
    """

    name: str = ""
    state: str = ""
    where: str = ""
    sort: str = ""
    page: int = 1
    view: str = ""
    metric: str = ""
    goal: str = ""
    value: str = "best"
    parameter: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        page = query.get("page", "")
        state, goal = query.get("state", ""), query.get("goal", "")
        return cls(
            name=query.get("name", "")[:_LONGEST].strip(),
            state=state if state in STATES else "",
            where=query.get("where", "")[:_LONGEST],
            sort=query.get("sort", ""),
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 9 and int(page) else 1,
            view="compare" if query.get("view") == "compare" else "",
            metric=query.get("metric", ""),
            goal=goal if goal in ("max", "min") else "",
            value="last" if query.get("value") == "last" else "best",
            parameter=query.get("parameter", ""),
        )

    def goal_for(self, metric: str) -> str:
        """Of the metric that ranks as it was chosen, of others by their names."""
        return self.goal if self.goal and metric == self.metric else goal_of(metric)

    def of_metric(self, row: Row, metric: str) -> float | None:
        """The value of a metric that is shown and compared."""
        summary = row.summaries.get(metric)
        if not summary:
            return None
        point = summary.last if self.value == "last" else summary.best(self.goal_for(metric))
        return point[1] if point else None


def chosen(rows: Iterable[Row], wanted: Wanted) -> list[Row]:
    """The rows that fit."""
    conditions, _ = conditions_of(wanted.where)
    name = wanted.name.lower()
    return [
        row
        for row in rows
        if (not wanted.state or row.state == wanted.state)
        and (not name or name in row.name.lower())
        and all(condition.fits(_value(row, condition.name, wanted)) for condition in conditions)
    ]


def _value(row: Row, name: str, wanted: Wanted) -> str | float | None:
    found = row.parameters.get(name.lower())
    return found if found is not None else wanted.of_metric(row, name)


def ordered(rows: Sequence[Row], wanted: Wanted, now: float) -> list[Row]:
    """By the column that `sort` names (`-` before it: downwards); what has no value there comes last either way."""
    column = wanted.sort.removeprefix("-")
    down = wanted.sort.startswith("-")
    value = _column(column, wanted, now)
    if not value:
        return sorted(rows, key=lambda row: -row.seq)
    known, missing = [], []
    for row in rows:
        key = value(row)
        if key is None or key != key:  # NaN is no value either
            missing.append(row)
        else:
            known.append((_comparable(key), row))
    known.sort(key=lambda pair: pair[0], reverse=down)
    return [*(row for _, row in known), *missing]


def _column(column: str, wanted: Wanted, now: float) -> Callable[[Row], Any] | None:
    if column.startswith(PARAMETER):
        parameter = column[len(PARAMETER) :]
        return lambda row: row.parameters.get(parameter)
    if column.startswith(METRIC):
        metric = column[len(METRIC) :]
        return lambda row: wanted.of_metric(row, metric)
    columns: dict[str, Callable[[Row], Any]] = {
        "name": lambda row: row.name,
        "state": lambda row: STATES.index(row.state) if row.state in STATES else len(STATES),
        "created": lambda row: row.seq,
        "duration": lambda row: row.duration(now),
        "result": lambda row: row.why or row.exit_code,
    }
    return columns.get(column)


def _comparable(key: Any) -> tuple[Any, ...]:
    """Numbers before texts; in texts `job2` before `job10`."""
    number = key if isinstance(key, float) else number_of(key)  # infinity has its place as well
    if number is not None:
        return (0, number)
    return (1, _DIGITS.sub(lambda digits: digits[0].zfill(_WIDTH), str(key)[:_COMPARED].lower()))


def metrics_of(rows: Iterable[Row]) -> list[str]:
    """The names of all metrics of these jobs."""
    return sorted({name for row in rows for name in row.summaries})


def parameters_of(rows: Iterable[Row]) -> list[str]:
    """The names of all parameters, in the order in which jobs have them."""
    return list(dict.fromkeys(name for row in rows for name in row.parameters))


def preferred(metrics: Sequence[str]) -> str:
    """The metric that ranks where none is chosen: of an evaluation rather than of the training; '' where none is."""
    def rank(name: str) -> tuple[bool, bool, str]:
        words = set(re.split(r"[^a-z0-9]+", name.lower()))
        known = goal_of(name) == "max" or "loss" in words
        return (not words & {"eval", "val", "valid", "validation", "test"}, not known, name)

    return min(metrics, key=rank, default="")


def ranked(rows: Iterable[Row], wanted: Wanted) -> list[Row]:
    """Those that have the metric, the best first."""
    metric, goal = wanted.metric, wanted.goal_for(wanted.metric)
    known = []
    for row in rows:
        summary = row.summaries.get(metric)
        best = summary.best(goal) if summary else None
        if best:
            known.append((best[1], row))
    known.sort(key=lambda pair: pair[0], reverse=goal == "max")
    return [row for _, row in known]

"""The jobs of an experiment beside each other: parameters, metrics, duration, exit code."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from azext_batchai.formats.metrics import Metrics, named
from azext_batchai.jobs.sweep import parameters_of

METRIC, DURATION, NAME = "metric", "duration", "name"


@dataclass(frozen=True)
class Wanted:
    """`metrics` None: all there are. `best`: "max" or "min" of each metric over its steps; None for the last value."""

    metrics: list[str] | None = None
    best: str | None = None
    sort: str | None = None


def rows(jobs: Sequence[tuple[Any, Metrics]], wanted: Wanted) -> list[dict[str, Any]]:
    """A row of each job (SDK, with its metrics), in order. Raises InvalidArgumentValueError for an unknown column."""
    there = sorted({name for _, metrics in jobs for name in metrics})
    chosen = wanted.metrics if wanted.metrics is not None else there
    unknown = [name for name in chosen if all(named(metrics, name) is None for _, metrics in jobs)]
    if unknown and there:
        _refuse(f"No job has a metric {unknown[0]}.", f"There are: {', '.join(there)}.")
    made = [_row(job, metrics, chosen, wanted.best) for job, metrics in jobs]
    if wanted.sort:
        _sort(made, wanted.sort, chosen, wanted.best == "max")
    return made


def _row(job: Any, metrics: Metrics, chosen: list[str], best: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    steps: dict[str, Any] = {}
    for name in chosen:
        there = named(metrics, name)
        series = metrics[there] if there else None
        point = None if series is None else series.best(best == "max") if best else series.points[-1]
        values[name] = shown(point[1]) if point else None
        steps[name] = shown(point[0]) if point else None
    info = job.execution_info
    return {
        "name": job.name,
        "parameters": parameters_of(job),
        "metrics": values,
        "steps": steps,
        "executionState": job.execution_state,
        "durationSeconds": duration(job),
        "exitCode": info.exit_code if info else None,
    }


def duration(job: Any) -> float | None:
    """Seconds that a job (SDK) has run; None where it has not begun."""
    info = job.execution_info
    if not info or not info.start_time:
        return None
    end = info.end_time or datetime.datetime.now(datetime.timezone.utc)
    return round(float((end - info.start_time).total_seconds()), 1)


def shown(value: float) -> Any:
    """A number that JSON has, whole where it is."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def _sort(made: list[dict[str, Any]], column: str, chosen: list[str], descending: bool) -> None:
    if column == METRIC and not chosen:
        _refuse("There is no metric to sort by.", "No job has written any; see `az batchai experiment compare --help`.")
    parameters = {name for row in made for name in row["parameters"]}
    columns = {
        NAME: lambda row: row["name"],
        DURATION: lambda row: row["durationSeconds"],
        **{name: lambda row, name=name: _as_number(row["parameters"].get(name)) for name in parameters},
        **{name: lambda row, name=name: row["metrics"][name] for name in chosen},
    }
    if chosen:
        columns[METRIC] = columns[chosen[0]]
    if made and column not in columns:
        _refuse(f"There is no column {column} to sort by.", f"There are: {', '.join(sorted(columns))}.")
    down = descending and column in (METRIC, *chosen)
    known = [row for row in made if columns[column](row) is not None]
    missing = [row for row in made if columns[column](row) is None]
    known.sort(key=lambda row: (isinstance(columns[column](row), str), columns[column](row)), reverse=down)
    made[:] = [*known, *missing]


def _as_number(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _refuse(message: str, recommendation: str) -> None:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation=recommendation)

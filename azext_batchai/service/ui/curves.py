"""Metrics as curves: what a page needs to show them, for one job or for several in the same charts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.model import job_states
from azext_batchai.service.store import Record
from azext_batchai.service.ui import parts
from azext_batchai.service.ui.html import Html, element
from azext_batchai.service.ui.job_metrics import PIECE, Found, MetricsReader
from azext_batchai.service.ui.series import Summary, goal_of, text, thinned
from azext_batchai.service.ui.view import Data, View

# What a Page with curves names.
SCRIPTS = ("curves.js",)
LIBRARIES = ("vendor/uPlot.iife.min.js",)
STYLES = ("vendor/uPlot.min.css", "curves.css")

_POINTS = 1000  # of a curve of one job
_MOST_SENT = 40_000  # points of all curves of one answer
_FIRST_PIECE = 1 << 20  # bytes that are read before a page is shown
COLOURS, DASHES = 7, 4  # classes c0.. and d0.. of curves.css; together they tell 28 curves apart


@dataclass(frozen=True)
class Drawn:
    """A job with its metrics, as a chart shows it."""

    name: str
    address: str
    found: Found


async def of_job(view: View, resource_id: str) -> Html | None:
    """The curves of one job with a table of their values; None where it has written no metrics."""
    record = _record(view, resource_id)
    found = await view.memory.of(MetricsReader).read(view.service, record, _POINTS, _FIRST_PIECE)
    if not found.metrics and not found.reading:
        return None
    address = view.address(record.body["id"], "metrics")
    return element("div", charts(address, "curves"), _values(record.name, found), class_="metrics")


async def data(view: View) -> Data:
    """The curves of one job, for curves.js."""
    group, workspace, experiment, job = view.names
    segments = ("workspaces", workspace, "experiments", experiment, "jobs", job)
    record = _record(view, view.wire.batchai(group, *segments))
    found = await view.memory.of(MetricsReader).read(view.service, record, _POINTS, PIECE)
    drawn = [Drawn(record.name, view.address(record.body["id"]), found)]
    return Data(await asyncio.to_thread(content, drawn, not ended(record), view.query.get("known", "")))


def ended(record: Record) -> bool:
    return record.properties["executionState"] in job_states.ENDED


def _record(view: View, resource_id: str) -> Record:
    """Raises ArmError 404."""
    record = view.service.store.get(key_of(resource_id))
    if not record:
        raise ArmError(404, "ResourceNotFound", f"There is no job {resource_id.rpartition('/')[2]}.")
    return record


def charts(source: str, id_: str, follows_search: bool = False) -> Html:
    """Where curves.js draws what `source` tells; `follows_search`: it depends on the page's own query string."""
    waiting = element("p", "Reading metrics…", class_="empty")
    return element(
        "div",
        waiting,
        class_="curves",
        id=id_,
        data_keep=True,
        data_source=source,
        data_search=follows_search,
    )


def _values(job: str, found: Found) -> Html:
    """The same in words."""
    rows = []
    for name, points in found.metrics.items():
        summary = Summary.of(points)
        best = summary.best(goal_of(name))
        rows.append(
            (
                name,
                text(summary.last[1]),
                text(summary.last[0]),
                text(best[1]) if best else "–",
                text(best[0]) if best else "–",
                goal_of(name),
            )
        )
    notes = [element("p", note, class_="about") for note in found.notes]
    heads = ("Metric", "Last", "at step", "Best", "at step", "Best is")
    table = parts.table(heads, rows, f"Metrics of {job}", "numbers")
    return element("div", table, notes)


def content(
    drawn: Sequence[Drawn], live: bool, known: str, goal: Callable[[str], str] = goal_of, first: str = ""
) -> dict[str, Any]:
    """What curves.js draws, the metric `first` before others; only that nothing is new where it knows this version."""
    told = repr([first, goal(first), *((job.name, job.found.version) for job in drawn)])
    version = sha256(told.encode()).hexdigest()[:16]
    state = {"version": version, "live": live, "reading": any(job.found.reading for job in drawn)}
    if known == version:
        return {**state, "same": True}
    names = sorted({name for job in drawn for name in job.found.metrics}, key=lambda name: (name != first, name))
    notes = list(dict.fromkeys(note for job in drawn for note in job.found.notes))
    most = max(_MOST_SENT // max(sum(len(job.found.metrics) for job in drawn), 1), 50)
    shown = [{"name": name, "goal": goal(name), "series": _series(drawn, name, most, goal(name))} for name in names]
    return {**state, "notes": notes, "metrics": shown}


def _series(drawn: Sequence[Drawn], name: str, most: int, goal: str) -> list[dict[str, Any]]:
    series = []
    for job in drawn:
        points = job.found.metrics.get(name)
        if not points:
            continue
        summary = Summary.of(points)
        best = summary.best(goal)
        points = thinned(points, most)
        series.append(
            {
                "job": job.name,
                "address": job.address,
                "x": [step for step, _ in points],
                "y": [value if math.isfinite(value) else None for _, value in points],
                "last": text(summary.last[1]),
                "best": text(best[1]) if best else None,
                "bestStep": text(best[0]) if best else None,
            }
        )
    return series

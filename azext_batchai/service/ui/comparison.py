"""The jobs of an experiment side by side by their metrics: curves, a parameter against a metric, all parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from azext_batchai.service.store import DamagedRecord
from azext_batchai.service.ui import curves, parts, plots
from azext_batchai.service.ui.experiment_look import Look, number_of_jobs
from azext_batchai.service.ui.html import Html, element
from azext_batchai.service.ui.job_metrics import Found, MetricsReader
from azext_batchai.service.ui.job_rows import Row
from azext_batchai.service.ui.series import text
from azext_batchai.service.ui.view import Data

_CURVES = 28  # jobs in one chart: so many pairs of colour and dash there are
_POINTS = 400  # of a curve
_MARKS, _BEST_MARKS = 500, 100  # jobs in a plot; of these the best ones
_AXES = 9
_SAID = 8  # parameters in the title of a point


async def part(look: Look) -> Html:
    """The section below the controls."""
    if not look.metrics:
        unread = look.rows.unread
        why = "Their metrics are still being read." if unread else (
            "A job has metrics that writes metrics.json, JSON lines (*.jsonl) or TensorBoard event files to "
            "$AZ_BATCHAI_STDOUTERR_DIR or an output directory."
        )
        return parts.section("Metrics side by side", parts.empty(why))
    return await asyncio.to_thread(_all_parts, look)


def _all_parts(look: Look) -> Html:
    return element("div", _curves(look), _scatter(look), _parallel(look))


def _curves(look: Look) -> Html:
    number = len(_drawn(look))
    of = sum(bool(row.summaries) for row in look.fit)
    metric = look.wanted.metric
    said = number_of_jobs(number)
    if number < of:
        said = f"{number} of {number_of_jobs(of)}: those with the best {metric}"
    about = element("p", f"{said}. Drag over a part to look closer, double click for all of it.", class_="about")
    charts = curves.charts(f"{look.address}/curves", "curves", follows_search=True)
    return parts.section("Curves", about, charts, _values(look))


def _drawn(look: Look) -> list[Row]:
    """The best ones, then those that have other metrics only."""
    others = [row for row in look.fit if row.summaries and look.wanted.metric not in row.summaries]
    return [*look.best_first, *others][:_CURVES]


async def data(look: Look) -> Data:
    """The curves of the jobs that are drawn."""
    live = any(not row.settled for row in look.fit)
    # While ranks change the curves keep their places.
    rows = sorted(_drawn(look), key=lambda row: row.seq) if live else _drawn(look)
    drawn, reader = [], look.view.memory.of(MetricsReader)
    for row in rows:
        try:
            record = look.view.service.store.get(row.key)
        except DamagedRecord:
            record = None
        found = await reader.read(look.view.service, record, _POINTS) if record else Found({})
        drawn.append(curves.Drawn(row.name, look.job(row), found))
    known = look.view.query.get("known", "")
    return Data(await asyncio.to_thread(curves.content, drawn, live, known, look.wanted.goal_for, look.wanted.metric))


def _values(look: Look) -> Html:
    """The same in words: the best jobs with their last and best values."""
    metric = look.wanted.metric
    rows = []
    for place, row in enumerate(look.best_first[:_CURVES]):
        summary = row.summaries[metric]
        best = summary.best(look.wanted.goal_for(metric))
        name = element("a", row.name, href=look.job(row))
        mark = element("span", "best", class_="best") if place == 0 else None
        values = (text(best[1]), text(best[0])) if best else ("–", "–")
        rows.append((element("span", name, mark), *values, text(summary.last[1]), text(summary.last[0])))
    table = parts.table(("Job", "Best", "at step", "Last", "at step"), rows, f"Jobs by {metric}", "numbers")
    return element("details", element("summary", "The values as a table"), table)


def _scatter(look: Look) -> Html | None:
    if not look.parameters:
        return None
    wanted = look.wanted
    parameter = wanted.parameter if wanted.parameter in look.parameters else look.parameters[0]
    there = [row for row in look.best_first if parameter in row.parameters]
    shown = spread(there)
    title = f"{wanted.metric} by {parameter}"
    if len(shown) < 2:
        return parts.section(title, parts.empty(f"Less than two jobs have both {parameter} and {wanted.metric}."))
    marks = [_mark(look, row, (row.parameters[parameter], _best(look, row))) for row in shown]
    x, y = _axes((parameter, wanted.metric), marks)
    return parts.section(title, _said(shown, there), plots.scatter(marks, x, y))


def _parallel(look: Look) -> Html | None:
    shown = spread(look.best_first)
    varying = [
        name for name in look.parameters if len({row.parameters[name] for row in shown if name in row.parameters}) > 1
    ][:_AXES]
    if not varying:
        return None
    marks = [
        _mark(look, row, (*(row.parameters.get(name) for name in varying), _best(look, row))) for row in shown
    ]
    axes = _axes((*varying, look.wanted.metric), marks)
    return parts.section("All parameters", _said(shown, look.best_first), plots.parallel(marks, axes))


def _axes(names: Sequence[str], marks: Sequence[plots.Mark]) -> list[plots.Axis]:
    """The last one is of the metric, those before it are of parameters, of which people choose a few values."""
    last = len(names) - 1
    return [plots.Axis(name, [mark.values[at] for mark in marks], at < last) for at, name in enumerate(names)]


def spread(best_first: Sequence[Row]) -> Sequence[Row]:
    """Of too many the best ones, and of the others some from the second best to the worst."""
    if len(best_first) <= _MARKS:
        return best_first
    others = best_first[_BEST_MARKS:]
    number = _MARKS - _BEST_MARKS
    return [*best_first[:_BEST_MARKS], *(others[at * (len(others) - 1) // (number - 1)] for at in range(number))]


def _said(shown: Sequence[Row], of: Sequence[Row]) -> Html | None:
    if len(shown) == len(of):
        return None
    said = f"{len(shown):,} of {number_of_jobs(len(of))}: the best {_BEST_MARKS}, and some from there to the worst."
    return element("p", said, class_="about")


def _best(look: Look, row: Row) -> float | None:
    best = row.summaries[look.wanted.metric].best(look.wanted.goal_for(look.wanted.metric))
    return best[1] if best else None


def _mark(look: Look, row: Row, values: tuple[float | str | None, ...]) -> plots.Mark:
    best = row is look.best
    known = [f"{name} {value[:40]}" for name, value in list(row.parameters.items())[:_SAID]]
    said = f"{row.name}: {look.wanted.metric} {text(_best(look, row))}{''.join(f', {one}' for one in known)}"
    return plots.Mark(row.name, look.job(row), f"Best: {said}" if best else said, values, best)

"""The page of an experiment: its jobs as a table that can be sorted and filtered, or side by side by their metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from azext_batchai.service import clock
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.background import Background
from azext_batchai.service.ui import addresses, comparison, curves, experiment_form, job_filter, parts, waiting
from azext_batchai.service.ui.experiment_look import Look, look_at, number_of_jobs
from azext_batchai.service.ui.html import Child, Html, element, joined
from azext_batchai.service.ui.job_filter import METRIC, PARAMETER
from azext_batchai.service.ui.job_rows import Row
from azext_batchai.service.ui.series import text
from azext_batchai.service.ui.view import Data, Page, Redirect, View

_ROWS = 100  # of a page
_LONGEST = 32  # characters in a cell
_MOST_PARAMETERS, _MOST_METRICS = 12, 6  # columns
_TERMINATING_SECONDS = 2.0  # for a form that ends many jobs; the rest goes on behind it


async def page(view: View) -> Page:
    """One experiment."""
    look = await look_at(view)
    compares = look.wanted.view == "compare"
    shown = await comparison.part(look) if compares else await _jobs(look)
    unsettled = any(not row.settled for row in look.all)
    body = element(
        "div",
        element("div", element("h1", look.body["name"]), _actions(look), class_="head"),
        _facts(look),
        _tabs(look),
        experiment_form.form(look),
        shown,
        _lines(look),
        # What jobs write is no change of the state: nothing tells of it.
        data_again=("1" if look.rows.unread else "3") if unsettled else None,
        id="experiment",
    )
    return Page(
        look.body["name"],
        body,
        topics=(key_of(look.body["id"]),),
        trail=addresses.trail(look.body["id"], view.service.subscription),
        scripts=("experiment.js", "again.js", *(curves.SCRIPTS if compares else ())),
        libraries=curves.LIBRARIES if compares else (),
        styles=(*curves.STYLES, "experiment.css"),
    )


async def curve_data(view: View) -> Data:
    """The curves of the jobs that fit, for curves.js."""
    return await comparison.data(await look_at(view, 0))


def _options(look: Look, own: str = "-n") -> tuple[str, ...]:
    """The options of `az batchai` that name the experiment; `own`: the one that has its name."""
    words = look.body["id"].split("/")
    return (*look.view.scope(words[4]), "-w", words[8], own, words[10])


def _facts(look: Look) -> Html:
    counts = Counter(row.state for row in look.all)
    states = [
        element("li", _live(look.link(state=state), parts.state(state), f" {counts[state]:,}"))
        for state in job_filter.STATES
        if counts[state]
    ]
    best = look.best
    return element(
        "div",
        parts.facts(
            (
                ("Jobs", element("ul", states, class_="states") if states else None),
                ("Made", parts.moment(look.body["properties"]["creationTime"])),
                (f"Best {look.wanted.metric}", _best(look, best) if best else None),
            )
        ),
    )


def _best(look: Look, row: Row) -> Html:
    summary = row.summaries[look.wanted.metric]
    point = summary.best(look.wanted.goal_for(look.wanted.metric))
    assert point
    values = ", ".join(f"{name}={value}" for name, value in list(row.parameters.items())[:_MOST_PARAMETERS])
    return joined(
        element("a", row.name, href=look.job(row), class_="best"),
        f" {text(point[1])} at step {text(point[0])}",
        element("span", f" with {values}", class_="why") if values else None,
    )


def _live(address: str, *children: Child) -> Html:
    """A link to the same page in another way: experiment.js follows it without loading the page."""
    return element("a", children, href=address, data_live=True)


def _tabs(look: Look) -> Html:
    tabs = (("", "Jobs"), ("compare", "Metrics side by side"))
    links = [
        element("a", title, href=look.link(view=name), aria_current="page" if look.wanted.view == name else None)
        for name, title in tabs
    ]
    return element("nav", links, class_="tabs", aria_label="Ways to look at the jobs")


async def _jobs(look: Look) -> Html:
    wanted, now = look.wanted, clock.epoch()
    if not look.all:
        line = parts.command("job", "run", *_options(look, "-e"), "--", "python", "train.py")
        return parts.section("Jobs", parts.empty("No job yet. Run one:"), line)
    if not look.fit:
        reset = _live(look.address, "Show all jobs")
        return parts.section("Jobs", parts.empty(f"None of {number_of_jobs(len(look.all))} fits. ", reset))
    rows = await asyncio.to_thread(job_filter.ordered, look.fit, wanted, now)
    pages = (len(rows) + _ROWS - 1) // _ROWS
    number = min(max(wanted.page, 1), pages)
    first = (number - 1) * _ROWS
    shown = rows[first : first + _ROWS]  # noqa: E203
    parameters, metrics = look.parameters[:_MOST_PARAMETERS], _columns(look)
    best, reasons = look.best, _Reasons(look)
    cells = [_cells(look, row, parameters, metrics, best, reasons, now) for row in shown]
    of_all = number_of_jobs(len(look.all))
    if len(rows) < len(look.all):
        of_all = f"{len(rows):,} of {of_all}"
    caption = of_all if pages == 1 else f"{first + 1:,} to {first + len(shown):,} of {of_all}"
    unread = look.rows.unread
    note = parts.empty(f"Metrics are still being read, of {number_of_jobs(unread)}.") if unread else None
    table = parts.table(_heads(look, parameters, metrics), cells, caption, "jobs")
    return parts.section("Jobs", note, table, _pages(look, number, pages))


def _columns(look: Look) -> list[str]:
    """The metrics with a column, the one that ranks first."""
    if not look.metrics:
        return []
    others = [name for name in look.metrics if name != look.wanted.metric]
    return [look.wanted.metric, *others][:_MOST_METRICS]


def _heads(look: Look, parameters: Sequence[str], metrics: Sequence[str]) -> list[Child]:
    fixed = (("name", "Job"), ("state", "State"), ("created", "Made"), ("duration", "Duration"), ("result", "Result"))
    columns = [
        *((column, title, False) for column, title in fixed),
        *((f"{PARAMETER}{name}", name, False) for name in parameters),
        *((f"{METRIC}{name}", f"{look.wanted.value} {name}", look.wanted.goal_for(name) == "max") for name in metrics),
    ]
    return [_head(look, *column) for column in columns]


def _head(look: Look, column: str, title: str, down_first: bool) -> Html:
    """A link that sorts; the arrow and the words say how it is sorted now."""
    sorted_by, down = look.wanted.sort.removeprefix("-"), look.wanted.sort.startswith("-")
    here = sorted_by == column
    to = not down if here else down_first
    mark = element("span", "↓" if down else "↑", aria_hidden="true", class_="arrow") if here else None
    said = element("span", f", sorted {'downwards' if down else 'upwards'}", class_="hidden") if here else None
    return _live(look.link(sort=f"{'-' if to else ''}{column}"), _short(title), mark, said)


class _Reasons:
    """Why jobs wait: what is the same for many is found out once."""

    def __init__(self, look: Look) -> None:
        self._service = look.view.service
        self._known: dict[tuple[object, ...], str] = {}

    def of(self, row: Row) -> str:
        if row.waits_like not in self._known:
            record = self._service.store.get(row.key)
            self._known[row.waits_like] = waiting.reason(self._service, record) if record else ""
        return self._known[row.waits_like]


def _cells(
    look: Look,
    row: Row,
    parameters: Sequence[str],
    metrics: Sequence[str],
    best: Row | None,
    reasons: _Reasons,
    now: float,
) -> list[Child]:
    name: Child = element("a", row.name, href=look.job(row))
    if row is best:
        name = joined(name, element("span", "best", class_="best"))
    seconds = row.duration(now)
    result: Child = "" if row.exit_code is None else f"exit code {row.exit_code}"
    if row.why or row.state == "queued":
        result = element("span", row.why or reasons.of(row), class_="why")
    return [
        name,
        parts.state(row.state),
        parts.moment(row.created_text),
        "" if seconds is None else parts.duration(seconds),
        result,
        *(_short(row.parameters.get(parameter, "")) for parameter in parameters),
        *(_metric(look, row, metric) for metric in metrics),
    ]


def _metric(look: Look, row: Row, metric: str) -> Child:
    if metric not in row.summaries:
        return "" if row.read_at is not None or row.started is None else "…"
    return text(look.wanted.of_metric(row, metric))


def _short(value: str) -> Child:
    return value if len(value) <= _LONGEST else element("span", f"{value[: _LONGEST - 1]}…", title=value[:1000])


def _pages(look: Look, number: int, pages: int) -> Html | None:
    if pages < 2:
        return None
    links = []
    for title, target in (("First", 1), ("Previous", number - 1), ("Next", number + 1), ("Last", pages)):
        there = 1 <= target <= pages and target != number
        gone = element("a", title, role="link", aria_disabled="true")
        links.append(_live(look.link(page=target), title) if there else gone)
    return element("nav", links[:2], f"page {number:,} of {pages:,}", links[2:], class_="pages", aria_label="Pages")


def _lines(look: Look) -> Html:
    of = _options(look)
    metric = look.wanted.metric
    goal = look.wanted.goal_for(metric)
    ranked = ("--metric", metric, f"--{goal}", "--sort") if metric else ()
    return parts.section(
        "In a terminal",
        parts.command("experiment", "show", *of),
        parts.command("job", "list", *_options(look, "-e"), "--wide", "-o", "table"),
        parts.command("experiment", "compare", *of, *ranked, "-o", "table"),
        parts.command("experiment", "wait", *of),
        parts.command("experiment", "resubmit", *of, "--failed"),
    )


def _actions(look: Look) -> Html:
    name, of = look.body["name"], _options(look)
    going = sum(row.ended is None for row in look.all)
    terminate = parts.ask(
        look.view,
        "Terminate",
        f"{look.address}/terminate",
        f"End what runs or waits of {name}: {number_of_jobs(going)}?",
        "experiment", "terminate", *of,
    )
    delete = parts.ask(
        look.view,
        "Delete",
        f"{look.address}/delete",
        f"Delete {name} with {number_of_jobs(len(look.all))}? What was written to shares stays.",
        "experiment", "delete", *of,
    )
    return element("div", terminate if going else None, delete, class_="actions")


class _Endings(Background):
    """Terminations that go on behind the form that asked for them."""

    def __init__(self) -> None:
        super().__init__("terminations")

    def close(self) -> None:
        self.cancel()


async def terminate(view: View) -> Redirect:
    """End all jobs that have not ended, those that wait first: none is to start when one that runs has ended."""
    look = await look_at(view, 0)
    going = [row for row in look.all if row.ended is None]
    going.sort(key=lambda row: row.state != "queued")
    ending = view.memory.of(_Endings).spawn(_terminate_all(view, going))
    done, _ = await asyncio.wait({ending}, timeout=_TERMINATING_SECONDS)
    for task in done:
        task.result()
    return Redirect(look.address)


async def _terminate_all(view: View, rows: Sequence[Row]) -> None:
    for row in rows:
        try:
            await view.wire.send("POST", f"{row.resource_id}/terminate")
        except ArmError as exc:
            if exc.status != 404:  # deleted meanwhile
                raise
        await asyncio.sleep(0)


async def delete(view: View) -> Redirect:
    """Begin to delete the experiment with its jobs."""
    group, workspace, experiment = view.names
    await view.wire.send("DELETE", view.wire.batchai(group, "workspaces", workspace, "experiments", experiment))
    return Redirect(addresses.ROOT)

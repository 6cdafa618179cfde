"""What the pages of an experiment look at: its jobs, those that fit what is asked for, their metrics and parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote, urlencode

from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.ui import job_filter
from azext_batchai.service.ui.job_filter import Wanted
from azext_batchai.service.ui.job_metrics import MetricsReader
from azext_batchai.service.ui.job_rows import AllJobRows, JobRows, Row
from azext_batchai.service.ui.view import View

_FEW = 200  # jobs whose metrics are worth to be waited for
_PATIENCE = 0.25  # seconds that a page waits for metrics; what is read later comes by itself


def search(wanted: Wanted) -> str:
    """The query string that asks for it; '' where it is what one sees who asks for nothing."""
    usual = Wanted()
    asked: Mapping[str, Any] = {
        field.name: getattr(wanted, field.name)
        for field in fields(Wanted)
        if getattr(wanted, field.name) != getattr(usual, field.name)
    }
    return f"?{urlencode(asked)}" if asked else ""


def number_of_jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"


@dataclass(frozen=True)
class Look:
    """What the page shows: `all` the jobs, those that `fit`, and of these those with the metric that ranks."""

    view: View
    body: dict[str, Any]
    address: str
    rows: JobRows
    all: list[Row]
    fit: list[Row]
    best_first: list[Row]
    wanted: Wanted
    metrics: list[str]
    parameters: list[str]

    def job(self, row: Row) -> str:
        """The page of a job."""
        return f"{self.address}/jobs/{quote(row.name, safe='')}"

    def link(self, **changes: Any) -> str:
        """The address of this page with something else wanted."""
        return f"{self.address}{search(replace(self.wanted, **{'page': 1, **changes}))}"

    @property
    def best(self) -> Row | None:
        return self.best_first[0] if self.best_first else None


async def look_at(view: View, patience: float = _PATIENCE) -> Look:
    """Raises ArmError 404."""
    group, workspace, experiment = view.names
    body = await view.wire.get(view.wire.batchai(group, "workspaces", workspace, "experiments", experiment))
    rows = view.memory.of(AllJobRows).of(view.service, key_of(body["id"]), view.memory.of(MetricsReader))
    await rows.follow()
    await rows.read_metrics(patience if rows.unread <= _FEW else 0)
    everything = list(rows.rows.values())
    found = await asyncio.to_thread(_sorted_out, everything, Wanted.of(view.query))
    return Look(view, body, view.address(body["id"]), rows, everything, *found)


def _sorted_out(rows: list[Row], wanted: Wanted) -> tuple[list[Row], list[Row], Wanted, list[str], list[str]]:
    """In a thread: of very many rows this takes a while."""
    metrics, parameters = job_filter.metrics_of(rows), job_filter.parameters_of(rows)
    if wanted.metric not in metrics:
        wanted = replace(wanted, metric=job_filter.preferred(metrics), goal="")
    fit = job_filter.chosen(rows, wanted)
    return fit, job_filter.ranked(fit, wanted), wanted, metrics, parameters

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


@dataclass(frozen=True)
class Look:
    """What the page shows: `all` the jobs, those that `fit`, and in which order."""

    view: View
    body: dict[str, Any]
    address: str
    rows: JobRows
    all: list[Row]
    fit: list[Row]
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
        return next(iter(job_filter.ranked(self.fit, self.wanted)), None)


async def look_at(view: View, patience: float = _PATIENCE) -> Look:
    """Raises ArmError 404."""
    group, workspace, experiment = view.names
    body = await view.wire.get(view.wire.batchai(group, "workspaces", workspace, "experiments", experiment))
    rows = view.memory.of(AllJobRows).of(view.service, key_of(body["id"]), view.memory.of(MetricsReader))
    await rows.follow()
    await rows.read_metrics(patience)
    everything = list(rows.rows.values())
    metrics, parameters = job_filter.metrics_of(everything), job_filter.parameters_of(everything)
    wanted = Wanted.of(view.query)
    if wanted.metric not in metrics:
        wanted = replace(wanted, metric=job_filter.preferred(metrics), goal="")
    await asyncio.sleep(0)
    fit = job_filter.chosen(everything, wanted)
    return Look(view, body, view.address(body["id"]), rows, everything, fit, wanted, metrics, parameters)

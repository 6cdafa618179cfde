"""`job list -o table`: the columns of 2018, and where there is room when a job started, how long it ran, and why."""

from __future__ import annotations

import datetime
from typing import Any

from azext_batchai.command_line import report
from azext_batchai.jobs import why
from azext_batchai.jobs.state import duration
from azext_batchai.transport.arm import locate

Row = dict[str, Any]

_GAP = 2  # columns between two of a table
_TITLE = 2  # by which a column is wider than its title at least
_LEAST_WHY = 24


def table(plain: list[Row], jobs: list[Row], why_of: dict[str, str], width: int | None) -> list[Row]:
    """The rows of the plain table with more columns; the plain ones where they do not fit into `width`, None for any.

    `why_of`: id of a job -> why it waits or failed.
    """
    wide = [{**row, **_more(job, why_of)} for row, job in zip(plain, jobs, strict=True)]
    return plain if width is not None and not _fit(wide, width) else wide


def _more(job: Row, why_of: dict[str, str]) -> Row:
    info = job["executionInfo"] or {}
    start, end = _moment(info.get("startTime")), _moment(info.get("endTime"))
    now = datetime.datetime.now(datetime.timezone.utc)
    seconds = max(((end or now) - start).total_seconds(), 0) if start else None
    return {
        # An empty column would be left out of the table.
        "Started": start.astimezone().strftime("%Y-%m-%d %H:%M:%S") if start else " ",
        "Duration": " " if seconds is None else duration(seconds),
        "Why": why_of.get(job["id"]) or " ",
    }


def reasons(client: Any, jobs: list[Any]) -> dict[str, str]:
    """The id of each SDK Job that waits or has failed -> why. Asks for each cluster once."""
    clusters: dict[str, Any] = {}
    found = {}
    for job in jobs:
        cluster = None
        if job.execution_state == "queued":
            key = job.cluster.id.lower()
            if key not in clusters:
                clusters[key] = _cluster(client, job.cluster.id)
            cluster = clusters[key]
        found[job.id] = why.of_job(job, cluster, lambda: jobs)
    return found


def is_wide(cli_ctx: Any, asked: bool) -> bool:
    """Whether more is to be found out: for a table that somebody sees, or where it is asked for."""
    return cli_ctx.invocation.data["output"] == "table" and (asked or report.columns() is not None)


def _cluster(client: Any, cluster_id: str) -> Any:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return client.clusters.get(*locate(cluster_id, "", ""))
    except ResourceNotFoundError:
        return None


def _fit(rows: list[Row], width: int) -> bool:
    """Cut the reasons so that the table fits; False where too little would be left of them."""
    if not rows:
        return True
    others = [title for title in rows[0] if title != "Why"]
    used = sum(max(len(title) + _TITLE, *(len(str(row[title])) for row in rows)) + _GAP for title in others)
    room = width - used
    longest = max(len(row["Why"]) for row in rows)
    if room < min(longest, _LEAST_WHY):
        return False
    for row in rows:
        if len(row["Why"]) > room:
            row["Why"] = row["Why"][: room - 3] + "..."
    return True


def _moment(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None

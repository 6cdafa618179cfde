"""The jobs of an experiment as light rows in memory while somebody looks: 10,000 of them can be sorted and filtered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from azext_batchai.service import clock
from azext_batchai.service.background import Background
from azext_batchai.service.model import sweeps
from azext_batchai.service.service import Service
from azext_batchai.service.store import DamagedRecord, Record
from azext_batchai.service.ui import failures
from azext_batchai.service.ui.job_metrics import MetricsReader
from azext_batchai.service.ui.series import Summary

log = logging.getLogger(__name__)

PARAMETER = "PARAM_"  # before the name of a parameter, in capitals: the variable that has its value
_PIECE = 50  # records that are decoded before others get their turn
_KEPT_SECONDS = 120.0  # how long rows are kept that nobody looks at
_MOST_KEPT = 8  # experiments
_LOOK_SECONDS = 2.0  # between two looks at the metrics of a job that runs
_SETTLED_SECONDS = 5.0  # after its end a job's files are as they stay
_POINTS = 1000


@dataclass(slots=True)
class Row:
    """A job. Times are seconds since the epoch; `waits_like`: jobs that have the same wait for the same."""

    key: str
    resource_id: str
    seq: int
    name: str
    state: str
    created: float
    created_text: str
    started: float | None
    ended: float | None
    exit_code: int | None
    why: str
    waits_like: tuple[object, ...]
    parameters: dict[str, str]
    summaries: dict[str, Summary] = field(default_factory=dict)
    read_at: float | None = None  # when its metrics were read
    more: bool = False  # they have not been read to their end

    def duration(self, now: float) -> float | None:
        """Seconds; None for a job that has not begun."""
        if self.started is None:
            return None
        return max((now if self.ended is None else self.ended) - self.started, 0.0)

    @property
    def settled(self) -> bool:
        """Whether what is known of it stays as it is."""
        if self.ended is None:
            return self.state == "queued"
        return self.read_at is not None and not self.more and self.read_at >= self.ended + _SETTLED_SECONDS

    def due(self, now: float) -> bool:
        """Whether there may be metrics that were not read yet."""
        if self.started is None:
            return False
        if self.read_at is None or self.more:
            return True
        if self.ended is not None:
            return self.read_at < self.ended + _SETTLED_SECONDS <= now
        return self.read_at + _LOOK_SECONDS <= now


def row_of(record: Record) -> Row:
    """A job's record as a row."""
    properties = record.properties
    info = properties.get("executionInfo") or {}
    state = properties["executionState"]
    variables = properties.get("environmentVariables", ())
    return Row(
        key=record.key,
        resource_id=record.body["id"],
        seq=record.seq,
        name=record.name,
        state=state,
        created=_seconds(properties["creationTime"]),
        created_text=properties["creationTime"],
        started=_seconds(info["startTime"]) if "startTime" in info else None,
        ended=_seconds(info["endTime"]) if "endTime" in info else None,
        exit_code=info.get("exitCode"),
        why=failures.line(properties) if state == "failed" else "",
        waits_like=(
            record.internal.get("cluster"),
            properties["nodeCount"],
            sweeps.limit_of(record),
            record.internal.get("requeued"),
        ),
        parameters={
            one["name"].removeprefix(PARAMETER).lower(): str(one.get("value", ""))
            for one in variables
            if one["name"].startswith(PARAMETER)
        },
    )


def _seconds(text: str) -> float:
    return clock.parse_wire_time(text).timestamp()


class JobRows:
    """The rows of one experiment, kept as the state is."""

    def __init__(self, service: Service, experiment: str, reader: MetricsReader) -> None:
        self.rows: dict[str, Row] = {}
        self.used = clock.monotonic()
        self._service = service
        self._experiment = experiment
        self._below = f"{experiment}/jobs/"
        self._reader = reader
        self._changed: set[str] = set()
        self._loaded = False
        self._lock = asyncio.Lock()
        self._watch = ExitStack()
        self._watch.enter_context(service.store.watched_by(self._note))
        self._background = Background(f"metrics of {experiment}")
        self._reading: asyncio.Task[None] | None = None

    def _note(self, keys: set[str]) -> None:
        self._changed.update(key for key in keys if key.startswith(self._below))

    async def follow(self) -> None:
        """Make the rows those of the state; others get their turn meanwhile."""
        self.used = clock.monotonic()
        async with self._lock:
            if not self._loaded:
                await self._load()
                self._loaded = True
            changed, self._changed = self._changed, set()
            for number, key in enumerate(changed):
                if number % _PIECE == _PIECE - 1:
                    await asyncio.sleep(0)
                try:
                    record = self._service.store.get(key)
                except DamagedRecord:
                    record = None
                self._put(key, record)

    async def _load(self) -> None:
        after = 0
        while True:
            records = self._service.store.children(self._experiment, "job", after, _PIECE)
            for record in records:
                self._put(record.key, record)
            if len(records) < _PIECE:
                return
            after = records[-1].seq
            await asyncio.sleep(0)

    def _put(self, key: str, record: Record | None) -> None:
        if not record or record.kind != "job":
            self.rows.pop(key, None)
            return
        row, old = row_of(record), self.rows.get(key)
        if old and old.seq == row.seq:  # the same job, not another one of its name
            row.summaries, row.read_at, row.more = old.summaries, old.read_at, old.more
        self.rows[key] = row

    async def read_metrics(self, seconds: float) -> None:
        """Have the metrics read of the jobs that may have new ones; wait for that no longer than `seconds`."""
        if not self._reading or self._reading.done():
            if not any(row.due(clock.epoch()) for row in self.rows.values()):
                return
            self._reading = self._background.spawn(self._read_all())
        await asyncio.wait({self._reading}, timeout=seconds)

    @property
    def unread(self) -> int:
        """Jobs whose metrics have not been read to their end."""
        return sum(row.started is not None and (row.read_at is None or row.more) for row in self.rows.values())

    async def _read_all(self) -> None:
        """Until there is nothing more to read, or nobody looks."""
        while due := [row.key for row in self.rows.values() if row.due(clock.epoch())]:
            for key in due:
                if clock.monotonic() - self.used > _KEPT_SECONDS:
                    return
                await self._read(key)
            # What runs goes on growing: it is looked at again when the page is.
            if not any(row.read_at is None or row.more for row in self._due()):
                return

    def _due(self) -> Iterator[Row]:
        now = clock.epoch()
        return (row for row in self.rows.values() if row.due(now))

    async def _read(self, key: str) -> None:
        now = clock.epoch()
        try:
            record = self._service.store.get(key)
        except DamagedRecord:
            record = None
        row = self.rows.get(key)
        if not row or not record:
            self.rows.pop(key, None)
            return
        row.read_at = now  # what cannot be read is not tried again and again
        found = await self._reader.read(self._service, record, _POINTS)
        row = self.rows.get(key, row)  # it may have been put anew meanwhile
        row.summaries = {name: Summary.of(points) for name, points in found.metrics.items()}
        row.read_at, row.more = now, found.reading
        if row.settled:
            self._reader.forget(key)

    def close(self) -> None:
        self._watch.close()
        self._background.cancel()


class AllJobRows:
    """The rows of the experiments that are looked at; those that nobody looks at any more are forgotten."""

    def __init__(self) -> None:
        self._kept: dict[str, JobRows] = {}
        self._timer: asyncio.TimerHandle | None = None

    def of(self, service: Service, experiment: str, reader: MetricsReader) -> JobRows:
        if experiment not in self._kept:
            while len(self._kept) >= _MOST_KEPT:
                self._forget(min(self._kept, key=lambda key: self._kept[key].used))
            self._kept[experiment] = JobRows(service, experiment, reader)
        if not self._timer:
            self._timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._tidy)
        return self._kept[experiment]

    def _tidy(self) -> None:
        self._timer = None
        for key in [key for key, rows in self._kept.items() if clock.monotonic() - rows.used > _KEPT_SECONDS]:
            self._forget(key)
        if self._kept:
            self._timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._tidy)

    def _forget(self, key: str) -> None:
        self._kept.pop(key).close()

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        for key in list(self._kept):
            self._forget(key)

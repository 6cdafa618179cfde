"""The jobs of an experiment in memory: as the state has them, and only while somebody looks."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from azext_batchai.service import clock
from azext_batchai.service.store import Record, Store
from azext_batchai.service.ui import job_rows
from azext_batchai.service.ui.job_metrics import Found, MetricsReader
from azext_batchai.service.ui.job_rows import AllJobRows, JobRows

pytestmark = pytest.mark.invented
NOW = clock.wire_now()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Any]:
    store = Store(tmp_path / "state.db")
    yield SimpleNamespace(store=store)
    store.close()


class Reader(MetricsReader):
    """Notes which jobs are read; each has one metric."""

    def __init__(self) -> None:
        super().__init__()
        self.read_jobs: list[str] = []

    async def read(self, service: Any, record: Record, most: int, piece: int = 0) -> Found:
        self.read_jobs.append(record.name)
        return Found({"loss": [(0.0, float(len(self.read_jobs)))]})


def job(name: str, experiment: str = "/exp", **properties: Any) -> Record:
    variables = [{"name": "PARAM_LR", "value": "0.1"}, {"name": "OTHER", "value": "x"}]
    usual = {
        "executionState": "queued",
        "executionStateTransitionTime": NOW,
        "creationTime": NOW,
        "nodeCount": 1,
        "schedulingPriority": "normal",
        "constraints": {"maxWallClockTime": "P7D"},
        "cluster": {"id": "/cluster"},
        "jobOutputDirectoryPathSegment": "segment",
        "stdOutErrPathPrefix": "/out",
        "environmentVariables": variables,
    }
    internal = {
        "cluster": "/cluster",
        "attempt": 0,
        "nodes": [],
        "fingerprint": "",
        "engine": "local",
        "limited": False,
        "started": clock.Moment.now().stored(),
    }
    body: dict[str, Any] = {"id": f"{experiment}/jobs/{name}", "name": name, "properties": {**usual, **properties}}
    return Record(body["id"], "job", experiment, body, internal)


def ended(exit_code: int = 0) -> dict[str, Any]:
    info = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:01:30Z", "exitCode": exit_code}
    return {"executionState": "failed" if exit_code else "succeeded", "executionInfo": info}


def put(service: Any, *records: Record) -> None:
    with service.store.transaction():
        for record in records:
            service.store.add(record)


def test_rows_follow_the_state(service: Any) -> None:
    async def story() -> None:
        many = [job(f"job{number}") for number in range(3 * job_rows._PIECE)]
        put(service, *many, job("other", "/exp2"))
        rows = JobRows(service, "/exp", Reader())
        await rows.follow()
        assert [row.name for row in rows.rows.values()] == [record.name for record in many]
        first = rows.rows["/exp/jobs/job0"]
        assert (first.parameters, first.state, first.duration(0.0)) == ({"lr": "0.1"}, "queued", None)
        many[0].properties.update(ended(3))
        with service.store.transaction():
            service.store.update(many[0])
            service.store.remove(many[1].key)
        put(service, job("new"))
        await rows.follow()
        assert "/exp/jobs/job1" not in rows.rows and "/exp/jobs/new" in rows.rows
        changed = rows.rows["/exp/jobs/job0"]
        assert (changed.exit_code, changed.why, changed.duration(0.0)) == (3, "exit code 3", 90.0)
        rows.close()
        assert service.store._watchers == []

    asyncio.run(story())


def test_metrics_are_read_once_of_what_has_ended_and_never_of_what_waits(service: Any) -> None:
    async def story() -> None:
        running = {"executionState": "running", "executionInfo": {"startTime": NOW}}
        put(service, job("ended", **ended()), job("waits"), job("runs", **running))
        reader = Reader()
        rows = JobRows(service, "/exp", reader)
        await rows.follow()
        assert rows.unread == 2
        await rows.read_metrics(10)
        await rows.read_metrics(10)
        assert sorted(reader.read_jobs) == ["ended", "runs"] and rows.unread == 0
        assert rows.rows["/exp/jobs/ended"].settled and not rows.rows["/exp/jobs/runs"].settled
        rows.rows["/exp/jobs/runs"].read_at = 0.0  # long ago
        await rows.read_metrics(10)
        assert sorted(reader.read_jobs) == ["ended", "runs", "runs"]
        rows.close()

    asyncio.run(story())


def test_another_job_of_the_same_name_has_its_own_metrics(service: Any) -> None:
    async def story() -> None:
        put(service, job("one", **ended()))
        rows = JobRows(service, "/exp", Reader())
        await rows.follow()
        await rows.read_metrics(10)
        assert rows.rows["/exp/jobs/one"].summaries
        with service.store.transaction():
            service.store.remove("/exp/jobs/one")
        put(service, job("one"))
        await rows.follow()
        assert not rows.rows["/exp/jobs/one"].summaries
        rows.close()

    asyncio.run(story())


def test_nothing_is_kept_of_what_nobody_looks_at(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        everything = AllJobRows()
        for number in range(job_rows._MOST_KEPT + 3):
            await everything.of(service, f"/exp{number}", Reader()).follow()
        assert len(service.store._watchers) == job_rows._MOST_KEPT
        kept = everything.of(service, "/last", Reader())
        assert everything.of(service, "/last", Reader()) is kept
        monkeypatch.setattr(job_rows, "_KEPT_SECONDS", -1.0)
        everything._tidy()
        assert service.store._watchers == []
        everything.close()

    asyncio.run(story())

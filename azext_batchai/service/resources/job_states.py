"""A job's states, and the only place that changes them (wire.md 3.2).

queued -> running -> (terminating ->) succeeded | failed | queued again
"""

from __future__ import annotations

from azext_batchai.service.clock import parse_duration, parse_wire_time, utc_now, wire_now
from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import JobOutcome, TaskError
from azext_batchai.service.store import Record

ENDED = ("succeeded", "failed")

# Why a running job is being stopped, kept in its record so that a restart does not forget it.
TERMINATE, REQUEUE, TIME_OUT = "terminate", "requeue", "timeout"


def mark_running(service: Service, key: str, node_ids: list[str]) -> Record:
    record = _load(service, key)
    now = wire_now()
    record.internal["nodes"] = node_ids
    record.internal["attempt"] += 1
    record.properties["executionInfo"] = {"startTime": now}
    return _enter(service, record, "running", now)


def intend(service: Service, key: str, intent: str) -> None:
    """Note why a job is being stopped; the first reason stays, except that a termination outdoes a requeue."""
    record = _load(service, key)
    if record.internal.get("intent") in (None, REQUEUE):
        record.internal["intent"] = intent
        if record.properties["executionState"] == "running" and intent != REQUEUE:
            _enter(service, record, "terminating", wire_now())
        else:
            with service.store.transaction():
                service.store.update(record, touch=False)


def finish(service: Service, key: str, outcome: JobOutcome) -> Record | None:
    """The end of a run: what it becomes depends on the outcome and on why it was stopped (wire.md 3.2)."""
    record = service.store.get(key)
    if not record:
        return None
    now = wire_now()
    intent = record.internal.pop("intent", None)
    record.internal["nodes"] = []
    if intent == REQUEUE and not record.internal.get("deleting"):
        record.properties.pop("executionInfo", None)
        return _enter(service, record, "queued", now)
    info = record.properties.setdefault("executionInfo", {"startTime": now})
    info["endTime"] = now
    error = outcome.error
    if intent in (TERMINATE, REQUEUE):
        error = TaskError("JobTerminated", "The specified job has been terminated by the user")
    elif intent == TIME_OUT:
        limit = record.properties["constraints"]["maxWallClockTime"]
        error = TaskError("JobTimedOut", f"The job ran longer than its maxWallClockTime {limit}")
    elif outcome.exit_code is not None:
        info["exitCode"] = outcome.exit_code
        if outcome.exit_code != 0 and not error:
            error = TaskError("JobFailed", "Job failed with non-zero exit code")
    if error:
        info["errors"] = [error.body()]
    with service.store.transaction(durable=False):
        service.store.forget_secrets(key)
        return _enter(service, record, "failed" if error else "succeeded", now)


def _enter(service: Service, record: Record, state: str, now: str) -> Record:
    record.properties["executionState"] = state
    record.properties["executionStateTransitionTime"] = now
    if "executionInfo" in record.properties:  # it stands last on the wire
        record.properties["executionInfo"] = record.properties.pop("executionInfo")
    with service.store.transaction(durable=False):
        service.store.update(record, touch=False)
    return record


def _load(service: Service, key: str) -> Record:
    record = service.store.get(key)
    assert record, key
    return record


def remaining_seconds(record: Record) -> float:
    """How long a job may still run under its maxWallClockTime."""
    limit = parse_duration(record.properties["constraints"]["maxWallClockTime"])
    return max(limit.total_seconds() - elapsed_seconds(record), 0.0)


def elapsed_seconds(record: Record) -> float:
    """How long a job has been running."""
    return (utc_now() - parse_wire_time(record.properties["executionInfo"]["startTime"])).total_seconds()

"""A job's states, and the only place that changes them (wire.md 3.2).

queued -> running -> (terminating ->) succeeded | failed | queued again
"""

from __future__ import annotations

from collections.abc import Sequence

from azext_batchai.service import clock
from azext_batchai.service.clock import wire_now
from azext_batchai.service.engine.base import JobOutcome, TaskError
from azext_batchai.service.model import parents
from azext_batchai.service.state import State
from azext_batchai.service.store import Record

ENDED = ("succeeded", "failed")

# From which states a job may come into each.
_BEFORE = {
    "queued": ("running", "terminating"),
    "running": ("queued",),
    "terminating": ("running",),
    "succeeded": ("running", "terminating"),
    "failed": ("queued", "running", "terminating"),
}

# Why a running job is being stopped, kept in its record so that a restart does not forget it.
TERMINATE, REQUEUE, TIME_OUT = "terminate", "requeue", "timeout"
REQUEUE_ON_REBOOT = "AZ_BATCHAI_REQUEUE_ON_REBOOT"  # a job's own variable, which outdoes the service's setting


def mark_running(state: State, key: str, node_ids: Sequence[str]) -> Record | None:
    """A queued job has got its nodes; None where it does not wait any more, or is being deleted."""
    record = state.store.get(key)
    if not record or record.properties["executionState"] != "queued":
        return None
    if record.internal.get("deleting") or parents.under_deletion(state, record.parent):
        return None
    now = wire_now()
    record.internal["nodes"] = list(node_ids)
    record.internal["attempt"] += 1
    record.internal["started"] = clock.Moment.now().stored()
    record.internal.pop("ports", None)
    record.properties["executionInfo"] = {"startTime": now}
    return _enter(state, record, "running", now)


def note_ports(state: State, key: str, ports: Sequence[int]) -> None:
    """Remember the ports of this attempt's processes: a restarted service must tell the same ones."""
    record = _load(state, key)
    record.internal["ports"] = list(ports)
    with state.store.transaction(durable=False):
        state.store.update(record, touch=False)


def note_operation(state: State, key: str, operation: str) -> None:
    """Remember the operation that ends when the job has been terminated; call it in a transaction."""
    record = _load(state, key)
    record.internal["terminating"] = operation
    state.store.update(record, touch=False)


def intend(state: State, key: str, intent: str, reason: str = "") -> None:
    """Note why a running job is being stopped; the first intent stays, except that a termination outdoes a requeue.

    `reason` is what the user is told where the job is to run again. A job that does not run any more is left alone.
    """
    record = state.store.get(key)
    if not record or record.properties["executionState"] not in ("running", "terminating"):
        return
    if record.internal.get("intent") not in (None, REQUEUE):
        return
    if intent == REQUEUE and record.internal.get("intent") == REQUEUE:
        return
    record.internal["intent"] = intent
    if intent == REQUEUE:
        record.internal["requeued"] = reason
        with state.store.transaction():
            state.store.update(record, touch=False)
    else:
        _enter(state, record, "terminating", wire_now(), durable=True)


def finish(state: State, key: str, outcome: JobOutcome) -> Record | None:
    """The end of a run: what it becomes depends on the outcome and on why it was stopped (wire.md 3.2)."""
    record = state.store.get(key)
    if not record:
        return None
    now = wire_now()
    intent = record.internal.pop("intent", None)
    record.internal["nodes"] = []
    if intent == REQUEUE:
        record.properties.pop("executionInfo", None)
        return _enter(state, record, "queued", now)
    info = record.properties.setdefault("executionInfo", {"startTime": now})
    info["endTime"] = now
    error = outcome.error
    if intent == TERMINATE:
        error = _terminated()
    elif intent == TIME_OUT:
        limit = record.properties["constraints"]["maxWallClockTime"]
        error = TaskError("JobTimedOut", f"The job ran longer than its maxWallClockTime {limit}")
    elif outcome.exit_code is not None:
        info["exitCode"] = outcome.exit_code
        if outcome.exit_code != 0 and not error:
            error = TaskError("JobFailed", "Job failed with non-zero exit code")
    if error:
        info["errors"] = [error.body()]
    return _end(state, record, "failed" if error else "succeeded", now)


def requeue_on_reboot(record: Record) -> bool | None:
    """What the job says of being queued again when its machine was started anew; None where it says nothing."""
    for variable in record.properties.get("environmentVariables", ()):
        if variable["name"] == REQUEUE_ON_REBOOT:
            return str(variable["value"]).strip().lower() in ("1", "true", "yes", "on")
    return None


def terminate_queued(state: State, key: str) -> None:
    """A job that waits ends at once; call it in the transaction that acknowledges it."""
    record = _load(state, key)
    now = wire_now()
    record.properties["executionInfo"] = {"startTime": now, "endTime": now, "errors": [_terminated().body()]}
    _end(state, record, "failed", now)


def _terminated() -> TaskError:
    return TaskError("JobTerminated", "The specified job has been terminated by the user")


def _end(state: State, record: Record, execution_state: str, now: str) -> Record:
    with state.store.transaction(durable=False):
        if record.internal.get("sealed", True):  # older services did not say so
            state.store.forget_secrets(record.key)
        return _enter(state, record, execution_state, now)


def _enter(state: State, record: Record, execution_state: str, now: str, durable: bool = False) -> Record:
    before = record.properties["executionState"]
    if before not in _BEFORE[execution_state]:
        raise ValueError(f"{record.key} is {before} and cannot become {execution_state}")
    record.properties["executionState"] = execution_state
    record.properties["executionStateTransitionTime"] = now
    with state.store.transaction(durable):
        state.store.update(record, touch=False)
    return record


def _load(state: State, key: str) -> Record:
    record = state.store.get(key)
    assert record, key
    return record


def time_limit(record: Record) -> float:
    """maxWallClockTime in seconds."""
    return clock.parse_duration(record.properties["constraints"]["maxWallClockTime"]).total_seconds()


def elapsed_seconds(record: Record) -> float:
    """How long a job has been running, whatever was done to the clock meanwhile."""
    return clock.Moment.of(record.internal["started"]).age()


def remaining_seconds(record: Record) -> float:
    """How long a job may still run under its maxWallClockTime."""
    return max(time_limit(record) - elapsed_seconds(record), 0.0)

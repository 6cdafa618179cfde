"""Why a job waits, in one line."""

from __future__ import annotations

from azext_batchai.service.control.controller import ClusterController
from azext_batchai.service.control.scheduler import capacity_of
from azext_batchai.service.model import sweeps
from azext_batchai.service.model.node_states import ALLOCATING, IDLE, PREPARING, RUNNING, UNUSABLE
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record


def reason(service: Service, job: Record) -> str:
    """'' for a job that does not wait."""
    if job.properties["executionState"] != "queued":
        return ""
    controller = service.fleet.get(job.internal["cluster"])
    if not controller:
        return "its cluster is gone"
    again = job.internal.get("requeued")
    return f"{_lack(service, controller, job)}{f' (queued again: {again})' if again else ''}"


def _lack(service: Service, controller: ClusterController, job: Record) -> str:
    cluster = service.store.get(controller.key)
    name = cluster.name if cluster else "its cluster"
    wanted = int(job.properties["nodeCount"])
    most = capacity_of(cluster.properties["scaleSettings"]) if cluster else wanted
    if wanted > most:
        return f"it needs {_nodes(wanted)}, and {name} is set to {most} at most"
    states = [node.state for node in controller.nodes]
    if states.count(UNUSABLE):
        errors = controller.nodes.errors()
        why = f": {errors[0]['message']}" if errors else ""
        return f"{name} has {_nodes(states.count(UNUSABLE), 'unusable ')}{why}"
    sweep, limit = sweeps.limit_of(job)
    if sweep:
        running = controller.running_of_sweeps()[sweep]
        if running >= limit:
            return f"its sweep runs {limit} jobs at once, and {running} are running"
    pending = [str(error["message"]) for error in controller.nodes.errors()]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in (IDLE, ALLOCATING, PREPARING, RUNNING) if states.count(state)
    )
    has = f"{name} has {counts or 'no node yet'}"
    return f"it needs {_nodes(wanted, 'idle ')}, and {has}{': ' + pending[0] if pending else ''}"


def _nodes(number: int, state: str = "") -> str:
    return f"{number} {state}node{'' if number == 1 else 's'}"

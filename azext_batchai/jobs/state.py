"""What the state of a job means to the person who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from azext_batchai.command_line.exit_status import ExitStatus, of_code
from azext_batchai.transport.arm import locate

FINISHED = ("succeeded", "failed")
_GONE = "its cluster is gone"
_ON_NODES = ("running", "terminating")
# Variables of a job that the embedded service heeds; in Azure they are variables like any other.
SWEEP, MAX_RUNNING = "AZ_BATCHAI_SWEEP", "AZ_BATCHAI_SWEEP_MAX_RUNNING"


def exit_status(job: Any) -> int:
    """The exit status of `az batchai job wait`: the job's own; 1 for a failure that has none (say, terminated)."""
    code = job.execution_info.exit_code if job.execution_info else None
    if code is None:
        return ExitStatus.DONE if job.execution_state == "succeeded" else ExitStatus.FAILED
    return of_code(int(code))


def describe(job: Any) -> str:
    """One line on how a finished job ended."""
    info = job.execution_info
    if job.execution_state == "succeeded":
        return f"Job {job.name} succeeded{after(job)}."
    code = info.exit_code if info else None
    with_code = "" if code is None else f" with exit code {code}"
    reasons = "; ".join(_error_text(error) for error in (info.errors if info else None) or [])
    return f"Job {job.name} failed{with_code}{after(job)}{': ' + reasons if reasons else '.'}"


def after(job: Any) -> str:
    """How long a finished job ran, as ` after 5 s`; '' for one that never ran."""
    info = job.execution_info
    if not info or not info.start_time or not info.end_time:
        return ""
    return f" after {duration((info.end_time - info.start_time).total_seconds())}"


def queue_reason(client: Any, job: Any) -> str:
    """Why the job is not running yet, from the state of its cluster; '' where that says nothing."""
    from azure.core.exceptions import HttpResponseError

    try:
        cluster = client.clusters.get(*locate(job.cluster.id, "", ""))
    except HttpResponseError as error:
        return _GONE if error.status_code == 404 else ""
    return queue_reason_on(cluster, job, others=lambda: of_its_experiment(client, job))


def queue_reason_on(cluster: Any, job: Any, brief: bool = False, others: Callable[[], Iterable[Any]] = tuple) -> str:
    """Why the job is not running yet on this SDK Cluster, None where that is gone; `brief`: without all details.

    `others` are the SDK Jobs of its experiment, asked for where it is of a sweep.
    """
    if cluster is None:
        return _GONE
    counts = cluster.node_state_counts
    needed = job.node_count or 1
    most = most_nodes(cluster.scale_settings)
    if most is not None and most < needed:
        return f"it needs {_nodes(needed)}, and cluster {cluster.name} is set to {most} at most"
    if not counts:
        return ""
    if counts.unusable_node_count:
        text = brief_error if brief else _error_text
        why = "; ".join(dict.fromkeys(text(error) for error in cluster.errors or []))
        unusable = _nodes(counts.unusable_node_count, "unusable ")
        return f"cluster {cluster.name} has {unusable}{': ' + why if why else ''}"
    return _sweep_reason(job, others) or (
        f"it needs {_nodes(needed, 'idle ')}, and cluster {cluster.name} has {counts.idle_node_count} idle, "
        f"{counts.preparing_node_count} preparing, {counts.running_node_count} running"
    )


def _sweep_reason(job: Any, others: Callable[[], Iterable[Any]]) -> str:
    """Whether as many jobs of its sweep run as may (docs/job.md); '' where it waits for something else."""
    sweep, most = sweep_of(job)
    if not most:
        return ""
    running = sum(other.execution_state in _ON_NODES and sweep_of(other)[0] == sweep for other in others())
    return f"its sweep runs {most} jobs at once, and {running} are running" if running >= most else ""


def of_its_experiment(client: Any, job: Any) -> Iterable[Any]:
    """The SDK Jobs beside this one."""
    from azure.mgmt.core.tools import parse_resource_id

    place = parse_resource_id(job.id)
    found: Iterable[Any] = client.jobs.list_by_experiment(place["resource_group"], place["name"], place["child_name_1"])
    return found


def sweep_of(job: Any) -> tuple[str, int]:
    """The sweep of an SDK Job and how many of its jobs run at once, 0 for no limit, as its variables say."""
    values = {entry.name: str(entry.value) for entry in job.environment_variables or []}
    most = values.get(MAX_RUNNING, "")
    return values.get(SWEEP, ""), int(most) if values.get(SWEEP) and most.isdecimal() else 0


def _nodes(number: int, state: str = "") -> str:
    return f"{number} {state}node{'' if number == 1 else 's'}"


def most_nodes(scale: Any) -> int | None:
    """How many nodes a cluster of these SDK ScaleSettings has at most."""
    if scale and scale.manual:
        return int(scale.manual.target_node_count)
    if scale and scale.auto_scale:
        return int(scale.auto_scale.maximum_node_count)
    return None


def brief_error(error: Any) -> str:
    """The message of an SDK BatchAIError with the one line that tells most."""
    details = {detail.name: detail.value for detail in error.details or []}
    lines = (details.get("Info") or details.get("StdErr") or "").strip().splitlines()
    return f"{error.message or error.code}{': ' + lines[-1] if lines else ''}"


def _error_text(error: Any) -> str:
    details = ", ".join(f"{detail.name}: {detail.value}" for detail in error.details or [])
    return f"{error.message or error.code}{f' ({details})' if details else ''}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"

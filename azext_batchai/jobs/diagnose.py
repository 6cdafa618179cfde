"""What is known about a job, put together: how it stands, why, what it said last, what to type next."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable
from typing import Any

from azext_batchai.clusters import diagnose as of_clusters
from azext_batchai.formats.last_words import own_text
from azext_batchai.jobs import ranks
from azext_batchai.jobs.logs import last_lines
from azext_batchai.jobs.state import FINISHED, after, describe, duration, of_its_experiment, queue_reason_on
from azext_batchai.jobs.stream import JobFile
from azext_batchai.jobs.why import Failure
from azext_batchai.transport.arm import locate

_LINES = 10  # of each file
_READ = 40  # of which some may be mpirun's
_FILES = 4


def examine(client: Any, names: tuple[str, str, str, str]) -> dict[str, Any]:
    """`names`: of resource group, workspace, experiment and job. Raises ResourceNotFoundError."""
    job = client.jobs.get(*names)
    cluster = _cluster(client, job.cluster.id)
    failure = Failure.of(job)
    queued = job.execution_state == "queued"
    found: dict[str, Any] = {
        "job": job.name,
        "state": job.execution_state,
        "summary": _summary(job, cluster, lambda: of_its_experiment(client, job)),
        "failure": _failure(failure) if failure else None,
        "nodes": [] if queued or job.execution_state in FINISHED else _nodes(client, names),
        "output": [] if queued else _output(client, names, job, failure),
        "cluster": None,
    }
    if cluster is not None and (queued or cluster.errors):
        found["cluster"] = of_clusters.examine(client, cluster, locate(job.cluster.id, "", ""))
    found["next"] = _next(found, names, job, cluster)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The same, to be read."""
    text = [found["summary"]]
    failure = found["failure"] or {}
    for title in ("rank", "node", "signal", "info"):
        if failure.get(title):
            text.append(f"  {title.capitalize()}: {failure[title]}")
    for node in found["nodes"]:
        text.append(f"  Node: {node}")
    for file in found["output"]:
        age = "" if found["state"] in FINISHED else _age(file)
        text += ["", f"{file['name']}{age}:", *(f"    {line}" for line in file["lastLines"])]
    if found["cluster"]:
        # What to type for the cluster stands with the rest at the end.
        text += ["", *of_clusters.lines({**found["cluster"], "next": []})]
    return [*text, *of_clusters.next_lines(found["next"])]


def _summary(job: Any, cluster: Any, others: Callable[[], Iterable[Any]]) -> str:
    what = f"Job {job.name} ({job.tool_type}, {job.node_count} node{'' if job.node_count == 1 else 's'})"
    if job.execution_state == "queued":
        reason = queue_reason_on(cluster, job, brief=True, others=others)
        return f"{what} is queued{': ' + reason if reason else ''}."
    if job.execution_state == "failed":
        failure = Failure.of(job)
        assert failure
        message = "" if failure.code == "JobFailed" or failure.message in failure.line else f" ({failure.message})"
        return f"{what} failed{after(job)}: {failure.line.rstrip('.')}{message}."
    if job.execution_state in FINISHED:
        return describe(job)
    info = job.execution_info
    since = ""
    if info and info.start_time:
        now = datetime.datetime.now(datetime.timezone.utc)
        since = f" for {duration(max((now - info.start_time).total_seconds(), 0))}"
    return f"{what} is {job.execution_state}{since} on cluster {cluster.name if cluster is not None else '?'}."


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "code": failure.code,
        "message": failure.message,
        "exitCode": failure.exit_code,
        "signal": failure.signal,
        "rank": failure.rank,
        "node": failure.node,
        "info": failure.info,
    }


def _output(client: Any, names: tuple[str, ...], job: Any, failure: Failure | None) -> list[dict[str, Any]]:
    """The last lines of the files that tell most: those of the rank that failed, else what was written last."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.mgmt.batchai import models

    def listing() -> list[Any]:
        options = models.JobsListOutputFilesOptions(outputdirectoryid="stdouterr")
        return list(client.jobs.list_output_files(*names, options))

    try:
        there = {file.name: file for file in listing() if file.download_url and file.content_length}
    except ResourceNotFoundError:  # the folder is not there yet
        return []
    chosen = _telling(there, failure)
    return [
        {
            "name": name,
            "modified": there[name].last_modified.isoformat() if there[name].last_modified else None,
            "lastLines": _last_lines(JobFile(name, listing, lambda: job), there[name]),
        }
        for name in chosen
    ]


def _last_lines(file: JobFile, listed: Any) -> list[str]:
    read = last_lines(file, listed.content_length, _READ, listed.download_url)
    return own_text("\n".join(read)).splitlines()[-_LINES:]


def _telling(there: dict[str, Any], failure: Failure | None) -> list[str]:
    rank = failure.rank if failure else ""
    own = [ranks.file_of(stream, rank) for stream in (ranks.STDERR, ranks.STDOUT)] if rank else []
    if failure and failure.code == "JobPreparationFailed":
        own = [name for name in there if "job_prep" in name]
    files = [name for name in own if name in there]
    if not files:
        outputs = [name for name in there if ranks.is_output(name)]
        files = sorted(outputs, key=lambda name: str(there[name].last_modified), reverse=True)[:_FILES]
    if failure:  # where nothing of the job's own tells, the service's log of it does
        node_log = f"execution-{failure.node}.log"
        logs = [name for name in there if name.startswith("execution")]
        files += ([node_log] if node_log in there else logs)[:1]
    return files


def _nodes(client: Any, names: tuple[str, ...]) -> list[str]:
    from azure.core.exceptions import AzureError

    with contextlib.suppress(AzureError):
        return [node.node_id for node in client.jobs.list_remote_login_information(*names)]
    return []


def _next(found: dict[str, Any], names: tuple[str, ...], job: Any, cluster: Any) -> list[str]:
    in_experiment = f"-g {names[0]} -w {names[1]} -e {names[2]}"
    of_job = f"{in_experiment} -n {names[3]}"
    if found["state"] == "queued":
        if cluster is None:
            return [f"az batchai job resubmit {of_job} -c ANOTHER_CLUSTER"]
        return _for_cluster(found, job, cluster)
    if found["state"] == "failed":
        rank = found["failure"]["rank"]
        rank = f" --rank {rank}" if rank in ranks.ranks(job) and rank else ""
        commands = [f"az batchai job logs {of_job}{rank}{' --stderr' if rank else ''}"]
        if not found["output"]:
            commands = [f"az batchai job file list {in_experiment} -j {names[3]} -o table"]
        return [*commands, f"az batchai job resubmit {of_job}   # run it once more"]
    if found["state"] == "succeeded":
        return [f"az batchai job file list {in_experiment} -j {names[3]} -o table"]
    return [
        f"az batchai job logs {of_job} --follow",
        f"az batchai job node ssh {in_experiment} -j {names[3]}",
    ]


def _for_cluster(found: dict[str, Any], job: Any, cluster: Any) -> list[str]:
    group, workspace, name = locate(job.cluster.id, "", "")
    commands = list(found["cluster"]["next"]) if found["cluster"] else []
    settings, needed = cluster.scale_settings, job.node_count or 1
    of_cluster = f"-g {group} -w {workspace} -n {name}"
    if settings and settings.manual and settings.manual.target_node_count < needed:
        commands = [f"az batchai cluster resize {of_cluster} --target {needed}"]
    elif settings and settings.auto_scale and settings.auto_scale.maximum_node_count < needed:
        low = settings.auto_scale.minimum_node_count
        commands = [f"az batchai cluster auto-scale {of_cluster} --min {low} --max {needed}"]
    return commands or [f"az batchai cluster show {of_cluster} -o table"]


def _cluster(client: Any, cluster_id: str) -> Any:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return client.clusters.get(*locate(cluster_id, "", ""))
    except ResourceNotFoundError:
        return None


def _age(file: dict[str, Any]) -> str:
    if not file["modified"]:
        return ""
    now = datetime.datetime.now(datetime.timezone.utc)
    seconds = (now - datetime.datetime.fromisoformat(file["modified"])).total_seconds()
    return f" (last written {duration(max(seconds, 0))} ago)"

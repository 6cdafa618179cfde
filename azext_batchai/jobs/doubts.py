"""What a job may lack on this machine: its scripts, a container runtime, mpirun, its Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from azext_batchai import _client_factory as clients
from azext_batchai.jobs.checks import TOOLKITS


@dataclass
class Doubts:
    """Sentences. `certain`: the job would fail now; `perhaps`: it may mend that itself, or it is only worth knowing."""

    certain: list[str] = field(default_factory=list)
    perhaps: list[str] = field(default_factory=list)

    def add(self, lines: list[str], unless: str = "") -> None:
        if unless:
            self.perhaps += [f"{line}, unless {unless}." for line in lines]
        else:
            self.certain += [f"{line}." for line in lines]


def of(cli_ctx: Any, client: Any, job: Any, cluster: Any) -> Doubts:
    """Those of an SDK job on an SDK Cluster; none where the service is elsewhere, whose machine az does not see."""
    from azext_batchai.jobs import scripts

    found = Doubts()
    if not clients.is_local(cli_ctx):
        return found
    properties = job.serialize()["properties"]
    settings_of = {key: properties[key] for key in TOOLKITS.values() if isinstance(properties.get(key), dict)}
    preparation = bool(job.job_preparation)
    found.add(scripts.missing(client, job, cluster, settings_of), "job preparation makes it" if preparation else "")
    of_programs = _of_programs(job, cluster, properties, settings_of)
    if (of_programs.certain or of_programs.perhaps) and _are_nodes_here(cli_ctx):
        found.certain += of_programs.certain
        found.perhaps += of_programs.perhaps
    return found


def _of_programs(job: Any, cluster: Any, properties: dict[str, Any], settings_of: dict[str, dict[str, Any]]) -> Doubts:
    from azext_batchai.jobs import programs

    found = Doubts()
    container = properties.get("containerSettings")
    if container:
        lacking, notes = programs.container(container)
        found.add(lacking)
        found.perhaps += [f"{note}." for note in notes]
        if not programs.on_host():
            return found
    has_setup = bool(cluster.node_setup and cluster.node_setup.setup_task)
    unless = "job preparation or the setup task installs it" if job.job_preparation or has_setup else ""
    toolkits = {key: name for name, key in TOOLKITS.items()}
    for key, settings in settings_of.items():
        found.add(programs.missing(toolkits[key], key, settings, job.node_count or 1), unless)
    return found


def _are_nodes_here(cli_ctx: Any) -> bool:
    """Whether all nodes are of this machine: what a cluster's engine is, no client is told."""
    from azure.cli.core.azclierror import AzCLIError

    from azext_batchai.local import embedded

    service = embedded.find(cli_ctx)
    if not service:
        return False
    try:
        engines = embedded.request(service, "GET", "/_local/engines")["engines"]
    except (AzCLIError, OSError, embedded.Refusal):
        return False
    return [engine["name"] for engine in engines] == ["local"]

"""az batchai job diagnose, cluster diagnose"""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

from typing import Any

from azext_batchai.command_line import report


def diagnose_job(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, experiment_name: str, job_name: str
) -> Any:
    """Write what is known about the job; with --output or --query return it."""
    from azext_batchai.jobs import diagnose

    return _told(
        cmd,
        diagnose,
        diagnose.examine(client, (resource_group_name, workspace_name, experiment_name, job_name)),
    )


def diagnose_cluster(cmd: Any, client: Any, resource_group_name: str, workspace_name: str, cluster_name: str) -> Any:
    """Write what is known about the cluster; with --output or --query return it."""
    from azext_batchai.clusters import diagnose

    names = (resource_group_name, workspace_name, cluster_name)
    return _told(cmd, diagnose, diagnose.examine(client, client.clusters.get(*names), names))


def _told(cmd: Any, of_noun: Any, found: dict[str, Any]) -> Any:
    if not report.is_wanted(cmd.cli_ctx):
        return found
    report.write(of_noun.lines(found))
    return None

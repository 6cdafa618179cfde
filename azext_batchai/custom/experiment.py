"""az batchai experiment ..."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

from typing import Any

from azext_batchai.command_line.progress import finish, finish_removal
from azext_batchai.transport.errors import explained


def create_experiment(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, experiment_name: str
) -> Any:
    poller = client.begin_create(resource_group_name, workspace_name, experiment_name)
    return finish(cmd.cli_ctx, poller, f"Creating experiment {experiment_name}")


def list_experiments(client: Any, resource_group_name: str, workspace_name: str) -> Any:
    return list(client.list_by_workspace(resource_group_name, workspace_name))


def show_experiment(client: Any, resource_group_name: str, workspace_name: str, experiment_name: str) -> Any:
    with explained():
        return client.get(resource_group_name, workspace_name, experiment_name)


def delete_experiment(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    no_wait: bool = False,
) -> None:
    poller = client.begin_delete(resource_group_name, workspace_name, experiment_name, polling=not no_wait)
    finish_removal(cmd.cli_ctx, poller, f"Deleting experiment {experiment_name} and its jobs")

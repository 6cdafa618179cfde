"""az batchai workspace ..."""

from __future__ import annotations

from typing import Any

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.progress import finish, finish_removal
from azext_batchai.transport.errors import explained


def create_workspace(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, location: str | None = None
) -> Any:
    from azure.mgmt.batchai import models

    location = str(location) if location else _location_of_group(cmd.cli_ctx, client, resource_group_name)
    parameters = models.WorkspaceCreateParameters(location=location)
    poller = client.begin_create(resource_group_name, workspace_name, parameters)
    return finish(cmd.cli_ctx, poller, f"Creating workspace {workspace_name}")


def list_workspaces(client: Any, resource_group_name: str | None = None) -> Any:
    if resource_group_name:
        return list(client.list_by_resource_group(resource_group_name))
    return list(client.list())


def show_workspace(client: Any, resource_group_name: str, workspace_name: str) -> Any:
    with explained():
        return client.get(resource_group_name, workspace_name)


def delete_workspace(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, no_wait: bool = False
) -> None:
    poller = client.begin_delete(resource_group_name, workspace_name, polling=not no_wait)
    finish_removal(cmd.cli_ctx, poller, f"Deleting workspace {workspace_name} and all that is in it")


def _location_of_group(cli_ctx: Any, client: Any, group: str) -> str:
    from azext_batchai.transport.arm import RESOURCES_API, Arm, resource_group

    found = Arm(client).find(resource_group(group), RESOURCES_API)
    if found:
        return str(found["location"])
    if clients.is_local(cli_ctx):
        # The embedded service makes the group along with its first workspace.
        return "local"
    from azure.cli.core.azclierror import ResourceNotFoundError

    raise ResourceNotFoundError(
        f"There is no resource group {group}, from which the workspace would take its location.",
        recommendation=f"Create it with `az group create -n {group} -l LOCATION`.",
    )

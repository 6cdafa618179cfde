"""Is it there already? Questions that `create` commands ask before they create."""

from __future__ import annotations

from typing import Any

from azext_batchai._arm import BATCHAI_API, Arm, resource_group, url_path
from azext_batchai._errors import error_code

# A 404 with one of these codes is about what the new resource would be created in.
_PARENTS = {"SubscriptionNotFound", "ResourceGroupNotFound", "WorkspaceNotFound", "ExperimentNotFound"}


def refuse_existing(operations: Any, noun: str, resource_group_name: str, workspace_name: str, *names: str) -> None:
    """Raise when the resource exists, or when what it would be created in does not.

    `operations`: an operation group of the SDK client; `names`: of the resource, after those of its parents.
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        operations.get(resource_group_name, workspace_name, *names)
    except ResourceNotFoundError as error:
        if error_code(error) in _PARENTS:
            raise
        return
    _raise_exists(noun, resource_group_name, workspace_name, *names)


def refuse_existing_file_server(client: Any, resource_group_name: str, workspace_name: str, name: str) -> None:
    """The same for a file server, which the SDK cannot get."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        get_file_server(client, resource_group_name, workspace_name, name)
    except ResourceNotFoundError as error:
        if error_code(error) in _PARENTS:
            raise
        return
    _raise_exists("file server", resource_group_name, workspace_name, name)


def get_file_server(client: Any, resource_group_name: str, workspace_name: str, name: str) -> Any:
    """The SDK FileServer. Raises the SDK's ResourceNotFoundError."""
    response = Arm(client).send("GET", file_server_path(resource_group_name, workspace_name, name), BATCHAI_API)
    return client._deserialize("FileServer", response)  # pylint: disable=protected-access


def find_file_server(client: Any, name_or_id: str, resource_group_name: str, workspace_name: str) -> Any:
    """The file server of that ARM id, or of that name in the workspace."""
    group, workspace, name = locate(name_or_id, resource_group_name, workspace_name)
    return get_file_server(client, group, workspace, name)


def locate(name_or_id: str, resource_group_name: str, workspace_name: str) -> tuple[str, str, str]:
    """Resource group, workspace and name of the resource in a workspace that `name_or_id` means."""
    if not name_or_id.startswith("/"):
        return resource_group_name, workspace_name, name_or_id
    from azure.mgmt.core.tools import parse_resource_id

    parts = parse_resource_id(name_or_id)
    return parts["resource_group"], parts["name"], parts["resource_name"]


def file_server_path(resource_group_name: str, workspace_name: str, name: str) -> str:
    inside = url_path("providers", "Microsoft.BatchAI", "workspaces", workspace_name, "fileServers", name)
    return resource_group(resource_group_name) + inside


def _raise_exists(noun: str, resource_group_name: str, workspace_name: str, *names: str) -> None:
    from azure.cli.core.azclierror import ValidationError

    *parents, name = names
    place = f"experiment {parents[0]} of workspace" if parents else "workspace"
    raise ValidationError(
        f"A {noun} named {name} exists already in {place} {workspace_name} (resource group {resource_group_name}).",
        recommendation=f"Choose another name, or delete it with `az batchai {noun.replace(' ', '-')} delete`.",
    )

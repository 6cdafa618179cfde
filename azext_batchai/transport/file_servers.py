"""Requests about file servers that the Batch AI SDK has no operation for: it can create and list them only."""

from __future__ import annotations

from typing import Any

from azext_batchai.transport.arm import BATCHAI_API, Arm, locate, resource_group, url_path


def get(client: Any, resource_group_name: str, workspace_name: str, name: str) -> Any:
    """The SDK FileServer. Raises the SDK's ResourceNotFoundError."""
    response = Arm(client).send("GET", _path(resource_group_name, workspace_name, name), BATCHAI_API)
    return client._deserialize("FileServer", response)  # pylint: disable=protected-access


def find(client: Any, name_or_id: str, resource_group_name: str, workspace_name: str) -> Any:
    """The file server of that ARM id, or of that name in the workspace."""
    return get(client, *locate(name_or_id, resource_group_name, workspace_name))


def begin_delete(client: Any, resource_group_name: str, workspace_name: str, name: str, no_wait: bool) -> Any:
    """The poller of the deletion."""
    arm = Arm(client)
    response = arm.send("DELETE", _path(resource_group_name, workspace_name, name), BATCHAI_API)
    return arm.poller(response, lambda _: None, no_wait)


def _path(resource_group_name: str, workspace_name: str, name: str) -> str:
    inside = url_path("providers", "Microsoft.BatchAI", "workspaces", workspace_name, "fileServers", name)
    return resource_group(resource_group_name) + inside

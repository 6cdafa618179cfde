"""Is it there already? What `create` commands ask before they create."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azext_batchai.transport.errors import error_code

# A 404 with one of these codes is about what the new resource would be created in.
_PARENTS = {"SubscriptionNotFound", "ResourceGroupNotFound", "WorkspaceNotFound", "ExperimentNotFound"}


def refuse_existing(
    get: Callable[..., Any], noun: str, resource_group_name: str, workspace_name: str, *names: str
) -> None:
    """Raise when the resource exists, or when what it would be created in does not.

    `get` takes all the names and raises the SDK's ResourceNotFoundError; `names`: of the resource, after those of its
    parents.
    """
    from azure.cli.core.azclierror import ValidationError
    from azure.core.exceptions import ResourceNotFoundError

    try:
        get(resource_group_name, workspace_name, *names)
    except ResourceNotFoundError as error:
        if error_code(error) in _PARENTS:
            raise
        return
    *parents, name = names
    place = f"experiment {parents[0]} of workspace" if parents else "workspace"
    raise ValidationError(
        f"A {noun} named {name} exists already in {place} {workspace_name} (resource group {resource_group_name}).",
        recommendation=f"Choose another name, or delete it with `az batchai {noun.replace(' ', '-')} delete`.",
    )

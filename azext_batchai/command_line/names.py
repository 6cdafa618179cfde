"""The names that there are, for completion on TAB: asked of the service that runs on this machine, never of another.

No service is started, nothing is logged in and no SDK is loaded for it; where anything is amiss there are no names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from azext_batchai._client_factory import endpoint
from azext_batchai.local import embedded

_PROVIDER = "providers/Microsoft.BatchAI/workspaces"
_API = "api-version=2018-05-01"
_PATIENCE_SECONDS = 2.0

# What stands in the namespace under which name, by the collection that it names.
_PLACES = (
    ("workspaces", "workspace_name"),
    ("clusters", "cluster_name"),
    ("experiments", "experiment_name"),
    ("jobs", "job_name"),
)


def groups(cli_ctx: Any, _: Any) -> list[str]:
    return list(dict.fromkeys(_name_after("resourcegroups", item["id"]) for item in _list(cli_ctx, _PROVIDER)))


def workspaces(cli_ctx: Any, namespace: Any) -> list[str]:
    group = getattr(namespace, "resource_group_name", None)
    return _names(_list(cli_ctx, f"{_group(group)}{_PROVIDER}"))


def clusters(cli_ctx: Any, namespace: Any) -> list[str]:
    return _names(_list(cli_ctx, _place(namespace, "workspaces", "clusters")))


def experiments(cli_ctx: Any, namespace: Any) -> list[str]:
    return _names(_list(cli_ctx, _place(namespace, "workspaces", "experiments")))


def file_servers(cli_ctx: Any, namespace: Any) -> list[str]:
    return _names(_list(cli_ctx, _place(namespace, "workspaces", "fileServers")))


def jobs(cli_ctx: Any, namespace: Any) -> list[str]:
    return _names(_list(cli_ctx, _place(namespace, "experiments", "jobs")))


def nodes(cli_ctx: Any, namespace: Any) -> list[str]:
    """The ids of the nodes of the job or cluster."""
    kind = "jobs" if getattr(namespace, "job_name", None) else "clusters"
    path = _place(namespace, kind, "listRemoteLoginInformation")
    return [str(item["nodeId"]) for item in _list(cli_ctx, path, "POST")]


def files(cli_ctx: Any, namespace: Any) -> list[str]:
    """The names of the files in the job's output folder."""
    folder = getattr(namespace, "output_directory_id", None) or "stdouterr"
    query = {"outputdirectoryid": folder, "directory": getattr(namespace, "path", None) or "."}
    path = _place(namespace, "jobs", "listOutputFiles")
    found = _list(cli_ctx, path, "POST", {**query, "linkexpiryinminutes": "5"})
    return [str(item["name"]) for item in found if item["properties"].get("fileType") != "directory"]


def output_directories(cli_ctx: Any, namespace: Any) -> list[str]:
    """The ids of the job's output folders."""
    job = _ask(cli_ctx, _place(namespace, "jobs", ""))
    return ["stdouterr", *(str(entry["id"]) for entry in job["properties"].get("outputDirectories") or [])]


def offered(names: Callable[[Any, Any], list[str]], cli_ctx: Any, prefix: str, namespace: Any) -> list[str]:
    """Those of the names that begin so."""
    try:
        found = names(cli_ctx, namespace)
    except Exception:  # pylint: disable=broad-exception-caught  # nobody sees an error of TAB
        return []
    return [name for name in found if name.lower().startswith(prefix.lower())]


def _place(namespace: Any, last: str, below: str) -> str:
    """The ARM path below the subscription of what the namespace names down to `last`. Raises LookupError."""
    path = _group(namespace.resource_group_name) + "providers/Microsoft.BatchAI"
    if not namespace.resource_group_name:
        raise LookupError
    for kind, dest in _PLACES:
        if kind == "clusters" and last != kind or kind in ("experiments", "jobs") and last == "clusters":
            continue
        name = getattr(namespace, dest, None)
        if not name:
            raise LookupError(dest)
        path += f"/{kind}/{quote(name)}"
        if kind == last:
            return f"{path}/{below}".rstrip("/")
    raise LookupError(last)


def _group(name: str | None) -> str:
    return f"resourceGroups/{quote(name)}/" if name else ""


def _list(cli_ctx: Any, path: str, method: str = "GET", query: dict[str, str] | None = None) -> list[Any]:
    found: list[Any] = _ask(cli_ctx, path, method, query).get("value", [])
    return found


def _ask(cli_ctx: Any, path: str, method: str = "GET", query: dict[str, str] | None = None) -> dict[str, Any]:
    if endpoint(cli_ctx).kind != "local":
        return {}
    service = embedded.find(cli_ctx)
    if not service:
        return {}
    subscription = cli_ctx.data.get("subscription_id") or service.subscription
    more = f"&{urlencode(query)}" if query else ""
    url = f"/subscriptions/{subscription}/{path}?{_API}{more}"
    return embedded.request(service, method, url, timeout=_PATIENCE_SECONDS)


def _names(items: list[Any]) -> list[str]:
    return [str(item["name"]) for item in items]


def _name_after(kind: str, arm_id: str) -> str:
    segments = arm_id.split("/")
    return segments[[segment.lower() for segment in segments].index(kind) + 1]

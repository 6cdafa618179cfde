"""az batchai list-usages, cluster usage"""

from __future__ import annotations

from typing import Any


def list_usages(client: Any, location: str) -> Any:
    return list(client.list(location))


def show_cluster_usage(
    cmd: Any,
    resource_group_name: str | None = None,
    workspace_name: str | None = None,
    cluster_name: str | None = None,
    since: int = 7 * 86400,
) -> list[dict[str, Any]]:
    """Node-hours of clusters, also of those that are deleted. Raises ValidationError elsewhere than on this machine."""
    from azext_batchai._client_factory import is_local
    from azext_batchai.clusters.usage import of_clusters
    from azext_batchai.local import embedded

    if not is_local(cmd.cli_ctx):
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            "Only the service on this machine keeps what nodes did.",
            recommendation="In Azure, `az costmanagement` and the invoice say what they cost.",
        )
    answer = embedded.request(embedded.ensure(cmd.cli_ctx), "GET", f"/_local/usage/{since}")
    wanted = {"resourcegroups": resource_group_name, "workspaces": workspace_name, "clusters": cluster_name}
    return of_clusters(answer, wanted)

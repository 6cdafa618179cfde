"""What is known about a cluster, put together: its nodes, why they are unusable, what to type next."""

from __future__ import annotations

from typing import Any

from azext_batchai.jobs.state import most_nodes

_SETUP_LINES = 10  # of each stream of a setup task
_STATES = ("idle", "running", "preparing", "leaving", "unusable")


def examine(client: Any, cluster: Any, names: tuple[str, str, str]) -> dict[str, Any]:
    """What is known of an SDK Cluster; `names`: of its resource group, workspace and itself."""
    counts = {state: getattr(cluster.node_state_counts, f"{state}_node_count", 0) or 0 for state in _STATES}
    found: dict[str, Any] = {
        "cluster": cluster.name,
        "state": cluster.allocation_state,
        "scale": _scale(cluster.scale_settings),
        "nodes": counts,
        "problems": [_problem(client, cluster, error) for error in cluster.errors or []],
    }
    found["shortage"] = _shortage(cluster, counts)
    found["next"] = _next(found, cluster, names)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The same, to be read."""
    counts = ", ".join(f"{count} {state}" for state, count in found["nodes"].items() if count) or "no nodes"
    text = [f"Cluster {found['cluster']} ({found['scale']}) is {found['state']}: {counts}."]
    if found["shortage"]:
        text.append(found["shortage"])
    for problem in found["problems"]:
        text += ["", *_problem_lines(problem)]
    if not found["problems"] and not found["shortage"]:
        text.append("Nothing is wrong with it.")
    return [*text, *next_lines(found["next"])]


def next_lines(commands: list[str]) -> list[str]:
    return ["", "Next:", *(f"  {command}" for command in commands)] if commands else []


def _problem_lines(problem: dict[str, Any]) -> list[str]:
    where = f"Node {problem['node']}: " if problem["node"] else ""
    text = [f"{where}{problem['message']} ({problem['code']})."]
    for title, value in problem["details"].items():
        if problem["output"] and title in ("StdErr", "Path"):
            continue  # the files themselves follow
        first, *others = value.splitlines() or [""]
        text += [f"  {title}: {first}", *(f"      {line}" for line in others)]
    for file in problem["output"]:
        text += [f"  {file['name']}:", *(f"      {line}" for line in file["lastLines"])]
    return text


def _problem(client: Any, cluster: Any, error: Any) -> dict[str, Any]:
    details = {detail.name: detail.value or "" for detail in error.details or []}
    node = details.pop("NodeId", "")
    return {
        "code": error.code or "",
        "message": (error.message or "").rstrip("."),
        "node": node,
        "details": details,
        "output": _setup_output(client, cluster, node) if error.code == "SetupTaskFailed" and node else [],
    }


def _setup_output(client: Any, cluster: Any, node: str) -> list[dict[str, Any]]:
    """The last lines of what the setup task wrote on the node, where that is on a share or in a container."""
    from azure.cli.core.azclierror import AzCLIError
    from azure.core.exceptions import AzureError

    from azext_batchai.custom.cluster_file import setup_files
    from azext_batchai.jobs.logs import last_lines
    from azext_batchai.jobs.stream import JobFile

    try:
        files = [file for file in setup_files(client, False, cluster) if node in file["name"] and file["size"]]
        return [
            {
                "name": file["name"],
                "lastLines": last_lines(
                    JobFile(file["name"], list, lambda: None), file["size"], _SETUP_LINES, file["download_url"]
                ),
            }
            for file in files
        ]
    except (AzCLIError, AzureError):  # elsewhere, or unreachable: the error has the last lines of stderr itself
        return []


def _scale(settings: Any) -> str:
    if settings and settings.auto_scale:
        return f"{settings.auto_scale.minimum_node_count} to {settings.auto_scale.maximum_node_count} nodes"
    most = most_nodes(settings)
    return "of no size" if most is None else f"{most} node{'' if most == 1 else 's'}"


def _shortage(cluster: Any, counts: dict[str, int]) -> str:
    """What is said where a cluster at rest has fewer nodes than it was asked to have."""
    settings = cluster.scale_settings
    least = 0
    if settings and settings.manual:
        least = settings.manual.target_node_count
    elif settings and settings.auto_scale:
        least = settings.auto_scale.minimum_node_count
    there = sum(counts.values())
    if cluster.allocation_state != "steady" or there >= least:
        return ""
    return f"It has {there} of the {least} nodes it should have, and none is coming: a quota may be used up."


def _next(found: dict[str, Any], cluster: Any, names: tuple[str, str, str]) -> list[str]:
    group, workspace, name = names
    of_cluster = f"-g {group} -w {workspace} -n {name}"
    commands = []
    if any(problem["code"] == "SetupTaskFailed" for problem in found["problems"]):
        commands.append(f"az batchai cluster file list -g {group} -w {workspace} -c {name} -o table")
    manual = cluster.scale_settings and cluster.scale_settings.manual
    if found["nodes"]["unusable"] and manual:
        target = manual.target_node_count
        commands += [
            f"az batchai cluster resize {of_cluster} --target 0   # takes the unusable nodes away",
            f"az batchai cluster resize {of_cluster} --target {target}   # and brings up new ones",
        ]
    elif manual and not manual.target_node_count:
        commands.append(f"az batchai cluster resize {of_cluster} --target 1")
    if found["shortage"]:
        commands.append("az batchai list-usages -l LOCATION -o table")
    if found["problems"]:
        commands.append("az batchai local logs --tail 50")
    return commands

"""What makes nodes of a cluster ready: mounts, the setup task with its output, and why a node is not ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.model.mount_paths import below_root
from azext_batchai.service.storage.layout import parse_file_share_url
from azext_batchai.service.store import Record
from azext_batchai.service.ui import failures, overview, parts, setup_output
from azext_batchai.service.ui.cluster_nodes import NodeRow
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import View

_MOST_PROBLEMS = 6
_NAMED_NODES = 3


def problems(errors: Sequence[Mapping[str, Any]]) -> Html | None:
    """Errors of the wire, those that say the same of several nodes as one."""
    if not errors:
        return None
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for error in errors:
        groups.setdefault((str(error.get("code")), str(error.get("message"))), []).append(error)
    items = [
        _problem(code, message, alike) for (code, message), alike in list(groups.items())[:_MOST_PROBLEMS]
    ]
    more = len(groups) - _MOST_PROBLEMS
    return parts.section(
        "Problems",
        element("ul", items, class_="problems"),
        parts.empty(f"{more} more kinds") if more > 0 else None,
        id_="problems",
    )


def _problem(code: str, message: str, alike: Sequence[Mapping[str, Any]]) -> Html:
    details = failures.details_of(alike[0])
    nodes = [node for node in (failures.details_of(error).get("NodeId") for error in alike) if node]
    named = ", ".join(nodes[:_NAMED_NODES])
    if len(nodes) > _NAMED_NODES:
        named += f" and {len(nodes) - _NAMED_NODES} more"
    return element(
        "li",
        element("p", element("b", message), " ", element("code", code)),
        element("p", f"On {named}", class_="about") if named else None,
        element(
            "dl",
            [
                element("div", element("dt", name), element("dd", _value(value)))
                for name, value in details.items()
                if name != "NodeId" and value
            ],
        ),
    )


def _value(value: str) -> Child:
    return element("pre", value, tabindex="0") if "\n" in value else value


async def section(view: View, cluster: Record, node: NodeRow | None, where: Sequence[str]) -> Html | None:
    """The setup task and what it said on a node; `where`: the flags that name the cluster in `az batchai`."""
    task = cluster.properties.get("nodeSetup", {}).get("setupTask")
    if not task:
        return None
    names = [entry["name"] for entry in task.get("environmentVariables", ())]
    secrets = [entry["name"] for entry in task.get("secrets", ())]
    return parts.section(
        "Setup task",
        element("pre", task["commandLine"], tabindex="0"),
        element("p", "Its output goes to ", element("code", task["stdOutErrPathPrefix"])),
        element("p", "Variables: ", ", ".join(names)) if names else None,
        element("p", "Secrets, not shown: ", ", ".join(secrets)) if secrets else None,
        await _output(view, cluster, node) if node else parts.empty("There is no node on which it has run."),
        parts.command(*_reading(where, node, task["stdOutErrPathPrefix"])),
        id_="setup",
    )


def _reading(where: Sequence[str], node: NodeRow | None, prefix: str) -> tuple[str, ...]:
    """How the output is read without this page."""
    if below_root(prefix):
        return ("cluster", "file", "list", *where)
    named = ("-n", node.node_id) if node else ()
    return ("cluster", "node", "exec", *where, *named, "--exec", f"tail {prefix}/std*.txt")


async def _output(view: View, cluster: Record, node: NodeRow) -> Child:
    outputs = await setup_output.read(view, cluster, node.node_id)
    if outputs is None:
        return parts.empty("Its output is where this page does not reach: log in to the node to read it.")
    if not outputs:
        return parts.empty(f"It has written nothing on {node.node_id} yet.")
    return [
        element(
            "div",
            element(
                "h3",
                element("span", output.name),
                element("a", "The file", href=output.address) if output.address else None,
            ),
            element("p", f"The last of {parts.size(output.size)}", class_="about") if output.cut else None,
            _tail(output) if output.text else parts.empty("Nothing."),
            class_="output",
        )
        for output in outputs
    ]


def _tail(output: setup_output.Output) -> Html:
    """What is seen of it first is its end (cluster.css)."""
    pre = element("pre", output.text)
    return element("div", pre, class_="tail", tabindex="0", role="region", aria_label=output.name)


def mounts(view: View, properties: Mapping[str, Any]) -> Html | None:
    """What the nodes have mounted, and where."""
    volumes = properties.get("nodeSetup", {}).get("mountVolumes", {})
    rows = list(_rows(view, volumes))
    if not rows:
        return None
    table = parts.table(("Mounted at", "What", "From", "How"), rows, "Below $AZ_BATCHAI_MOUNT_ROOT on every node")
    return parts.section("Mounts", table, id_="mounts")


def _rows(view: View, volumes: Mapping[str, Any]) -> Iterable[tuple[Child, ...]]:
    for share in volumes.get("azureFileShares", ()):
        name: Child = share["azureFileUrl"]
        try:
            account, folder = parse_file_share_url(share["azureFileUrl"])
            name = element("a", f"{account} / {folder}", href=view.storage_address(account, "files", folder))
        except ValueError:
            pass
        modes = f"files {share['fileMode']}, folders {share['directoryMode']}"
        yield share["relativeMountPath"], "file share", name, modes
    for blobs in volumes.get("azureBlobFileSystems", ()):
        account, container = blobs["accountName"], blobs["containerName"]
        name = element("a", f"{account} / {container}", href=view.storage_address(account, "blobs", container))
        yield blobs["relativeMountPath"], "container", name, blobs.get("mountOptions")
    for reference in volumes.get("fileServers", ()):
        server = overview.sound(view.service, key_of(reference["fileServer"]["id"]))
        name = reference["fileServer"]["id"].rpartition("/")[2]
        if server:
            name = element("a", name, href=view.address(server.body["id"]))  # the id as it was given has any case
        folder = reference.get("sourceDirectory")
        what: Child = [name, f" {folder}"] if folder else name
        yield reference["relativeMountPath"], "file server", what, reference.get("mountOptions")
    for system in volumes.get("unmanagedFileSystems", ()):
        yield system["relativeMountPath"], "own command", element("code", system["mountCommand"]), None

"""The nodes of a cluster: all as cells, a page of them as a table, and the one that is looked at closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from azext_batchai.service import clock
from azext_batchai.service.control.controller import ClusterController
from azext_batchai.service.engine.engines import LOCAL
from azext_batchai.service.model.node_states import ALLOCATING, LEAVING, PREPARING, UNUSABLE
from azext_batchai.service.ui import overview, parts
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import View

_SHOWN = 20  # rows of the table
_SETTING_UP_SECONDS = 2  # what a setup task writes is no event


@dataclass(frozen=True)
class NodeRow:
    """`since` is a time of the wire, `job` the key of the one that it runs, `host` a machine's name for people."""

    node_id: str
    state: str
    since: str
    job: str | None
    host: str
    address: str
    port: int


async def nodes_of(view: View, path: str, controller: ClusterController | None) -> list[NodeRow]:
    """The nodes of the cluster at a path of the wire, those that need attention first."""
    if not controller:
        return []
    logins = {
        login["nodeId"]: login async for login in view.wire.items(f"{path}/listremotelogininformation", "POST")
    }
    hosts = controller.nodes.hosts() if controller.engine_name != LOCAL else {}
    now, epoch = clock.monotonic(), clock.epoch()
    nodes = [
        NodeRow(
            node.node_id,
            node.state,
            clock.wire_from_epoch(round(epoch - (now - node.since))),
            node.job,
            hosts.get(node.node_id, ""),
            logins.get(node.node_id, {}).get("ipAddress", ""),
            int(logins.get(node.node_id, {}).get("port", 0)),
        )
        for node in controller.nodes
    ]
    return sorted(nodes, key=lambda node: _URGENCY.get(node.state, 9))


_URGENCY = {UNUSABLE: 0, ALLOCATING: 1, PREPARING: 2, LEAVING: 3}


def chosen(view: View, nodes: Sequence[NodeRow]) -> NodeRow | None:
    """The node that the address names with `?node=`, else the first."""
    wanted = view.query.get("node", "")
    return next((node for node in nodes if node.node_id == wanted), nodes[0] if nodes else None)


def again_seconds(nodes: Sequence[NodeRow], properties: dict[str, Any], width: float) -> int:
    """After how many seconds the page is to be looked at again though nothing has told of a change."""
    setting_up = any(node.state == PREPARING for node in nodes) and "setupTask" in properties.get("nodeSetup", {})
    return _SETTING_UP_SECONDS if setting_up else round(max(width, 15.0))


def section(view: View, address: str, nodes: Sequence[NodeRow], span: str) -> Html:
    """`address`: that of the cluster's page, `span`: what it shows of the past."""
    if not nodes:
        return parts.section("Nodes", parts.empty("The cluster has no node now."), id_="nodes")
    names = {node.job: _job(view, node.job) for node in nodes if node.job}
    cells = [{"id": node.node_id, "state": node.state, "job": _name(node.job)} for node in nodes]
    first = _first(view, len(nodes))
    shown = nodes[first : first + _SHOWN]  # noqa: E203
    has_hosts = any(node.host for node in nodes)
    rows = [
        [
            element("a", node.node_id, href=f"{address}?{urlencode({'node': node.node_id, 'span': span})}#node"),
            parts.state(node.state),
            parts.moment(node.since),
            names.get(node.job) if node.job else None,
            *([node.host] if has_hosts else []),
            f"{node.address}:{node.port}" if node.port else None,
        ]
        for node in shown
    ]
    heads = ("Node", "State", "Since", "Job", *(["Machine"] if has_hosts else []), "SSH")
    caption = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"
    if len(nodes) > _SHOWN:
        caption = f"Nodes {first + 1} to {first + len(shown)} of {len(nodes)}"
    return parts.section(
        "Nodes",
        overview.cells(cells),
        parts.table(heads, rows, caption),
        _pages(address, first, len(nodes), span),
        id_="nodes",
    )


def _name(job: str | None) -> str | None:
    return job.rpartition("/")[2] if job else None


def _job(view: View, key: str) -> Child:
    record = overview.sound(view.service, key)
    return overview.link(view, record.body["id"]) if record else _name(key)


def _first(view: View, number: int) -> int:
    text = view.query.get("from", "0")
    first = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return first // _SHOWN * _SHOWN if first < number else 0


def _pages(address: str, first: int, number: int, span: str) -> Html | None:
    if number <= _SHOWN:
        return None
    links = [
        element("a", text, href=f"{address}?{urlencode({'from': start, 'span': span})}#nodes")
        for text, start in (("Earlier nodes", first - _SHOWN), ("More nodes", first + _SHOWN))
        if 0 <= start < number
    ]
    return element("nav", links, class_="actions", aria_label="Pages of nodes")

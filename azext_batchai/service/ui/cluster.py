"""The page of a cluster: its nodes and what they do, did and wait for, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.control.controller import ClusterController
from azext_batchai.service.store import Record
from azext_batchai.service.ui import (
    addresses,
    cluster_nodes,
    cluster_setup,
    node_chart,
    overview,
    parts,
    waiting,
)
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import Page, Redirect, View

_MOST_JOBS = 25
_MOST_NODES = 1000  # of a cluster (wire.md)


@dataclass(frozen=True)
class Cluster:
    """`body` is that of the wire. There is no controller of a cluster that has just gone."""

    path: str
    address: str
    body: dict[str, Any]
    record: Record
    controller: ClusterController | None
    scope: tuple[str, ...]  # of an `az batchai` line
    workspace: str

    @property
    def properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.body["properties"]
        return properties

    def where(self, name: str = "-n") -> tuple[str, ...]:
        """The flags that name it in `az batchai`."""
        return *self.scope, "-w", self.workspace, name, self.body["name"]

    def words(self, verb: str) -> tuple[str, ...]:
        """`az batchai cluster VERB` for it."""
        return "cluster", verb, *self.where()


async def find(view: View) -> Cluster:
    """The cluster that the address names. Raises ArmError 404."""
    group, workspace, name = view.names
    path = view.wire.batchai(group, "workspaces", workspace, "clusters", name)
    body = await view.wire.get(path)
    record = view.service.store.get(key_of(body["id"]))
    assert record
    controller = view.service.fleet.get(record.key)
    return Cluster(path, view.address(body["id"]), body, record, controller, view.scope(group), workspace)


async def page(view: View) -> Page:
    """Everything about one cluster."""
    cluster = await find(view)
    nodes = await cluster_nodes.nodes_of(view, cluster.path, cluster.controller)
    node = cluster_nodes.chosen(view, nodes)
    span = node_chart.chosen(view)
    deleting = bool(cluster.record.internal.get("deleting"))
    workspace = cluster.record.parent
    return Page(
        cluster.body["name"],
        element(
            "div",
            element("h1", cluster.body["name"], " ", parts.state("deleting" if deleting else _state(cluster))),
            _facts(cluster),
            cluster_setup.problems(cluster.properties.get("errors", [])),
            cluster_nodes.section(view, cluster.address, nodes, span.name),
            parts.section(
                "States over time",
                node_chart.chart(view, cluster.record.key, span),
                id_="states",
                more=node_chart.links(cluster.address, span),
            ),
            _jobs(view, cluster),
            _login(cluster, node) if node else None,
            await cluster_setup.section(view, cluster.record, node, cluster.where("-c")),
            cluster_setup.mounts(view, cluster.properties),
            None if deleting else _actions(view, cluster),
            data_again=cluster_nodes.again_seconds(nodes, cluster.properties, span.width),
        ),
        # Jobs of other workspaces may run here: they show when they have begun or something else changes.
        topics=(cluster.record.key, f"{workspace}/experiments/"),
        trail=addresses.trail(cluster.body["id"], view.service.subscription),
        scripts=("again.js", "lines.js"),
        styles=("cluster.css",),
    )


def _state(cluster: Cluster) -> str:
    return str(cluster.properties["allocationState"])


def _facts(cluster: Cluster) -> Html:
    properties, controller = cluster.properties, cluster.controller
    priority = "low priority" if properties["vmPriority"] == "lowpriority" else properties["vmPriority"]
    return parts.facts(
        (
            ("VM size", properties["vmSize"]),
            ("Priority", priority),
            ("Scale", overview.scale_text(properties["scaleSettings"])),
            ("Nodes now", properties["currentNodeCount"]),
            ("Allocation", [_state(cluster), " since ", parts.moment(properties["allocationStateTransitionTime"])]),
            ("Engine", controller.engine_name if controller else None),
            ("User on the nodes", properties["userAccountSettings"]["adminUserName"]),
            ("Made", parts.moment(properties["creationTime"])),
        )
    )


def _jobs(view: View, cluster: Cluster) -> Html:
    controller = cluster.controller
    if not controller:
        return parts.section("Jobs", parts.empty("The cluster is gone."))
    keys = dict.fromkeys(node.job for node in controller.nodes if node.job)
    running = _records(view, keys)
    queued = _records(view, (one.key for one in controller.queue))
    shown: list[Child] = []
    if running:
        rows = [
            (
                overview.link(view, job.body["id"]),
                parts.state(job.properties["executionState"]),
                parts.moment(job.properties["executionStateTransitionTime"]),
                job.properties["nodeCount"],
            )
            for job in running
        ]
        shown.append(parts.table(("Job", "State", "Since", "Nodes"), rows, _count(len(keys), "on nodes")))
    if queued:
        rows_queued = [
            (
                overview.link(view, job.body["id"]),
                job.properties["schedulingPriority"],
                job.properties["nodeCount"],
                parts.moment(job.properties["executionStateTransitionTime"]),
                element("span", waiting.reason(view.service, job), class_="why"),
            )
            for job in queued
        ]
        heads = ("Job", "Priority", "Nodes", "Queued", "Why it waits")
        shown.append(parts.table(heads, rows_queued, _count(len(controller.queue), "waiting, in their order")))
    if not shown:
        shown.append(parts.empty("Nothing runs here and nothing waits."))
    return parts.section("Jobs", *shown, id_="jobs")


def _records(view: View, keys: Iterable[str]) -> list[Record]:
    found = (overview.sound(view.service, key) for key in islice(keys, _MOST_JOBS))
    return [record for record in found if record]


def _count(number: int, what: str) -> str:
    first = f", the first {_MOST_JOBS}" if number > _MOST_JOBS else ""
    return f"{number} job{'' if number == 1 else 's'} {what}{first}"


def _login(cluster: Cluster, node: cluster_nodes.NodeRow) -> Html:
    """How one logs in to a node."""
    user, where = cluster.properties["userAccountSettings"]["adminUserName"], cluster.where("-c")
    lines: list[Child] = []
    if node.port:
        lines = [
            parts.copyable(f"ssh {user}@{node.address} -p {node.port}"),
            parts.command("cluster", "node", "ssh", *where, "-n", node.node_id),
            parts.command("cluster", "node", "exec", *where, "-n", node.node_id, "--exec", "ps ux"),
        ]
    return parts.section(
        "Logging in",
        element("p", "Node ", element("code", node.node_id), " ", parts.state(node.state)),
        lines or parts.empty("Nobody can log in to it."),
        id_="node",
    )


# What changes the cluster


def _actions(view: View, cluster: Cluster) -> Html:
    settings = cluster.properties["scaleSettings"]
    name = cluster.body["name"]
    manual, auto = settings.get("manual"), settings.get("autoScale")
    target = manual["targetNodeCount"] if manual else cluster.properties["currentNodeCount"]
    low = auto["minimumNodeCount"] if auto else 0
    high = auto["maximumNodeCount"] if auto else max(target, 1)
    option = manual["nodeDeallocationOption"] if manual else "requeue"
    fate = "terminated" if option == "terminate" else "queued again"
    deletion = parts.ask(
        view,
        "Delete",
        view.address(cluster.body["id"], "delete"),
        f"Delete the cluster {name} and its nodes? Jobs that run there are terminated, those that wait go on waiting.",
        *cluster.words("delete"),
        "--yes",
    )
    buttons = [
        _form(
            view,
            cluster,
            "Resize",
            f"How many nodes is {name} to have? Jobs on nodes that have to go are {fate}.",
            cluster.words("resize"),
            (("target", "Nodes", target),),
        ),
        _form(
            view,
            cluster,
            "Auto-scale",
            f"Between which numbers of nodes may {name} grow and shrink with its jobs?",
            cluster.words("auto-scale"),
            (("min", "Fewest", low), ("max", "Most", high)),
        ),
        deletion,
    ]
    return parts.section(
        "Commands",
        element("div", buttons, class_="asking-all"),
        parts.command(*cluster.words("show")),
        parts.command(*cluster.words("diagnose")),
        parts.command(*cluster.words("usage"), "--since", "7d", "-o", "table"),
        parts.command(*cluster.words("resize"), "--target", str(target)),
        parts.command(*cluster.words("auto-scale"), "--min", str(low), "--max", str(high)),
        parts.command(*cluster.words("delete")),
        id_="commands",
    )


def _form(
    view: View,
    cluster: Cluster,
    verb: str,
    question: str,
    words: Sequence[str],
    fields: Sequence[tuple[str, str, int]],
) -> Html:
    """A question with numbers in it; its line follows what is typed (static/lines.js)."""
    name = f"ask-{verb.lower()}"
    flags = [word for field, _, value in fields for word in (f"--{field}", str(value))]
    inputs = [
        element(
            "label",
            text,
            " ",
            element("input", type="number", name=field, value=value, min=0, max=_MOST_NODES, required=True),
        )
        for field, text, value in fields
    ]
    form = element(
        "form",
        element("input", type="hidden", name="token", value=view.session.anti_forgery),
        element("div", inputs, class_="actions"),
        parts.command(*words, *flags),
        element(
            "div",
            element("button", verb, type="submit"),
            element("button", "Cancel", type="button", popovertarget=name, popovertargetaction="hide"),
            class_="actions",
        ),
        method="post",
        action=view.address(cluster.body["id"], "scale"),
        data_line=parts.line(*words),
    )
    return parts.question_box(name, f"{verb}…", question, form, keep=True)


async def scale(view: View) -> Redirect:
    """Set the number of nodes (`target`), or its limits (`min` and `max`)."""
    cluster = await find(view)
    settings: dict[str, Any]
    if "target" in view.form:
        settings = {"manual": {"targetNodeCount": _number(view, "target")}}
        option = cluster.properties["scaleSettings"].get("manual", {}).get("nodeDeallocationOption")
        if option:
            settings["manual"]["nodeDeallocationOption"] = option
    else:
        limits = {"minimumNodeCount": _number(view, "min"), "maximumNodeCount": _number(view, "max")}
        settings = {"autoScale": limits}
    await view.wire.send("PATCH", cluster.path, {"properties": {"scaleSettings": settings}})
    return Redirect(cluster.address)


def _number(view: View, name: str) -> int:
    text = view.form.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request(f"'{text}' is no number of nodes.", name)
    return int(text)


async def delete(view: View) -> Redirect:
    """Begin to delete the cluster."""
    cluster = await find(view)
    await view.wire.send("DELETE", cluster.path)
    return Redirect(addresses.ROOT)

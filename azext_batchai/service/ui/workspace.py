"""The page of a workspace: its clusters, experiments and file servers, a page of each at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.paging import SKIP_TOKEN
from azext_batchai.service.ui import addresses, overview, parts
from azext_batchai.service.ui.file_server import disks_text, endpoint
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import Page, View

_SHOWN = 50


async def page(view: View) -> Page:
    """What is in one workspace."""
    group, name = view.names
    path = view.wire.batchai(group, "workspaces", name)
    body = await view.wire.get(path)
    return Page(
        body["name"],
        element(
            "div",
            element("h1", body["name"]),
            parts.facts(
                (
                    ("Resource group", body["id"].split("/")[4]),
                    ("Location", body["location"]),
                    ("Tags", ", ".join(f"{tag}={value}" for tag, value in body.get("tags", {}).items())),
                    ("Made", parts.moment(body["properties"]["creationTime"])),
                )
            ),
            await _clusters(view, path, body["id"]),
            await _experiments(view, path, body["id"]),
            await _file_servers(view, path, body["id"]),
            _commands(view.scope(group), body["name"]),
        ),
        topics=(key_of(body["id"]),),
        trail=(("Overview", addresses.ROOT),),
    )


async def _page_of(view: View, path: str, collection: str) -> tuple[list[dict[str, Any]], str]:
    """A page of a list, and where its next one begins; '' for the last."""
    query = {"maxresults": str(_SHOWN)}
    if view.query.get(collection):
        query[SKIP_TOKEN] = view.query[collection]
    body = await view.wire.send("GET", f"{path}/{collection}", None, **query)
    more = dict(parse_qsl(urlsplit(body.get("nextLink", "")).query)).get(SKIP_TOKEN, "")
    return body["value"], more


def _section(
    view: View, title: str, address: str, collection: str, heads: Sequence[str], rows: list[list[Child]], more: str
) -> Html:
    here = view.query.get(collection)
    if not rows:
        return parts.section(title, parts.empty("No more." if here else f"No {title.lower()} yet."), id_=collection)
    links = [
        element("a", text, href=f"{address}{'?' + urlencode({collection: token}) if token else ''}#{collection}")
        for text, token, wanted in (("From the first", "", here), ("More", more, more))
        if wanted
    ]
    return parts.section(
        title,
        parts.table(heads, rows, f"{title} in the order of their creation", "numbers" if len(heads) < 4 else None),
        element("nav", links, class_="actions", aria_label=f"Pages of {title.lower()}") if links else None,
        id_=collection,
    )


async def _clusters(view: View, path: str, workspace: str) -> Html:
    items, more = await _page_of(view, path, "clusters")
    rows: list[list[Child]] = []
    for item in items:
        properties, controller = item["properties"], view.service.fleet.get(key_of(item["id"]))
        counts = properties["nodeStateCounts"]
        nodes = ", ".join(f"{number} {state.removesuffix('NodeCount')}" for state, number in counts.items() if number)
        jobs = f"{controller.running_jobs} running, {len(controller.queue)} queued" if controller else None
        rows.append(
            [
                _link(view, item),
                parts.state(properties["allocationState"]),
                properties["vmSize"],
                overview.scale_text(properties["scaleSettings"]),
                nodes or "none",
                jobs,
            ]
        )
    heads = ("Cluster", "State", "VM size", "Scale", "Nodes", "Jobs")
    return _section(view, "Clusters", view.address(workspace), "clusters", heads, rows, more)


async def _experiments(view: View, path: str, workspace: str) -> Html:
    items, more = await _page_of(view, path, "experiments")
    sizes = view.service.store.sizes("job")
    rows: list[list[Child]] = [
        [_link(view, item), sizes.get(key_of(item["id"]), 0), parts.moment(item["properties"]["creationTime"])]
        for item in items
    ]
    heads = ("Experiment", "Jobs", "Made")
    return _section(view, "Experiments", view.address(workspace), "experiments", heads, rows, more)


async def _file_servers(view: View, path: str, workspace: str) -> Html:
    items, more = await _page_of(view, path, "fileservers")
    rows: list[list[Child]] = []
    for item in items:
        properties = item["properties"]
        where = endpoint(properties)
        rows.append(
            [
                _link(view, item),
                parts.state(properties["provisioningState"]),
                disks_text(properties["dataDisks"]),
                f"{where[0]}:{where[1]}" if where else None,
            ]
        )
    heads = ("File server", "State", "Disks", "Address")
    return _section(view, "File servers", view.address(workspace), "fileservers", heads, rows, more)


def _link(view: View, item: dict[str, Any]) -> Html:
    return element("a", item["name"], href=view.address(item["id"]))


def _commands(scope: tuple[str, ...], name: str) -> Html:
    inside = (*scope, "-w", name)
    return parts.section(
        "Commands",
        parts.command("workspace", "show", *scope, "-n", name),
        parts.command("cluster", "create", *inside, "-n", "CLUSTER", "-s", "STANDARD_D1", "--min", "0", "--max", "2"),
        parts.command("job", "run", *inside, "--", "python", "train.py"),
        parts.command("workspace", "delete", *scope, "-n", name),
        id_="commands",
    )

"""What is used: quotas of the locations that are in use, and what nodes did with their time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.control import node_times
from azext_batchai.service.ui import addresses, node_chart, overview, parts
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import Page, View

_ADDRESS = f"{addresses.ROOT}usage"
_AGAIN_SECONDS = 20  # to sum up what nodes did reads a long list: not at every change
_SHOWN = 50
_BAR = 100.0


async def page(view: View) -> Page:
    """Quotas and node time."""
    span = node_chart.chosen(view)
    workspaces = view.wire.items(view.wire.path("providers", "Microsoft.BatchAI", "workspaces"))
    locations = sorted({str(workspace["location"]) async for workspace in workspaces})
    return Page(
        "Usage",
        element(
            "div",
            element("h1", "Usage"),
            _times(view, span),
            [await _quotas(view, location) for location in locations]
            or parts.section("Quotas", parts.empty("There is no workspace yet, so no location is in use.")),
            data_again=_AGAIN_SECONDS,
        ),
        topics=(),
        scripts=("again.js",),
        styles=("cluster.css", "usage.css"),
    )


async def _quotas(view: View, location: str) -> Html:
    usages = await view.wire.all(view.wire.path("providers", "Microsoft.BatchAI", "locations", location, "usages"))
    used = [usage for usage in usages if usage["currentValue"]]
    unused = [usage for usage in usages if not usage["currentValue"]]
    return parts.section(
        f"Quotas in {location}",
        _quota_table(used, f"What is used in {location}") if used else parts.empty("Nothing is used."),
        element(
            "details",
            element("summary", f"{len(unused)} that nothing is used of"),
            _quota_table(unused, f"What is not used in {location}"),
        )
        if unused
        else None,
        parts.command("list-usages", *view.scope(), "-l", location, "-o", "table"),
    )


def _quota_table(usages: Iterable[Mapping[str, Any]], caption: str) -> Html:
    rows = []
    for usage in usages:
        name, current, limit = usage["name"]["localizedValue"], usage["currentValue"], usage["limit"]
        said = f"{current} of {limit}"
        meter = element("meter", said, value=current, max=max(limit, 1), aria_label=f"{name}: {said}")
        rows.append((name, meter, current, limit))
    return parts.table(("Quota", "Share", "Used", "Limit"), rows, caption, "numbers")


def _times(view: View, span: node_chart.Span) -> Html:
    answer = node_times.usage(view.service.store, str(span.seconds))
    clusters: dict[str, dict[str, float]] = {}
    experiments: dict[str, float] = {}
    for time in answer["times"]:
        hours = time["nodeSeconds"] / 3600
        states = clusters.setdefault(time["cluster"], {})
        states[time["state"]] = states.get(time["state"], 0.0) + hours
        if time["experiment"]:
            experiments[time["experiment"]] = experiments.get(time["experiment"], 0.0) + hours
    shown: list[Child] = [parts.empty(f"There was no node in the last {span.name}.")]
    if clusters:
        shown = [_clusters(view, clusters, span), _experiments(view, experiments, span) if experiments else None]
    return parts.section(
        "Node time",
        *shown,
        parts.command("cluster", "usage", "--since", span.flag, "-o", "table"),
        more=node_chart.links(_ADDRESS, span),
        id_="times",
    )


def _clusters(view: View, clusters: Mapping[str, Mapping[str, float]], span: node_chart.Span) -> Html:
    ordered = sorted(clusters.items(), key=lambda one: -sum(one[1].values()))
    most = sum(ordered[0][1].values())
    states = [state for state in node_chart.STATES if any(hours.get(state) for hours in clusters.values())]
    rows = [
        (
            _link(view, cluster),
            _bar(hours, most),
            *(f"{hours.get(state, 0.0):.2f}" for state in states),
            f"{sum(hours.values()):.2f}",
        )
        for cluster, hours in ordered[:_SHOWN]
    ]
    heads = ("Cluster", "Shares", *(element("span", node_chart.swatch(state), state) for state in states), "all")
    caption = f"Node-hours of clusters in the last {span.name}{_first(len(clusters))}"
    patterns = element("svg", node_chart.hatches(), class_="hidden", aria_hidden="true")
    return element("div", patterns, parts.table(heads, rows, caption, "numbers"))


def _first(number: int) -> str:
    return f", the {_SHOWN} of {number} that used most" if number > _SHOWN else ""


def _bar(hours: Mapping[str, float], most: float) -> Html:
    """The states of a cluster as a bar, the longest of which is of the one that used most."""
    found: list[Html] = []
    left = 0.0
    for state in node_chart.STATES:
        width = _BAR * hours.get(state, 0.0) / (most or 1.0)
        if width:
            found += node_chart.block(state, left, width, 12)
        left += width
    return element(
        "svg", found, viewBox=f"0 0 {_BAR:.0f} 12", preserveAspectRatio="none", class_="bar", aria_hidden="true"
    )


def _experiments(view: View, experiments: Mapping[str, float], span: node_chart.Span) -> Html:
    ordered = sorted(experiments.items(), key=lambda one: -one[1])
    rows = [(_link(view, key), f"{hours:.2f}") for key, hours in ordered[:_SHOWN]]
    caption = f"Node-hours of experiments in the last {span.name}{_first(len(experiments))}"
    return parts.table(("Experiment", "running"), rows, caption, "numbers")


def _link(view: View, resource_id: str) -> Child:
    """What is no more has its key in place of its id."""
    if overview.sound(view.service, key_of(resource_id)):
        return overview.link(view, resource_id)
    return element("span", f"{resource_id.rpartition('/')[2]} (deleted)", class_="empty")

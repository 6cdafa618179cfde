"""What the nodes of a cluster did in the last hour, day or week: a stacked area, a legend, the same as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from azext_batchai.service import clock
from azext_batchai.service.control import node_times
from azext_batchai.service.model.node_states import IDLE, LEAVING, PREPARING, RUNNING, UNUSABLE
from azext_batchai.service.store_events import NodeSeries
from azext_batchai.service.ui import parts
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import View

# From the ground up: what is of use, then what only costs.
STATES = (RUNNING, IDLE, PREPARING, UNUSABLE, LEAVING)
_WIDTH, _HEIGHT = 1000.0, 200.0  # the drawing is stretched to the room that there is
_MOST_TICKS = 5
_LEAST_HOURS = 0.05 / 3600  # a state that was passed at once is none that one looks for


@dataclass(frozen=True)
class Span:
    """How far back one looks, in seconds, and in how small steps; `flag`: as `az batchai cluster usage` has it."""

    name: str
    seconds: float
    width: float
    ticks: tuple[str, ...]
    rows: int
    flag: str

    @property
    def buckets(self) -> int:
        return round(self.seconds / self.width) + 1


SPANS = {
    "hour": Span("hour", 3600, 30, ("−60 min", "−45", "−30", "−15", "now"), 12, "1h"),
    "day": Span("day", 86400, 600, ("−24 h", "−18 h", "−12 h", "−6 h", "now"), 12, "1d"),
    "week": Span("week", 7 * 86400, 3600, ("−7 d", "−6", "−5", "−4", "−3", "−2", "−1", "now"), 7, "7d"),
}


def chosen(view: View) -> Span:
    """The span that the address asks for with `?span=`."""
    return SPANS.get(view.query.get("span", ""), SPANS["hour"])


def links(address: str, span: Span) -> Html:
    """The other spans of the page at `address`."""
    shown = [
        element(
            "a",
            name.capitalize(),
            href=f"{address}?span={name}",
            aria_current="true" if name == span.name else None,
        )
        for name in SPANS
    ]
    return element("nav", shown, class_="spans", aria_label="How far back")


@dataclass(frozen=True)
class Part:
    """What nodes did for a while: `begin` and `end` are shares of the span, `nodes` are numbers by state."""

    begin: float
    end: float
    nodes: Mapping[str, float]


def parts_of(series: NodeSeries, span: Span, now: float) -> list[Part]:
    """The buckets of a series as far as they lie in the span, the oldest first."""
    start = now - span.seconds
    found = []
    for bucket in range(span.buckets):
        begin = series.since + bucket * series.width
        end = min(begin + series.width, now)
        if end > max(begin, start):
            nodes = {state: seconds[bucket] / (end - begin) for state, seconds in series.seconds.items()}
            found.append(Part(max(begin - start, 0.0) / span.seconds, (end - start) / span.seconds, nodes))
    return found


def node_hours(shown: Sequence[Part], span: Span) -> dict[str, float]:
    """By state, those without any to speak of left out."""
    hours = {
        state: sum((part.end - part.begin) * part.nodes.get(state, 0.0) for part in shown) * span.seconds / 3600
        for state in STATES
    }
    return {state: number for state, number in hours.items() if number > _LEAST_HOURS}


def chart(view: View, cluster_key: str, span: Span) -> Html:
    """The area, the legend and the table of one cluster."""
    node_times.write(view.service.store)  # what was noted a moment ago belongs to what is over
    now = clock.epoch()
    series = view.service.store.node_events.series(cluster_key, span.width, span.buckets, now)
    shown = parts_of(series, span, now)
    hours = node_hours(shown, span)
    if not hours:
        return parts.empty(f"The cluster had no node in the last {span.name}.")
    return element("div", _figure(shown, hours, span), _legend(hours), _table(shown, span), class_="node-times")


def ticks(most: float) -> list[int]:
    """Whole numbers of nodes for the axis, from 0 to at least `most`, at equal distances."""
    top = max(math.ceil(most - 1e-6), 1)
    step = next(
        step * 10**power for power in range(10) for step in (1, 2, 5) if top <= (_MOST_TICKS - 1) * step * 10**power
    )
    return list(range(0, top + step, step))


def _figure(shown: Sequence[Part], hours: Mapping[str, float], span: Span) -> Html:
    scale = ticks(max(sum(part.nodes.values()) for part in shown))
    said = ", ".join(f"{state} {_hours(number)}" for state, number in hours.items())
    drawing = element(
        "svg",
        hatches(),
        [_line(0, _WIDTH, _HEIGHT * index / (len(scale) - 1)) for index in range(len(scale))],
        _areas(shown, tuple(hours), scale[-1]),
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"Nodes by state over the last {span.name}: {said}",
    )
    return element(
        "figure",
        element("div", [element("span", number) for number in reversed(scale)], class_="nodes", aria_hidden="true"),
        drawing,
        element("div", [element("span", text) for text in span.ticks], class_="moments", aria_hidden="true"),
        element("figcaption", "nodes"),
        class_="area-chart",
    )


def _line(left: float, right: float, y: float) -> Html:
    return element("line", x1=f"{left:.0f}", x2=f"{right:.0f}", y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid")


def _areas(shown: Sequence[Part], states: Sequence[str], most: float) -> list[Html]:
    below = [0.0] * len(shown)
    found = []
    for state in states:
        above = [low + part.nodes.get(state, 0.0) for low, part in zip(below, shown)]
        there = _outline(shown, above, below, _HEIGHT / most)
        found.append(element("path", d=there, class_=f"area {state}"))
        if state in _HATCHED:
            found.append(element("path", d=there, fill=f"url(#hatch-{state})"))
        below = above
    return found


def _outline(shown: Sequence[Part], above: Sequence[float], below: Sequence[float], scale: float) -> str:
    """The way there along the upper edge and back along the lower one, in steps."""
    there, back = [], []
    for part, high, low in zip(shown, above, below):
        there.append((part.begin * _WIDTH, part.end * _WIDTH, _HEIGHT - high * scale))
        back.append((part.end * _WIDTH, part.begin * _WIDTH, _HEIGHT - low * scale))
    corners = _joined(there) + _joined(back[::-1])
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z"


def _joined(steps: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """The corners of steps, those of equal height as one."""
    corners: list[tuple[float, float]] = []
    for begin, end, y in steps:
        if len(corners) > 1 and abs(corners[-1][1] - y) < 0.05 and abs(corners[-1][0] - begin) < 0.05:
            corners.pop()
        else:
            corners.append((begin, y))
        corners.append((end, y))
    return corners


# Not by colour alone: what is of no use is hatched.
_HATCHED = (PREPARING, UNUSABLE)


def hatches() -> Html:
    """What `block`, `swatch` and areas of a page refer to: once on it, in a drawing that is shown."""
    lines = {PREPARING: "M0,12L12,0", UNUSABLE: "M0,0L12,12"}
    return element(
        "defs",
        [
            element(
                "pattern",
                element("path", d=lines[state], class_="hatch"),
                id=f"hatch-{state}",
                width="12",
                height="12",
                patternUnits="userSpaceOnUse",
            )
            for state in _HATCHED
        ],
    )


def block(state: str, left: float, width: float, height: float) -> list[Html]:
    """A rectangle that stands for a state."""
    box = {"x": f"{left:.2f}", "width": f"{width:.2f}", "height": f"{height:.0f}"}
    blocks = [element("rect", **box, class_=f"area {state}")]
    if state in _HATCHED:
        blocks.append(element("rect", **box, fill=f"url(#hatch-{state})"))
    return blocks


def swatch(state: str) -> Html:
    """What the area of a state looks like, for a legend."""
    return element("svg", block(state, 0, 16, 16), viewBox="0 0 16 16", class_="swatch", aria_hidden="true")


def _legend(hours: Mapping[str, float]) -> Html:
    whole = sum(hours.values())
    return element(
        "ul",
        [
            element("li", swatch(state), state, " ", element("b", _hours(number)), f" ({_share(number / whole)})")
            for state, number in hours.items()
        ],
        class_="legend",
    )


def _share(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _hours(number: float) -> str:
    """Node-hours as a person reads them; less than a minute as seconds."""
    if number < 1 / 60:
        return f"{number * 3600:.1f} node-seconds"
    if number < 1:
        return f"{number * 60:.0f} node-minutes"
    return f"{number:.1f} node-hours"


def _table(shown: Sequence[Part], span: Span) -> Html:
    states = [state for state in STATES if any(part.nodes.get(state) for part in shown)]
    rows: list[list[Child]] = []
    for row in range(span.rows):
        begin, end = row / span.rows, (row + 1) / span.rows
        inside = [part for part in shown if begin <= (part.begin + part.end) / 2 < end]
        whole = sum(part.end - part.begin for part in inside) or 1.0
        means = [
            sum((part.end - part.begin) * part.nodes.get(state, 0.0) for part in inside) / whole for state in states
        ]
        rows.append([_when(span, begin, end), *(f"{mean:.1f}" for mean in means)])
    return element(
        "details",
        element("summary", "As a table"),
        parts.table(
            ("Time", *(state.capitalize() for state in states)),
            rows,
            f"How many nodes there were on average in the last {span.name}",
            "numbers",
        ),
    )


def _when(span: Span, begin: float, end: float) -> str:
    size, unit = {"hour": (60, "min"), "day": (3600, "h"), "week": (86400, "d")}[span.name]
    first, last = (round(span.seconds * (1 - share) / size) for share in (begin, end))
    return f"{first} to {last} {unit} ago"

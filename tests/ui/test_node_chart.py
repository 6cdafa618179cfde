"""The drawing of what nodes did: its axis, its areas, its sums."""

import re

import pytest

from azext_batchai.service.store_events import NodeSeries
from azext_batchai.service.ui import node_chart
from azext_batchai.service.ui.node_chart import SPANS, Part

HOUR = SPANS["hour"]


@pytest.mark.parametrize(
    ("most", "wanted"),
    [
        (0.2, [0, 1]),
        (1, [0, 1]),
        (2.0000000001, [0, 1, 2]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (100, [0, 50, 100]),
        (1000, [0, 500, 1000]),
    ],
)
def test_ticks_are_whole_and_reach_the_top(most: float, wanted: list[int]) -> None:
    assert node_chart.ticks(most) == wanted


@pytest.mark.parametrize("name", SPANS)
def test_the_buckets_of_a_span_fill_it(name: str) -> None:
    span = SPANS[name]
    now = 1_700_000_123.4
    since = (now // span.width - span.buckets + 1) * span.width
    seconds = [span.width] * (span.buckets - 1) + [now % span.width]
    shown = node_chart.parts_of(NodeSeries(since, span.width, {"idle": seconds}), span, now)
    assert (shown[0].begin, shown[-1].end) == (0, pytest.approx(1))
    assert [part.begin for part in shown[1:]] == pytest.approx([part.end for part in shown[:-1]])
    assert [part.nodes["idle"] for part in shown] == pytest.approx([1] * len(shown))
    assert node_chart.node_hours(shown, span) == {"idle": pytest.approx(span.seconds / 3600)}


def test_a_node_that_was_there_for_a_moment_only_is_not_spoken_of() -> None:
    assert node_chart.node_hours([Part(0, 1, {"preparing": 0.00001, "idle": 1})], HOUR) == {"idle": 1}


def test_steps_of_equal_height_are_one() -> None:
    shown = [Part(0, 0.25, {"idle": 2}), Part(0.25, 0.5, {"idle": 2}), Part(0.5, 1, {"idle": 1})]
    areas = node_chart._areas(shown, ("idle",), 2)
    [path] = re.findall(r'd="([^"]*)"', "".join(areas))
    there = "M0.0,0.0L500.0,0.0L500.0,100.0L1000.0,100.0"
    assert path == f"{there}L1000.0,200.0L0.0,200.0Z"


def test_areas_lie_on_each_other() -> None:
    areas = node_chart._areas([Part(0, 1, {"running": 1, "idle": 3})], ("running", "idle"), 4)
    assert [re.findall(r",([\d.]+)", area) for area in areas] == [
        ["150.0", "150.0", "200.0", "200.0"],
        ["0.0", "0.0", "150.0", "150.0"],
    ]

"""What nodes of a cluster did, in buckets of time: the same sums as over the whole time, bucket by bucket."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from azext_batchai.service.store import Store
from azext_batchai.service.store_events import NodeEvents

CLUSTER = "/workspaces/w/clusters/c"


@pytest.fixture
def events(tmp_path: Path) -> Iterator[NodeEvents]:
    store = Store(tmp_path / "state.db")
    with store.transaction(durable=False):
        yield store.node_events
    store.close()


def note(events: NodeEvents, node: str, state: str, at: float, cluster: str = CLUSTER) -> None:
    events.add(f"{cluster}/nodes/{node}", cluster, state, "", at)


def seconds(events: NodeEvents, width: float, buckets: int, now: float) -> dict[str, list[float]]:
    found = events.series(CLUSTER, width, buckets, now)
    assert (found.since, found.width) == ((now // width - buckets + 1) * width, width)
    return {state: [round(one, 3) for one in values] for state, values in found.seconds.items()}


def test_a_node_counts_where_it_is_in_a_state(events: NodeEvents) -> None:
    note(events, "a", "preparing", 105)
    note(events, "a", "idle", 112.5)
    note(events, "a", "running", 131.001)
    note(events, "a", "gone", 134)
    assert seconds(events, 10, 5, 149) == {
        "preparing": [5, 2.5, 0, 0, 0],
        "idle": [0, 7.5, 10, 1.001, 0],
        "running": [0, 0, 0, 2.999, 0],
    }


def test_a_state_lasts_from_before_until_now(events: NodeEvents) -> None:
    note(events, "a", "idle", 3)
    note(events, "b", "idle", 4)
    note(events, "b", "running", 115)
    assert seconds(events, 10, 3, 126) == {"idle": [20, 15, 6], "running": [0, 5, 6]}


def test_other_clusters_and_gone_nodes_count_nowhere(events: NodeEvents) -> None:
    note(events, "a", "idle", 3)
    note(events, "a", "gone", 4)
    note(events, "a", "idle", 5, f"{CLUSTER}2")
    note(events, "a", "idle", 105, f"{CLUSTER}0")
    assert seconds(events, 10, 3, 126) == {}


def test_no_events(events: NodeEvents) -> None:
    assert seconds(events, 10, 3, 126) == {}


def test_now_at_the_edge_of_a_bucket(events: NodeEvents) -> None:
    note(events, "a", "idle", 110)
    assert seconds(events, 10, 3, 130) == {"idle": [10, 10, 0]}


def test_what_is_over_is_not_looked_at_again(events: NodeEvents) -> None:
    note(events, "a", "idle", 101)
    assert seconds(events, 10, 3, 125) == {"idle": [9, 10, 5]}
    note(events, "a", "running", 128)
    assert seconds(events, 10, 3, 132) == {"idle": [10, 8, 0], "running": [0, 2, 2]}
    events._db.execute("DELETE FROM node_events WHERE state='idle'")
    assert seconds(events, 10, 3, 133) == {"idle": [10, 8, 0], "running": [0, 2, 3]}
    # Much later nothing of that is left to remember.
    assert seconds(events, 10, 3, 333) == {"running": [10, 10, 3]}


def test_a_clock_that_was_set_back(events: NodeEvents) -> None:
    note(events, "a", "idle", 121)
    note(events, "a", "running", 111)
    assert seconds(events, 10, 3, 135) == {"running": [9, 10, 5]}
    assert seconds(events, 10, 3, 115) == {"running": [0, 0, 4]}


@pytest.mark.parametrize("seed", range(20))
def test_the_same_as_over_the_whole_time(events: NodeEvents, seed: int) -> None:
    """Looked at now and then as on a page, for the sake of what is remembered."""
    dice = random.Random(seed)
    at = 1000.0
    for _ in range(200):
        at += dice.expovariate(1 / 3)
        state = dice.choice(["idle", "running", "preparing", "unusable", "gone"])
        note(events, f"n{dice.randrange(8)}", state, at, dice.choice([CLUSTER, f"{CLUSTER}1"]))
        if dice.random() < 0.1:
            events.series(CLUSTER, 7, 11, at)
        if dice.random() < 0.1:
            found = events.series(CLUSTER, 7, 11, at)
            for state, values in found.seconds.items():
                for number, value in enumerate(values):
                    begin = found.since + 7 * number
                    times = events.times(begin, max(min(begin + 7, at), begin))
                    right = sum(one.seconds for one in times if (one.cluster, one.state) == (CLUSTER, state))
                    assert value == pytest.approx(right, abs=0.001), (state, number)


def test_many_clusters_are_not_remembered_for_ever(events: NodeEvents) -> None:
    for number in range(100):
        events.series(f"{CLUSTER}{number}", 10, 3, 100)
    assert len(events._over) == 64

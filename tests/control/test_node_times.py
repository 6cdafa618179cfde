"""What nodes did with their time: kept across restarts and crashes, and not for ever."""

import sqlite3
from pathlib import Path

import pytest

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.clock import epoch
from azext_batchai.service.control import node_times
from azext_batchai.service.store import Store
from azext_batchai.service.store_events import KEPT_SECONDS, MOST_EVENTS
from harness.plane import EXPERIMENT, WORKSPACE, Plane

WEEK = str(7 * 86400)


def hours(plane: Plane, seconds: str = WEEK) -> dict[tuple[str, str], float]:
    """(name of the experiment or '', state) -> node-hours."""
    times = node_times.usage(plane.service.store, seconds)["times"]
    assert {time["cluster"] for time in times} <= {f"{WORKSPACE}/clusters/c"}
    return {
        ((time["experiment"] or "").rpartition("/")[2], time["state"]): round(time["nodeSeconds"] / 3600, 2)
        for time in times
        if round(time["nodeSeconds"] / 3600, 2)
    }


async def test_running_and_idle(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    await plane.sleep(3600)
    assert hours(plane) == {("exp", "running"): 1, ("", "idle"): 1}
    await plane.end("a")
    await plane.sleep(1800)
    assert hours(plane) == {("exp", "running"): 1, ("", "idle"): 2}
    assert hours(plane, "1800") == {("", "idle"): 1}


async def test_a_gang_counts_all_its_nodes(plane: Plane) -> None:
    await plane.cluster(3)
    await plane.job("a", nodes=3)
    await plane.sleep(3600)
    assert hours(plane) == {("exp", "running"): 3}


@pytest.mark.parametrize("how", ["crash", "restart"])
async def test_across_restarts(plane: Plane, how: str) -> None:
    await plane.cluster(2)
    await plane.job("a")
    await plane.sleep(3600)
    if how == "crash":
        await plane.crash()
    await plane.restart()
    await plane.sleep(3600)
    assert hours(plane) == {("exp", "running"): 2, ("", "idle"): 2}


async def test_what_is_gone_takes_no_time(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.sleep(3600)
    await plane.rescale(0)
    await plane.sleep(3600)
    assert hours(plane) == {("", "idle"): 2}
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    await plane.sleep(60)
    rows = node_times.usage(plane.service.store, WEEK)["times"]
    assert {row["cluster"] for row in rows} == {f"{WORKSPACE}/clusters/c".lower()}


async def test_unusable(plane: Plane) -> None:
    await plane.cluster(1)
    plane.controller().nodes.became_unusable(next(iter(plane.controller().nodes)), _fault())
    await plane.sleep(3600)
    assert hours(plane) == {("", "unusable"): 1}


def _fault():
    from azext_batchai.service.engine.base import TaskError

    return TaskError("Broken", "no")


async def test_a_deleted_experiment_keeps_its_key(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.sleep(3600)
    await plane.end("a")
    await plane.ask("DELETE", EXPERIMENT)
    await plane.sleep(60)
    assert hours(plane)[("exp", "running")] == 1


async def test_a_node_of_which_nothing_is_known_ends_where_it_was_last_heard_of(plane: Plane) -> None:
    await plane.cluster(1)
    store = plane.service.store
    with store.transaction():
        store.node_events.add("/strange", f"{WORKSPACE}/clusters/c".lower(), "running", EXPERIMENT.lower(), epoch())
    await plane.restart()
    await plane.sleep(3600)
    assert hours(plane) == {("", "idle"): 1}


@pytest.mark.parametrize("seconds", ["", "x", "-1", "0", "nan", "inf", "1/2"])
async def test_a_wrong_time(plane: Plane, seconds: str) -> None:
    with pytest.raises(ArmError, match="no number of seconds"):
        node_times.usage(plane.service.store, seconds)


async def test_a_full_disk_stops_nothing(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    await plane.cluster(1)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(plane.service.store.node_events, "add", full)
    await plane.job("a")
    assert plane.state("a") == "running"


def test_it_has_an_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    events = store.node_events
    with store.transaction(durable=False):
        events.add("living", "c", "idle", "", 0.0)
        events.add("dead", "c", "idle", "", 0.0)
        events.add("dead", "c", "gone", "", 1.0)
    events.prune(KEPT_SECONDS + 10)
    assert [time.seconds for time in events.times(0, KEPT_SECONDS + 10)] == [KEPT_SECONDS + 10]
    with store.transaction(durable=False):
        for number in range(20):
            events.add(f"n{number}", "c", "idle", "", KEPT_SECONDS)
            events.add(f"n{number}", "c", "gone", "", KEPT_SECONDS)
        store._db.execute("UPDATE node_events SET seq=seq+? WHERE node='n19'", (MOST_EVENTS,))
    events.prune(KEPT_SECONDS + 10)
    (left,) = store._db.execute("SELECT COUNT(*) FROM node_events").fetchone()
    assert left == 3  # the living, and the newest two
    store.close()

"""Which jobs start, and how many nodes a cluster should have."""

import pytest

from azext_batchai.service.control.scheduler import Queue, capacity_of, wanted_nodes

MANUAL = {"manual": {"targetNodeCount": 3}}
AUTO = {"autoScale": {"minimumNodeCount": 1, "maximumNodeCount": 4}}


def queue(*jobs: tuple[str, str, int]) -> Queue:
    made = Queue()
    for seq, (name, priority, nodes) in enumerate(jobs):
        made.add(name, seq, priority, nodes)
    return made


def startable(jobs: Queue, idle: int, capacity: int = 10) -> list[str]:
    return [job.key for job in jobs.startable(idle, capacity)]


def test_first_in_first_out_within_a_priority() -> None:
    jobs = queue(("a", "normal", 1), ("b", "low", 1), ("c", "high", 1), ("d", "normal", 1))
    assert startable(jobs, idle=4) == ["c", "a", "d", "b"]


def test_a_job_starts_on_all_its_nodes_or_on_none() -> None:
    assert startable(queue(("gang", "normal", 3)), idle=2) == []
    assert startable(queue(("gang", "normal", 3)), idle=3) == ["gang"]


def test_a_waiting_gang_is_not_starved_by_smaller_jobs_behind_it() -> None:
    assert startable(queue(("gang", "normal", 3), ("small", "normal", 1)), idle=2) == []


def test_a_job_that_can_never_fit_holds_back_nobody() -> None:
    assert startable(queue(("huge", "high", 11), ("small", "normal", 1)), idle=1) == ["small"]


def test_a_requeued_job_stands_where_it_stood() -> None:
    jobs = queue(("a", "normal", 1), ("b", "normal", 1))
    jobs.remove("a")
    jobs.add("a", 0, "normal", 1)
    assert startable(jobs, idle=2) == ["a", "b"]


@pytest.mark.parametrize(
    ("settings", "demand", "nodes"),
    [(MANUAL, 0, 3), (MANUAL, 9, 3), (AUTO, 0, 1), (AUTO, 3, 3), (AUTO, 9, 4)],
)
def test_wanted_nodes(settings: dict, demand: int, nodes: int) -> None:
    assert wanted_nodes(settings, demand) == nodes


def test_capacity() -> None:
    assert (capacity_of(MANUAL), capacity_of(AUTO)) == (3, 4)

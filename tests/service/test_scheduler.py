"""Which jobs start, and how many nodes a cluster should have."""

import pytest

from azext_batchai.service.control.scheduler import Queue, capacity_of, wanted_nodes

MANUAL = {"manual": {"targetNodeCount": 3}}
AUTO = {"autoScale": {"minimumNodeCount": 1, "maximumNodeCount": 4}}


def queue(*jobs: tuple[str, str, int]) -> Queue:
    made = Queue()
    for seq, (name, priority, nodes) in enumerate(jobs):
        made.add(name, seq, priority, nodes, 0.0)
    return made


def startable(jobs: Queue, idle: int, capacity: int = 10) -> list[str]:
    return [job.key for job in jobs.startable(idle, capacity)]


def test_first_in_first_out_within_a_priority() -> None:
    jobs = queue(("a", "normal", 1), ("b", "low", 1), ("c", "high", 1), ("d", "normal", 1))
    assert startable(jobs, idle=4) == ["c", "a", "d", "b"]


def test_no_more_jobs_start_than_there_are_nodes() -> None:
    jobs = queue(("a", "normal", 2), ("b", "normal", 1), ("c", "normal", 1))
    assert startable(jobs, idle=3) == ["a", "b"]
    assert startable(jobs, idle=2) == ["a"]
    assert startable(jobs, idle=0) == []


def test_a_job_starts_on_all_its_nodes_or_on_none() -> None:
    assert startable(queue(("gang", "normal", 3)), idle=2) == []
    assert startable(queue(("gang", "normal", 3)), idle=3) == ["gang"]


def test_a_waiting_gang_is_not_starved_by_smaller_jobs_behind_it() -> None:
    assert startable(queue(("gang", "normal", 3), ("small", "normal", 1)), idle=2) == []


def test_a_job_that_can_never_fit_holds_back_nobody() -> None:
    assert startable(queue(("huge", "high", 11), ("small", "normal", 1)), idle=1) == ["small"]


def test_jobs_that_can_never_fit_alone_leave_nothing_to_start() -> None:
    jobs = queue(("huge", "high", 11))
    assert (startable(jobs, idle=9), jobs.demand(10), jobs.demand(11)) == ([], 0, 11)


def test_a_job_as_large_as_the_cluster_fits() -> None:
    assert startable(queue(("all", "normal", 10)), idle=10) == ["all"]
    assert queue(("all", "normal", 10)).demand(10) == 10


def test_demand_counts_every_waiting_node() -> None:
    jobs = queue(("a", "normal", 2), ("b", "normal", 3), ("c", "low", 2), ("huge", "high", 11))
    assert jobs.demand(10) == 7
    jobs.remove("a")
    assert jobs.demand(10) == 5
    jobs.remove("a")  # it is not there any more
    assert (jobs.demand(10), len(jobs)) == (5, 3)


def test_a_job_removed_from_the_middle_leaves_the_others() -> None:
    jobs = queue(("a", "normal", 1), ("b", "normal", 1), ("c", "normal", 1))
    jobs.remove("b")
    assert [job.key for job in jobs] == ["a", "c"]
    assert startable(jobs, idle=3) == ["a", "c"]


@pytest.mark.parametrize(
    ("sizes", "free", "missing", "blocks"),
    [
        ([1, 1, 1], 0, 2, [1, 1]),
        ([3], 0, 2, []),
        ([3], 1, 2, [2]),
        ([3], 3, 5, []),
        ([2, 2], 3, 5, [1]),
        ([1, 3, 1], 0, 3, [1]),  # what is behind a gang waits with it
        ([11, 2], 0, 5, [2]),  # what can never fit does not
        ([2], 0, 2, [2]),
        ([2], 0, 0, []),
        ([2, 1], 5, 3, []),
        ([1, 2], 2, 3, [1]),
    ],
)
def test_gangs_are_asked_for_whole(sizes: list[int], free: int, missing: int, blocks: list[int]) -> None:
    jobs = queue(*((str(number), "normal", size) for number, size in enumerate(sizes)))
    assert jobs.blocks(free, missing, 10) == blocks


def test_a_requeued_job_stands_where_it_stood() -> None:
    jobs = queue(("a", "normal", 1), ("b", "normal", 1))
    jobs.remove("a")
    jobs.add("a", 0, "normal", 1, 0.0)
    assert startable(jobs, idle=2) == ["a", "b"]


def sweep(most: int, sizes: tuple[int, ...] = (1, 1, 1)) -> Queue:
    made = Queue()
    for seq, size in enumerate(sizes):
        made.add(f"s{seq}", seq, "normal", size, 0.0, "sweep", most)
    made.add("other", 9, "normal", 1, 0.0)
    return made


def test_of_a_sweep_no_more_run_than_it_says() -> None:
    jobs = sweep(2)
    assert startable(jobs, idle=9) == ["s0", "s1", "other"]
    assert [job.key for job in jobs.startable(9, 10, {"sweep": 1})] == ["s0", "other"]
    assert [job.key for job in jobs.startable(1, 10, {"sweep": 2})] == ["other"]


def test_nodes_are_wanted_for_as_many_of_a_sweep_as_may_run() -> None:
    jobs = sweep(2)
    assert (jobs.demand(10), jobs.demand(10, {"sweep": 1}), jobs.demand(10, {"sweep": 2})) == (3, 2, 1)
    assert jobs.blocks(0, 9, 10, {"sweep": 1}) == [1, 1]
    for key in ("s0", "s1", "s2"):
        jobs.remove(key)
    assert jobs.demand(10) == 1


def test_a_job_of_a_sweep_that_can_never_fit_takes_no_place_of_it() -> None:
    assert startable(sweep(1, (11, 1)), idle=9) == ["s1", "other"]


@pytest.mark.parametrize(
    ("settings", "demand", "nodes"),
    [(MANUAL, 0, 3), (MANUAL, 9, 3), (AUTO, 0, 1), (AUTO, 3, 3), (AUTO, 9, 4)],
)
def test_wanted_nodes(settings: dict, demand: int, nodes: int) -> None:
    assert wanted_nodes(settings, demand) == nodes


def test_capacity() -> None:
    assert (capacity_of(MANUAL), capacity_of(AUTO)) == (3, 4)

"""How many nodes a cluster has, which go first, and which jobs get them."""

import asyncio

import pytest

from azext_batchai.service.control.node_pool import Node
from azext_batchai.service.engine.base import TaskError
from harness.plane import USER, WORKSPACE, Plane, job_path, scale

BAD = TaskError("SetupTaskFailed", "no")


# Manual


async def test_a_manual_cluster_has_its_target_whatever_its_queue(plane: Plane) -> None:
    await plane.cluster(2)
    for name in "abc":
        await plane.job(name)
    assert plane.states("a", "b", "c") == ["running", "running", "queued"]
    await plane.rescale(3)
    assert (len(plane.nodes()), plane.state("c")) == (3, "running")
    await plane.end("a", "b", "c")
    await plane.sleep(3600)
    assert await plane.counts() == {"idle": 3}


async def test_idle_nodes_go_before_running_ones(plane: Plane) -> None:
    await plane.cluster(3)
    await plane.job("a")
    await plane.rescale(1)
    assert await plane.counts() == {"running": 1}
    assert plane.world.of_job("a").stops == 0


async def test_who_goes_first_when_a_cluster_shrinks(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    plane.world.fault("prepare", BAD)
    await plane.rescale(3)
    plane.world.automatic -= {"prepare"}
    await plane.rescale(4)
    plane.world.automatic -= {"allocate"}
    await plane.rescale(5)
    names = {state: node for node, state in plane.nodes().items()}
    assert list(names) == ["running", "idle", "unusable", "preparing", "allocating"]
    for target, gone in ((4, "unusable"), (3, "allocating"), (2, "preparing"), (1, "idle")):
        await plane.rescale(target)
        assert names[gone] not in plane.nodes()
        assert len(plane.nodes()) == target
    assert plane.state("a") == "running"
    await plane.rescale(0)
    assert (plane.nodes(), plane.state("a")) == ({}, "queued")


async def test_a_node_that_is_being_lost_counts_as_the_one_that_goes(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(2)
    await plane.job("a")
    [lost] = plane.nodes_of("a")
    plane.engine.lose(lost)
    await plane.loop.settle()
    await plane.rescale(1)
    assert [node for node, state in plane.nodes().items() if state == "idle"]
    await plane.end("a", exit_code=1)
    assert plane.numbers() == [2]
    assert plane.state("a") == "running"


@pytest.mark.parametrize("option", ["requeue", "terminate", "waitforjobcompletion"])
async def test_what_becomes_of_a_job_whose_node_is_taken(plane: Plane, option: str) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1, option=option)
    await plane.job("a")
    await plane.rescale(0, option=option)
    stops = {"requeue": 1, "terminate": 1, "waitforjobcompletion": 0}[option]
    assert plane.world.of_job("a").stops == stops
    assert plane.state("a") == {"requeue": "running", "terminate": "terminating"}.get(option, "running")
    assert (await plane.show())["allocationState"] == "resizing"
    await plane.sleep(1)
    assert plane.world.of_job("a").stops == stops
    await plane.job("b")
    assert plane.state("b") == "queued"
    await plane.end("a")
    assert plane.state("a") == {"requeue": "queued", "terminate": "failed"}.get(option, "succeeded")
    assert plane.nodes() == {}
    assert (await plane.show())["allocationState"] == "steady"
    await plane.rescale(1, option=option)
    if option == "requeue":
        assert plane.states("a", "b") == ["running", "queued"]  # it has kept its place
        assert plane.world.of_job("a").plan.notes == ("the job runs again: the cluster was made smaller",)
        assert plane.world.of_job("a").plan.attempt == 2


async def test_a_node_that_was_to_go_stays_when_the_target_is_raised_again(plane: Plane) -> None:
    await plane.cluster(1, option="waitforjobcompletion")
    await plane.job("a")
    before = plane.nodes()
    await plane.rescale(0, option="waitforjobcompletion")
    assert plane.node(next(iter(before))).draining
    await plane.rescale(1)
    assert (await plane.show())["allocationState"] == "steady"
    await plane.end("a")
    await plane.job("b")
    assert (plane.nodes(), plane.state("b")) == (before, "running")


async def test_no_job_starts_on_a_node_that_waits_to_go(plane: Plane) -> None:
    """A gang's nodes are not free at one moment: what ended on one of them leaves it idle."""
    plane.world.automatic -= {"release"}
    await plane.cluster(2, option="waitforjobcompletion")
    await plane.job("a")
    await plane.job("b")
    await plane.rescale(1, option="waitforjobcompletion")
    await plane.job("c")
    [going] = [node for node in plane.nodes() if plane.node(node).draining]
    ends = next(name for name in "ab" if plane.nodes_of(name) == [going])
    await plane.end(ends)
    assert (plane.node(going).state, plane.state("c")) == ("leaving", "queued")


# Auto-scale


async def test_an_auto_scale_cluster_follows_its_jobs(plane: Plane) -> None:
    await plane.cluster(auto=(0, 2))
    assert plane.nodes() == {}
    for name in "abc":
        await plane.job(name)
    assert plane.states("a", "b", "c") == ["running", "running", "queued"]
    await plane.end("a")
    assert plane.state("c") == "running"
    await plane.end("b", "c")
    await plane.sleep(59.9)
    plane.controller().wake()
    await plane.loop.settle()
    assert await plane.counts() == {"idle": 2}
    await plane.sleep(0.2)
    assert await plane.counts() == {}


@pytest.mark.parametrize("days", [-400, 400])
async def test_idle_times_do_not_follow_the_wall_clock(plane: Plane, days: int) -> None:
    await plane.cluster(auto=(0, 1))
    await plane.job("a")
    await plane.end("a")
    plane.clock.wall_seconds = days * 86400.0
    await plane.sleep(59.9)
    plane.controller().wake()
    await plane.loop.settle()
    assert await plane.counts() == {"idle": 1}
    await plane.sleep(0.2)
    assert await plane.counts() == {}


async def test_initial_and_least_number_of_nodes(plane: Plane) -> None:
    await plane.cluster(auto=(1, 5, 3))
    assert await plane.counts() == {"idle": 3}
    assert [len(block) for block in plane.world.blocks] == [1, 1, 1]
    await plane.sleep(61)
    assert await plane.counts() == {"idle": 1}
    await plane.cluster(auto=(2, 5), name="d")
    assert await plane.counts("d") == {"idle": 2}
    await plane.cluster(auto=(2, 5, 1), name="e")
    assert await plane.counts("e") == {"idle": 2}


async def test_a_restart_gives_no_initial_nodes_again(plane: Plane) -> None:
    await plane.cluster(auto=(0, 9, 3))
    before = plane.nodes()
    await plane.restart()
    assert plane.nodes() == before
    await plane.sleep(61)
    assert plane.nodes() == {}
    await plane.restart()
    assert plane.nodes() == {}


@pytest.mark.parametrize("dies", [False, True])
async def test_a_new_cluster_has_its_initial_nodes_also_where_they_cannot_be_written_at_first(
    plane: Plane, dies: bool
) -> None:
    plane.writes_left = 2  # the cluster and its operation, no node
    answer = await plane.cluster(auto=(0, 9, 3))
    assert (answer.status, plane.nodes(), plane.world.blocks) == (202, {}, [])
    plane.writes_left = None
    if dies:
        await plane.restart()
    else:
        await plane.sleep(5)
    assert await plane.counts() == {"idle": 3}
    await plane.job("a")
    await plane.sleep(61)
    assert len(plane.nodes()) == 1


async def test_the_idle_time_of_a_node_begins_when_it_is_ready(plane: Plane) -> None:
    plane.world.automatic -= {"prepare"}
    await plane.cluster(auto=(0, 1, 1))
    [node] = plane.nodes()
    await plane.sleep(1000)
    assert plane.nodes() == {node: "preparing"}  # nor is one taken away that nobody could use yet
    plane.engine.decide("prepare", node)
    await plane.sleep(59)
    assert plane.nodes() == {node: "idle"}
    await plane.sleep(2)
    assert plane.nodes() == {}


async def test_idle_nodes_stay_for_a_gang_that_waits_for_the_others(plane: Plane) -> None:
    await plane.cluster(auto=(0, 3, 3))
    await plane.job("a")
    await plane.job("gang", 3)
    await plane.sleep(1000)
    assert (await plane.counts(), plane.state("gang")) == ({"running": 1, "idle": 2}, "queued")
    await plane.end("a")
    assert (plane.state("gang"), len(plane.world.blocks)) == ("running", 3)


async def test_a_manual_cluster_has_no_initial_nodes(plane: Plane) -> None:
    await plane.cluster(0)
    assert plane.world.blocks == []


async def test_a_cluster_whose_service_died_before_its_first_node_has_its_nodes(plane: Plane) -> None:
    properties = {"vmSize": "S", "userAccountSettings": USER, "scaleSettings": scale(2)}
    assert (await plane.call("PUT", f"{WORKSPACE}/clusters/c", {"properties": properties})).status == 202
    await plane.restart()
    assert await plane.counts() == {"idle": 2}


async def test_the_node_that_was_idle_longest_goes_first(plane: Plane) -> None:
    await plane.cluster(auto=(0, 2))
    await plane.job("a")
    await plane.job("b")
    first, second = plane.nodes_of("a")[0], plane.nodes_of("b")[0]
    await plane.end("b")
    await plane.sleep(30)
    await plane.end("a")
    await plane.sleep(31)
    assert list(plane.nodes()) == [first]
    await plane.job("c")
    assert plane.nodes_of("c") == [first]  # its time starts anew
    await plane.sleep(100)
    await plane.end("c")
    await plane.sleep(59)
    assert list(plane.nodes()) == [first]
    await plane.sleep(2)
    assert second not in plane.world.nodes and plane.nodes() == {}


async def test_the_longest_idle_goes_first_also_under_a_lowered_maximum(plane: Plane) -> None:
    await plane.cluster(auto=(0, 3))
    await plane.job("a")
    await plane.job("b")
    await plane.job("c")
    nodes = {name: plane.nodes_of(name)[0] for name in "abc"}
    for name in "cab":
        await plane.end(name)
        await plane.sleep(1)
    await plane.rescale(auto=(0, 2))
    assert set(plane.nodes()) == {nodes["a"], nodes["b"]}


async def test_a_lowered_maximum_takes_what_is_over_it_at_once_and_no_more(plane: Plane) -> None:
    await plane.cluster(auto=(0, 5, 5))
    await plane.job("a")
    await plane.rescale(auto=(0, 3))
    assert await plane.counts() == {"running": 1, "idle": 2}
    await plane.sleep(61)
    assert await plane.counts() == {"running": 1}


async def test_running_jobs_outlive_a_lowered_maximum(plane: Plane) -> None:
    await plane.cluster(auto=(0, 2))
    for name in "abc":
        await plane.job(name)
    await plane.rescale(auto=(0, 1))
    assert plane.states("a", "b", "c") == ["running", "running", "queued"]
    await plane.end("a")
    assert (plane.state("c"), len(plane.nodes())) == ("queued", 1)
    await plane.end("b")
    assert plane.state("c") == "running"


async def test_unusable_nodes_are_replaced_and_go_first(plane: Plane) -> None:
    plane.world.fault("prepare", BAD)
    await plane.cluster(auto=(1, 3))
    assert await plane.counts() == {"unusable": 1, "idle": 1}
    good = next(node for node, state in plane.nodes().items() if state == "idle")
    await plane.sleep(61)
    assert list(plane.nodes()) == [good]


async def test_unusable_nodes_take_room_under_the_maximum(plane: Plane) -> None:
    plane.world.fault("prepare", BAD, BAD)
    await plane.cluster(auto=(2, 2))
    assert await plane.counts() == {"unusable": 2}
    await plane.job("a")
    assert plane.state("a") == "queued"


async def test_a_job_that_can_never_fit_scales_nothing_and_holds_back_nobody(plane: Plane) -> None:
    await plane.cluster(auto=(0, 2))
    await plane.job("huge", 3)
    assert (plane.nodes(), plane.world.blocks) == ({}, [])
    await plane.job("a")
    assert (plane.states("huge", "a"), len(plane.nodes())) == (["queued", "running"], 1)
    await plane.rescale(auto=(0, 4))
    assert plane.state("huge") == "running"


async def test_gangs_come_in_blocks_all_or_none(plane: Plane) -> None:
    await plane.cluster(auto=(0, 5))
    await plane.job("first", 3)
    await plane.job("second", 3)  # two more would be half a gang
    await plane.job("third")
    assert [len(block) for block in plane.world.blocks] == [3]
    assert plane.states("first", "second", "third") == ["running", "queued", "queued"]
    await plane.end("first")
    assert plane.states("second", "third") == ["running", "queued"] or len(plane.world.blocks) > 1
    assert plane.state("second") == "running"


async def test_a_gang_gets_what_it_lacks_beside_idle_nodes(plane: Plane) -> None:
    await plane.cluster(auto=(2, 5))
    await plane.job("gang", 4)
    assert [len(block) for block in plane.world.blocks] == [1, 1, 2]
    assert plane.state("gang") == "running"


async def test_a_cluster_that_shrinks_by_a_part_of_a_block_on_its_way_asks_anew_for_what_it_wants(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(auto=(1, 9))
    await plane.job("gang", 4)
    assert [len(block) for block in plane.world.blocks] == [1, 3]
    [first] = plane.world.blocks[0]
    plane.engine.decide("allocate", first)
    await plane.loop.settle()
    await plane.rescale(2)
    assert [len(block) for block in plane.world.blocks] == [1, 3, 1]
    assert (list(plane.nodes().values()), "errors" in await plane.show()) == (["idle", "allocating"], False)


async def test_nodes_on_their_way_are_not_asked_for_again(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(auto=(0, 5))
    await plane.job("gang", 3)
    await plane.job("a")
    assert [len(block) for block in plane.world.blocks] == [3, 1]
    await plane.sleep(100)
    assert [len(block) for block in plane.world.blocks] == [3, 1]


async def test_what_was_asked_for_a_job_that_has_gone_is_given_up(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(auto=(0, 9, 1))
    await plane.job("gang", 3)
    await plane.job("other", 3)
    [initial] = plane.engine.waits("allocate")[:1]
    assert [len(block) for block in plane.world.blocks] == [1, 2, 3]
    await plane.ask("POST", f"{job_path('gang')}/terminate")
    assert len(plane.nodes()) == 3 and initial in plane.nodes()  # enough for the other one
    await plane.ask("DELETE", job_path("other"))
    assert list(plane.nodes()) == [initial]  # nobody asked for it but the cluster itself


async def test_what_was_asked_for_a_job_is_given_up_where_others_have_made_room(plane: Plane) -> None:
    await plane.cluster(auto=(0, 4))
    await plane.job("a", 2)
    plane.world.automatic -= {"allocate"}
    await plane.job("b", 2)
    assert len(plane.nodes()) == 4
    await plane.end("a")
    assert plane.state("b") == "running" and len(plane.nodes()) == 2
    await plane.restart()
    assert len(plane.nodes()) == 2


async def test_a_lost_node_of_a_gang_is_asked_for_alone(plane: Plane) -> None:
    await plane.cluster(auto=(0, 3))
    await plane.job("gang", 3)
    lost = plane.nodes_of("gang")[1]
    plane.engine.lose(lost)
    await plane.loop.settle()
    assert [len(block) for block in plane.world.blocks] == [3, 1]
    assert plane.states("gang") == ["running"] and lost not in plane.nodes_of("gang")


async def test_from_manual_to_auto_scale_and_back(plane: Plane) -> None:
    await plane.cluster(3)
    await plane.rescale(auto=(1, 3))
    await plane.sleep(61)
    assert await plane.counts() == {"idle": 1}
    await plane.rescale(2)
    assert await plane.counts() == {"idle": 2}


# Quotas


async def test_a_short_quota_gives_fewer_nodes_until_there_is_room(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(vcpu_quota=5)
    await plane.new()
    await plane.cluster(2, vmSize="STANDARD_D2")
    await plane.cluster(2, name="d", vmSize="STANDARD_D2")
    assert (len(plane.nodes()), len(plane.nodes("d"))) == (2, 0)
    assert (await plane.show("d"))["allocationState"] == "steady"
    await plane.cluster(2, name="low", vmPriority="lowpriority", vmSize="STANDARD_D2")
    assert len(plane.nodes("low")) == 2  # a quota of its own
    await plane.rescale(1)
    assert (len(plane.nodes()), len(plane.nodes("d"))) == (1, 1)
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    assert len(plane.nodes("d")) == 2


async def test_auto_scale_stays_within_the_quota(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(vcpu_quota=2)
    await plane.new()
    await plane.cluster(auto=(0, 9, 4))
    assert len(plane.nodes()) == 2
    for name in "abc":
        await plane.job(name)
    assert plane.states("a", "b", "c") == ["running", "running", "queued"]


async def test_a_quota_too_short_for_a_gang_gives_none_of_it(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(vcpu_quota=2)
    await plane.new()
    await plane.cluster(auto=(0, 9))
    await plane.job("gang", 3)
    assert plane.nodes() == {}


# Who gets the nodes


async def test_by_priority_and_then_in_the_order_of_creation(plane: Plane) -> None:
    await plane.cluster(0)
    for name, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", None), ("e", "high")):
        await plane.job(name, schedulingPriority=priority)
    await plane.rescale(5)
    assert plane.world.started == ["c", "e", "b", "d", "a"]


async def test_a_gang_waits_for_all_its_nodes_and_is_not_starved(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    await plane.job("gang", 2)
    await plane.job("b")
    assert plane.states("a", "gang", "b") == ["running", "queued", "queued"]
    await plane.end("a")
    assert plane.states("gang", "b") == ["running", "queued"]
    assert plane.nodes_of("gang") == list(plane.nodes())


async def test_a_node_whose_time_is_too_short_is_not_used_for_a_limited_job(plane: Plane) -> None:
    plane.world.expires = plane.clock.epoch() + 3600
    await plane.cluster(1)
    plane.world.expires = None
    await plane.rescale(2)
    short, long = plane.nodes()
    await plane.job("limited", limit="PT2H")
    assert plane.nodes_of("limited") == [long]
    await plane.job("unlimited")
    assert plane.nodes_of("unlimited") == [short]
    await plane.end("limited", "unlimited")
    await plane.job("fits", limit="PT1H")
    assert plane.nodes_of("fits") == [short]
    await plane.end("fits")
    await plane.sleep(1)
    await plane.job("late", limit="PT1H")
    assert plane.nodes_of("late") == [long]
    await plane.job("waits", limit="PT1H")
    assert plane.state("waits") == "queued"
    await plane.end("late")
    assert plane.nodes_of("waits") == [long]


async def test_a_job_without_a_limit_takes_a_node_with_any_time_left(plane: Plane) -> None:
    plane.world.expires = plane.clock.epoch() + 0.5
    await plane.cluster(1)
    await plane.job("a")
    assert plane.state("a") == "running"


async def test_a_limited_job_keeps_its_place_before_those_behind_it(plane: Plane) -> None:
    plane.world.expires = plane.clock.epoch() + 10
    await plane.cluster(1)
    await plane.job("limited", limit="PT1H")
    await plane.job("behind")
    assert plane.states("limited", "behind") == ["queued", "queued"]


# What it costs


async def test_starting_many_jobs_asks_each_node_a_few_times_only(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plane.cluster(60)
    asked = 0
    real = Node.lasts

    def lasts(node: Node, seconds: float) -> bool:
        nonlocal asked
        asked += 1
        return real(node, seconds)

    monkeypatch.setattr(Node, "lasts", lasts)
    for number in range(60):
        await plane.call("PUT", job_path(f"j{number}"), plane.job_body())
    await plane.loop.settle()
    assert plane.controller().running_jobs == 60
    assert asked <= 60
    assert len({plane.nodes_of(f"j{number}")[0] for number in range(60)}) == 60


async def test_requests_have_their_turn_while_many_jobs_start(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azext_batchai.service.control.controller.STARTS_AT_ONCE", 3)
    await plane.cluster(8)
    plane.wait_for_no_disk()
    for number in range(8):
        await plane.call("PUT", job_path(f"j{number}"), plane.job_body())
    running = []
    while len(plane.world.started) < 8:
        await asyncio.sleep(0)
        running.append(plane.controller().running_jobs)
    assert set(running) >= {3, 6, 8}


async def test_nodes_are_told_apart_by_identity(plane: Plane) -> None:
    """Comparing records field by field would make a pass over a thousand nodes slow."""
    assert Node.__eq__ is object.__eq__

"""State that cannot be written: what is refused is refused, what runs goes on, what was begun is done later."""

import pytest

from harness.plane import EXPERIMENT, WORKSPACE, Plane, job_path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", job_path("new")),
        ("PUT", f"{WORKSPACE}/experiments/new"),
        ("POST", f"{job_path('waits')}/terminate"),
        ("POST", f"{job_path('runs')}/terminate"),
        ("DELETE", job_path("waits")),
        ("DELETE", WORKSPACE),
    ],
)
async def test_what_is_refused_has_not_happened(plane: Plane, method: str, path: str) -> None:
    await plane.cluster(1)
    await plane.job("runs")
    await plane.job("waits")
    plane.full = True
    answer = await plane.ask(method, path, plane.job_body() if "/jobs/" in path and method == "PUT" else None)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    plane.full = False
    assert plane.states("runs", "waits", "new") == ["running", "queued", "gone"]
    await plane.end("runs")
    assert plane.states("runs", "waits") == ["succeeded", "running"]
    await plane.end("waits")
    assert plane.service.store.count("experiment") == 1


async def test_nothing_is_started_and_all_of_it_later(plane: Plane) -> None:
    await plane.cluster(0)
    await plane.job("a")
    body = {"properties": {"scaleSettings": {"manual": {"targetNodeCount": 1}}}}
    await plane.call("PATCH", f"{WORKSPACE}/clusters/c", body)
    plane.full = True
    await plane.sleep(12)
    assert (plane.nodes(), plane.state("a")) == ({}, "queued")
    plane.full = False
    await plane.sleep(4)
    assert plane.state("a") == "running"
    assert (await plane.show())["allocationState"] == "steady"


async def test_a_job_is_not_started_without_a_record_of_it(plane: Plane) -> None:
    await plane.cluster(1)
    plane.wait_for_no_disk()
    await plane.call("PUT", job_path("a"), plane.job_body())
    plane.full = True
    await plane.loop.settle()
    assert (plane.state("a"), plane.world.started) == ("queued", [])
    assert await plane.counts() == {"idle": 1}
    plane.full = False
    await plane.sleep(5)
    assert (plane.state("a"), plane.world.started) == ("running", ["a"])


async def test_a_job_that_ends_meanwhile_has_its_end_later(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    plane.full = True
    await plane.end("a", exit_code=4)
    assert plane.state("a") == "running"
    await plane.sleep(7)
    plane.full = False
    await plane.sleep(4)
    record = plane.record(job_path("a"))
    assert record and record.properties["executionInfo"]["exitCode"] == 4
    assert await plane.counts() == {"idle": 1}


async def test_a_time_limit_reached_meanwhile_holds_later(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    plane.full = True
    await plane.sleep(3601)
    assert (plane.state("a"), plane.world.of_job("a").stops) == ("running", 0)
    plane.full = False
    await plane.sleep(5)
    assert plane.error("a") == "JobTimedOut"


async def test_a_time_limit_that_passes_meanwhile_is_not_that_of_a_job_that_has_ended(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(3599)
    plane.full = True
    await plane.end("a")
    await plane.sleep(60)
    plane.full = False
    await plane.sleep(5)
    assert plane.state("a") == "succeeded"


async def test_a_job_starts_when_its_ports_are_on_record(plane: Plane) -> None:
    plane.world.automatic -= {"ports"}
    await plane.cluster(1)
    settings = {"pythonScriptFilePath": "x", "processCount": 2}
    await plane.job("a", customToolkitSettings=None, pyTorchSettings=settings)
    plane.full = True
    plane.engine.decide("ports", plane.engine.waits("ports")[0])
    await plane.sleep(1)
    assert plane.world.started == []
    plane.full = False
    await plane.sleep(5)
    assert plane.world.started == ["a"]


async def test_that_the_allocation_is_steady_is_told_later(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(1)
    plane.full = True
    plane.engine.decide("allocate", plane.engine.waits("allocate")[0])
    await plane.sleep(1)
    assert (await plane.show())["allocationState"] == "resizing"
    plane.full = False
    await plane.sleep(5)
    assert (await plane.show())["allocationState"] == "steady"


async def test_a_lost_node_is_replaced_later(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    plane.full = True
    plane.engine.lose(plane.nodes_of("a")[0])
    await plane.sleep(1)
    assert plane.state("a") == "running"
    plane.full = False
    await plane.sleep(10)
    assert (plane.state("a"), plane.world.started, plane.numbers()) == ("running", ["a", "a"], [2])


async def test_what_a_node_has_become_is_written_later(plane: Plane) -> None:
    plane.world.automatic -= {"prepare"}
    await plane.cluster(1)
    [node] = plane.nodes()
    plane.full = True
    plane.engine.decide("prepare", node)
    await plane.loop.settle()
    assert await plane.counts() == {"idle": 1}
    record = plane.service.store.children(plane.controller().key, "node")[0]
    assert record.internal["state"] == "preparing"
    plane.full = False
    await plane.sleep(5)
    record = plane.service.store.children(plane.controller().key, "node")[0]
    assert record.internal["state"] == "idle"


async def test_a_node_that_leaves_meanwhile_is_gone_later(plane: Plane) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(1)
    [node] = plane.nodes()
    await plane.rescale(0)
    plane.full = True
    plane.engine.decide("release", node)
    await plane.sleep(1)
    assert await plane.counts() == {"leaving": 1}
    plane.full = False
    await plane.sleep(5)
    assert (await plane.counts(), plane.service.store.count("node")) == ({}, 0)


async def test_a_shrinking_cluster_requeues_its_job_later(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    body = {"properties": {"scaleSettings": {"manual": {"targetNodeCount": 0}}}}
    await plane.call("PATCH", f"{WORKSPACE}/clusters/c", body)
    plane.full = True
    await plane.sleep(1)
    assert (plane.state("a"), plane.world.of_job("a").stops) == ("running", 0)
    plane.full = False
    await plane.sleep(5)
    assert (plane.state("a"), plane.nodes()) == ("queued", {})


@pytest.mark.parametrize("path", [job_path("a"), EXPERIMENT, f"{WORKSPACE}/clusters/c", WORKSPACE])
async def test_a_deletion_that_was_acknowledged_is_finished_later(plane: Plane, path: str) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.job("waits")
    answer = await plane.call("DELETE", path)
    plane.full = True
    await plane.sleep(12)
    assert plane.record(path)
    plane.full = False
    await plane.sleep(30)
    assert plane.record(path) is None
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert plane.service.store.unfinished_operations() == []


async def test_a_termination_that_was_acknowledged_ends_its_operation_later(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    answer = await plane.ask("POST", f"{job_path('a')}/terminate")
    plane.full = True
    await plane.end("a")
    assert plane.state("a") == "terminating"
    plane.full = False
    await plane.sleep(10)
    assert plane.error("a") == "JobTerminated"
    assert (await plane.operation(answer))["status"] == "Succeeded"


async def test_a_disk_that_becomes_read_only_is_as_a_full_one(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    plane.why = "attempt to write a readonly database"
    plane.full = True
    answer = await plane.ask("PUT", job_path("new"), plane.job_body())
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    await plane.end("a", exit_code=4)
    assert (plane.state("a"), plane.state("new")) == ("running", "gone")
    plane.full = False
    await plane.sleep(7)
    assert (plane.state("a"), plane.world.started) == ("failed", ["a"])
    assert (await plane.ask("PUT", job_path("new"), plane.job_body())).status == 202

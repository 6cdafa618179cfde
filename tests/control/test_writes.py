"""What is written together, and what is on the disk before anybody is told of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from azext_batchai.service.store import Record
from harness.plane import EXPERIMENT, GROUP, USER, WORKSPACE, Plane, job_path

SECRETS = [{"name": "S", "value": "hidden"}]
SCALE = {"manual": {"targetNodeCount": 2, "nodeDeallocationOption": "requeue"}}
SETUP = {"setupTask": {"commandLine": "true", "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/x", "secrets": SECRETS}}
CLUSTER = {"vmSize": "S", "userAccountSettings": USER, "scaleSettings": SCALE, "nodeSetup": SETUP}
AUTO_SCALE = {"minimumNodeCount": 0, "maximumNodeCount": 3, "initialNodeCount": 2}
AUTO = {"vmSize": "S", "userAccountSettings": USER, "scaleSettings": {"autoScale": AUTO_SCALE}}
DISKS = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
SERVER = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": DISKS}
OTHER = WORKSPACE.replace("/lab/", "/other/")

REQUESTS: dict[str, tuple[str, str, Any]] = {
    "group": ("PUT", GROUP.replace("/lab", "/new"), {"location": "eastus"}),
    "workspace": ("PUT", OTHER, {"location": "eastus"}),
    "tags": ("PATCH", WORKSPACE, {"tags": {"a": "b"}}),
    "experiment": ("PUT", f"{WORKSPACE}/experiments/new", None),
    "cluster": ("PUT", f"{WORKSPACE}/clusters/new", {"properties": CLUSTER}),
    "cluster with nodes": ("PUT", f"{WORKSPACE}/clusters/new", {"properties": AUTO}),
    "rescale": ("PATCH", f"{WORKSPACE}/clusters/c", {"properties": {"scaleSettings": SCALE}}),
    "file server": ("PUT", f"{WORKSPACE}/fileServers/new", {"properties": SERVER}),
    "job": ("PUT", job_path("new"), "job"),
    "terminate running": ("POST", f"{job_path('runs')}/terminate", None),
    "terminate waiting": ("POST", f"{job_path('waits')}/terminate", None),
    "delete job": ("DELETE", job_path("runs"), None),
    "delete experiment": ("DELETE", EXPERIMENT, None),
    "delete cluster": ("DELETE", f"{WORKSPACE}/clusters/c", None),
    "delete workspace": ("DELETE", WORKSPACE, None),
    "delete group": ("DELETE", GROUP, None),
}


async def begin(plane: Plane) -> None:
    await plane.cluster(1)
    for name in ("runs", "waits"):
        await plane.job(name, secrets=SECRETS)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_is_kept_whole_or_not_at_all(plane: Plane, name: str) -> None:
    """Wherever writing fails, the answer is an error, nothing has changed, and the request can be sent again."""
    method, path, body = REQUESTS[name]
    await begin(plane)
    if body == "job":
        body = plane.job_body(secrets=SECRETS)
    before, states = plane.content(), plane.states("runs", "waits")
    for written in range(10):
        plane.writes_left = written
        answer = await plane.call(method, path, body)
        if answer.status < 300:
            break
        assert (answer.status, plane.content()) == (503, before), f"after {written} statements"
    assert answer.status in (200, 201, 202) and written > 0
    plane.writes_left = None
    assert states == ["running", "queued"]
    await plane.loop.settle()
    assert plane.content() != before


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_a_client_is_told_is_on_the_disk(plane: Plane, name: str) -> None:
    method, path, body = REQUESTS[name]
    await begin(plane)
    before = plane.waits_for_disk
    answer = await plane.call(method, path, plane.job_body() if body == "job" else body)
    assert answer.status in (200, 201, 202)
    assert plane.waits_for_disk == before + 1


async def test_what_can_be_found_out_again_waits_for_no_disk(plane: Plane) -> None:
    """Start and end of a job, its ports, and that the allocation is steady: a commit of these takes microseconds."""
    await plane.cluster(1)
    settings = {"pythonScriptFilePath": "x", "processCount": 2}
    before = plane.waits_for_disk
    await plane.job("a", customToolkitSettings=None, pyTorchSettings=settings)
    await plane.end("a")
    assert (plane.state("a"), plane.waits_for_disk) == ("succeeded", before + 1)  # the PUT alone
    plane.world.automatic -= {"allocate"}
    await plane.rescale(2)
    before = plane.waits_for_disk
    assert (await plane.show())["allocationState"] == "resizing"
    plane.engine.decide("allocate", plane.engine.waits("allocate")[0])
    await plane.loop.settle()
    assert (await plane.show())["allocationState"] == "steady"
    assert (await plane.counts(), plane.waits_for_disk) == ({"idle": 2}, before)


async def test_the_end_of_many_jobs_waits_for_the_disk_a_few_times_only(plane: Plane) -> None:
    await plane.cluster(5)
    for number in range(10):
        await plane.job(f"j{number}")
    before = plane.waits_for_disk
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    # Its mark, the end of five jobs, five nodes that go, the cluster's own end and that of the operation.
    assert plane.waits_for_disk == before + 1 + 1 + 5 + 1 + 1
    await plane.ask("DELETE", EXPERIMENT)
    assert plane.service.store.count("job") == 0
    assert plane.waits_for_disk <= before + 9 + 4


async def test_where_nothing_changes_nothing_is_written(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    since = (await plane.show())["allocationStateTransitionTime"]
    await plane.sleep(60)
    before = plane.writes
    plane.controller().wake()
    await plane.sleep(60)
    assert (plane.writes, (await plane.show())["allocationStateTransitionTime"]) == (before, since)


@pytest.mark.parametrize("why", ["requeue", "terminate", "time"])
async def test_why_a_job_is_stopped_is_on_the_disk_before_that(plane: Plane, why: str) -> None:
    """Else a job that was stopped for good might run again after the power was gone."""
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    before = plane.waits_for_disk
    if why == "time":
        await plane.sleep(3600)
    else:
        await plane.rescale(0, option=why)
        before += 1  # that of the PATCH
    assert (plane.world.of_job("a").stops, plane.waits_for_disk) == (1, before + 1)


async def shrink(plane: Plane) -> None:
    await plane.rescale(0)


async def grow(plane: Plane) -> None:
    await plane.rescale(4)


async def end(plane: Plane) -> None:
    await plane.end("runs")


async def delete(plane: Plane) -> None:
    await plane.ask("DELETE", WORKSPACE)


def check_secrets(plane: Plane) -> None:
    """Jobs have theirs until they have ended, and there are no others' but clusters'."""
    unfinished = {job.key for job in plane.service.store.active("job") if job_goes_on(job)}
    clusters = {cluster.key for cluster in plane.service.store.all_of("cluster")}
    assert {row[0] for row in plane.content()["secrets"]} - clusters == unfinished


def job_goes_on(job: Record) -> bool:
    return job.properties["executionState"] not in ("succeeded", "failed")


@pytest.mark.parametrize("change", [grow, shrink, end, delete])
async def test_the_service_dies_when_it_cannot_write_and_the_next_one_goes_on(
    plane: Plane, change: Callable[[Plane], Awaitable[None]]
) -> None:
    """Also background work is written whole: what a dead service leaves fits together, wherever it stopped writing."""
    for written in range(40):
        await begin(plane)
        plane.writes_left = written
        await change(plane)
        all_of_it = plane.writes_left != 0
        plane.writes_left = None
        check_secrets(plane)
        await plane.restart()
        await plane.sleep(30)
        store = plane.service.store
        assert sorted(plane.world.nodes) == sorted(node.name for node in store.all_of("node"))
        check_secrets(plane)
        for record in store.all_of("job"):
            assert bool(record.internal["nodes"]) is (record.properties["executionState"] == "running")
        assert store.unfinished_operations() == []
        if all_of_it:
            break
        await plane.ask("DELETE", WORKSPACE)
        await plane.sleep(30)
        assert {kind: store.count(kind) for kind in ("job", "node", "cluster")} == {"job": 0, "node": 0, "cluster": 0}
        await plane.call("PUT", WORKSPACE, {"location": "eastus"})
        await plane.call("PUT", EXPERIMENT)
        plane.world.runs.clear()
    assert all_of_it and written > 2


async def test_a_second_put_tells_nothing_that_is_not_on_the_disk(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same request again, while the first one still waits for the disk, waits too."""
    await plane.cluster(1)
    written = asyncio.Event()
    monkeypatch.setattr(plane.service.store, "on_disk", written.wait)
    requests = [asyncio.ensure_future(plane.call("PUT", job_path("a"), plane.job_body())) for _ in range(2)]
    await plane.loop.settle()
    assert not any(request.done() for request in requests)
    written.set()
    assert [(await request).status for request in requests] == [202, 200]

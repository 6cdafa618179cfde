"""What requests say of resources, and what a service finds of them at its start."""

import asyncio
import sqlite3

import pytest

from harness.plane import EXPERIMENT, USER, WORKSPACE, Plane, job_path

DISKS = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
SERVER = {"properties": {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": DISKS}}
PATH = f"{WORKSPACE}/fileServers/f"


async def test_a_workspace_put_again_is_the_first_one(plane: Plane) -> None:
    first = await plane.call("GET", WORKSPACE)
    await plane.sleep(5)
    again = await plane.call("PUT", WORKSPACE, {"location": "East US"})
    assert (again.status, again.body, again.headers) == (200, first.body, first.headers)
    moved = await plane.call("PUT", WORKSPACE, {"location": "westus"})
    assert (moved.status, moved.code) == (409, "InvalidResourceLocation")
    assert "it cannot be moved to 'westus'" in moved.body["error"]["message"]
    assert (await plane.call("GET", WORKSPACE)).body == first.body


async def test_tags_come_and_go_as_a_whole(plane: Plane) -> None:
    before = await plane.call("GET", WORKSPACE)
    tagged = await plane.call("PATCH", WORKSPACE, {"tags": {"a": "b", "c": "d"}})
    assert (tagged.status, tagged.body["tags"]) == (200, {"a": "b", "c": "d"})
    assert tagged.headers["etag"] != before.headers["etag"]
    assert list(tagged.body) == ["id", "name", "type", "location", "tags", "properties"]
    for tags in ({"a": "b", "c": 1}, ["a"], "a"):
        refused = await plane.call("PATCH", WORKSPACE, {"tags": tags})
        assert (refused.status, refused.body["error"]["target"]) == (400, "tags")
    assert (await plane.call("GET", WORKSPACE)).body == tagged.body
    assert (await plane.call("PATCH", WORKSPACE, {})).body == before.body


async def test_an_experiment_put_again_is_the_first_one(plane: Plane) -> None:
    first = await plane.call("GET", EXPERIMENT)
    await plane.sleep(5)
    again = await plane.call("PUT", EXPERIMENT)
    assert (again.status, again.body, again.headers) == (200, first.body, first.headers)


@pytest.mark.parametrize("missing", [WORKSPACE.replace("/ws", "/no"), f"{WORKSPACE}/experiments/no"])
async def test_nothing_is_made_below_what_is_not_there(plane: Plane, missing: str) -> None:
    child = f"{missing}/jobs/a" if "/experiments/" in missing else f"{missing}/clusters/c"
    code = "ExperimentNotFound" if "/experiments/" in missing else "WorkspaceNotFound"
    for method, path in (("PUT", child), ("GET", child), ("GET", missing)):
        answer = await plane.call(method, path, plane.job_body() if method == "PUT" else None)
        assert (answer.status, answer.code) == (404, code), (method, path)


async def test_lists_have_each_their_own_in_the_order_of_creation(plane: Plane) -> None:
    other = f"{WORKSPACE}/experiments/another"
    await plane.call("PUT", other)
    await plane.cluster(0)
    for name in ("b", "a"):
        await plane.job(name)
    await plane.call("PUT", f"{other}/jobs/c", plane.job_body())
    await plane.ask("PUT", PATH, SERVER)
    for path, names in (
        (f"{WORKSPACE}/experiments", ["exp", "another"]),
        (f"{EXPERIMENT}/jobs", ["b", "a"]),
        (f"{WORKSPACE}/clusters", ["c"]),
        (f"{WORKSPACE}/fileServers", ["f"]),
    ):
        answer = await plane.call("GET", path)
        assert [one["name"] for one in answer.body["value"]] == names
    assert (await plane.call("GET", f"{WORKSPACE}/clusters")).body["value"][0]["properties"]["nodeStateCounts"]
    assert (await plane.call("GET", job_path("no"))).code == "JobNotFound"


async def test_a_file_server_put_again_is_the_first_one_unless_it_goes(plane: Plane) -> None:
    await plane.ask("PUT", PATH, SERVER)
    other = {"properties": {**SERVER["properties"], "vmSize": "OTHER"}}
    assert [(await plane.ask("PUT", PATH, body)).status for body in (SERVER, other)] == [200, 409]
    plane.endpoints.keep = asyncio.Event()
    await plane.ask("DELETE", PATH)
    for body in (SERVER, other):
        refused = await plane.ask("PUT", PATH, body)
        assert (refused.status, refused.code) == (409, "ResourceIsBeingDeleted")
    plane.endpoints.keep.set()
    await plane.loop.settle()
    plane.endpoints.keep = None
    assert (await plane.ask("PUT", PATH, other)).status == 202
    subnet = (await plane.call("GET", PATH)).body["properties"]["subnet"]["id"]
    assert subnet.startswith("/subscriptions/") and subnet.endswith("/subnets/Subnet-1")


async def test_what_became_of_a_file_server_is_told_of_by_the_next_service(plane: Plane) -> None:
    answer = await plane.call("PUT", PATH, SERVER)
    assert (await plane.call("GET", PATH)).headers["etag"].endswith('01"')
    await plane.crash()
    await plane.start()
    plane.endpoints.errors.append(OSError(24, "Too many open files"))
    await plane.loop.settle()
    operation = await plane.operation(answer)
    assert (operation["status"], operation["error"]["code"]) == ("Failed", "FileServerProvisioningFailed")
    assert (await plane.call("GET", PATH)).body["properties"]["provisioningState"] == "failed"


async def test_an_operation_ends_once(plane: Plane) -> None:
    await plane.cluster(1)
    plane.world.automatic -= {"stop"}
    await plane.job("a")
    answer = await plane.ask("POST", f"{job_path('a')}/terminate")
    assert "properties" not in await plane.operation(answer)
    await plane.end("a")
    before = await plane.operation(answer)
    assert before["properties"]["resourceId"].endswith("$lab$ws$exp$a")
    await plane.sleep(5)
    plane.service.operations.finish(before["name"])
    assert await plane.operation(answer) == before


async def test_a_node_whose_record_is_damaged_is_released_and_its_job_runs_elsewhere(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    [damaged] = plane.nodes()
    await plane.crash()
    with sqlite3.connect(plane.settings.home / "state.db") as db:
        db.execute("UPDATE resources SET internal='{' WHERE kind='node'")
    db.close()
    plane.world.runs["a"] = plane.world.runs.pop(next(iter(plane.world.runs)))
    await plane.start()
    await plane.loop.settle()
    assert damaged not in plane.world.nodes
    assert list(plane.nodes()) == list(plane.world.nodes) and len(plane.nodes()) == 1
    assert plane.service.store.damaged == {}


async def test_the_service_keeps_no_work_that_is_done(plane: Plane) -> None:
    await plane.cluster(2)
    for _ in range(3):
        await plane.job("a")
        await plane.end("a")
        await plane.ask("DELETE", job_path("a"))
        plane.world.runs.clear()
    assert len(plane.controller()._background._tasks) == 2  # each node is watched
    assert not plane.service.deletions._background._tasks


async def test_what_is_damaged_goes_with_what_it_lies_below(plane: Plane) -> None:
    await plane.cluster(0)
    await plane.job("a")
    plane.service.store._db.execute("UPDATE resources SET body='{' WHERE kind='job'")
    plane.loose_writes.clear()
    assert (await plane.call("GET", f"{EXPERIMENT}/jobs")).body["value"] == []
    answer = await plane.ask("DELETE", EXPERIMENT)
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert plane.service.store.count("job") == 0

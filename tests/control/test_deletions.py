"""Deletion with all that hangs below, and that nothing is made below what is being deleted."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.plane import ACCOUNT, EXPERIMENT, GROUP, USER, WORKSPACE, Answer, Plane, job_path

SERVER = {
    "properties": {
        "vmSize": "S",
        "sshConfiguration": {"userAccountSettings": USER},
        "dataDisks": {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"},
    }
}
LOCATION = {"location": "eastus"}


async def begin(plane: Plane, path: str) -> Answer:
    """Begin a deletion that goes on as long as the job `stubborn` does not end."""
    plane.world.automatic -= {"stop"}
    if not plane.record(f"{WORKSPACE}/clusters/c"):
        await plane.cluster(1)
        await plane.job("stubborn")
    answer = await plane.ask("DELETE", path)
    assert answer.status == 202
    return answer


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
async def test_a_job_goes_from_every_state(plane: Plane, state: str) -> None:
    await plane.cluster(0 if state == "queued" else 1)
    await plane.job("a")
    if state == "ended":
        await plane.end("a")
    answer = await plane.ask("DELETE", job_path("a"))
    assert (answer.status, (await plane.operation(answer))["status"]) == (202, "Succeeded")
    assert plane.state("a") == "gone"
    assert (await plane.ask("DELETE", job_path("a"))).status == 204
    await plane.rescale(1)
    assert await plane.counts() == {"idle": 1}
    assert plane.world.started == ([] if state == "queued" else ["a"])


async def test_a_deletion_is_one_operation_however_often_it_is_asked_for(plane: Plane) -> None:
    first = await begin(plane, job_path("stubborn"))
    again = await plane.ask("DELETE", job_path("stubborn"))
    assert again.headers["Azure-AsyncOperation"] == first.headers["Azure-AsyncOperation"]
    record = plane.record(job_path("stubborn"))
    assert record and record.properties["provisioningState"] == "deleting"
    assert (await plane.operation(first))["status"] == "InProgress"
    await plane.end("stubborn")
    assert (await plane.operation(first))["status"] == "Succeeded"
    assert plane.state("stubborn") == "gone"


@pytest.mark.parametrize("path", [job_path("stubborn"), EXPERIMENT, WORKSPACE])
async def test_a_running_job_that_is_deleted_is_shown_as_terminating_and_is_not_told_twice(
    plane: Plane, path: str
) -> None:
    await begin(plane, path)
    assert (plane.state("stubborn"), plane.world.of_job("stubborn").stops) == ("terminating", 1)


@pytest.mark.parametrize("path", [job_path("stubborn"), f"{WORKSPACE}/clusters/c", EXPERIMENT, WORKSPACE])
async def test_a_deletion_is_a_change_and_a_restart_during_it_is_none(plane: Plane, path: str) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("stubborn")
    seen = [await plane.call("GET", path)]
    await plane.sleep(5)
    await begin(plane, path)
    seen.append(await plane.call("GET", path))
    await plane.restart()
    await plane.sleep(5)
    seen.append(await plane.call("GET", path))
    created, deleting, later = (answer.headers["etag"] for answer in seen)
    assert (deleting != created, later) == (True, deleting)
    states = [answer.body["properties"]["provisioningState"] for answer in seen]
    assert states == ["succeeded", "deleting", "deleting"]
    since = [answer.body["properties"]["provisioningStateTransitionTime"] for answer in seen]
    assert since[0] < since[1] == since[2]


async def test_a_deleted_job_holds_back_nobody_and_asks_for_no_nodes(plane: Plane) -> None:
    await plane.cluster(2)
    for name, nodes in (("first", 1), ("gang", 2), ("a", 1)):
        await plane.job(name, nodes)
    assert plane.states("first", "gang", "a") == ["running", "queued", "queued"]
    await plane.ask("DELETE", job_path("gang"))
    assert plane.state("a") == "running"
    assert [job.key for job in plane.controller().queue] == []


async def test_a_deleted_job_is_never_queued_again(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.rescale(0)  # it is to run again
    await plane.ask("DELETE", job_path("a"))
    await plane.rescale(1)
    await plane.end("a")
    assert (plane.state("a"), plane.world.started) == ("gone", ["a"])
    assert len(plane.controller().queue) == 0


async def test_a_job_deleted_before_its_node_is_lost_is_not_queued_again(plane: Plane) -> None:
    await begin(plane, job_path("stubborn"))
    plane.engine.lose(plane.nodes_of("stubborn")[0])
    await plane.loop.settle()
    await plane.end("stubborn")
    assert (plane.state("stubborn"), plane.world.started, plane.numbers()) == ("gone", ["stubborn"], [2])


async def test_a_requeued_job_can_be_deleted_while_its_folders_go(plane: Plane) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.rescale(0)
    await plane.ask("DELETE", job_path("a"))
    plane.engine.decide("clean", "a")
    await plane.loop.settle()
    assert plane.state("a") == "gone"
    await plane.rescale(1)
    assert await plane.counts() == {"idle": 1}
    await plane.job("b")
    assert plane.state("b") == "running"  # the pass goes on


@pytest.mark.parametrize("path", [EXPERIMENT, WORKSPACE, GROUP])
async def test_a_job_whose_folders_still_go_is_not_removed_under_them(plane: Plane, path: str) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.end("a")
    await plane.ask("DELETE", path)
    assert plane.state("a") == "succeeded"
    plane.engine.decide("clean", "a")
    await plane.loop.settle()
    assert plane.state("a") == "gone"
    assert plane.record(path) is None


@pytest.mark.parametrize(
    ("deleted", "child", "body"),
    [
        (job_path("stubborn"), job_path("stubborn"), "job"),
        (EXPERIMENT, job_path("a"), "job"),
        (EXPERIMENT, job_path("stubborn"), "job"),
        (EXPERIMENT, EXPERIMENT, None),
        (WORKSPACE, WORKSPACE, LOCATION),
        (WORKSPACE, EXPERIMENT, None),
        (WORKSPACE, f"{WORKSPACE}/experiments/new", None),
        (WORKSPACE, job_path("a"), "job"),
        (WORKSPACE, f"{WORKSPACE}/clusters/c", "cluster"),
        (WORKSPACE, f"{WORKSPACE}/clusters/new", "cluster"),
        (WORKSPACE, f"{WORKSPACE}/fileServers/new", SERVER),
        (f"{WORKSPACE}/clusters/c", f"{WORKSPACE}/clusters/c", "cluster"),
        (f"{WORKSPACE}/clusters/c", job_path("a"), "job"),
        (GROUP, GROUP, LOCATION),
        (GROUP, WORKSPACE, LOCATION),
        (GROUP, WORKSPACE.replace("/ws", "/new"), LOCATION),
        (GROUP, ACCOUNT, LOCATION),
        (GROUP, ACCOUNT.replace("/acct", "/other"), LOCATION),
        (GROUP, f"{ACCOUNT}/fileServices/default/shares/new", {}),
        (GROUP, f"{ACCOUNT}/blobServices/default/containers/new", {}),
        (GROUP, job_path("a"), "job"),
        (GROUP, f"{WORKSPACE}/clusters/new", "cluster"),
    ],
)
async def test_nothing_is_made_below_what_is_being_deleted(plane: Plane, deleted: str, child: str, body: Any) -> None:
    await plane.call("PUT", ACCOUNT, LOCATION)
    await begin(plane, deleted)
    cluster = {
        "vmSize": "STANDARD_D1",
        "scaleSettings": {"manual": {"targetNodeCount": 1, "nodeDeallocationOption": "requeue"}},
        "userAccountSettings": USER,
    }
    bodies = {"job": plane.job_body(), "cluster": {"properties": cluster}}
    answer = await plane.ask("PUT", child, bodies[body] if isinstance(body, str) else body)
    code = "ResourceGroupBeingDeleted" if deleted == GROUP else "ResourceIsBeingDeleted"
    assert (answer.status, answer.code) == (409, code)
    assert "is being deleted" in answer.body["error"]["message"]
    plane.world.automatic |= {"stop"}
    await plane.end("stubborn")
    assert plane.record(deleted) is None
    if child != deleted:
        made = plane.record(child)
        assert made is None or deleted.endswith("clusters/c")
    assert not list(plane.service.storage.root.glob("acct/*/new"))


@pytest.mark.parametrize("path", [WORKSPACE, f"{WORKSPACE}/clusters/c"])
async def test_nothing_is_changed_that_is_being_deleted(plane: Plane, path: str) -> None:
    await begin(plane, path)
    body = {"tags": {}} if path == WORKSPACE else {"properties": {"scaleSettings": {"manual": {"targetNodeCount": 3}}}}
    answer = await plane.ask("PATCH", path, body)
    assert (answer.status, answer.code) == (409, "ResourceIsBeingDeleted")


async def test_a_job_on_a_cluster_of_a_workspace_that_is_being_deleted(plane: Plane) -> None:
    other = WORKSPACE.replace("/ws", "/other")
    await plane.call("PUT", other, LOCATION)
    await plane.call("PUT", f"{other}/experiments/e")
    await begin(plane, WORKSPACE)
    answer = await plane.ask("PUT", f"{other}/experiments/e/jobs/a", plane.job_body())
    assert (answer.status, answer.code) == (409, "ResourceIsBeingDeleted")
    await plane.end("stubborn")
    assert plane.record(WORKSPACE) is None and plane.record(other)


async def test_no_waiting_job_starts_below_what_is_being_deleted(plane: Plane) -> None:
    other = f"{WORKSPACE}/experiments/other"
    await plane.call("PUT", other)
    await plane.cluster(1)
    await plane.job("stubborn")
    await plane.call("PUT", f"{other}/jobs/b", plane.job_body())
    await begin(plane, WORKSPACE)
    # A cluster that goes has no use for its nodes any more, whatever becomes free.
    await plane.rescale(2)
    assert plane.world.started == ["stubborn"]
    await plane.end("stubborn")
    assert (plane.world.started, plane.record(WORKSPACE)) == (["stubborn"], None)


async def test_a_large_experiment_starts_no_job_while_it_goes(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azext_batchai.service.control.deletions._BATCH", 2)
    await plane.cluster(2)
    for number in range(6):
        await plane.call("PUT", job_path(f"j{number}"), plane.job_body())
    await plane.loop.settle()
    plane.world.automatic -= {"clean"}
    answer = await plane.ask("DELETE", EXPERIMENT)
    while plane.engine.waits("clean"):
        plane.engine.decide("clean", plane.engine.waits("clean")[0])
        await plane.loop.settle()
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert sorted(plane.world.started) == ["j0", "j1"]
    assert plane.service.store.count("job") == 0


async def test_a_cluster_goes_with_its_nodes_and_its_running_jobs_end(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    await plane.job("gang", 2)
    answer = await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert (plane.state("a"), plane.error("a"), plane.state("gang")) == ("failed", "JobTerminated", "queued")
    assert (plane.world.nodes, plane.service.fleet.get(answer.headers["Location"])) == ({}, None)
    assert len(plane.service.fleet) == 0
    await plane.ask("POST", f"{job_path('gang')}/terminate")
    assert plane.error("gang") == "JobTerminated"


@pytest.mark.parametrize("restart", [False, True])
async def test_waiting_jobs_run_on_a_new_cluster_of_the_same_name(plane: Plane, restart: bool) -> None:
    await plane.cluster(0)
    await plane.job("a")
    await plane.job("b", schedulingPriority="high")
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    if restart:
        await plane.restart()
    await plane.cluster(2)
    assert plane.world.started == ["b", "a"]


async def test_no_node_is_made_for_a_cluster_that_goes(plane: Plane) -> None:
    """Nodes that were on their way, and those that would replace a lost one."""
    plane.world.automatic -= {"allocate"}
    await plane.cluster(3)
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    assert (plane.world.nodes, len(plane.world.blocks)) == ({}, 3)
    assert plane.record(f"{WORKSPACE}/clusters/c") is None


async def test_the_secrets_of_a_deleted_cluster_are_forgotten(plane: Plane) -> None:
    task = {
        "commandLine": "true",
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/x",
        "secrets": [{"name": "S", "value": "hidden"}],
    }
    await plane.cluster(1, nodeSetup={"setupTask": task})
    key = plane.controller().key
    assert plane.service.vault.open(key)
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    assert plane.service.vault.open(key) is None


async def test_an_experiment_goes_with_its_jobs_and_leaves_the_cluster(plane: Plane) -> None:
    other = f"{WORKSPACE}/experiments/other"
    await plane.call("PUT", other)
    await plane.cluster(1)
    for name in "abc":
        await plane.job(name)
    await plane.ask("PUT", f"{other}/jobs/d", plane.job_body())
    await plane.end("a")
    await plane.ask("DELETE", EXPERIMENT)
    assert plane.record(EXPERIMENT) is None
    assert plane.states("a", "b", "c") == ["gone"] * 3
    assert plane.world.started == ["a", "b", "d"]


async def test_a_workspace_goes_with_everything_and_others_stay(plane: Plane) -> None:
    other = WORKSPACE.replace("/ws", "/other")
    await plane.call("PUT", other, LOCATION)
    await plane.cluster(1)
    await plane.cluster(1, name="c", workspace=other)
    await plane.job("a")
    await plane.ask("PUT", f"{WORKSPACE}/fileServers/f", SERVER)
    answer = await plane.ask("DELETE", WORKSPACE)
    assert (await plane.operation(answer))["status"] == "Succeeded"
    store = plane.service.store
    kinds = ("workspace", "experiment", "cluster", "job", "fileserver")
    assert [store.count(kind) for kind in kinds] == [1, 0, 1, 0, 0]
    assert plane.endpoints.open_ports == {}
    assert len(plane.world.nodes) == 1


async def test_a_group_goes_with_workspaces_and_accounts(plane: Plane) -> None:
    await plane.call("PUT", ACCOUNT, LOCATION)
    folder = Path((await plane.call("GET", ACCOUNT)).body["properties"]["localPath"])
    assert folder.is_dir()
    answer = await begin(plane, GROUP)
    url = answer.headers["Location"].removeprefix("http://127.0.0.1:1").partition("?")[0]

    async def poll() -> Any:
        from azext_batchai.service.arm.call import Call
        from azext_batchai.service.arm.ids import parse_path
        from azext_batchai.service.resources import groups

        path = parse_path(url)
        assert path
        return await groups.poll_delete(plane.service, Call("GET", path, url, {}, None, "http://127.0.0.1:1"))

    assert (await poll()).status == 202
    await plane.end("stubborn")
    assert (await poll()).status == 200
    assert not folder.exists()
    assert (await plane.call("GET", GROUP)).status == 404


async def test_a_failed_deletion_of_a_group_is_told_as_failed(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    from azext_batchai.service.arm.call import Call
    from azext_batchai.service.arm.errors import ArmError
    from azext_batchai.service.arm.ids import parse_path
    from azext_batchai.service.resources import groups

    await plane.call("PUT", ACCOUNT, LOCATION)
    monkeypatch.setattr(plane.service.storage, "remove_account", fail)
    answer = await plane.ask("DELETE", GROUP)
    url = answer.headers["Location"].removeprefix("http://127.0.0.1:1").partition("?")[0]
    path = parse_path(url)
    assert path
    with pytest.raises(ArmError, match="no permission"):
        await groups.poll_delete(plane.service, Call("GET", path, url, {}, None, "http://127.0.0.1:1"))


def fail(*_: Any) -> None:
    raise OSError(13, "no permission")


async def test_a_deletion_that_fails_says_so_and_can_be_asked_for_again(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plane.call("PUT", ACCOUNT, LOCATION)
    with monkeypatch.context() as patched:
        patched.setattr(plane.service.storage, "remove_account", fail)
        answer = await plane.call("DELETE", ACCOUNT)
        assert (answer.status, answer.code) == (500, "InternalServerError")
        assert "no permission" in answer.body["error"]["message"]
        assert (await plane.call("PUT", ACCOUNT, LOCATION)).status == 409
    assert (await plane.call("DELETE", ACCOUNT)).status == 200
    assert plane.record(ACCOUNT) is None
    assert (await plane.call("PUT", ACCOUNT, LOCATION)).status == 200


async def test_one_child_that_fails_does_not_keep_the_others(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    good = ACCOUNT.replace("/acct", "/good")
    for path in (ACCOUNT, good):
        await plane.call("PUT", path, LOCATION)
    real = plane.service.storage.remove_account
    monkeypatch.setattr(
        plane.service.storage, "remove_account", lambda name: fail() if name == "acct" else real(name)
    )
    answer = await plane.ask("DELETE", GROUP)
    assert answer.status == 202
    assert plane.record(ACCOUNT) and plane.record(GROUP)
    assert not plane.service.storage.account("good").exists()


async def test_a_deletion_has_failed_when_all_of_it_has_been_tried(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = WORKSPACE.replace("/ws", "/other")
    await plane.call("PUT", other, LOCATION)
    await plane.ask("PUT", f"{other}/fileServers/f", SERVER)
    monkeypatch.setattr(plane.endpoints, "close", fail)
    await begin(plane, GROUP)
    group = plane.record(GROUP)
    assert group
    operation = plane.service.store.get_operation(group.internal["deleting"])
    assert operation and operation["status"] == "InProgress"
    await plane.end("stubborn")
    operation = plane.service.store.get_operation(group.internal["deleting"])
    assert operation and (operation["status"], plane.record(WORKSPACE)) == ("Failed", None)


async def test_a_service_that_has_let_go_leaves_all_of_a_deletion_to_the_next(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    await plane.cluster(0)
    await plane.job("a")
    await plane.call("DELETE", EXPERIMENT)
    plane.full = True
    await plane.sleep(1)
    await plane.close()
    caplog.clear()
    plane.full = False
    await plane.sleep(60)
    assert caplog.text == ""
    await plane.start()
    await plane.loop.settle()
    assert plane.record(EXPERIMENT) is None


async def test_a_termination_of_a_service_that_has_let_go_is_carried_out_by_the_next(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1)
    await plane.job("a")
    answer = await plane.ask("POST", f"{job_path('a')}/terminate")
    plane.full = True
    plane.engine.decide("clean", "a")
    await plane.sleep(1)  # all is done but the note that it is
    await plane.close()
    caplog.clear()
    plane.full = False
    await plane.sleep(60)
    assert caplog.text == ""
    await plane.start()
    await plane.loop.settle()
    assert (plane.error("a"), (await plane.operation(answer))["status"]) == ("JobTerminated", "Succeeded")


async def test_deletion_repeats_until_no_child_is_left(plane: Plane) -> None:
    """A child that comes into being although its parent goes (an older release allowed it) is no orphan."""
    await begin(plane, EXPERIMENT)
    record = plane.record(job_path("stubborn"))
    assert record
    record.key, record.body = f"{record.key}-late", {**record.body, "name": "late"}
    record.properties["executionState"] = "succeeded"
    with plane.service.store.transaction():
        plane.service.store.add(record)
    await plane.end("stubborn")
    assert plane.record(EXPERIMENT) is None
    assert plane.service.store.count("job") == 0


async def test_a_child_that_came_after_its_kind_had_gone_is_no_orphan(plane: Plane) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(1)
    [node] = plane.nodes()
    record = plane.record(EXPERIMENT)
    assert record
    answer = await plane.ask("DELETE", WORKSPACE)
    assert plane.record(EXPERIMENT) is None
    with plane.service.store.transaction():
        plane.service.store.add(record)
    plane.engine.decide("release", node)
    await plane.loop.settle()
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert (plane.record(WORKSPACE), plane.record(EXPERIMENT)) == (None, None)


async def test_many_children_go_in_batches(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azext_batchai.service.control.deletions._BATCH", 3)
    await plane.cluster(0)
    for number in range(8):
        await plane.call("PUT", job_path(f"j{number}"), plane.job_body())
    await plane.ask("DELETE", EXPERIMENT)
    assert plane.service.store.count("job") == 0


@pytest.mark.parametrize("path", [job_path("stubborn"), EXPERIMENT, f"{WORKSPACE}/clusters/c", WORKSPACE, GROUP])
async def test_a_deletion_is_finished_by_the_next_service(plane: Plane, path: str) -> None:
    await plane.call("PUT", ACCOUNT, LOCATION)
    answer = await begin(plane, path)
    await plane.job("waits") if path.endswith("stubborn") else None
    await plane.restart()
    assert plane.record(path)
    if path != GROUP:
        assert (await plane.operation(answer))["status"] == "InProgress"
        again = await plane.ask("DELETE", path)
        assert again.headers["Azure-AsyncOperation"] == answer.headers["Azure-AsyncOperation"]
    await plane.end("stubborn")
    assert plane.record(path) is None
    if path != GROUP:
        assert (await plane.operation(answer))["status"] == "Succeeded"
    assert plane.world.started[:1] == ["stubborn"] and plane.world.started.count("stubborn") == 1


async def test_a_restart_starts_no_waiting_job_on_a_cluster_that_goes(plane: Plane) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(2)
    await plane.job("gang", 3)
    await plane.rescale(3)
    await plane.crash()
    plane.world.automatic |= {"release"}
    await plane.start()
    await plane.loop.settle()
    started = list(plane.world.started)
    record = plane.record(f"{WORKSPACE}/clusters/c")
    assert record
    await plane.ask("POST", f"{job_path('gang')}/terminate")
    await plane.job("waits", 3)
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    await plane.restart()
    assert plane.world.started == [*started, "waits"]


async def test_a_service_that_stops_leaves_a_deletion_to_the_next(plane: Plane) -> None:
    answer = await begin(plane, WORKSPACE)
    await plane.close()
    await plane.start()
    await plane.loop.settle()
    assert (await plane.operation(answer))["status"] == "InProgress"
    await plane.end("stubborn")
    assert (await plane.operation(answer))["status"] == "Succeeded"


async def test_the_end_of_everything_ends_jobs_and_nodes(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.cluster(1, name="d")
    await plane.job("a")
    await plane.service.close(tear_down=True)
    assert plane.world.nodes == {}
    assert plane.world.of_job("a").stops == 1
    await plane.start()
    await plane.loop.settle()
    assert plane.error("a") == "JobTerminated"


# File servers


async def test_a_file_server_comes_and_goes(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    answer = await plane.call("PUT", path, SERVER)
    assert answer.status == 202
    assert (await plane.call("GET", path)).body["properties"]["provisioningState"] == "creating"
    await plane.loop.settle()
    assert (await plane.operation(answer))["status"] == "Succeeded"
    properties = (await plane.call("GET", path)).body["properties"]
    place = properties["mountSettings"]
    assert properties["provisioningState"] == "succeeded"
    assert [place["fileServerPublicPort"]] == list(plane.endpoints.open_ports.values())
    assert (place["mountPoint"], Path(place["localPath"]).is_dir()) == ("/data", True)
    assert (await plane.ask("PUT", path, SERVER)).status == 200
    await plane.restart()
    assert list(plane.endpoints.open_ports.values()) == [place["fileServerPublicPort"]]
    answer = await plane.ask("DELETE", path)
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert plane.endpoints.open_ports == {}
    assert not Path(place["localPath"]).parent.exists()


async def test_identical_puts_at_once_give_one_server_and_one_endpoint(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    answers = await asyncio.gather(*(plane.call("PUT", path, SERVER) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [202]
    await plane.loop.settle()
    assert (len(plane.endpoints.open_ports), plane.endpoints.opened) == (1, 1)
    assert len(list(plane.service.storage.file_servers.iterdir())) == 1
    await plane.ask("DELETE", path)
    assert plane.endpoints.open_ports == {}
    assert list(plane.service.storage.file_servers.iterdir()) == []


async def test_an_endpoint_opened_during_its_deletion_does_not_stay(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    plane.endpoints.hold = asyncio.Event()
    created = await plane.ask("PUT", path, SERVER)
    deleted = await plane.ask("DELETE", path)
    plane.endpoints.hold.set()
    await plane.loop.settle()
    assert plane.endpoints.open_ports == {}
    for answer in (created, deleted):
        assert (await plane.operation(answer))["status"] == "Succeeded"
    assert (await plane.call("GET", path)).status == 404


async def test_a_late_note_of_an_endpoint_is_not_taken_for_that_of_a_new_server_of_the_name(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    await plane.call("PUT", path, SERVER)
    plane.full = True
    await plane.loop.settle()  # the endpoint is open, which cannot be written
    plane.full = False
    await plane.ask("DELETE", path)
    await plane.ask("PUT", path, SERVER)
    before = dict(plane.endpoints.open_ports)
    await plane.sleep(10)
    properties = (await plane.call("GET", path)).body["properties"]
    assert plane.endpoints.open_ports == before
    assert [properties["mountSettings"]["fileServerPublicPort"]] == list(before.values())


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(24, "Too many open files"), "Too many open files"), (OSError("a damaged key"), "a damaged key")],
)
async def test_a_file_server_that_cannot_be_made_fails_with_the_reason(
    plane: Plane, error: OSError, reason: str
) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    plane.endpoints.errors.append(error)
    answer = await plane.ask("PUT", path, SERVER)
    operation = await plane.operation(answer)
    assert (operation["status"], operation["error"]["code"]) == ("Failed", "FileServerProvisioningFailed")
    assert operation["error"]["message"] == f"File Server provisioning has failed: {reason}"
    assert (await plane.call("GET", path)).body["properties"]["provisioningState"] == "failed"
    await plane.restart()
    assert (await plane.call("GET", path)).body["properties"]["provisioningState"] == "succeeded"
    assert (await plane.operation(answer))["status"] == "Failed"


async def test_the_endpoint_of_a_file_server_goes_before_its_folder(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    await plane.ask("PUT", path, SERVER)
    await plane.ask("DELETE", path)
    assert plane.endpoints.closed_over == [True]


async def test_a_file_server_deleted_at_once_is_never_opened(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    answers = [await plane.call("PUT", path, SERVER), await plane.call("DELETE", path)]
    await plane.loop.settle()
    assert [(await plane.operation(answer))["status"] for answer in answers] == ["Succeeded", "Succeeded"]
    assert (plane.endpoints.opened, plane.record(path)) == (0, None)


async def test_a_file_server_that_goes_does_not_become_usable_again(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    plane.endpoints.hold, plane.endpoints.keep = asyncio.Event(), asyncio.Event()
    await plane.ask("PUT", path, SERVER)
    await plane.ask("DELETE", path)
    plane.endpoints.hold.set()
    await plane.loop.settle()
    assert (await plane.call("GET", path)).body["properties"]["provisioningState"] == "deleting"
    plane.endpoints.keep.set()
    await plane.loop.settle()
    assert plane.record(path) is None


async def test_a_file_server_that_could_not_be_written_is_usable_later_or_gone(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    for gone in (False, True):
        created = await plane.call("PUT", path, SERVER)
        plane.full = True
        await plane.sleep(1)
        assert (await plane.call("GET", path)).body["properties"]["provisioningState"] == "creating"
        plane.full = False
        if gone:
            await plane.ask("DELETE", path)
        await plane.sleep(10)
        assert (await plane.operation(created))["status"] == "Succeeded"
        if not gone:
            assert (await plane.call("GET", path)).body["properties"]["provisioningState"] == "succeeded"
            await plane.ask("DELETE", path)
    assert (plane.record(path), plane.endpoints.open_ports) == (None, {})


async def test_a_service_that_lets_go_closes_the_endpoints_and_makes_no_more(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    await plane.ask("PUT", path, SERVER)
    hold = plane.endpoints.hold = asyncio.Event()
    await plane.ask("PUT", f"{path}2", SERVER)
    before = plane.endpoints
    await plane.close()
    hold.set()
    await plane.sleep(60)
    assert (before.open_ports, caplog.text) == ({}, "")
    await plane.start()
    await plane.loop.settle()
    assert len(plane.endpoints.open_ports) == 2


async def test_a_file_server_whose_folder_is_gone_can_be_deleted(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    await plane.ask("PUT", path, SERVER)
    folder = Path((await plane.call("GET", path)).body["properties"]["mountSettings"]["localPath"])
    folder.rmdir()
    folder.parent.rmdir()
    answer = await plane.ask("DELETE", path)
    assert ((await plane.operation(answer))["status"], plane.record(path)) == ("Succeeded", None)


async def test_when_a_file_server_became_usable_is_told_and_a_restart_changes_nothing(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    plane.endpoints.hold = asyncio.Event()
    await plane.ask("PUT", path, SERVER)
    creating = await plane.call("GET", path)
    await plane.sleep(60)
    plane.endpoints.hold.set()
    await plane.loop.settle()
    usable = await plane.call("GET", path)
    times = [answer.body["properties"]["provisioningStateTransitionTime"] for answer in (creating, usable)]
    assert times[0] < times[1]
    assert usable.headers["etag"] != creating.headers["etag"]
    await plane.restart()
    await plane.sleep(60)
    again = await plane.call("GET", path)
    assert (again.body, again.headers) == (usable.body, usable.headers)


async def test_a_file_server_begun_by_an_earlier_service_is_made(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    plane.endpoints.hold = asyncio.Event()
    answer = await plane.ask("PUT", path, SERVER)
    await plane.restart()
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert len(plane.endpoints.open_ports) == 1


async def test_a_file_server_that_goes_is_not_opened_again(plane: Plane) -> None:
    path = f"{WORKSPACE}/fileServers/f"
    await plane.ask("PUT", path, SERVER)
    await plane.call("DELETE", path)
    await plane.restart()
    assert (plane.endpoints.open_ports, plane.record(path)) == ({}, None)
    assert list(plane.service.storage.file_servers.iterdir()) == []

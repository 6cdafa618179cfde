"""States of a node: allocating -> preparing -> idle <-> running, unusable, leaving; and what it means to be lost."""

from typing import Any

import pytest

from azext_batchai.service.engine.base import NodeFault, TaskError
from harness.plane import ACCOUNT, WORKSPACE, Plane

REFUSED = TaskError("NoCapacity", "There is none", {"Info": "none left"})


async def test_a_node_comes_up_in_three_steps_and_each_is_told(plane: Plane) -> None:
    plane.world.automatic -= {"allocate", "prepare"}
    await plane.cluster(1)
    [node] = plane.nodes()
    assert plane.nodes() == {node: "allocating"}
    assert await plane.counts() == {}  # it does not count yet
    assert (await plane.show())["allocationState"] == "resizing"
    assert (await plane.call("POST", f"{WORKSPACE}/clusters/c/listRemoteLoginInformation")).body == {"value": []}
    plane.engine.decide("allocate", node)
    await plane.loop.settle()
    assert await plane.counts() == {"preparing": 1}
    assert (await plane.show())["allocationState"] == "steady"
    login = {"nodeId": node, "ipAddress": "127.0.0.1", "port": 1000 + plane.world.nodes[node].number}
    assert (await plane.call("POST", f"{WORKSPACE}/clusters/c/listRemoteLoginInformation")).body == {"value": [login]}
    plane.engine.decide("prepare", node)
    await plane.loop.settle()
    assert await plane.counts() == {"idle": 1}
    await plane.job("a")
    assert await plane.counts() == {"running": 1}
    await plane.end("a")
    assert await plane.counts() == {"idle": 1}
    await plane.rescale(0)
    assert await plane.counts() == {}
    assert (plane.nodes(), plane.world.nodes) == ({}, {})


async def test_when_the_allocation_became_steady_is_told_and_changes_no_etag(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(1)
    before = await plane.call("GET", f"{WORKSPACE}/clusters/c")
    await plane.sleep(60)
    plane.engine.decide("allocate", next(iter(plane.nodes())))
    await plane.loop.settle()
    after = await plane.call("GET", f"{WORKSPACE}/clusters/c")
    name = "allocationStateTransitionTime"
    assert after.body["properties"]["allocationState"] == "steady"
    assert after.body["properties"][name] > before.body["properties"][name]
    assert after.headers == before.headers


async def test_what_the_engine_is_told_of_a_node(plane: Plane) -> None:
    await plane.cluster(2, vmSize="STANDARD_NC12", vmPriority="lowpriority")
    first, second = plane.world.nodes.values()
    assert (first.vm_size, first.gpus, first.low_priority, first.held) == ("STANDARD_NC12", 2, True, {})
    assert (first.login.user_name, first.login.public_keys) == ("demo", ("ssh-ed25519 AAAA demo",))
    assert first.cluster_key == plane.controller().key
    assert second.number > first.number
    assert first.node_id.endswith("-p") and first.node_id.startswith("tvm-")
    assert plane.numbers() == [1, 2]
    await plane.cluster(1, name="d")
    assert not list(plane.nodes("d"))[0].endswith("-p")


async def test_a_node_that_is_refused_is_unusable_and_says_why(plane: Plane) -> None:
    plane.world.fault("allocate", REFUSED)
    await plane.cluster(1)
    [node] = plane.nodes()
    assert await plane.counts() == {"unusable": 1}
    [error] = (await plane.show())["errors"]
    assert (error["code"], error["message"]) == ("NoCapacity", "There is none")
    assert error["details"] == [{"name": "Info", "value": "none left"}, {"name": "NodeId", "value": node}]
    await plane.restart()
    assert await plane.counts() == {"unusable": 1}
    assert (await plane.show())["errors"] == [error]


@pytest.mark.parametrize("call", ["allocate", "prepare"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (TaskError("SetupTaskFailed", "no"), "SetupTaskFailed"),
        (OSError(28, "No space left on device"), "NodeAllocationFailed"),
        (OSError("a damaged key"), "NodeAllocationFailed"),
        (KeyError("a mistake"), "InternalError"),
    ],
)
async def test_whatever_fails_the_node_is_unusable_and_the_others_are_not(
    plane: Plane, call: str, fault: Exception, code: str
) -> None:
    plane.world.fault(call, fault)
    await plane.cluster(2)
    assert await plane.counts() == {"unusable": 1, "idle": 1}
    [error] = (await plane.show())["errors"]
    assert error["code"] == code
    says = {"NodeAllocationFailed": getattr(fault, "strerror", "") or str(fault), "InternalError": repr(fault)}
    if code in says:
        assert error["details"][0] == {"name": "Info", "value": says[code]}


async def test_the_error_of_a_block_is_each_nodes_own(plane: Plane) -> None:
    plane.world.fault("allocate", REFUSED)
    await plane.cluster(auto=(0, 4))
    await plane.job("gang", 2)
    assert (await plane.counts())["unusable"] == 2
    named = {detail["value"] for error in (await plane.show())["errors"] for detail in error["details"][1:]}
    assert len(named) == 2
    assert REFUSED.details == {"Info": "none left"}


async def test_nothing_is_started_on_an_unusable_node(plane: Plane) -> None:
    plane.world.fault("prepare", TaskError("SetupTaskFailed", "no"))
    await plane.cluster(2)
    [bad] = [node for node, state in plane.nodes().items() if state == "unusable"]
    await plane.job("a")
    await plane.job("b")
    assert plane.states("a", "b") == ["running", "queued"]
    assert bad not in plane.nodes_of("a")


async def test_a_reason_to_wait_is_shown_after_half_a_minute(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(2)
    first, second = plane.nodes()
    plane.world.reasons[first] = "the queue is long"
    await plane.sleep(29)
    assert "errors" not in await plane.show()
    await plane.sleep(1)
    [error] = (await plane.show())["errors"]
    assert (error["code"], error["message"]) == ("NodeAllocationPending", "The node is waited for")
    assert error["details"] == [{"name": "NodeId", "value": first}, {"name": "Info", "value": "the queue is long"}]
    plane.engine.decide("allocate", first)
    await plane.loop.settle()
    assert "errors" not in await plane.show()
    assert plane.nodes() == {first: "idle", second: "allocating"}


async def test_a_reason_that_is_an_error_is_shown_at_once_and_the_node_is_still_waited_for(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(1)
    [node] = plane.nodes()
    plane.world.reasons[node] = TaskError("NoSuchPartition", "There is none", {"Info": "ask for another"})
    [error] = (await plane.show())["errors"]
    assert (error["code"], error["message"]) == ("NoSuchPartition", "There is none")
    assert error["details"] == [{"name": "NodeId", "value": node}, {"name": "Info", "value": "ask for another"}]
    plane.engine.decide("allocate", node)
    await plane.loop.settle()
    assert (await plane.counts(), "errors" in await plane.show()) == ({"idle": 1}, False)


@pytest.mark.parametrize("call", ["allocate", "prepare"])
async def test_a_node_deleted_while_it_comes_up_stays_gone(plane: Plane, call: str) -> None:
    plane.world.automatic -= {call}
    await plane.cluster(1)
    [node] = plane.nodes()
    await plane.rescale(0)
    assert plane.engine.interrupted == [node]
    assert (plane.nodes(), await plane.counts()) == ({}, {})
    assert plane.service.store.children(plane.controller().key, "node") == []
    assert "errors" not in await plane.show()
    await plane.sleep(1000)
    assert (plane.nodes(), plane.world.nodes) == ({}, {})


async def test_a_node_given_in_the_moment_of_its_deletion_is_handed_back(plane: Plane) -> None:
    plane.world.automatic -= {"allocate"}
    await plane.cluster(1)
    [node] = plane.nodes()
    plane.engine.decide("allocate", node)  # the answer is on its way
    await plane.rescale(0)
    assert (plane.nodes(), plane.world.nodes) == ({}, {})
    assert plane.world.prepared == []


async def test_a_node_is_not_released_while_it_is_still_being_set_up(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.world.automatic -= {"prepare"}
    await plane.cluster(1)
    [node] = plane.nodes()

    async def interrupt(node_id: str) -> None:
        """What runs there takes its time to end."""

    monkeypatch.setattr(plane.engine, "interrupt", interrupt)
    await plane.rescale(0)
    assert (await plane.counts(), list(plane.world.nodes)) == ({"leaving": 1}, [node])
    plane.engine.decide("prepare", node)
    await plane.loop.settle()
    assert (await plane.counts(), plane.world.nodes) == ({}, {})


async def test_what_a_node_holds_is_on_record_before_anything_is_done_with_it(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that it leaves, before anything is taken from it: who restarts the service must find it so."""
    seen: list[tuple[str, bool]] = []

    def watch(call: str) -> None:
        real = getattr(plane.engine, call)

        async def called(node_id: str, *more: Any) -> None:
            record = plane.service.store.get(plane.node(node_id).record.key)
            assert record
            seen.append((record.internal["state"], bool(record.internal["held"])))
            await real(node_id, *more)

        monkeypatch.setattr(plane.engine, call, called)

    watch("prepare")
    watch("interrupt")
    await plane.cluster(1)
    assert seen == [("preparing", True)]
    body = {"properties": {"scaleSettings": {"manual": {"targetNodeCount": 0}}}}
    await plane.call("PATCH", f"{WORKSPACE}/clusters/c", body)
    await plane.loop.settle()
    assert seen == [("preparing", True), ("leaving", True)]


async def test_a_new_node_has_nothing_to_tidy(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.end("a")
    assert plane.engine.tidied == []


async def test_nodes_that_nobody_can_log_in_to_have_no_login(plane: Plane) -> None:
    plane.world.endpoints = False
    await plane.cluster(1)
    assert await plane.counts() == {"idle": 1}
    assert (await plane.call("POST", f"{WORKSPACE}/clusters/c/listRemoteLoginInformation")).body == {"value": []}


async def test_an_unusable_node_keeps_its_job_until_that_has_ended(plane: Plane) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(auto=(0, 2))
    await plane.job("a")
    [blamed] = plane.nodes()
    plane.engine.fail("a", NodeFault(blamed, "NodeBroken", "its disk is gone"))
    await plane.loop.settle()
    plane.controller().wake()
    await plane.sleep(100)
    assert plane.nodes()[blamed] == "unusable"
    plane.engine.decide("clean", "a")
    await plane.sleep(61)
    assert blamed not in plane.nodes()


async def test_a_leaving_node_counts_until_it_is_gone(plane: Plane) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(1)
    [node] = plane.nodes()
    await plane.rescale(0)
    assert await plane.counts() == {"leaving": 1}
    assert (await plane.show())["allocationState"] == "resizing"
    plane.engine.decide("release", node)
    await plane.loop.settle()
    assert await plane.counts() == {}
    assert (await plane.show())["allocationState"] == "steady"


@pytest.mark.parametrize("call", ["release", "interrupt"])
async def test_a_node_that_cannot_be_released_is_tried_again(
    plane: Plane, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plane.cluster(1)
    if call == "release":
        plane.world.fault("release", OSError("busy"), RuntimeError("still busy"))
    else:
        real, faults = plane.engine.interrupt, [OSError("busy")]

        async def interrupt(node_id: str) -> None:
            if faults:
                raise faults.pop()
            await real(node_id)

        monkeypatch.setattr(plane.engine, "interrupt", interrupt)
    answer = await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    assert await plane.counts() == {"leaving": 1}
    await plane.sleep(60)
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert plane.world.nodes == {}


async def test_a_lost_node_is_replaced_and_its_job_runs_again_with_the_reason(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    [lost] = plane.nodes_of("a")
    plane.engine.lose(lost)
    await plane.loop.settle()
    assert plane.numbers() == [2, 3]
    assert plane.world.started == ["a", "a"]
    assert lost not in plane.nodes_of("a")
    assert plane.world.of_job("a").plan.notes == (
        f"the job runs again: node {lost} was lost: The node is gone the power is gone",
    )
    await plane.end("a")
    assert plane.state("a") == "succeeded"
    assert await plane.counts() == {"idle": 2}


async def test_a_lost_node_of_auto_scale_is_replaced_for_its_job(plane: Plane) -> None:
    await plane.cluster(auto=(0, 1))
    await plane.job("a")
    [lost] = plane.nodes()
    plane.engine.lose(lost)
    await plane.loop.settle()
    assert (plane.numbers(), plane.world.started) == ([2], ["a", "a"])


async def test_a_lost_idle_node_is_replaced_also_while_it_leaves(plane: Plane) -> None:
    await plane.cluster(1)
    [lost] = plane.nodes()
    plane.world.automatic -= {"release"}
    plane.engine.lose(lost)
    await plane.loop.settle()
    assert plane.node(lost).state == "leaving"
    await plane.job("a")
    assert lost not in plane.nodes_of("a")
    assert plane.numbers() == [2]


async def test_nothing_is_started_on_a_lost_node_whose_job_still_ends(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(2)
    await plane.job("gang", 2)
    lost, other = plane.nodes_of("gang")
    plane.engine.lose(lost)
    await plane.loop.settle()
    await plane.job("a", schedulingPriority="high")
    plane.world.automatic -= {"release"}
    await plane.end("gang", exit_code=1)
    assert plane.nodes_of("a") == [other]
    assert plane.states("gang", "a") == ["queued", "running"]


async def test_a_node_lost_while_it_leaves_is_not_lost(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(1)
    [node] = plane.nodes()
    await plane.rescale(0)
    plane.engine.lose(node)
    plane.engine.decide("release", node)
    await plane.loop.settle()
    assert plane.nodes() == {}
    assert "is lost" not in caplog.text


async def test_a_node_that_is_gone_is_watched_no_longer(plane: Plane) -> None:
    await plane.cluster(2)
    assert sorted(plane.engine.watched) == sorted(plane.nodes())
    await plane.rescale(1)
    assert plane.engine.watched == list(plane.nodes())


async def test_a_node_lost_while_it_is_set_up_is_replaced(plane: Plane) -> None:
    plane.world.automatic -= {"prepare"}
    await plane.cluster(1)
    [node] = plane.nodes()
    plane.engine.lose(node)
    await plane.loop.settle()
    assert plane.numbers() == [2]
    assert "errors" not in await plane.show()


async def test_a_node_to_blame_is_unusable_and_its_job_runs_elsewhere(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    [blamed] = plane.nodes_of("a")
    plane.engine.fail("a", NodeFault(blamed, "NodeBroken", "its disk is gone"))
    await plane.loop.settle()
    assert plane.node(blamed).state == "unusable"
    assert plane.nodes_of("a") != [blamed]
    assert plane.world.of_job("a").plan.notes == (
        f"the job runs again: node {blamed} could not run it: its disk is gone",
    )
    [error] = (await plane.show())["errors"]
    assert (error["code"], error["details"]) == ("NodeBroken", [{"name": "NodeId", "value": blamed}])


async def test_a_terminated_job_is_not_run_again_for_a_broken_node(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(2)
    await plane.job("a")
    [blamed] = plane.nodes_of("a")
    await plane.ask("POST", f"{WORKSPACE}/experiments/exp/jobs/a/terminate")
    plane.engine.fail("a", NodeFault(blamed, "NodeBroken", "its disk is gone"))
    await plane.loop.settle()
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")
    assert plane.node(blamed).state == "unusable"


async def test_the_first_reason_why_a_node_is_unusable_stays(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("gang", 2)
    blamed, _ = plane.nodes_of("gang")
    plane.engine.fail("gang", NodeFault(blamed, "NodeBroken", "its disk is gone"))
    await plane.loop.settle()
    plane.controller().nodes.became_unusable(plane.node(blamed), TaskError("Other", "other"))
    assert [error["code"] for error in (await plane.show())["errors"]] == ["NodeBroken"]


# A restart


@pytest.mark.parametrize("call", ["allocate", "prepare"])
async def test_a_node_that_comes_up_is_taken_up_after_a_restart(plane: Plane, call: str) -> None:
    plane.world.automatic -= {call}
    await plane.cluster(1)
    before = plane.nodes()
    await plane.restart()
    assert plane.nodes() == before
    [node] = before
    plane.engine.decide(call, node)
    await plane.loop.settle()
    assert plane.nodes() == {node: "idle"}
    assert [name for name, _ in plane.world.prepared] == [node]


async def test_a_ready_node_is_not_set_up_again_after_a_restart(plane: Plane) -> None:
    await plane.cluster(2)
    held = [plane.node(node).record.internal["held"] for node in plane.nodes()]
    await plane.job("a")
    await plane.restart()
    assert await plane.counts() == {"running": 1, "idle": 1}
    assert len(plane.world.prepared) == 2
    assert plane.engine.tidied == [node for node, state in plane.nodes().items() if state == "idle"]
    assert [plane.node(node).record.internal["held"] for node in plane.nodes()] == held
    await plane.restart()  # also when the first restart has written the node's state anew
    await plane.end("a")
    assert await plane.counts() == {"idle": 2}


async def test_a_node_whose_job_ended_in_the_moment_of_the_crash_is_free(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.restart()  # from now on the node's own record says that it runs a job
    plane.world.automatic -= {"clean"}
    await plane.end("a")
    assert (plane.state("a"), await plane.counts()) == ("succeeded", {"running": 1})
    await plane.restart()
    assert await plane.counts() == {"idle": 1}
    await plane.job("b")
    assert plane.state("b") == "running"


async def test_after_a_restart_the_engine_looks_whether_nodes_are_ready_but_leaves_unusable_ones(plane: Plane) -> None:
    plane.world.fault("prepare", TaskError("SetupTaskFailed", "no"))
    await plane.cluster(3)
    await plane.job("a")
    ready = [node for node, state in plane.nodes().items() if state != "unusable"]
    await plane.restart()
    assert sorted(plane.engine.asked_to_prepare) == sorted((node, True) for node in ready)
    assert await plane.counts() == {"unusable": 1, "running": 1, "idle": 1}


async def test_a_block_is_taken_up_as_a_block(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    await plane.cluster(auto=(1, 4))
    await plane.job("gang", 3)
    assert [len(block) for block in plane.world.blocks] == [1, 2]
    asked: list[tuple[int, bool]] = []
    await plane.crash()
    await plane.start()
    real = plane.engine.allocate

    async def allocate(block: Any, resume: bool) -> Any:
        asked.append((len(block), resume))
        return await real(block, resume)

    monkeypatch.setattr(plane.engine, "allocate", allocate)
    await plane.loop.settle()
    assert asked == [(1, True), (2, True)]


async def test_a_node_that_is_gone_after_a_restart_is_unusable(plane: Plane) -> None:
    await plane.cluster(2)
    gone, _ = plane.nodes()
    plane.world.nodes.pop(gone)
    await plane.restart()
    assert await plane.counts() == {"unusable": 1, "idle": 1}
    assert plane.node(gone).record.internal["error"]["code"] == "NodeLost"


@pytest.mark.parametrize("through", ["rescale", "delete"])
async def test_a_leaving_node_leaves_after_a_crash(plane: Plane, through: str) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(1)
    if through == "rescale":
        await plane.rescale(0)
    else:
        await plane.ask("DELETE", f"{WORKSPACE}/clusters/c")
    assert await plane.counts() == {"leaving": 1}
    plane.world.automatic |= {"release"}
    await plane.restart()
    assert plane.world.nodes == {}
    assert plane.service.store.count("node") == 0


async def test_a_nodes_setup_has_its_volumes_and_secrets(plane: Plane) -> None:
    await plane.call("PUT", ACCOUNT, {"location": "eastus"})
    setup = {
        "setupTask": {
            "commandLine": "install",
            "environmentVariables": [{"name": "A", "value": "1"}],
            "secrets": [{"name": "S", "value": "hidden"}, {"name": "T", "value": "also"}],
            "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/logs",
        },
        "mountVolumes": {
            "unmanagedFileSystems": [{"mountCommand": "mount -t x", "relativeMountPath": "x"}],
        },
    }
    await plane.cluster(1, nodeSetup=setup)
    [(node, told)] = plane.world.prepared
    assert node in plane.world.nodes
    assert told.task
    assert (told.task.command_line, told.task.output_prefix) == ("install", "$AZ_BATCHAI_MOUNT_ROOT/logs")
    assert dict(told.task.environment) == {"A": "1", "S": "hidden", "T": "also"}
    assert told.task.output_suffix
    assert [(volume.service, volume.relative_path) for volume in told.volumes] == [("unmanaged", "x")]


async def test_a_node_whose_setup_names_no_share_is_unusable(plane: Plane) -> None:
    share = {
        "accountName": "acct",
        "azureFileUrl": "https://other.file.core.windows.net/s",
        "credentials": {"accountKey": "a2V5"},
        "relativeMountPath": "afs",
    }
    await plane.cluster(1, nodeSetup={"mountVolumes": {"azureFileShares": [share]}})
    assert [error["code"] for error in (await plane.show())["errors"]] == ["AZFMountError"]


async def test_two_clusters_do_not_share_nodes(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.cluster(1, name="d")
    await plane.job("a")
    await plane.job("b")
    await plane.job("c", cluster="d")
    assert plane.states("a", "b", "c") == ["running", "queued", "running"]
    assert plane.nodes_of("c") == list(plane.nodes("d"))

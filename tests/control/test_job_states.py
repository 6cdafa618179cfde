"""States of a job: queued -> running -> (terminating ->) succeeded | failed | queued again. Legal ways and others."""

import asyncio
import sqlite3
from typing import Any

import pytest

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.engine.base import JobOutcome, MachineRestarted, TaskError
from azext_batchai.service.model import job_states
from harness.plane import EXPERIMENT, WORKSPACE, Answer, Plane, job_path


async def terminate(plane: Plane, name: str) -> Answer:
    return await plane.ask("POST", f"{job_path(name)}/terminate")


def info(plane: Plane, name: str) -> dict[str, Any]:
    record = plane.record(job_path(name))
    assert record
    found: dict[str, Any] = record.properties["executionInfo"]
    return found


def properties(plane: Plane, name: str) -> dict[str, Any]:
    record = plane.record(job_path(name))
    assert record
    return record.properties


async def test_from_queued_to_succeeded(plane: Plane) -> None:
    await plane.cluster(0)
    created = await plane.job("a")
    assert (created.status, plane.state("a")) == (202, "queued")
    assert "executionInfo" not in properties(plane, "a")
    await plane.sleep(5)
    await plane.rescale(1)
    assert plane.state("a") == "running"
    started = properties(plane, "a")["executionStateTransitionTime"]
    assert info(plane, "a") == {"startTime": started}
    assert plane.nodes_of("a") == list(plane.nodes())
    await plane.sleep(7)
    await plane.end("a")
    assert plane.state("a") == "succeeded"
    ended = properties(plane, "a")["executionStateTransitionTime"]
    assert info(plane, "a") == {"startTime": started, "endTime": ended, "exitCode": 0}
    assert list(properties(plane, "a"))[-1] == "executionInfo"
    assert created.status == 202 and ended > started > properties(plane, "a")["creationTime"]
    assert plane.nodes_of("a") == []
    assert plane.world.of_job("a").cleaned


async def test_to_failed_by_its_exit_code(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.end("a", exit_code=3)
    assert (plane.state("a"), plane.error("a"), info(plane, "a")["exitCode"]) == ("failed", "JobFailed", 3)


async def test_what_the_engine_says_of_a_failure_is_kept(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    plane.engine.end("a", 4, TaskError("JobPreparationFailed", "no", {"Path": "p"}))
    await plane.loop.settle()
    assert info(plane, "a")["errors"] == [
        {"code": "JobPreparationFailed", "message": "no", "details": [{"name": "Path", "value": "p"}]}
    ]
    assert info(plane, "a")["exitCode"] == 4


@pytest.mark.parametrize(
    ("fault", "code"), [(TaskError("MountFailed", "no"), "MountFailed"), (KeyError("x"), "InternalError")]
)
async def test_a_job_that_cannot_be_launched_fails_and_leaves_its_nodes(
    plane: Plane, fault: Exception, code: str
) -> None:
    await plane.cluster(1)
    plane.world.fault("ports", fault)
    await plane.job("a", customToolkitSettings=None, pyTorchSettings={"pythonScriptFilePath": "x", "processCount": 2})
    assert (plane.state("a"), plane.error("a")) == ("failed", code)
    assert "exitCode" not in info(plane, "a")
    assert await plane.counts() == {"idle": 1}


async def test_terminate_a_queued_job(plane: Plane) -> None:
    await plane.cluster(0)
    await plane.job("a")
    answer = await terminate(plane, "a")
    assert (answer.status, (await plane.operation(answer))["status"]) == (202, "Succeeded")
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")
    assert info(plane, "a")["startTime"] == info(plane, "a")["endTime"]
    await plane.rescale(1)
    assert (plane.state("a"), plane.world.started) == ("failed", [])
    assert len(plane.controller().queue) == 0


async def test_a_terminated_job_that_held_back_others_does_so_no_more(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("first")
    await plane.job("gang", 2)
    await plane.job("a")
    await terminate(plane, "gang")
    assert plane.state("a") == "running"


async def test_terminate_a_running_job(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    answer = await terminate(plane, "a")
    assert (answer.status, plane.state("a")) == (202, "terminating")
    assert (await plane.operation(answer))["status"] == "InProgress"
    again = await terminate(plane, "a")
    assert (await plane.operation(again))["status"] == "InProgress"
    await plane.end("a", exit_code=0)  # whatever it ends with
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")
    assert "exitCode" not in info(plane, "a")
    for one in (answer, again):
        assert (await plane.operation(one))["status"] == "Succeeded"
    assert await plane.counts() == {"idle": 1}


async def test_terminate_an_ended_job_does_nothing(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.end("a")
    before = properties(plane, "a")
    assert (await terminate(plane, "a")).status == 200
    assert properties(plane, "a") == before


async def test_terminate_during_a_requeue(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.rescale(0)
    await plane.rescale(1)
    await terminate(plane, "a")
    assert plane.state("a") == "terminating"
    await plane.end("a")
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")
    assert plane.world.started == ["a"]


async def test_a_job_is_told_to_end_once_however_often_that_is_asked_for(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.rescale(0)
    for _ in range(3):
        plane.controller().wake()
        await plane.loop.settle()
    assert caplog.text.count("is to run again") == 1
    await asyncio.gather(*(plane.call("POST", f"{job_path('a')}/terminate") for _ in range(3)))
    await plane.loop.settle()
    assert plane.world.of_job("a").stops == 1


async def test_terminations_at_once_tell_the_job_once(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    await asyncio.gather(*(plane.call("POST", f"{job_path('a')}/terminate") for _ in range(3)))
    await plane.loop.settle()
    assert plane.world.of_job("a").stops == 1


async def test_a_job_that_waits_to_run_again_shows_no_earlier_run(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.rescale(0)
    assert "executionInfo" not in properties(plane, "a")
    assert plane.nodes_of("a") == []


async def test_a_job_that_nobody_runs_can_be_terminated(plane: Plane) -> None:
    """Its cluster's record was lost, and another cluster has the name."""
    await plane.cluster(1)
    await plane.job("a")
    key = plane.controller().key
    await plane.crash()
    with sqlite3.connect(plane.settings.home / "state.db") as db:
        db.execute("DELETE FROM resources WHERE key=? OR parent=?", (key, key))
    db.close()
    await plane.start()
    await plane.cluster(0)
    answer = await terminate(plane, "a")
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")


async def test_a_requeue_does_not_undo_a_termination(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(2)
    await plane.job("a")
    await terminate(plane, "a")
    plane.engine.lose(plane.nodes_of("a")[0])
    await plane.loop.settle()
    await plane.end("a")
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")


async def test_the_first_reason_of_a_requeue_stays(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a")
    [node] = plane.nodes_of("a")
    await plane.rescale(0)
    plane.engine.lose(node)
    await plane.loop.settle()
    await plane.end("a")
    await plane.rescale(1)
    assert plane.world.of_job("a").plan.notes == ("the job runs again: the cluster was made smaller",)


async def test_terminate_in_the_moment_of_the_start(plane: Plane) -> None:
    """The job has its node, the engine has not heard of it."""
    plane.world.automatic -= {"ports"}
    await plane.cluster(1)
    await plane.job("a", customToolkitSettings=None, pyTorchSettings={"pythonScriptFilePath": "x", "processCount": 2})
    assert plane.state("a") == "running"
    await terminate(plane, "a")
    plane.engine.decide("ports", plane.engine.waits("ports")[0])
    await plane.loop.settle()
    assert (plane.state("a"), plane.error("a"), plane.world.started) == ("failed", "JobTerminated", [])


@pytest.mark.parametrize("how", ["terminate", "DELETE"])
async def test_a_job_ended_by_itself_is_not_touched_while_its_folders_go(plane: Plane, how: str) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.end("a")
    assert (plane.state("a"), await plane.counts()) == ("succeeded", {"running": 1})
    if how == "terminate":
        assert (await terminate(plane, "a")).status == 200
    else:
        answer = await plane.ask("DELETE", job_path("a"))
        assert (await plane.operation(answer))["status"] == "InProgress"
    assert plane.state("a") == "succeeded"
    assert plane.world.of_job("a").stops == 0
    plane.engine.decide("clean", "a")
    await plane.loop.settle()
    assert plane.state("a") == {"terminate": "succeeded", "DELETE": "gone"}[how]
    assert await plane.counts() == {"idle": 1}


@pytest.mark.parametrize("option", ["requeue", "terminate"])
async def test_a_shrinking_cluster_does_not_touch_a_job_that_has_ended(plane: Plane, option: str) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1, option=option)
    await plane.job("a")
    await plane.end("a")
    await plane.rescale(0, option=option)
    assert plane.state("a") == "succeeded"
    plane.engine.decide("clean", "a")
    await plane.loop.settle()
    assert (plane.state("a"), plane.nodes()) == ("succeeded", {})
    await plane.restart()
    assert (plane.state("a"), plane.world.started) == ("succeeded", ["a"])


async def test_a_lost_node_does_not_touch_a_job_that_has_ended(plane: Plane) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.end("a")
    plane.engine.lose(next(iter(plane.nodes())))
    await plane.loop.settle()
    assert plane.state("a") == "succeeded"
    plane.engine.decide("clean", "a")
    await plane.loop.settle()
    assert (plane.state("a"), plane.numbers()) == ("succeeded", [2])


async def test_terminate_a_requeued_job_whose_folders_still_go(plane: Plane) -> None:
    plane.world.automatic -= {"clean"}
    await plane.cluster(1)
    await plane.job("a")
    await plane.rescale(0)
    assert plane.state("a") == "queued"
    answer = await terminate(plane, "a")
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTerminated")
    plane.engine.decide("clean", "a")
    await plane.loop.settle()
    assert (await plane.operation(answer))["status"] == "Succeeded"
    await plane.rescale(1)
    assert (plane.state("a"), plane.world.started) == ("failed", ["a"])


@pytest.mark.parametrize("fault", [OSError("busy"), TaskError("NodeLost", "no answer"), KeyError("a mistake")])
async def test_what_a_job_leaves_behind_cannot_become_its_outcome(plane: Plane, fault: Exception) -> None:
    await plane.cluster(1)
    await plane.job("a")
    plane.world.fault("clean", fault)
    await plane.end("a")
    assert (plane.state("a"), await plane.counts()) == ("succeeded", {"idle": 1})
    assert plane.controller().running_jobs == 0
    await plane.job("b")
    assert plane.state("b") == "running"


@pytest.mark.parametrize("how", ["terminate", "time"])
async def test_a_stop_that_fails_is_tried_again(plane: Plane, how: str) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    plane.world.fault("stop", OSError("too many open files"), RuntimeError("still too many"))
    if how == "terminate":
        answer = await terminate(plane, "a")
        assert (await plane.operation(answer))["status"] == "InProgress"
    else:
        await plane.sleep(3600)
    assert plane.state("a") == "terminating"
    await plane.sleep(20)
    assert (plane.state("a"), plane.world.of_job("a").stops) == ("failed", 1)


# Time limits


async def test_a_job_ends_at_its_time_limit(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(3599)
    assert plane.state("a") == "running"
    plane.world.automatic -= {"stop"}
    await plane.sleep(1)
    assert (plane.state("a"), plane.world.of_job("a").stops) == ("terminating", 1)
    await plane.end("a", exit_code=143)
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTimedOut")
    assert "PT1H" in info(plane, "a")["errors"][0]["message"]
    assert "exitCode" not in info(plane, "a")


async def test_a_termination_after_the_time_limit_does_not_change_the_reason(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(3600)
    await terminate(plane, "a")
    await plane.end("a")
    assert plane.error("a") == "JobTimedOut"


async def test_a_limit_reached_during_a_requeue_ends_the_job(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.rescale(0)
    await plane.sleep(3600)
    await plane.end("a")
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTimedOut")


async def test_the_time_of_a_job_that_has_ended_is_over(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.end("a")
    before = properties(plane, "a")
    await plane.sleep(7200)
    assert properties(plane, "a") == before
    await plane.job("b", limit="PT1H")  # a job of the same name would meet an old timer
    await plane.ask("DELETE", job_path("a"))
    await plane.end("b")


async def test_a_restart_does_not_start_the_time_limit_anew(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(2000)
    await plane.restart()
    await plane.sleep(1599)
    assert plane.state("a") == "running"
    await plane.sleep(1)
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTimedOut")


async def test_a_limit_passed_while_no_service_ran_ends_the_job_at_once(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.crash()
    await plane.sleep(4000)
    await plane.start()
    await plane.loop.settle()
    assert (plane.state("a"), plane.error("a")) == ("failed", "JobTimedOut")


@pytest.mark.parametrize("days", [-400, 400])
async def test_time_limits_do_not_follow_the_wall_clock(plane: Plane, days: int) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(600)
    plane.clock.wall_seconds = days * 86400.0
    await plane.restart()
    await plane.sleep(2999)
    assert plane.state("a") == "running"
    await plane.sleep(1)
    assert plane.error("a") == "JobTimedOut"


async def test_after_a_reboot_the_wall_clock_is_all_there_is(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(600)
    plane.clock.reboot()
    await plane.restart()
    await plane.sleep(2999)
    assert plane.state("a") == "running"
    await plane.sleep(1)
    assert plane.error("a") == "JobTimedOut"


async def test_a_job_that_runs_again_has_its_whole_time_again(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    await plane.sleep(3000)
    await plane.rescale(0)
    await plane.rescale(1)
    await plane.sleep(3599)
    assert plane.state("a") == "running"
    await plane.sleep(1)
    assert plane.error("a") == "JobTimedOut"


# Low priority


async def test_a_job_loses_low_priority_nodes_after_a_day_and_runs_again(plane: Plane) -> None:
    await plane.cluster(2, vmPriority="lowpriority")
    await plane.job("a", 2)
    await plane.sleep(86399)
    assert plane.world.started == ["a"]
    await plane.restart()
    await plane.sleep(1)
    assert (plane.world.started, plane.state("a"), plane.numbers()) == (["a", "a"], "running", [3, 4])
    assert plane.nodes_of("a") == list(plane.nodes())
    assert "was preempted" in plane.world.of_job("a").plan.notes[0]
    await plane.end("a")
    await plane.sleep(90000)
    assert plane.numbers() == [3, 4]  # its timer went with it


async def test_the_day_on_low_priority_nodes_begins_with_each_attempt(plane: Plane) -> None:
    await plane.cluster(1, vmPriority="lowpriority")
    await plane.job("a")
    await plane.sleep(80_000)
    plane.engine.lose(plane.nodes_of("a")[0])
    await plane.sleep(86_399)
    assert plane.world.started == ["a", "a"]
    await plane.sleep(1)
    assert plane.world.started == ["a", "a", "a"]


async def test_a_day_that_passed_while_no_service_ran_ends_at_once(plane: Plane) -> None:
    await plane.cluster(1, vmPriority="lowpriority")
    await plane.job("a")
    await plane.crash()
    await plane.sleep(100_000)
    await plane.start()
    await plane.loop.settle()
    assert (plane.world.started, plane.numbers()) == (["a", "a"], [2])


async def test_a_dedicated_job_keeps_its_nodes(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.sleep(100 * 86400)
    assert plane.world.started == ["a"]


async def test_the_time_of_low_priority_is_a_setting(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(low_priority_seconds=10)
    await plane.new()
    await plane.cluster(1, vmPriority="lowpriority")
    await plane.job("a")
    await plane.sleep(10)
    assert plane.world.started == ["a", "a"]


# Restarts


async def test_a_running_job_is_taken_up(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a", 2)
    nodes = plane.nodes_of("a")
    await plane.restart()
    assert (plane.state("a"), plane.nodes_of("a"), plane.world.started) == ("running", nodes, ["a"])
    assert plane.world.of_job("a").resumed == [False, True]
    assert await plane.counts() == {"running": 2}
    await plane.job("b")
    assert plane.state("b") == "queued"
    await plane.end("a", exit_code=5)
    assert (info(plane, "a")["exitCode"], plane.state("b")) == (5, "running")


async def test_a_service_that_has_let_go_does_nothing_any_more(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    await plane.cluster(1, vmPriority="lowpriority")
    await plane.job("a", limit="PT1H")
    await plane.job("b")
    controller = plane.controller()
    await plane.close()
    controller.wake()
    await plane.sleep(100_000)
    assert (plane.world.of_job("a").stops, plane.world.started, caplog.text) == (0, ["a"], "")


async def test_a_service_that_has_let_go_leaves_the_end_of_a_job_to_the_next(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.close()
    await plane.end("a", exit_code=3)
    await plane.sleep(60)
    assert caplog.text == ""
    await plane.start()
    await plane.loop.settle()
    assert (plane.state("a"), info(plane, "a")["exitCode"]) == ("failed", 3)


async def test_a_job_that_ended_while_no_service_ran_has_its_end(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.crash()
    plane.engine.end("a", 6)
    await plane.start()
    await plane.loop.settle()
    assert (plane.state("a"), info(plane, "a")["exitCode"]) == ("failed", 6)
    assert await plane.counts() == {"idle": 1}


async def test_a_job_that_was_lost_with_the_machine_fails(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.crash()
    plane.world.forget_runs()
    plane.clock.reboot()
    await plane.start()
    await plane.loop.settle()
    assert (plane.state("a"), plane.error("a")) == ("failed", "NodeLost")
    await plane.job("b")
    assert plane.state("b") == "running"


@pytest.mark.parametrize(
    ("own", "setting", "again"),
    [
        ("1", False, True),
        (" Yes ", False, True),
        ("on", False, True),
        ("true", False, True),
        ("0", True, False),
        ("no", True, False),
        (None, True, True),
        (None, False, False),
    ],
)
async def test_a_job_lost_with_its_machine_runs_again_where_that_is_wanted(
    empty_plane: Plane, own: str | None, setting: bool, again: bool
) -> None:
    plane = empty_plane
    plane.set(requeue_on_reboot=setting)
    await plane.new()
    await plane.cluster(1)
    variables = [{"name": "OTHER", "value": "x"}]
    if own is not None:
        variables.append({"name": "AZ_BATCHAI_REQUEUE_ON_REBOOT", "value": own})
    await plane.job("a", environmentVariables=variables)
    plane.engine.fail("a", MachineRestarted("NodeLost", "The node was lost", {"Info": "anew"}))
    await plane.loop.settle()
    if again:
        assert (plane.state("a"), plane.world.started) == ("running", ["a", "a"])
        note = "the job runs again: its machine was started anew while it ran"
        assert plane.world.of_job("a").plan.notes == (note,)
    else:
        assert (plane.state("a"), plane.error("a"), plane.world.started) == ("failed", "NodeLost", ["a"])
    assert "unusable" not in await plane.counts()  # the machine is there again


async def test_what_happens_to_a_job_and_its_cluster_changes_no_etag(plane: Plane) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(0)
    settings = {"pythonScriptFilePath": "x", "processCount": 2}
    await plane.job("a", customToolkitSettings=None, pyTorchSettings=settings)
    seen = [await plane.call("GET", job_path("a"))]
    await plane.rescale(1)
    cluster = await plane.call("GET", f"{WORKSPACE}/clusters/c")
    seen.append(await plane.call("GET", job_path("a")))
    await plane.sleep(5)
    plane.engine.lose(next(iter(plane.nodes())))  # its job is to run again
    await plane.loop.settle()
    await plane.end("a")
    await terminate(plane, "a")
    seen.append(await plane.call("GET", job_path("a")))
    await plane.end("a")
    seen.append(await plane.call("GET", job_path("a")))
    states = [answer.body["properties"]["executionState"] for answer in seen]
    assert states == ["queued", "running", "terminating", "failed"]
    assert len({answer.headers["etag"] for answer in seen}) == 1
    created = (await plane.job("a", customToolkitSettings=None, pyTorchSettings=settings)).headers["etag"]
    assert created == seen[0].headers["etag"]
    assert plane.numbers() == [2]
    assert (await plane.call("GET", f"{WORKSPACE}/clusters/c")).headers == cluster.headers


async def test_a_job_whose_node_is_gone_runs_again(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")
    [gone] = plane.nodes_of("a")
    await plane.crash()
    del plane.world.nodes[gone]
    await plane.start()
    await plane.loop.settle()
    assert plane.state("a") == "running"
    assert plane.nodes_of("a") != [gone]


async def test_queued_jobs_keep_their_order(plane: Plane) -> None:
    await plane.cluster(0)
    for name, priority in (("a", "low"), ("b", "normal"), ("c", "high")):
        await plane.job(name, schedulingPriority=priority)
    await plane.restart()
    await plane.rescale(3)
    assert plane.world.started == ["c", "b", "a"]


@pytest.mark.parametrize(("how", "code"), [("terminate", "JobTerminated"), ("time", "JobTimedOut"), ("requeue", "")])
async def test_why_a_job_was_being_stopped_is_known_after_a_crash(plane: Plane, how: str, code: str) -> None:
    plane.world.automatic -= {"stop"}
    await plane.cluster(1)
    await plane.job("a", limit="PT1H")
    answer = None
    if how == "terminate":
        answer = await terminate(plane, "a")
    elif how == "time":
        await plane.sleep(3600)
    else:
        await plane.rescale(0)
    await plane.restart()
    assert plane.state("a") == ("running" if how == "requeue" else "terminating")
    assert plane.world.of_job("a").stops > 1  # the new service goes on with it
    if answer:
        assert (await plane.operation(answer))["status"] == "InProgress"
    await plane.end("a")
    if code:
        assert (plane.state("a"), plane.error("a")) == ("failed", code)
    else:
        assert plane.state("a") == "queued"
    if answer:
        assert (await plane.operation(answer))["status"] == "Succeeded"


async def test_a_job_that_is_taken_up_can_be_terminated_before_its_node_is_up(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.restart(settle=False)
    answer = await terminate(plane, "a")
    assert (await plane.operation(answer))["status"] == "Succeeded"
    assert (plane.error("a"), plane.world.of_job("a").stops) == ("JobTerminated", 1)


async def test_ports_are_told_once_and_kept(plane: Plane) -> None:
    await plane.cluster(2)
    settings = {"pythonScriptFilePath": "x", "parameterServerCount": 1, "workerCount": 2, "masterCommandLineArgs": "m"}
    more = {"workerCommandLineArgs": "w", "parameterServerCommandLineArgs": "p"}
    await plane.job("a", 2, customToolkitSettings=None, tensorFlowSettings={**settings, **more})
    lines = [process.environment for process in plane.world.of_job("a").plan.processes]
    record = plane.record(job_path("a"))
    assert record
    ports = record.internal["ports"]
    assert ports and all(any(str(port) in str(line) for line in lines) for port in ports)
    told: list[Any] = []
    await plane.crash()
    await plane.start()
    real = plane.engine.job
    plane.engine.job = lambda plan: told.append(plan) or real(plan)  # type: ignore[method-assign,func-returns-value]
    await plane.loop.settle()
    assert [process.environment for process in told[0].processes] == lines
    plane.engine.lose(plane.nodes_of("a")[0])
    await plane.loop.settle()
    again = plane.record(job_path("a"))
    assert again and again.internal["ports"] != ports  # other nodes, other ports


# Secrets


async def test_secrets_are_forgotten_when_a_job_has_ended(plane: Plane) -> None:
    secrets = [{"name": "S", "value": "hidden"}]
    await plane.cluster(1)
    for name in ("a", "b", "c"):
        await plane.job(name, secrets=secrets)
    keys = {name: str(plane.record(job_path(name)).key) for name in "abc"}  # type: ignore[union-attr]
    vault = plane.service.vault
    assert all(vault.open(key) for key in keys.values())
    assert dict(plane.world.of_job("a").plan.environment) == {"S": "hidden"}
    await plane.end("a")
    await terminate(plane, "c")
    assert [bool(vault.open(keys[name])) for name in "abc"] == [False, True, False]
    await plane.ask("DELETE", job_path("b"))
    assert vault.open(keys["b"]) is None


async def test_a_requeued_job_keeps_its_secrets(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", secrets=[{"name": "S", "value": "hidden"}])
    await plane.rescale(0)
    await plane.rescale(1)
    assert dict(plane.world.of_job("a").plan.environment) == {"S": "hidden"}


# What is not allowed


async def test_only_a_queued_job_is_started_and_only_a_running_one_stopped(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    state, key = plane.service, plane.record(job_path("a")).key  # type: ignore[union-attr]
    assert job_states.mark_running(state, key, ["n"]) is None
    await plane.end("a")
    assert job_states.mark_running(state, key, ["n"]) is None
    for intent in (job_states.TERMINATE, job_states.REQUEUE, job_states.TIME_OUT):
        job_states.intend(state, key, intent)
    assert plane.state("a") == "succeeded"
    with pytest.raises(ValueError, match="succeeded and cannot become failed"):
        job_states.terminate_queued(state, key)
    with pytest.raises(ValueError, match="succeeded and cannot become succeeded"):
        job_states.finish(state, key, JobOutcome(0))
    assert plane.state("a") == "succeeded"


async def test_what_is_gone_cannot_be_stopped_or_finished(plane: Plane) -> None:
    job_states.intend(plane.service, "no such job", job_states.TERMINATE)
    assert job_states.finish(plane.service, "no such job", JobOutcome(0)) is None
    assert job_states.mark_running(plane.service, "no such job", ["n"]) is None


# Requests


async def test_the_same_put_again_shows_the_job_as_it_was_created(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a")
    await plane.sleep(5)
    await plane.end("a")
    again = await plane.job("a")
    assert again.status == 200
    assert again.body["properties"]["executionState"] == "queued"
    assert "executionInfo" not in again.body["properties"]
    created = again.body["properties"]["creationTime"]
    assert again.body["properties"]["executionStateTransitionTime"] == created
    other = await plane.job("a", nodes=2)
    assert (other.status, other.code) == (409, "Conflict")
    assert plane.world.started == ["a"]


async def test_two_output_directories_with_one_id_are_refused(plane: Plane) -> None:
    await plane.cluster(0)
    directory = {"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/x"}
    for directories in ([directory, {**directory, "pathSuffix": "y"}], [{**directory, "id": "stdouterr"}]):
        answer = await plane.job("a", outputDirectories=directories)
        assert (answer.status, answer.body["error"]["target"]) == (400, "outputDirectories")
    assert plane.state("a") == "gone"
    assert (await plane.job("a", outputDirectories=[directory, {**directory, "id": "OTHER"}])).status == 202


async def test_a_job_needs_a_cluster(plane: Plane) -> None:
    answer = await plane.job("a", cluster="none")
    assert (answer.status, answer.code) == (404, "ClusterNotFound")
    assert "none" in answer.body["error"]["message"]
    body = plane.job_body()
    body["properties"]["cluster"]["id"] = EXPERIMENT
    answer = await plane.call("PUT", job_path("a"), body)
    assert (answer.status, answer.code) == (404, "ClusterNotFound")


async def test_the_logins_of_a_job_are_those_of_its_nodes(plane: Plane) -> None:
    await plane.cluster(2)
    await plane.job("a")

    async def logins() -> list[str]:
        answer = await plane.call("POST", f"{job_path('a')}/listRemoteLoginInformation")
        return [login["nodeId"] for login in answer.body["value"]]

    assert await logins() == plane.nodes_of("a")
    await plane.end("a")
    assert await logins() == []


async def test_preemption_by_hand(plane: Plane) -> None:
    await plane.cluster(1, vmPriority="lowpriority")
    await plane.job("a")
    [node] = plane.nodes()
    await plane.controller().preempt(node)
    await plane.loop.settle()
    assert (plane.numbers(), plane.world.started) == ([2], ["a", "a"])
    assert plane.nodes_of("a") == list(plane.nodes())
    assert plane.world.of_job("a").plan.notes == (f"the job runs again: node {node} was preempted",)
    with pytest.raises(ArmError, match="has no node") as missing:
        await plane.controller().preempt(node)
    await plane.cluster(1, name="d")
    with pytest.raises(ArmError, match="not preempted") as dedicated:
        await plane.controller("d").preempt(next(iter(plane.nodes("d"))))
    assert (missing.value.status, dedicated.value.status) == (404, 409)


async def test_a_leaving_node_cannot_be_preempted(plane: Plane) -> None:
    plane.world.automatic -= {"release"}
    await plane.cluster(1, vmPriority="lowpriority")
    [node] = plane.nodes()
    await plane.rescale(0)
    with pytest.raises(ArmError, match="has no node"):
        await plane.controller().preempt(node)


async def test_engines_are_chosen_recorded_and_kept(plane: Plane) -> None:
    unknown = await plane.cluster(name="x", engine="slurm")
    assert (unknown.status, unknown.code) == (400, "EngineNotUsable")
    assert "local" in unknown.body["error"]["message"]
    assert plane.record(f"{WORKSPACE}/clusters/x") is None
    assert (await plane.cluster(1)).status == 202
    record = plane.record(f"{WORKSPACE}/clusters/c")
    assert record and record.internal["engine"] == "local"
    assert (await plane.cluster(1, engine="local")).status == 200
    plane.settings.profiles_file.write_text('{"other": {"type": "slurm"}}')
    plane.service.engines._engines["other"] = plane.engine
    other = await plane.cluster(1, engine="other")
    assert (other.status, other.code) == (409, "Conflict")
    assert (await plane.cluster(name="d", engine="other")).status == 202
    await plane.job("a", cluster="d")
    job = plane.record(job_path("a"))
    assert job and job.internal["engine"] == "other"

"""Of a sweep at most so many jobs run at once as it says, whoever is connected and whatever happens to the service."""

from typing import Any

import pytest

from azext_batchai.service.ui import waiting
from harness.plane import EXPERIMENT, WORKSPACE, Plane

OTHER = f"{WORKSPACE}/experiments/other"


def variables(most: str, sweep: str = "s") -> list[dict[str, str]]:
    return [
        {"name": "AZ_BATCHAI_SWEEP", "value": sweep},
        {"name": "AZ_BATCHAI_SWEEP_MAX_RUNNING", "value": most},
    ]


async def submit(plane: Plane, names: str, most: str = "2", **more: Any) -> None:
    for name in names:
        await plane.job(name, environmentVariables=variables(most), **more)


async def test_the_next_starts_when_one_ends(plane: Plane) -> None:
    await plane.cluster(4)
    await submit(plane, "abcd")
    assert plane.states(*"abcd") == ["running", "running", "queued", "queued"]
    await plane.job("x")
    assert plane.state("x") == "running"
    await plane.end("b", exit_code=1)
    assert plane.states(*"abcd") == ["running", "failed", "running", "queued"]


async def test_who_waits_for_the_limit_is_told(plane: Plane) -> None:
    await plane.cluster(4)
    await submit(plane, "abc")
    job = plane.service.store.get(f"{EXPERIMENT}/jobs/c".lower())
    assert job
    assert waiting.reason(plane.service, job) == "its sweep runs 2 jobs at once, and 2 are running"


async def test_an_auto_scale_cluster_has_no_more_nodes_than_may_be_used(plane: Plane) -> None:
    await plane.cluster(auto=(0, 4))
    await submit(plane, "abcd")
    assert await plane.counts() == {"running": 2}


@pytest.mark.parametrize("crash", [True, False])
async def test_a_restart_does_not_forget_the_limit(plane: Plane, crash: bool) -> None:
    await plane.cluster(4)
    await submit(plane, "abc")
    if not crash:
        await plane.close()
    await plane.restart()
    assert plane.states(*"abc") == ["running", "running", "queued"]
    await plane.end("a")
    assert plane.states(*"abc") == ["succeeded", "running", "running"]


async def test_sweeps_of_two_experiments_may_have_one_name(plane: Plane) -> None:
    await plane.cluster(4)
    assert (await plane.call("PUT", OTHER)).status == 200
    await submit(plane, "ab", "1")
    path = f"{OTHER}/jobs/a"
    await plane.ask("PUT", path, plane.job_body(environmentVariables=variables("1")))
    assert (await plane.call("GET", path)).body["properties"]["executionState"] == "running"
    assert plane.states(*"ab") == ["running", "queued"]


@pytest.mark.parametrize("most", ["", "0", "-1", "many", "2.5", "\u00b2"])
async def test_what_is_no_limit_limits_nothing(plane: Plane, most: str) -> None:
    await plane.cluster(3)
    await submit(plane, "abc", most)
    assert plane.states(*"abc") == ["running"] * 3


async def test_a_job_that_waits_for_its_sweep_can_be_ended(plane: Plane) -> None:
    await plane.cluster(3)
    await submit(plane, "abc", "1")
    await plane.ask("POST", f"{EXPERIMENT}/jobs/b/terminate")
    await plane.end("a")
    assert plane.states(*"abc") == ["succeeded", "failed", "running"]

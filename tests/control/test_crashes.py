"""A service killed at every step of a story: what the next one finds is whole, and the story can be told to its end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from azext_batchai.service.model import job_states
from harness.plane import EXPERIMENT, WORKSPACE, Plane, job_path
from harness.virtual_time import VirtualLoop

MANUAL = {"properties": {"scaleSettings": {"manual": {"targetNodeCount": 1}}}}
# What the client was told: a request that was answered before the service died.
Told = set[str]
Story = Callable[[Plane, Told], Awaitable[None]]


async def ask(plane: Plane, told: Told, what: str, method: str, path: str, body: object = None) -> None:
    answer = await plane.call(method, path, body)
    assert answer.status in (200, 202), (what, answer)
    told.add(what)
    await plane.loop.settle()


async def life(plane: Plane, told: Told) -> None:
    """Nodes come, two jobs run and end, one is terminated, one is deleted, the cluster shrinks."""
    for name in "abcd":
        await ask(plane, told, f"created {name}", "PUT", job_path(name), plane.job_body())
    await ask(plane, told, "terminated c", "POST", f"{job_path('c')}/terminate")
    await ask(plane, told, "terminated a", "POST", f"{job_path('a')}/terminate")
    await ask(plane, told, "deleted d", "DELETE", job_path("d"))
    await ask(plane, told, "shrunk", "PATCH", f"{WORKSPACE}/clusters/c", MANUAL)


async def gang(plane: Plane, told: Told) -> None:
    """A gang runs, loses a node, runs again."""
    await ask(plane, told, "created a", "PUT", job_path("a"), plane.job_body(2))
    if plane.nodes_of("a"):
        plane.engine.lose(plane.nodes_of("a")[0])
    await plane.loop.settle()
    await ask(plane, told, "created b", "PUT", job_path("b"), plane.job_body())


async def end_of_all(plane: Plane, told: Told) -> None:
    """A workspace goes while its jobs run and wait."""
    for name in "abc":
        await ask(plane, told, f"created {name}", "PUT", job_path(name), plane.job_body())
    await ask(plane, told, "deleted workspace", "DELETE", WORKSPACE)


async def one_experiment(plane: Plane, told: Told) -> None:
    for name in "abc":
        await ask(plane, told, f"created {name}", "PUT", job_path(name), plane.job_body())
    await ask(plane, told, "deleted experiment", "DELETE", EXPERIMENT)


async def play(plane: Plane, story: Story, step: int) -> tuple[Told, bool]:
    """Tell the story and kill the service after so many steps; whether the story had ended before."""
    told: Told = set()
    plane.world.error_for_gone = False
    await plane.new()
    await plane.cluster(2)
    reached = plane.loop.at_step(plane.loop.steps + step)
    task = asyncio.ensure_future(story(plane, told))
    task.add_done_callback(lambda _: reached.done() or reached.set_result(None))
    await reached
    if task.done():
        task.result()
    return told, task.done()


async def come_to_an_end(plane: Plane) -> None:
    """Let every job end by itself, as they get their turns."""
    for _ in range(20):
        await plane.sleep(20)
        for run in list(plane.world.runs.values()):
            if run.outcome is None:
                plane.engine._finish(run, plane.world.outcome_of(run))
    await plane.loop.settle()


async def check(plane: Plane, told: Told) -> None:
    gone = {"deleted workspace", "deleted experiment"} & told
    for name in "abcd":
        if f"created {name}" in told and not gone:
            expected = ("gone",) if f"deleted {name}" in told else job_states.ENDED
            assert plane.state(name) in (*expected, *(("gone",) if name == "d" else ())), name
        if f"terminated {name}" in told:
            assert plane.error(name) == "JobTerminated", name
        if gone:
            assert plane.state(name) == "gone"
    # Each attempt was started once (the engine refuses a second time), and none goes on.
    assert all(run.outcome is not None for run in plane.world.runs.values())
    store = plane.service.store
    assert store.unfinished_operations() == []
    nodes = {record.name for record in store.all_of("node")}
    assert nodes == plane.world.nodes.keys()
    if "deleted workspace" in told:
        assert [store.count(kind) for kind in ("workspace", "experiment", "cluster", "job", "node")] == [0] * 5
        assert len(plane.service.fleet) == 0
        return
    assert len(nodes) == (1 if "shrunk" in told else len(nodes)) and nodes
    assert set(await plane.counts()) == {"idle"}
    assert (await plane.show())["allocationState"] == "steady"
    assert plane.controller().running_jobs == 0
    for record in store.all_of("job"):
        assert record.internal["nodes"] == [] and "intent" not in record.internal
        assert plane.service.vault.open(record.key) is None
    await plane.call("PUT", EXPERIMENT)
    await plane.job("after")
    await come_to_an_end(plane)
    assert plane.state("after") == "succeeded"


@pytest.mark.parametrize("slow", [False, True], ids=["", "slow to end"])
@pytest.mark.parametrize("story", [life, gang, end_of_all, one_experiment])
def test_killed_at_every_step(empty_plane: Plane, story: Story, slow: bool) -> None:
    home, step, ended = empty_plane.settings.home, 0, False
    while not ended:
        step += 1
        plane = empty_plane.fresh(home / str(step))
        if slow:
            plane.world.automatic -= {"stop"}

        async def whole(plane: Plane = plane, step: int = step) -> bool:
            told, over = await play(plane, story, step)
            await plane.restart(settle=False)
            await come_to_an_end(plane)
            await check(plane, told)
            await plane.crash()
            return over

        try:
            ended = plane.loop.run_until_complete(whole())
        except BaseException as exc:
            exc.add_note(f"killed after {step} steps") if hasattr(exc, "add_note") else None
            raise
        finally:
            plane.loop.close()
    assert step > 10


def test_every_step_is_a_step_of_its_own() -> None:
    """The loop runs one callback at a time, so that a kill can come between any two."""
    loop = VirtualLoop()
    seen: list[tuple[str, int]] = []

    async def main() -> None:
        loop.call_soon(lambda: seen.append(("a", loop.steps)))
        loop.call_soon(lambda: seen.append(("b", loop.steps)))
        await loop.settle()
        before = loop.time()
        await asyncio.sleep(86400 * 200)
        assert loop.time() == before + 86400 * 200

    loop.run_until_complete(main())
    loop.close()
    assert [name for name, _ in seen] == ["a", "b"]
    assert seen[1][1] == seen[0][1] + 1

"""How often Slurm is asked: once a second at most, whoever wants to know, and never for nobody. In virtual time."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from azext_batchai.service.engine.slurm import commands
from azext_batchai.service.engine.slurm.commands import SlurmError
from azext_batchai.service.engine.slurm.queue import SlurmQueue
from harness.virtual_time import VirtualClock, VirtualLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    VirtualClock(loop, monkeypatch)
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.fixture
def asked(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When squeue was run; it answers after a tenth of a second."""
    times: list[float] = []

    async def queue() -> Any:
        times.append(loop.time())
        await asyncio.sleep(0.1)
        return {}

    monkeypatch.setattr(commands, "queue", queue)
    return times


def test_many_who_wait_share_one_look_a_second(loop: VirtualLoop, asked: list[float]) -> None:
    queue = SlurmQueue()

    async def impatient() -> None:
        until = loop.time() + 30
        while loop.time() < until:
            assert await queue.after(0) == {}

    async def all_of_them() -> None:
        await asyncio.gather(*(impatient() for _ in range(20)))

    loop.run_until_complete(all_of_them())
    assert min(later - earlier for earlier, later in zip(asked, asked[1:])) >= 1.0
    assert 30 <= len(asked) <= 32


def test_who_wants_to_know_now_is_not_kept_by_those_who_do_not(loop: VirtualLoop, asked: list[float]) -> None:
    queue = SlurmQueue()

    async def story() -> list[Any]:
        began = loop.time()
        patient = asyncio.ensure_future(queue.after(30))
        await asyncio.sleep(5)
        await queue.after(0)
        assert asked == [began + 5]
        return [await patient]  # it has learnt of it, too

    assert loop.run_until_complete(story()) == [{}]


def test_nobody_who_waits_is_nobody_who_asks(loop: VirtualLoop, asked: list[float]) -> None:
    queue = SlurmQueue()

    async def story() -> None:
        await queue.after(0)
        gone = asyncio.ensure_future(queue.after(10))
        await asyncio.sleep(1)
        gone.cancel()
        await asyncio.sleep(3600)

    loop.run_until_complete(story())
    assert len(asked) == 1


def test_an_answer_is_never_older_than_its_question(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for while squeue runs is answered by the next one."""
    begun: list[float] = []

    async def ask() -> Any:
        begun.append(loop.time())
        await asyncio.sleep(0.5)
        return {len(begun): None}

    monkeypatch.setattr(commands, "queue", ask)
    queue = SlurmQueue()

    async def story() -> None:
        first = asyncio.ensure_future(queue.after(0))
        await asyncio.sleep(0.2)
        assert await queue.after(0) == {2: None}
        assert await first == {1: None}

    loop.run_until_complete(story())


def test_a_controller_that_is_away_is_asked_as_seldom(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    async def ask() -> Any:
        times.append(loop.time())
        raise SlurmError("Unable to contact slurm controller", True)

    monkeypatch.setattr(commands, "queue", ask)
    queue = SlurmQueue()

    async def story() -> None:
        for _ in range(5):
            assert await queue.after(0) is None
        assert queue.trouble == "Unable to contact slurm controller"

    loop.run_until_complete(story())
    assert min(later - earlier for earlier, later in zip(times, times[1:])) >= 1.0

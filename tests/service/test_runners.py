"""Runners that have one task after the other: a task finds what it would find under a new one, and ends alone."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.engine.local import runners
from azext_batchai.service.engine.local.host import LocalHost
from azext_batchai.service.engine.local.view import View
from azext_batchai.service.engine.task import Command, Task, TaskEnd
from harness.local_host import with_host
from harness.processes import alive, of_home, wait_until

GRACE = 0.3


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path):
    yield
    wait_until(lambda: not of_home(tmp_path), "no process left", 5)


class Tasks:
    """Starts command lines below `folder`."""

    def __init__(self, host: LocalHost, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.view: View | None = None
        self.count = 0

    def command(self, line: str, place: Path, **environment: str) -> Command:
        place.mkdir(parents=True, exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "MARK": str(self.folder), **environment}
        command = Command(("/bin/sh", "-c", line), place, environment, place / "out", place / "err")
        if self.view:
            command = replace(command, enter=self.view.namespace(), inside=self.view.inside(str(place)))
        return command

    def begin(self, line: str, **environment: str) -> tuple[Path, "asyncio.Task[TaskEnd]"]:
        self.count += 1
        place = self.folder / f"task{self.count}"
        task = Task(self.host, place / "task", GRACE)
        running = task.run(self.command(line, place, **environment), resume=False)
        return place, asyncio.get_running_loop().create_task(running)

    async def said(self, line: str, **environment: str) -> str:
        """What a command line that ends with 0 has printed."""
        place, running = self.begin(line, **environment)
        assert await running == TaskEnd(0), (place / "err").read_text()
        return (place / "out").read_text().strip()

    async def runner(self) -> int:
        return int(await self.said("echo $PPID"))


async def appears(path: Path) -> None:
    while not path.exists() or not path.read_text():
        await asyncio.sleep(0.01)


def test_one_runner_has_one_task_after_the_other(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        assert await tasks.runner() == await tasks.runner()
        assert (tmp_path / "task2" / "task" / "exit.json").exists()

    with_host(work)


def test_a_task_finds_nothing_of_the_one_before_it(tmp_path: Path) -> None:
    line = "ls /proc/self/fd | wc -l; pwd; umask; echo ${OWN-none}; ulimit -n; grep -E 'Sig(Blk|Ign)' /proc/self/status"

    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        first = await tasks.said(line)
        _, failed = tasks.begin("umask 077; cd /; ulimit -n 64; trap '' TERM HUP; sleep 1000 & exit 9", OWN="x")
        assert await failed == TaskEnd(9)
        pid = await tasks.runner()
        again = await tasks.said(line)
        assert again.replace("task4", "task1") == first
        assert "none" in again and await tasks.runner() == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"  # it keeps no folder of a task that has ended

    with_host(work)


def test_a_runner_keeps_no_file_of_a_task(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        opened = set()
        for number in range(3):
            place = tmp_path / f"ranks{number}"
            command = tasks.command("echo $PPID; echo line > pipe", place)
            os.mkfifo(place / "pipe")
            command = replace(command, pipes={str(place / "pipe"): "stderr"}, errors=str(place / "pipe"))
            assert await Task(host, place / "task", GRACE).run(command, resume=False) == TaskEnd(0)
            assert (place / "err").read_text() == "line\n"
            pid = (place / "out").read_text().strip()
            wrong = tasks.command("true", tmp_path / f"wrong{number}")
            with pytest.raises(TaskError):
                await Task(host, place / "wrong", GRACE).run(replace(wrong, argv=("/no/such",)), resume=False)
            opened.add((pid, len(os.listdir(f"/proc/{pid}/fd"))))
        assert len(opened) == 1

    with_host(work)


def test_a_larger_request_than_a_socket_takes_at_once(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        pid = await tasks.runner()
        many = {f"V{number}": "x" * 100_000 for number in range(5)}
        assert await tasks.said("echo $PPID ${#V4}", **many) == f"{pid} 100000"

    with_host(work)


def test_tasks_at_once_have_runners_of_their_own_and_no_more_wait_than_are_useful(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runners, "_MOST_IDLE", 3)

    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        places = [tasks.begin(f"echo $PPID; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done") for _ in range(5)]
        await asyncio.gather(*(appears(place / "out") for place, _ in places))
        (tmp_path / "go").touch()
        assert await asyncio.gather(*(running for _, running in places)) == [TaskEnd(0)] * 5
        pids = {int((place / "out").read_text()) for place, _ in places}
        assert len(pids) == 5
        await gone(lambda: sum(map(alive, pids)) == 3)
        assert await tasks.runner() in pids

    with_host(work)


async def gone(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_a_runner_without_a_task_goes_after_a_while(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runners, "_IDLE_SECONDS", 0.4)

    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        pid = await tasks.runner()
        await asyncio.sleep(0.25)
        assert await tasks.runner() == pid
        await asyncio.sleep(0.25)  # so long after the first task, not after the second
        assert alive(pid)
        await gone(lambda: not alive(pid))
        assert await tasks.runner() != pid

    with_host(work)


def test_runners_without_a_task_go_with_the_service(tmp_path: Path) -> None:
    pid = with_host(lambda host: Tasks(host, tmp_path).runner())
    wait_until(lambda: not alive(pid), "it is gone", 5)


def test_a_runner_without_a_task_goes_with_a_service_that_dies(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> int:
        pid = await Tasks(host, tmp_path).runner()
        host.runners.of(pid)._transport.abort()  # as the kernel does it for a process that is killed
        return pid

    pid = with_host(work)
    wait_until(lambda: not alive(pid), "it is gone", 5)


def test_a_task_goes_on_without_its_service_and_its_runner_ends_with_it(tmp_path: Path) -> None:
    line = f"echo $PPID; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; exit 6"

    async def leave(host: LocalHost) -> int:
        tasks = Tasks(host, tmp_path)
        await tasks.runner()  # it is none that was forked for this task
        place, running = tasks.begin(line)
        await appears(place / "out")
        running.cancel()
        return int((place / "out").read_text())

    pid = with_host(leave)
    time.sleep(0.1)
    assert alive(pid)

    async def adopt(host: LocalHost) -> TaskEnd | None:
        adopted = asyncio.ensure_future(Task(host, tmp_path / "task2" / "task", GRACE).adopt())
        await asyncio.sleep(0.05)
        (tmp_path / "go").touch()
        return await adopted

    assert with_host(adopt) == TaskEnd(6)
    wait_until(lambda: not alive(pid), "its runner is gone", 5)


def test_a_task_is_found_again_by_the_service_that_started_it(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        place, running = tasks.begin(f"echo begun; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; exit 6")
        await appears(place / "out")
        running.cancel()
        found = Task(host, place / "task", GRACE)
        waiting = [asyncio.ensure_future(found.adopt()) for _ in range(2)]
        await asyncio.sleep(0.05)
        waiting.pop().cancel()  # who no longer waits leaves the others their answer
        await asyncio.sleep(0.05)
        (tmp_path / "go").touch()
        assert await waiting[0] == TaskEnd(6)
        assert await Task(host, place / "task", GRACE).adopt() == TaskEnd(6)

    with_host(work)


def test_who_ends_a_task_that_has_ended_does_not_end_the_next(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        place, running = tasks.begin("echo $PPID; sleep 0.2")
        await appears(place / "out")
        pid = int((place / "out").read_text())
        given = host.runners.of(pid)._given
        assert await running == TaskEnd(0)
        given.stop()
        place, running = tasks.begin("echo $PPID; sleep 0.2; exit 3")
        await appears(place / "out")
        given.stop()
        assert await running == TaskEnd(3)
        assert int((place / "out").read_text()) == pid

    with_host(work)


def test_a_task_may_be_ended_before_its_runner_has_heard_of_it(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        pids = set()
        for _ in range(3):  # a new runner, then one that waits
            place = tmp_path / f"ended{tasks.count}"
            task = Task(host, place / "task", GRACE)
            running = asyncio.ensure_future(task.run(tasks.command("sleep 1000", place), resume=False))
            while not task._handle:
                await asyncio.sleep(0)
            await task.stop()
            assert (await running).exit_code in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
            pids.add(await tasks.runner())
        assert len(pids) == 1  # it was the task that was to end

    with_host(work)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_task_is_started_although_the_runner_that_waited_is_being_killed(tmp_path: Path, number: int) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        pid = await tasks.runner()
        os.kill(pid, number)  # the service has not heard of it yet
        assert await tasks.runner() != pid
        pid = await tasks.runner()
        os.kill(pid, number)
        await gone(lambda: not host.runners.of(pid))
        assert await tasks.runner() != pid

    with_host(work)


def test_a_task_is_started_although_its_new_runner_is_killed_at_once(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        new = host.runners._new
        killed = []

        async def kill_the_first(key: tuple[str, ...]) -> runners.Runner:
            runner = await new(key)
            if not killed:
                killed.append(runner.pid)
                os.kill(runner.pid, signal.SIGKILL)
                await runner.gone
            return runner

        host.runners._new = kill_the_first
        assert await Tasks(host, tmp_path).runner() not in killed
        assert not host.runners.of(killed[0])

    with_host(work)


def test_runners_outlive_the_launcher_which_is_replaced(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, tmp_path)
        pid = await tasks.runner()
        launcher = host.runners.launcher
        first = launcher.process
        first.kill()
        await first.wait()
        await asyncio.sleep(0.05)
        assert await tasks.runner() == pid
        _, long = tasks.begin("sleep 0.3")
        assert await tasks.runner() != pid
        assert await long == TaskEnd(0)
        assert launcher.process is not first

    with_host(work)


def test_a_runner_stays_in_one_namespace(view: View) -> None:
    async def work(host: LocalHost) -> None:
        tasks, plain = Tasks(host, view.root / "entered"), Tasks(host, view.root / "plain")
        tasks.view = view
        line = "echo $PPID $(readlink /proc/self/ns/mnt) $(pwd | cut -d/ -f2)"
        first, outside = await tasks.said(line), await plain.said(line)
        assert first.endswith(" mnt") and not outside.endswith(" mnt")
        assert (await tasks.said(line), await plain.said(line)) == (first, outside)
        assert {*first.split()[:2]}.isdisjoint(outside.split())

    with_host(work)


def test_a_namespace_in_which_something_was_mounted_gets_another_runner(view: View) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts nothing")

    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, view.root)
        tasks.view = view
        pid = await tasks.runner()
        # Over the folder of the next task's output, which must be found where the service looks for it.
        await tasks.said('mkdir ../task3 && mount -t tmpfs none ../task3')
        place, running = tasks.begin("echo $PPID")
        assert await running == TaskEnd(0)
        assert int((place / "out").read_text()) != pid

    with_host(work)


def test_what_is_mounted_on_the_machine_is_seen_by_the_next_task(view: View) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts nothing")

    async def work(host: LocalHost) -> None:
        tasks = Tasks(host, view.root / "node")
        tasks.view = replace(view, root=view.root / "node")
        tasks.view.root.mkdir()
        (share := view.root / "share").mkdir()
        pid = await tasks.runner()
        subprocess.run(["mount", "-t", "tmpfs", "none", share], check=True)
        try:
            (share / "file").write_text("seen")
            assert await tasks.said(f"cat {share}/file") == "seen"
            assert not alive(pid)
        finally:
            subprocess.run(["umount", "-l", share], check=True)

    with_host(work)

"""Tasks whose service, launcher or runner is killed at the worst moment, or that run short of something."""

import asyncio
import errno
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from azext_batchai.service.engine.base import MachineRestarted, TaskError
from azext_batchai.service.engine.local.host import LocalHost
from azext_batchai.service.engine.task import Command, Task, TaskEnd
from harness.local_host import with_host
from harness.processes import of_home

GRACE = 0.3


def command(folder: Path, line: str) -> Command:
    environment = {"PATH": os.environ["PATH"], "MARK": str(folder)}
    return Command(("/bin/sh", "-c", line), folder, environment, folder / "out", folder / "err")


def task(host: LocalHost, folder: Path) -> Task:
    return Task(host, folder / "task", GRACE)


async def begun(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


def test_a_start_taken_back_by_a_service_that_died_over_it_is_no_lost_node(tmp_path: Path) -> None:
    """It was killed between the claim and the removal of the file that the claim was made of: twice (P4)."""
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "cookie").write_text("bai-0123456789")
    (folder / "takeback.bai-0123456789").write_text('{"takenBack": true}')
    os.link(folder / "takeback.bai-0123456789", folder / "claim.bai-0123456789")
    before = (folder / "claim.bai-0123456789").stat().st_mtime_ns
    assert with_host(lambda host: task(host, tmp_path).adopt()) is None
    assert (folder / "claim.bai-0123456789").stat().st_mtime_ns == before  # a claim is made once
    end = with_host(lambda host: task(host, tmp_path).run(command(tmp_path, "exit 4"), resume=True))
    assert end == TaskEnd(4)


def test_a_launcher_that_dies_over_every_other_request(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> list[TaskEnd]:
        start, count = host.start, 0

        async def deadly(request: object) -> object:
            nonlocal count
            count += 1
            waiting = asyncio.ensure_future(start(request))
            if count % 2:
                launcher = host.runners.launcher
                while not launcher.process or launcher.process.returncode is not None:
                    await asyncio.sleep(0)
                launcher.process.kill()
            return await waiting

        host.start = deadly  # type: ignore[method-assign]
        folders = [tmp_path / str(number) for number in range(8)]
        for folder in folders:
            folder.mkdir()
        runs = (task(host, folder).run(command(folder, "echo once >> starts"), resume=False) for folder in folders)
        return await asyncio.gather(*runs)

    assert with_host(work) == [TaskEnd(0)] * 8
    assert [(tmp_path / str(number) / "starts").read_text() for number in range(8)] == ["once\n"] * 8


def test_who_no_longer_waits_for_a_fork_leaves_the_others_their_answers(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        for number in range(20):
            folder = tmp_path / f"cancelled{number}"
            folder.mkdir()
            gone = asyncio.ensure_future(Task(host, folder / "task", GRACE).run(command(folder, "true"), resume=False))
            while not host.runners.launcher._replies and not gone.done():
                await asyncio.sleep(0)
            gone.cancel()
        return await task(host, tmp_path).run(command(tmp_path, "exit 5"), resume=False)

    assert with_host(work) == TaskEnd(5)


def test_a_task_is_started_once_although_descriptors_are_short(tmp_path: Path, monkeypatch) -> None:
    received = socket.recv_fds
    calls = []

    def short(*arguments: object) -> object:
        body, descriptors, flags, address = received(*arguments)
        calls.append(body)
        if len(calls) == 1:  # as the kernel does where there is no number left for it
            os.close(descriptors.pop())
        return body, descriptors, flags, address

    monkeypatch.setattr(socket, "recv_fds", short)
    line = "echo once >> starts; exit 6"
    end = with_host(lambda host: task(host, tmp_path).run(command(tmp_path, line), resume=False))
    assert (end, len(calls)) == (TaskEnd(6), 2)
    assert (tmp_path / "starts").read_text() == "once\n"


def test_a_start_is_not_taken_back_by_who_cannot_write(tmp_path: Path, monkeypatch) -> None:
    """Found again only when there are descriptors: not failed, not started twice."""
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "cookie").write_text("bai-0123456789")
    link, calls = os.link, []

    def short(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        link(source, target)

    monkeypatch.setattr(os, "link", short)
    end = with_host(lambda host: task(host, tmp_path).run(command(tmp_path, "exit 4"), resume=True))
    assert end == TaskEnd(4)


def test_a_task_whose_folder_vanishes_is_lost_with_its_processes(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        line = "setsid sleep 1000 & echo $PPID > runner; mv runner begun; sleep 1000"
        running = asyncio.ensure_future(task(host, tmp_path).run(command(tmp_path, line), resume=False))
        await begun(tmp_path / "begun")
        shutil.rmtree(tmp_path / "task")
        os.kill(int((tmp_path / "begun").read_text()), 9)
        return await running

    with pytest.raises(TaskError) as caught:
        with_host(work)
    assert caught.value.code == "NodeLost"
    assert not of_home(tmp_path)


def test_what_forks_while_it_is_killed_does_not_escape(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        hops = "hop() { [ -e stop ] || ( hop & ) ; }; "  # each process starts the next one and ends
        line = f"{hops} ( hop & ); ( hop & ); echo $PPID > runner; mv runner begun; sleep 1000"
        running = asyncio.ensure_future(task(host, tmp_path).run(command(tmp_path, line), resume=False))
        await begun(tmp_path / "begun")
        os.kill(int((tmp_path / "begun").read_text()), 9)
        return await running

    try:
        with pytest.raises(TaskError):
            with_host(work)
        assert not of_home(tmp_path)
    finally:
        (tmp_path / "stop").touch()


def test_a_task_that_was_lost_with_its_machine_says_so(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "cookie").write_text("bai-0123456789")
    claim = {"pid": os.getpid(), "startTime": "1", "bootId": "another boot"}
    (tmp_path / "task" / "claim.bai-0123456789").write_text(json.dumps(claim))
    with pytest.raises(MachineRestarted) as caught:
        with_host(lambda host: task(host, tmp_path).run(command(tmp_path, "true"), resume=True))
    assert caught.value.code == "NodeLost"


def test_an_end_that_the_machine_did_not_keep_whole_is_none(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "cookie").write_text("bai-0123456789")
    claim = {"pid": os.getpid(), "startTime": "1", "bootId": "another boot"}
    (tmp_path / "task" / "claim.bai-0123456789").write_text(json.dumps(claim))
    (tmp_path / "task" / "exit.json").write_bytes(bytes(20))
    with pytest.raises(MachineRestarted):
        with_host(lambda host: task(host, tmp_path).run(command(tmp_path, "true"), resume=True))

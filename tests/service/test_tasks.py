"""Tasks under real runners: start, output, status, ending the whole tree, adoption after the starter is gone."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from azext_batchai.service import clock
from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.engine.local.host import LocalHost
from azext_batchai.service.engine.local.view import DOCUMENTED_ROOT, View, find_bubblewrap
from azext_batchai.service.engine.task import Command, Task, TaskEnd, make_spare
from harness.local_host import with_host
from harness.processes import alive, of_home, wait_until

GRACE = 0.3


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path):
    yield
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not of_home(tmp_path), "no process left", 5)
    assert not of_home(tmp_path)


def command(folder: Path, line: str, **environment: str) -> Command:
    # A tmp_path in the environment marks the processes for `of_home`.
    environment = {"PATH": os.environ["PATH"], "MARK": str(folder), **environment}
    return Command(("/bin/sh", "-c", line), folder, environment, folder / "out", folder / "err")


def run(folder: Path, line: str, **environment: str) -> TaskEnd:
    return with_host(
        lambda host: Task(host, folder / "task", GRACE).run(command(folder, line, **environment), resume=False)
    )


def test_output_environment_and_status(tmp_path: Path) -> None:
    end = run(tmp_path, 'echo "$WORD"; echo no >&2; pwd; exit 7', WORD="a b")
    assert end == TaskEnd(7)
    assert (tmp_path / "out").read_text() == f"a b\n{tmp_path}\n"
    assert (tmp_path / "err").read_text() == "no\n"


def test_a_signal_is_told_from_an_exit_code(tmp_path: Path) -> None:
    assert run(tmp_path, "kill -9 $$") == TaskEnd(137, signal.SIGKILL)
    other = tmp_path / "other"
    other.mkdir()
    assert run(other, "exit 137") == TaskEnd(137, None)


def test_the_command_has_default_signals_and_no_open_files(tmp_path: Path) -> None:
    run(tmp_path, "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status; yes | head -n 1")
    lines = (tmp_path / "out").read_text().split()
    assert lines[0] == "4"  # stdin, stdout, stderr and the listing itself
    assert lines[1:3] == ["SigBlk:", "0" * 16]
    # Signals 32 and 33 are the C library's own: nobody can change them, and the tests' starter may have ignored them.
    assert (lines[3], int(lines[4], 16) & ~(0b11 << 31)) == ("SigIgn:", 0)
    assert (tmp_path / "err").read_text() == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"argv": ("/no/such/shell",)}, "/no/such/shell: No such file or directory"),
        ({"cwd": Path("/no/such/folder")}, "/no/such/folder: No such file or directory"),
        ({"stdout": Path("/no/such/out")}, "/no/such/out: No such file or directory"),
    ],
)
def test_what_cannot_be_started_says_why(tmp_path: Path, change: dict, says: str) -> None:
    broken = replace(command(tmp_path, "true"), **change)
    with pytest.raises(TaskError) as caught:
        with_host(lambda host: Task(host, tmp_path / "task", GRACE).run(broken, resume=False))
    assert caught.value.details == {"Info": says}


def test_what_the_command_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    line = "setsid sh -c 'trap \"\" TERM; sleep 1000' & nohup sleep 1000 & sleep 0.1; exit 3"
    started = time.monotonic()
    assert run(tmp_path, line) == TaskEnd(3)
    assert time.monotonic() - started < 5
    assert not of_home(tmp_path)


def test_stop_ends_the_tree_even_of_a_command_that_ignores_it(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        task = Task(host, tmp_path / "task", GRACE)
        line = "trap '' TERM; (setsid sleep 1000 &); echo ready; while :; do sleep 0.05; done"
        running = asyncio.ensure_future(task.run(command(tmp_path, line), resume=False))
        while not (tmp_path / "out").exists() or not (tmp_path / "out").read_text():
            await asyncio.sleep(0.01)
        await asyncio.gather(task.stop(), task.stop())
        return await running

    assert with_host(work) == TaskEnd(137, signal.SIGKILL)


def test_a_command_may_end_itself_in_order_when_stopped(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        task = Task(host, tmp_path / "task", 5)
        line = "trap 'echo saved; exit 9' TERM; echo ready; while :; do sleep 0.02; done"
        running = asyncio.ensure_future(task.run(command(tmp_path, line), resume=False))
        while not (tmp_path / "out").exists() or not (tmp_path / "out").read_text():
            await asyncio.sleep(0.01)
        await task.stop()
        return await running

    assert with_host(work) == TaskEnd(9)
    assert (tmp_path / "out").read_text() == "ready\nsaved\n"


def test_stop_before_the_start_starts_nothing(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        task = Task(host, tmp_path / "task", GRACE)
        await task.stop()
        return await task.run(command(tmp_path, "touch started"), resume=False)

    assert with_host(work).exit_code == 143
    assert not (tmp_path / "started").exists()


def test_a_task_outlives_its_starter_and_is_found_again(tmp_path: Path) -> None:
    async def start_and_leave(host: LocalHost) -> None:
        task = Task(host, tmp_path / "task", GRACE)
        line = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; echo end; exit 6"
        running = asyncio.ensure_future(task.run(command(tmp_path, line), resume=False))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        running.cancel()

    with_host(start_and_leave)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)

    async def adopt(host: LocalHost) -> TaskEnd:
        adopted = asyncio.ensure_future(
            Task(host, tmp_path / "task", GRACE).run(command(tmp_path, "echo again"), resume=True)
        )
        await asyncio.sleep(0.05)
        (tmp_path / "go").touch()
        return await adopted

    assert with_host(adopt) == TaskEnd(6)
    assert (tmp_path / "out").read_text() == "end\n"  # once, by the first start


def test_a_task_that_ended_meanwhile_gives_its_result(tmp_path: Path) -> None:
    run(tmp_path, "echo once; exit 5")
    found = with_host(
        lambda host: Task(host, tmp_path / "task", GRACE).run(command(tmp_path, "echo twice"), resume=True)
    )
    assert found == TaskEnd(5)
    assert (tmp_path / "out").read_text() == "once\n"


def test_a_task_that_never_started_is_started(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "cookie").write_text("bai-0123456789")
    found = with_host(
        lambda host: Task(host, tmp_path / "task", GRACE).run(command(tmp_path, "exit 4"), resume=True)
    )
    assert found == TaskEnd(4)
    assert (tmp_path / "task" / "claim.bai-0123456789").exists()  # a late runner of the first start finds it taken


@pytest.mark.parametrize("wrong", ["startTime", "bootId", "cookie"])
def test_a_stranger_with_the_same_pid_is_neither_adopted_nor_killed(tmp_path: Path, wrong: str) -> None:
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "30"], os.environ)
    try:
        fields = Path(f"/proc/{stranger}/stat").read_text().rpartition(")")[2].split()
        claim = {
            "pid": stranger,
            "startTime": fields[19],
            "bootId": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        }
        cookie = "bai-0123456789" if wrong == "cookie" else "sleep"  # the name of the process stands for the cookie
        if wrong != "cookie":
            claim[wrong] = "1"
        folder = tmp_path / "task"
        folder.mkdir()
        (folder / "cookie").write_text(cookie)
        (folder / f"claim.{cookie}").write_text(json.dumps(claim))
        with pytest.raises(TaskError) as caught:
            with_host(lambda host: Task(host, folder, GRACE).run(command(tmp_path, "true"), resume=True))
        assert caught.value.code == "NodeLost"
        assert alive(stranger)
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


def test_a_lost_runner_is_reported_and_its_orphans_are_killed(tmp_path: Path) -> None:
    async def work(host: LocalHost) -> TaskEnd:
        task = Task(host, tmp_path / "task", GRACE)
        running = asyncio.ensure_future(
            task.run(command(tmp_path, "echo $PPID > runner; setsid sleep 1000"), resume=False)
        )
        while not (tmp_path / "runner").exists() or not (tmp_path / "runner").read_text():
            await asyncio.sleep(0.01)
        os.kill(int((tmp_path / "runner").read_text()), signal.SIGKILL)
        return await running

    with pytest.raises(TaskError) as caught:
        with_host(work)
    assert caught.value.code == "NodeLost"


def test_a_host_without_descriptors_takes_no_runner_for_lost(tmp_path: Path) -> None:
    """It says that it cannot look, and keeps nothing open; when it can, it finds the runner."""
    claim = {"pid": os.getpid(), "startTime": _start_time(), "bootId": clock.boot_id()}
    name = Path("/proc/self/comm").read_text().strip()

    async def find(host: LocalHost) -> bool:
        handle = await host.find(claim, name)
        if handle:
            os.close(handle.opened)
        return handle is not None

    async def work(host: LocalHost) -> None:
        assert await find(host)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        try:
            for left in (0, 1):  # not even one to open the process, or one for that and none to look at it
                resource.setrlimit(resource.RLIMIT_NOFILE, (free + left, limits[1]))
                for _ in range(3):
                    with pytest.raises(OSError, match="Too many open files"):
                        await host.find(claim, name)
                assert not host.has_restarted(claim)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert await find(host)
        assert not await host.find({**claim, "startTime": "1"}, name)
        assert os.dup(0) == free  # nothing was kept open
        os.close(free)

    with_host(work)


def _start_time() -> str:
    return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]


def in_view(view: View, line: str) -> Command:
    entered = replace(command(view.root, line), enter=view.namespace(), inside=view.inside(str(view.root)))
    return replace(entered, environment={**entered.environment, "HERE": DOCUMENTED_ROOT})


def test_tasks_of_a_node_share_its_mount_namespace(view: View) -> None:
    async def work(host: LocalHost) -> None:
        for number in range(2):
            line = 'readlink /proc/self/ns/mnt; [ "$PWD" = "$HERE" ] && touch "$HERE/seen" && kill -9 $$'
            end = await Task(host, view.root / f"task{number}", GRACE).run(in_view(view, line), resume=False)
            assert (end.exit_code, end.signal) == (137, signal.SIGKILL)

    with_host(work)
    first, second = (view.root / "out").read_text().split()
    assert first == second != os.readlink("/proc/self/ns/mnt")
    assert (view.root / "seen").exists() and (view.root / "task1" / "exit.json").exists()


def test_a_namespace_that_cannot_be_shared_is_made_for_the_task(view: View, tmp_path: Path) -> None:
    """A bubblewrap that only runs what it is to run at last, as one does whose namespaces nobody may enter."""
    program = tmp_path / "bwrap"
    refusal = 'case "$*" in *"echo \\$\\$"*) exit 1;; esac'
    program.write_text(f'#!/bin/sh\n{refusal}\nexec {view.bubblewrap} "$@"\n')
    program.chmod(0o700)
    alone = replace(view, bubblewrap=str(program))
    line = 'readlink /proc/self/ns/mnt; [ "$PWD" = "$HERE" ]'
    end = with_host(lambda host: Task(host, tmp_path / "task", GRACE).run(in_view(alone, line), resume=False))
    assert end == TaskEnd(0)
    assert (tmp_path / "out").read_text().strip() != os.readlink("/proc/self/ns/mnt")


def test_tasks_one_after_the_other_in_the_same_folder(tmp_path: Path) -> None:
    """A task finds nothing of the one before it, whose files it writes again."""
    folder = tmp_path / "task"
    assert run(tmp_path, "exit 7") == TaskEnd(7)
    inodes = {path.stat().st_ino for path in folder.iterdir()}
    cookies = set()
    for line, end in (("kill -9 $$", TaskEnd(137, signal.SIGKILL)), ("exit 3", TaskEnd(3))):
        cookies.add((folder / "cookie").read_text())
        assert make_spare(str(folder))
        never = with_host(lambda host: Task(host, folder, GRACE).adopt())
        assert never is None  # it is no task that ran
        assert run(tmp_path, line) == end
        assert {path.stat().st_ino for path in folder.iterdir()} == inodes
        assert json.loads(next(folder.glob("claim.*")).read_text())["pid"]
    assert (folder / "cookie").read_text() not in cookies


def test_it_is_told_whether_something_was_mounted_for_others_of_the_namespace(tmp_path: Path) -> None:
    bubblewrap = asyncio.run(find_bubblewrap())
    if not bubblewrap or os.geteuid() != 0:
        pytest.skip("mounts nothing")
    node = tmp_path / "node"
    work = node / "wd"
    work.mkdir(parents=True)
    view = View(node, bubblewrap)

    def told(line: str) -> bool:
        one = replace(command(node, line), cwd=work, enter=view.namespace(), inside=view.inside(str(work)))
        folder = tmp_path / "tasks" / str(time.monotonic())
        return with_host(lambda host: Task(host, folder, GRACE).run(one, resume=False)).mounts

    assert not told("true")
    assert told("mount -t tmpfs none .")
    assert told("mount -t tmpfs none . && umount .")

"""Folders of a local node that are made ahead, and those that are removed later."""

import asyncio
import shutil
from pathlib import Path

import pytest

from azext_batchai.service.engine.base import Login, NodeSpec
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.engine.local.host import LocalHost
from azext_batchai.service.engine.local.mounts import remove_later
from azext_batchai.service.engine.local.node import LocalNode
from azext_batchai.service.engine.local.view import View
from azext_batchai.service.storage.layout import StorageLayout
from harness.processes import wait_until


@pytest.fixture
def node(tmp_path: Path) -> LocalNode:
    spec = NodeSpec("node", 0, "", "", False, Login("", (), None))
    root = tmp_path / "nodes" / "node"
    root.mkdir(parents=True)
    return LocalNode(spec, (), View(root), LocalHost(), FolderFiles(StorageLayout(tmp_path)), 1.0)


def test_a_job_takes_the_spare_folders_once(node: LocalNode) -> None:
    place = node.root / "jobs" / "ws" / "exp" / "job"
    node.take_spare("job", place)
    assert not place.exists()  # none was there: the job makes its own
    node.prepare_spares()
    node.prepare_spares()
    node.take_spare("job", place)
    assert sorted(path.name for path in place.iterdir()) == ["mounts", "shared", "temp", "wd"]
    assert [path.name for path in node.root.glob("spare*")] == ["spare-tasks"]


def test_a_spare_takes_the_place_of_nothing(node: LocalNode) -> None:
    place = node.root / "tasks" / "attempt"
    place.mkdir(parents=True)
    (place / "cookie").touch()
    node.prepare_spares()
    node.take_spare("tasks", place)
    assert (place / "cookie").exists()


def test_half_a_spare_of_a_killed_service_is_finished(node: LocalNode) -> None:
    (node.root / "spare-job.new" / "wd").mkdir(parents=True)
    node.prepare_spares()
    assert (node.root / "spare-job" / "shared").is_dir()
    assert not list(node.root.glob("*.new"))


def test_nothing_is_made_on_a_node_that_is_gone(node: LocalNode) -> None:
    asyncio.run(node.remove())
    node.prepare_spares()
    assert not node.root.exists()


@pytest.mark.parametrize("programs", [("setpriv", "rm"), ("rm",), ()])
def test_what_is_removed_later_goes_with_what_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: tuple[str, ...]
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(shutil.which(program) or "/bin/true")
    monkeypatch.setenv("PATH", str(folder))
    target = tmp_path / "kept"
    target.mkdir()
    (target / "file").touch()
    for number in range(3):
        folder = tmp_path / f"waste{number}" / "inner"
        folder.mkdir(parents=True)
        (folder / "link").symlink_to(target)
        folder.chmod(0o500)
        remove_later(folder.parent)
    wait_until(lambda: not list(tmp_path.glob("waste*")), "all of it is gone")
    assert (target / "file").exists()


def used_task(place: Path, folder: str = "main-0") -> Path:
    """The folder of a task that has ended."""
    task = place / folder
    task.mkdir(parents=True)
    for name in ("cookie", "claim.bai-0123456789", "exit.json"):
        (task / name).write_text("{}")
    return task


@pytest.fixture
def open_node(node: LocalNode) -> LocalNode:
    """A node whose folders are those of the service, which does not look whether root may have mounted something."""
    (node.root / "waste").mkdir()
    node.view = View(node.root, "bwrap")
    return node


def test_folders_that_a_job_left_as_they_were_are_the_next_jobs(open_node: LocalNode) -> None:
    jobs, tasks = open_node.root / "jobs", open_node.root / "tasks"
    open_node.prepare_spares()
    assert open_node.take_spare("job", jobs / "a") and open_node.take_spare("tasks", tasks / "a")
    (tasks / "a" / "main-0").rmdir()
    used_task(tasks / "a")
    inodes = {path.stat().st_ino for path in [*(jobs / "a").iterdir(), *(tasks / "a" / "main-0").iterdir()]}
    assert open_node.put_back("job", jobs / "a") and open_node.put_back("tasks", tasks / "a")
    assert not list(jobs.iterdir()) and not list(tasks.iterdir())
    assert open_node.take_spare("job", jobs / "b") and open_node.take_spare("tasks", tasks / "b")
    assert {path.stat().st_ino for path in [*(jobs / "b").iterdir(), *(tasks / "b" / "main-0").iterdir()]} == inodes
    # Nothing of it is taken for a start or an end of the next task.
    assert sorted(path.name for path in (tasks / "b" / "main-0").iterdir()) == ["claim.old", "cookie.old", "exit.old"]


@pytest.mark.parametrize("change", ["file", "file in wd", "folder", "mode", "link", "missing"])
def test_folders_that_a_job_has_changed_are_not_used_again(open_node: LocalNode, change: str) -> None:
    place = open_node.root / "jobs" / "a"
    open_node.prepare_spares()
    assert open_node.take_spare("job", place)
    if change == "file":
        (place / "file").touch()
    elif change == "file in wd":
        (place / "wd" / "file").touch()
    elif change == "folder":
        (place / "temp" / "folder").mkdir()
    elif change == "mode":
        (place / "temp").chmod(0o711)
    else:
        (place / "wd").rmdir()
        if change == "link":
            (place / "wd").symlink_to("temp")
    assert not open_node.put_back("job", place)
    assert place.is_dir() and not (open_node.root / "spare-job").exists()


@pytest.mark.parametrize("more", ["ranks", "claim.bai-9876543210", "takeback.bai-0123456789", "cookie.old"])
def test_folders_of_tasks_with_more_in_them_are_not_used_again(open_node: LocalNode, more: str) -> None:
    task = used_task(open_node.root / "tasks" / "a")
    (task / more).touch()
    assert not open_node.put_back("tasks", task.parent)
    assert (task / "cookie").exists()


def test_folders_of_several_tasks_and_long_ends_are_not_used_again(open_node: LocalNode) -> None:
    tasks = open_node.root / "tasks"
    used_task(tasks / "a")
    used_task(tasks / "a", "prep-0")
    assert not open_node.put_back("tasks", tasks / "a")
    (used_task(tasks / "b") / "exit.json").write_text('{"error": "' + "x" * 1000 + '"}')
    assert not open_node.put_back("tasks", tasks / "b")


def test_a_spare_that_is_there_is_kept(open_node: LocalNode) -> None:
    place = open_node.root / "jobs" / "a"
    open_node.prepare_spares()
    assert open_node.take_spare("job", place)
    open_node.prepare_spares()
    assert not open_node.put_back("job", place)
    assert place.is_dir()

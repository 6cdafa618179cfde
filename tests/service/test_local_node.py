"""Folders of a local node that are made ahead, and those that are removed later."""

import asyncio
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


def test_what_is_removed_later_goes_with_what_cannot_be_written(tmp_path: Path) -> None:
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

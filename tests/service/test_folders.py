"""Folders as jobs need them: made like `os.makedirs` does it, and found where they really are."""

import os
import subprocess
from pathlib import Path

import pytest

from azext_batchai.service.engine.local.folders import is_as_made, make_folder, real_path


def test_what_is_missing_is_made_and_what_is_there_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    for _ in range(2):
        make_folder(str(path))
        assert path.is_dir()
    (path / "file").touch()
    make_folder(f"{path}/d/")
    assert sorted(os.listdir(path)) == ["d", "file"]
    (tmp_path / "link").symlink_to(path)
    make_folder(str(tmp_path / "link"))
    make_folder(str(tmp_path / "link" / "e"))
    assert (path / "e").is_dir()


@pytest.mark.parametrize("path", ["file", "file/a", "dangling", "dangling/a/b", "", "/proc/no/such/place", "/proc/no"])
def test_what_cannot_be_made_is_said(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(OSError):
        make_folder(path)
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file"]


def test_a_path_deeper_than_python_calls_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder("a/" * 1500)
    assert os.path.isdir("a/" * 1500)
    subprocess.run(["rm", "-r", "a"], check=True)  # Python's own removal does not come so far down
    with pytest.raises(OSError, match="too long"):
        make_folder("b/" * 3000)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert real_path(str(tmp_path / "link")) == real_path(str(tmp_path / "real")) == str(tmp_path.resolve() / "real")
    with pytest.raises(FileNotFoundError):
        real_path(str(tmp_path / "none"))


def test_only_an_empty_folder_that_nobody_has_touched_is_as_it_was_made(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    status = folder.lstat()
    made = (status.st_dev, status.st_mode, status.st_uid)
    assert is_as_made(str(folder), made)
    (folder / "file").touch()
    assert not is_as_made(str(folder), made)
    (folder / "file").unlink()
    folder.chmod(0o700)
    assert not is_as_made(str(folder), made)
    assert not is_as_made(str(tmp_path / "folder"), (0, *made[1:]))

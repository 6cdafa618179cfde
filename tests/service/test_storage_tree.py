"""Lists of large folders: in order, page by page, and at the price of the page."""

import os
import shutil
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azext_batchai.service.storage import tree as tree_module
from azext_batchai.service.storage.tree import Tree


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths whose properties were asked for."""
    found: list[str] = []
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        found.append(os.fspath(path))
        return real(path)

    monkeypatch.setattr(tree_module.os, "lstat", lstat)
    return found


def test_a_page_costs_what_is_on_it(tmp_path: Path, looked_at: list[str]) -> None:
    for number in range(3000):
        (tmp_path / f"{number:05}").touch()
    tree = Tree(tmp_path)
    looked_at.clear()
    tracemalloc.start()
    try:
        walked = [entry.key for entry in islice(tree.walk("", "01000", 11), 11)]
        listed = [entry.key for entry in islice(tree.entries(tree.root, 11, lambda key: key >= "01000"), 11)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert walked == listed == [f"{number:05}" for number in range(1000, 1011)]
    assert len(looked_at) == 22
    assert peak < 100_000


def test_entries_that_are_none_do_not_shorten_a_page(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number:02}"
        path.symlink_to("/etc/hostname") if number % 3 else path.touch()
    tree = Tree(tmp_path)
    assert [entry.key for entry in tree.walk("", "", 2)] == ["00", "03", "06", "09", "12", "15", "18"]


def test_folders_deeper_than_any_path(tmp_path: Path) -> None:
    """A job makes them with one `chdir` after the other."""
    (tmp_path / "z").touch()
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(1500):
            os.mkdir("deep")
            os.chdir("deep")
        Path("f").touch()
        os.fchdir(here)
        assert [entry.key for entry in Tree(tmp_path).walk("", "", 10)][-1] == "z"
        os.chdir(tmp_path)
        for _ in range(1500):
            os.chdir("deep")
        for _ in range(1500):
            shutil.rmtree("deep", ignore_errors=True)
            os.chdir("..")
    finally:
        os.fchdir(here)
        os.close(here)


PATHS = st.lists(st.text("ab-./", min_size=1, max_size=6), max_size=12)


@settings(deadline=None, max_examples=int(os.environ.get("BATCHAI_EXAMPLES", "25")) * 4)
@given(paths=PATHS, prefix=st.text("ab-./", max_size=3), size=st.integers(1, 4))
def test_pages_together_are_the_list(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], prefix: str, size: int
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for path in paths:
        if all(part not in ("", ".", "..") for part in path.split("/")):
            try:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
            except OSError:
                pass  # a file where this path needs a folder
    tree = Tree(root)
    there = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
    found, start = [], ""
    while True:
        page = list(islice(tree.walk(prefix, start, size + 1), size + 1))
        found += [entry.key for entry in page[:size]]
        if len(page) <= size:
            break
        start = page[-1].key
    assert found == [path for path in there if path.startswith(prefix)]

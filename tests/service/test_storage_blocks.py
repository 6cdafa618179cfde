"""Blocks on their way into a blob: whatever comes in whatever order, the blob is what its list says."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azext_batchai.service.storage import uploads
from azext_batchai.service.storage.blocks import UNCOMMITTED, StagedBlocks, Wanted
from azext_batchai.service.storage.committed import assemble, chosen
from azext_batchai.service.storage.faults import StorageFault
from azext_batchai.service.storage.layout import StorageLayout


@pytest.fixture
def staged(tmp_path: Path) -> StagedBlocks:
    return StagedBlocks(StorageLayout(tmp_path), "account", "box", "blob")


def stage(staged: StagedBlocks, name: str, content: bytes, *, fails: bool = False) -> None:
    with staged.slot(len(content)) as slot:
        os.pwrite(slot.descriptor, content, slot.span.offset)
        if not fails:
            staged.keep(name, slot)


def made(staged: StagedBlocks, names: list[str]) -> tuple[bytes, bool]:
    """The blob, and whether it is the very file that the blocks were written to."""
    asyncio.run(staged.arrange(names))
    parts = chosen([Wanted(UNCOMMITTED, name) for name in names], staged.all(), None)
    if staged.are_all([part.span for part in parts], staged.data.parent):
        return staged.data.read_bytes(), True
    target = staged.data.parent.with_suffix(".made")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        assemble(parts, staged.data, None, file.fileno())
    return target.read_bytes(), False


def test_blocks_in_order_are_the_blob(staged: StagedBlocks) -> None:
    for name in ("0a", "0b", "0c"):
        stage(staged, name, name.encode() * 100)
    assert made(staged, ["0a", "0b", "0c"]) == (b"0a" * 100 + b"0b" * 100 + b"0c" * 100, True)


def test_a_few_that_overtook_others_are_put_in_order(staged: StagedBlocks) -> None:
    for number in (0, 1, 3, 2, 4, 5, 6, 8, 7):
        stage(staged, f"{number:02}", bytes([number]) * (1000 if number < 8 else 10))
    names = [f"{number:02}" for number in range(9)]
    assert made(staged, names) == (b"".join(bytes([n]) * 1000 for n in range(8)) + bytes([8]) * 10, True)


def test_blocks_that_changed_places_are_copied_once_each(staged: StagedBlocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two circles: one block of each makes room, the others are moved to where they belong at once."""
    order = (2, 0, 1, 3, 5, 4, 6, 7, 8, 9, 10, 11)
    for number in order:
        stage(staged, f"{number:02}", bytes([number]) * (1000 if number < 11 else 10))
    copied = []
    copy = uploads.copy
    monkeypatch.setattr(uploads, "copy", lambda *given: (copied.append(given[-1]), copy(*given)))
    names = [f"{number:02}" for number in range(12)]
    assert made(staged, names) == (b"".join(bytes([n]) * 1000 for n in range(11)) + bytes([11]) * 10, True)
    assert copied == [1000] * 7


@pytest.mark.parametrize("steps", range(4))
def test_at_each_step_of_that_every_block_is_whole(
    staged: StagedBlocks, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    for number in (2, 0, 1, 3, 4, 5, 6):
        stage(staged, f"{number:02}", bytes([number]) * 1000)
    names = [f"{number:02}" for number in range(7)]
    copy, copied = uploads.copy, []

    def fail_later(*given: int) -> None:
        if len(copied) == steps:
            raise OSError("no room")
        copied.append(given)
        copy(*given)

    monkeypatch.setattr(uploads, "copy", fail_later)
    with pytest.raises(OSError, match="no room"):
        asyncio.run(staged.arrange(names))
    monkeypatch.setattr(uploads, "copy", copy)
    assert made(staged, names)[0] == b"".join(bytes([number]) * 1000 for number in range(7))


def test_an_upload_that_breaks_off_leaves_no_gap(staged: StagedBlocks) -> None:
    stage(staged, "00", b"a")
    stage(staged, "01", b"lost", fails=True)
    stage(staged, "01", b"b")
    assert made(staged, ["00", "01"]) == (b"ab", True)


def test_a_block_that_comes_too_late(staged: StagedBlocks) -> None:
    """Its file has become the blob meanwhile: nothing may be added to that."""
    stage(staged, "00", b"a")
    with staged.slot(0) as slot:
        os.replace(staged.data, staged.data.with_name("blob"))
        with pytest.raises(StorageFault, match="was committed"):
            staged.keep("01", slot)
        stage(staged, "02", b"new")
        with pytest.raises(StorageFault, match="was committed"):
            staged.keep("01", slot)
    assert staged.data.with_name("blob").read_bytes() == b"a"


def test_a_line_that_was_cut_off(staged: StagedBlocks) -> None:
    stage(staged, "00", b"a")
    index = staged.data.with_name("index")
    with index.open("a") as file:
        file.write("\n01 1 1")
    with pytest.raises(StorageFault):
        staged.find(["01"])
    stage(staged, "02", b"b")
    assert made(staged, ["00", "02"])[0] == b"ab"


def test_blocks_that_the_service_was_killed_before_it_forgot(staged: StagedBlocks) -> None:
    """Their file is the blob: nothing is found of them, nor taken for a block that comes after."""
    stage(staged, "00", b"abc")
    stage(staged, "01", b"abc")
    os.replace(staged.data, staged.data.with_name("blob"))
    assert staged.all() == {}
    stage(staged, "02", b"def")
    assert list(staged.all()) == ["02"]
    assert made(staged, ["02"]) == (b"def", True)


def test_what_was_never_committed_goes_after_a_week(staged: StagedBlocks, tmp_path: Path) -> None:
    stage(staged, "00", b"a")
    os.utime(staged.data.parent, (0, 0))
    stage(StagedBlocks(StorageLayout(tmp_path), "account", "box", "other"), "00", b"a")
    assert not staged.data.exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("staged")


NAMES = st.sampled_from([f"{number:02x}" for number in range(6)])
STEPS = st.lists(st.tuples(NAMES, st.binary(max_size=5), st.booleans()), max_size=12)


@settings(deadline=None, max_examples=int(os.environ.get("BATCHAI_EXAMPLES", "25")) * 10)
@given(steps=STEPS, data=st.data())
def test_any_order(folder: Path, steps: list[tuple[str, bytes, bool]], data: st.DataObject) -> None:
    staged = StagedBlocks(StorageLayout(folder), "account", "box", os.urandom(8).hex())
    model = {}
    for name, content, fails in steps:
        stage(staged, name, content, fails=fails)
        if not fails:
            model[name] = content
    names = data.draw(st.one_of(st.permutations(sorted(model)), st.lists(NAMES, max_size=8)))
    if set(names) - set(model):
        with pytest.raises(StorageFault) as refused:
            staged.find(names)
        assert refused.value.code == "InvalidBlockList"
    else:
        assert made(staged, names)[0] == b"".join(model[name] for name in names)
        assert [made(staged, [name])[0] for name in model] == list(model.values())

"""The blocks that blobs were made of: kept for each state of a blob, and put together with others."""

import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azext_batchai.service.storage.blocks import COMMITTED, LATEST, UNCOMMITTED, Span, Wanted
from azext_batchai.service.storage.committed import CommittedBlob, assemble, chosen, committed_blob, packed, unpacked
from azext_batchai.service.storage.faults import StorageFault
from azext_batchai.service.storage.kept import FILE, Kept, Said
from azext_batchai.service.storage.storage_call import StorageCall

PLACE, SAID = "blobs/box/b", Said(metadata={"k": "v"})


@pytest.fixture
def states(tmp_path: Path) -> list[os.stat_result]:
    """Of three files."""
    for name in "abc":
        (tmp_path / name).touch()
    return [(tmp_path / name).stat() for name in "abc"]


def found(kept: Kept, states: list[os.stat_result], place: str = PLACE) -> list[bytes]:
    return [kept.blocks(place, status) for status in states]


def test_the_old_and_the_new_blob_have_their_own(tmp_path: Path, states: list[os.stat_result]) -> None:
    kept, (old, new, _) = Kept(tmp_path), states
    assert found(kept, states) == [b"", b"", b""]
    kept.put(PLACE, old, SAID, b"old")
    kept.settle(PLACE, old)
    kept.put(PLACE, new, Said(), b"new")
    assert found(kept, states) == [b"old", b"new", b""]
    kept.settle(PLACE, old)  # the new one did not come to be
    assert found(kept, states) == [b"old", b"", b""]
    kept.put(PLACE, new, Said(), b"new")
    kept.settle(PLACE, new)
    assert found(kept, states) == [b"", b"new", b""]
    kept.touched(PLACE, old, states[2])  # nothing was known of that
    assert found(kept, states) == [b"", b"new", b""]
    kept.touched(PLACE, new, states[2])
    assert found(kept, states) == [b"", b"", b"new"]
    kept.settle(PLACE, None)
    assert found(kept, states) == [b"", b"", b""]


@pytest.mark.parametrize("way", ["forget", "forget_below"])
def test_they_go_with_the_blob(tmp_path: Path, states: list[os.stat_result], way: str) -> None:
    kept, (status, *_) = Kept(tmp_path), states
    for place in (PLACE, f"{PLACE}2", "blobs/box2/b"):
        kept.put(place, status, Said(), b"blocks")
    getattr(kept, way)(PLACE if way == "forget" else "blobs/box")
    assert kept.blocks(PLACE, status) == b""
    assert kept.blocks(f"{PLACE}2", status) == (b"blocks" if way == "forget" else b"")
    assert kept.blocks("blobs/box2/b", status) == b"blocks"


def test_what_was_kept_before_there_were_any(tmp_path: Path, states: list[os.stat_result]) -> None:
    kept, (status, *_) = Kept(tmp_path), states
    kept.put(PLACE, status, SAID)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("DROP TABLE committed")
    db.close()
    assert kept.blocks(PLACE, status) == b""
    assert kept.get(PLACE, status) == SAID
    kept.put(PLACE, status, SAID, b"blocks")
    assert kept.blocks(PLACE, status) == b"blocks"


def test_a_blob_that_changes_while_it_is_copied_from(tmp_path: Path) -> None:
    path, kept = tmp_path / "b", Kept(tmp_path)
    call = cast(StorageCall, SimpleNamespace(kept=kept, place=PLACE))
    path.write_bytes(b"abc")
    kept.put(PLACE, path.stat(), SAID, packed([("0a", 3)]))
    with committed_blob(call, path) as blob:
        assert blob and blob.blocks == [("0a", Span(0, 3))]
        blob.check()
        before = path.stat()
        os.utime(path, ns=(0, 1))
        kept.touched(PLACE, before, path.stat())  # by new metadata
        blob.check()
        os.utime(path, ns=(0, 2))
        with pytest.raises(StorageFault, match="changed meanwhile"):
            blob.check()
        path.unlink()
        with pytest.raises(StorageFault, match="changed meanwhile"):
            blob.check()
    with committed_blob(call, path) as blob:
        assert blob is None


def test_a_list_that_does_not_make_up_the_blob_is_none() -> None:
    record = packed([("0a", 3), ("0b", 0), ("0a", 4)])
    assert [(name, span.offset, span.end) for name, span in unpacked(record, 7)] == [
        ("0a", 0, 3),
        ("0b", 3, 3),
        ("0a", 3, 7),
    ]
    assert unpacked(record, 8) == unpacked(b"", 8) == unpacked(b"", 0) == []
    assert packed([]) == b""


def test_many_blocks_take_little_room() -> None:
    record = packed((f"block-{number:08}".encode().hex(), 4 << 20) for number in range(50_000))
    assert len(record) < 200_000
    assert len(unpacked(record, 50_000 * (4 << 20))) == 50_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("committed")


NAMES = st.sampled_from(["0a", "0b", "0c", "0d"])
BLOCKS = st.dictionaries(NAMES, st.binary(max_size=4))
WANTED = st.lists(st.builds(Wanted, st.sampled_from([LATEST, UNCOMMITTED, COMMITTED]), NAMES), max_size=8)


@settings(deadline=None, max_examples=int(os.environ.get("BATCHAI_EXAMPLES", "25")) * 10)
@given(old=BLOCKS, staged=BLOCKS, wanted=WANTED)
def test_any_list(folder: Path, old: dict[str, bytes], staged: dict[str, bytes], wanted: list[Wanted]) -> None:
    places = {LATEST: {**old, **staged}, UNCOMMITTED: staged, COMMITTED: old}
    there, waiting, target = (folder / name for name in ("there", "waiting", "target"))
    there.write_bytes(b"".join(old.values()))
    waiting.write_bytes(b"".join(staged.values()))
    spans = unpacked(packed((name, len(data)) for name, data in staged.items()), waiting.stat().st_size)
    with there.open("rb") as file, target.open("wb") as made:
        blob = CommittedBlob(cast(Any, None), there, file, there.stat())
        blob.record = packed((name, len(data)) for name, data in old.items())
        if any(one.name not in places[one.where] for one in wanted):
            with pytest.raises(StorageFault):
                chosen(wanted, dict(spans), blob)
            return
        assemble(chosen(wanted, dict(spans), blob), waiting, blob, made.fileno())
    assert target.read_bytes() == b"".join(places[one.where][one.name] for one in wanted)

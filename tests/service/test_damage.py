"""A damaged state is refused whole and left alone; a damaged record costs itself only."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from azext_batchai.service.store import DamagedRecord, Record, StateError, Store, Trace, trace
from harness.sandbox import CHECKOUT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def record(name: str, text: str = "") -> Record:
    return Record(name, "experiment", "p", {"id": name, "name": name, "properties": {"text": text}})


def filled(path: Path, records: int = 200) -> None:
    store = Store(path)
    with store.transaction():
        for number in range(records):
            store.add(record(f"r{number}", "x" * 1000))
    store.close()


def killed(path: Path) -> None:
    """A service that has written `a` and `b`, the latter after its start, and dies."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from azext_batchai.service.store import Record, Store\n"
        "for name in 'ab':\n"
        "    store = Store(Path(sys.argv[1]))\n"
        "    with store.transaction():\n"
        "        store.add(Record(name, 'experiment', 'p', {'id': name, 'name': name, 'properties': {}}))\n"
        "    if name == 'a': store.close()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=CHECKOUT, check=False)
    assert done.returncode == -signal.SIGKILL


def refusal(path: Path) -> str:
    """Why the state is refused; nothing in its folder changes by it."""
    files = [path, path.with_name("state.db-wal")]
    before = [file.read_bytes() if file.exists() else None for file in files]
    with pytest.raises(StateError, match="Nothing was changed") as caught:
        Store(path)
    assert [file.read_bytes() if file.exists() else None for file in files] == before
    return str(caught.value)


@pytest.mark.parametrize("what", ["empty", "missing"])
@pytest.mark.parametrize("other", ["secrets.key", "nodes/n", "storage/account"])
def test_an_emptied_file_beside_other_state_is_not_taken_for_a_new_one(path: Path, what: str, other: str) -> None:
    path.parent.joinpath(other).parent.mkdir(exist_ok=True)
    path.parent.joinpath(other).write_bytes(b"x")
    if what == "empty":
        path.touch()
    assert f"it is {what}" in refusal(path)


def test_a_start_that_was_killed_before_it_wrote_is_no_damage(path: Path) -> None:
    path.touch()
    path.with_name("nodes").mkdir()
    Store(path).close()


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 100], ids=["missing", "empty", "garbage"])
def test_a_lost_wal_is_told(path: Path, content: bytes | None) -> None:
    killed(path)
    wal = path.with_name("state.db-wal")
    assert wal.stat().st_size
    if content is None:
        wal.unlink()
    else:
        wal.write_bytes(content)
    assert "state.db-wal, which has the latest changes" in refusal(path)


def test_with_its_wal_everything_is_there_and_the_next_start_brings_it_into_the_file(path: Path) -> None:
    killed(path)
    store = Store(path)
    assert [one.key for one in store.all_of("experiment")] == ["a", "b"]
    alone = path.with_name("alone.db")
    shutil.copy(path, alone)
    with sqlite3.connect(f"{alone.as_uri()}?immutable=1", uri=True) as db:
        assert db.execute("SELECT count(*) FROM resources").fetchone() == (2,)
    db.close()
    store.close()
    assert not path.with_name("state.db-wal").exists()
    Store(path).close()


def test_a_damaged_page_is_found(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(8, size // 4096 - 4, 3):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    assert "cannot be used" in refusal(path)


def test_a_cut_file_is_found(path: Path) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size // 2)
    assert "cannot be used" in refusal(path)


@pytest.mark.parametrize("table", ["resources", "operations", "secrets"])
def test_a_missing_table_is_named(path: Path, table: str) -> None:
    filled(path, 1)
    with sqlite3.connect(path) as db:
        db.execute(f"DROP TABLE {table}")
    db.close()
    assert f"the table '{table}' is missing" in refusal(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("body='{\"cut'", "no JSON"),
        ("body=x'ff'", "no JSON"),
        ("body='[1]'", "not a JSON object"),
        ("internal='null'", "not a JSON object"),
        ('body=\'{"name": "r1"}\'', "'id' is missing"),
        ("kind='comet'", "no kind of resource"),
    ],
)
def test_a_damaged_record_costs_itself_only(path: Path, change: str, reason: str) -> None:
    filled(path, 5)
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE resources SET {change} WHERE key='r1'")
    db.close()
    store = Store(path)
    with pytest.raises(DamagedRecord, match=reason):
        store.get("r1")
    if "comet" not in change:
        traced = Trace()
        token = trace.set(traced)
        assert [one.key for one in store.children("p", "experiment", limit=3)] == ["r0", "r2", "r3"]
        trace.reset(token)
        assert [one.key for one in traced.left_out] == ["r1"]
    with store.transaction():
        store.forget_damaged("r1")
    assert store.get("r1") is None and store.damaged == {}
    store.close()


def test_a_full_disk_is_told_as_such_and_nothing_is_kept_of_a_transaction(path: Path) -> None:
    store = Store(path)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="disk is full"), store.transaction():
        for number in range(100):
            store.add(record(f"r{number}", "x" * 1000))
    assert store.all_of("experiment") == []
    store._db.execute("PRAGMA max_page_count=100000")
    with store.transaction():
        store.add(record("later"))
    assert store.get("later")
    store.close()


def test_a_state_that_cannot_be_closed_cleanly_keeps_its_wal(path: Path) -> None:
    store = Store(path)
    with store.transaction():
        store.add(record("a"))
    store._db.execute("PRAGMA query_only=1")  # what a full disk does to a write
    store.close()
    store = Store(path)
    assert store.get("a")
    store.close()

"""Durable state: transactions, versions, damage, secrets."""

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from azext_batchai.service.secrets_vault import Vault, check_password, hash_password
from azext_batchai.service.store import SCHEMA_VERSION, Record, StateError, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def record(key: str, kind: str = "experiment", parent: str = "p") -> Record:
    return Record(key, kind, parent, {"id": key, "name": key, "properties": {"n": 1}}, {"secret": False})


def test_what_is_stored_comes_back(path: Path) -> None:
    store = Store(path)
    with store.transaction():
        store.add(record("a"))
        store.add(record("b", kind="account"))
    store.close()
    store = Store(path)
    found = store.get("a")
    assert found and found.body == {"id": "a", "name": "a", "properties": {"n": 1}}
    assert [one.key for one in store.children("p", "experiment")] == ["a"]
    assert (store.get("c"), store.count("account")) == (None, 1)
    store.close()


def test_a_transaction_is_whole_or_nothing_also_when_nested(path: Path) -> None:
    store = Store(path)
    with pytest.raises(RuntimeError), store.transaction():
        store.add(record("a"))
        with store.transaction():
            store.add(record("b"))
        raise RuntimeError
    assert (store.get("a"), store.get("b")) == (None, None)
    with store.transaction():
        store.add(record("c"))
    assert store.get("c")
    store.close()


def test_a_committed_record_survives_kill_9(path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from azext_batchai.service.store import Record, Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "body = {'id': 'a', 'name': 'a', 'properties': {}}\n"
        "with store.transaction(): store.add(Record('a', 'experiment', '', body))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=False).returncode == -9
    store = Store(path)
    assert store.get("a")
    store.close()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="newer release"):
        Store(path)
    assert path.read_bytes() == before


def test_damage_is_reported_and_left_alone(path: Path) -> None:
    path.write_bytes(b"this is no database, it only looks like a file" * 100)
    before = path.read_bytes()
    with pytest.raises(StateError, match="Nothing was changed"):
        Store(path)
    assert path.read_bytes() == before


def test_sealed_secrets_come_back_and_are_not_in_the_file(path: Path, tmp_path: Path) -> None:
    store = Store(path)
    vault = Vault(store, tmp_path / "key")
    with store.transaction():
        vault.seal("experiment", {"secrets[0].value": "hunter2-in-clear"})
    assert vault.open("experiment") == {"secrets[0].value": "hunter2-in-clear"}
    assert Vault(store, tmp_path / "key").derive("x") == vault.derive("x") != vault.derive("y")
    store.close()
    for file in tmp_path.iterdir():
        assert b"hunter2" not in file.read_bytes(), file
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_passwords_are_kept_as_hashes() -> None:
    hashed = hash_password("secret")
    assert "secret" not in hashed
    assert hash_password("secret") != hashed
    assert check_password("secret", hashed)
    assert not check_password("Secret", hashed)


def test_one_wait_for_the_disk_serves_all_who_ask_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "state.db")
    began, go = threading.Event(), threading.Event()
    waits: list[int] = []
    real = os.fdatasync

    def slow(file: int) -> None:
        waits.append(store._sync.committed)
        began.set()
        assert go.wait(10)
        real(file)

    monkeypatch.setattr(os, "fdatasync", slow)

    def add(key: str, durable: bool = False) -> None:
        with store.transaction(durable):
            store.add(record(key))

    async def main() -> None:
        await store.on_disk()  # nothing waits for the disk
        add("/first")
        first = asyncio.ensure_future(store.on_disk())
        await asyncio.to_thread(began.wait)
        later = []
        for number in range(5):
            add(f"/later{number}")
            later.append(asyncio.ensure_future(store.on_disk()))
        await asyncio.sleep(0)
        assert not first.done()
        go.set()
        await asyncio.gather(first, *later)
        assert waits == [1, 6]
        add("/whole", durable=True)
        await store.on_disk()
        assert waits == [1, 6]

    asyncio.run(main())
    store.close()


def test_a_disk_that_cannot_be_waited_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "state.db")

    def broken(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def main() -> None:
        with store.transaction(durable=False):
            store.add(record("/first"))
        with monkeypatch.context() as patch, pytest.raises(OSError, match="output error"):
            patch.setattr(os, "fdatasync", broken)
            await store.on_disk()
        await store.on_disk()  # it is asked again

    asyncio.run(main())
    assert store._sync.synced == store._sync.committed
    store.close()

"""The key beside the state: written whole, never made anew for a state that an other one sealed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.store import Record, StateError, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state.db")
    yield store
    store.close()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "secrets.key"


def test_a_new_state_gets_a_key(store: Store, key: Path) -> None:
    first = Vault(store, key)
    assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (32, 0o600)
    assert Vault(store, key).derive("x") == first.derive("x")
    assert sorted(entry.name for entry in key.parent.iterdir() if entry.name.startswith("secrets")) == ["secrets.key"]


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 31, b"x" * 33])
def test_a_damaged_key_is_refused_and_left_alone(store: Store, key: Path, content: bytes) -> None:
    key.write_bytes(content)
    with pytest.raises(StateError, match=r"secrets\.key.*Restore it from a backup, or .*`az batchai local reset`"):
        Vault(store, key)
    assert key.read_bytes() == content


@pytest.mark.parametrize("kind", ["account", "cluster", "fileserver", "job"])
def test_a_missing_key_of_a_state_in_use_is_refused(store: Store, key: Path, kind: str) -> None:
    Vault(store, key)
    key.unlink()
    with store.transaction():
        store.add(Record("a", kind, "", {"name": "a", "properties": {"executionState": "queued"}}))
    with pytest.raises(StateError, match=r"secrets\.key is missing.*Restore it from a backup"):
        Vault(store, key)
    assert not key.exists()


def test_a_state_that_needs_no_key_gets_a_new_one(store: Store, key: Path) -> None:
    with store.transaction():
        store.add(Record("/local/subscription", "local", "", {"id": "x"}))
        store.add(Record("w", "workspace", "", {"name": "w"}))
    assert Vault(store, key).derive("x")


def test_a_first_start_that_is_killed_leaves_no_part_of_a_key(key: Path) -> None:
    """At every system call that it makes for the key: what the next start finds is a key, or none."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from azext_batchai.service import secrets_vault\n"
        "left = int(sys.argv[2])\n"
        "def counted(real):\n"
        "    def call(*args, **kwargs):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return real(*args, **kwargs)\n"
        "    return call\n"
        "for name in ('open', 'fdopen', 'fchmod', 'fsync', 'replace', 'close'):\n"
        "    setattr(os, name, counted(getattr(os, name)))\n"
        "secrets_vault._create(Path(sys.argv[1]))\n"
        "print('whole')\n"
    )
    root = Path(__file__).resolve().parents[2]
    for calls in range(20):
        command = [sys.executable, "-c", program, str(key), str(calls)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert not key.exists() or len(key.read_bytes()) == 32
        if done.stdout:
            break
        assert done.returncode == -9, done.stderr
    else:
        pytest.fail("it was never finished")
    assert calls >= 5


def test_the_service_says_so(home: Path) -> None:
    """And the message reaches who starts it."""
    from harness.service import Service

    service = Service(home)
    assert service.start()["status"] == "ready"
    service.kill()
    whole = (home / "secrets.key").read_bytes()
    (home / "secrets.key").write_bytes(b"")
    answer = service.start()
    assert (answer["status"], answer["code"]) == ("failed", "StateUnusable")
    assert str(home / "secrets.key") in answer["message"]
    (home / "secrets.key").write_bytes(whole)
    assert service.start()["status"] == "ready"

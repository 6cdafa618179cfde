"""Rows that the store keeps: nobody sees one that is no longer true."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from azext_batchai.service import store_rows
from azext_batchai.service.store import Record, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state.db")
    yield store
    store.close()


def workspace(name: str = "w", parent: str = "/g", **internal: object) -> Record:
    return Record(f"{parent}/{name}", "workspace", parent, _body(f"{parent}/{name}", name), dict(internal))


def _body(key: str, name: str) -> dict[str, object]:
    return {"id": key, "name": name, "location": "local", "properties": {"n": 1}}


def add(store: Store, record: Record) -> Record:
    with store.transaction():
        store.add(record)
    return record


def test_what_is_changed_is_read_anew(store: Store) -> None:
    record = add(store, workspace())
    assert store.get(record.key).properties == {"n": 1}
    record.properties["n"] = 2
    with store.transaction():
        store.update(record)
    assert (store.get(record.key).properties, store.get(record.key).version) == ({"n": 2}, 2)
    with store.transaction():
        store.remove(record.key)
    assert store.get(record.key) is None


def test_whoever_changes_a_record_that_he_got_changes_no_other_ones(store: Store) -> None:
    record = add(store, workspace())
    store.get(record.key).properties["n"] = 9
    assert store.get(record.key).properties == {"n": 1}


def test_a_transaction_that_comes_to_nothing_leaves_what_was(store: Store) -> None:
    record = add(store, workspace())
    store.get(record.key)
    with pytest.raises(KeyError), store.transaction():
        record.internal["deleting"] = True
        store.update(record)
        assert store.place(record.key) == ("/g", True)
        assert store.get(record.key).internal["deleting"]
        store.add(workspace("other"))
        assert store.get("/g/other")
        raise KeyError
    assert store.place(record.key) == ("/g", False)
    assert not store.get(record.key).internal
    assert store.get("/g/other") is None and store.place("/g/other") is None


def test_a_deletion_is_seen_at_once_and_so_is_its_end(store: Store) -> None:
    record = add(store, workspace())
    assert store.place(record.key) == ("/g", False)
    record.internal["deleting"] = True
    with store.transaction():
        store.update(record, touch=False)
    assert store.place(record.key) == ("/g", True)
    with store.transaction():
        store.remove(record.key)
    assert store.place(record.key) is None


def test_what_was_missing_is_found_when_it_is_there(store: Store) -> None:
    assert store.place("/g/w") is None and store.get("/g/w") is None
    add(store, workspace())
    assert store.place("/g/w") == ("/g", False) and store.get("/g/w")


def test_a_damaged_record_is_refused_again_and_again_until_it_is_forgotten(store: Store) -> None:
    record = add(store, workspace())
    store._db.execute("UPDATE resources SET body='{'")
    for _ in range(2):
        assert store.place(record.key) == ("/g", False)
        with pytest.raises(Exception, match="is damaged"):
            store.get(record.key)
    with store.transaction():
        store.forget_damaged(record.key)
    assert store.get(record.key) is None


def test_no_more_are_kept_than_are_useful(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_rows, "_MOST", 3)
    records = [add(store, workspace(f"w{number}")) for number in range(5)]
    for record in records:
        assert store.get(record.key).name == record.name
        store.place(f"{record.key}/missing")
    assert len(store._rows._rows) == 3
    assert len(store._rows._sound) <= 3
    assert [store.get(record.key).name for record in records] == [f"w{number}" for number in range(5)]


def test_what_is_kept_is_asked_of_the_file_once_and_looked_at_once(store: Store) -> None:
    record = add(store, workspace())
    assert store.place(record.key) == ("/g", False)
    assert store._rows.get(record.key) and not store._rows.is_sound(record.key)
    assert store.get(record.key)
    assert store._rows.is_sound(record.key)
    store._db.execute("UPDATE resources SET body='[]'")  # behind its back, as nobody may
    assert store.get(record.key)
    with pytest.raises(KeyError), store.transaction():
        raise KeyError
    assert not store._rows.is_sound(record.key)
    for _ in range(2):
        store.place(record.key)
        with pytest.raises(Exception, match="it is not a JSON object"):
            store.get(record.key)

"""Who may come in, and until when: signed requests, signatures in links, tokens, sealed secrets, passwords."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from azext_batchai.service import tokens
from azext_batchai.service.secrets_vault import Vault, check_password, hash_password
from azext_batchai.service.storage import shared_access, shared_key
from azext_batchai.service.storage.dates import header_date, signed_date
from azext_batchai.service.storage.faults import StorageFault
from azext_batchai.service.store import Store

NOW = datetime(2018, 6, 1, 12, tzinfo=timezone.utc)
KEY = b"k" * 32


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shared_key, shared_access):
        monkeypatch.setattr(module, "utc_now", lambda: NOW)


def signed(date: datetime | None, key: bytes = KEY, header: str = "x-ms-date", account: str = "acct") -> Headers:
    text = date.strftime("%a, %d %b %Y %H:%M:%S GMT") if date else ""
    lines = ["GET", *[""] * 11]
    if header == "date":
        lines[6] = text
        to_sign = "\n".join([*lines, "/acct/share/x"])
    else:
        to_sign = "\n".join([*lines, f"x-ms-date:{text}", "/acct/share/x"])
    found = {"authorization": f"SharedKey {account}:{shared_key.sign(key, to_sign)}"}
    return Headers({**found, header: text} if date else found)


def check(headers: Headers) -> None:
    shared_key.check("GET", headers, "/share/x", "", ("acct",), [KEY])


@pytest.mark.parametrize("header", ["x-ms-date", "date"])
@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_a_request_of_about_now_is_let_in(minutes: int, header: str) -> None:
    check(signed(NOW + timedelta(minutes=minutes), header=header))


@pytest.mark.parametrize("seconds", [-901, 901, -86400, 86400])
def test_a_request_dated_in_the_past_or_the_future_is_refused(seconds: int) -> None:
    """Else who has seen one could send it again at any time."""
    with pytest.raises(StorageFault, match="more than 15 minutes off"):
        check(signed(NOW + timedelta(seconds=seconds)))


def test_a_request_needs_a_date_the_key_and_the_account() -> None:
    with pytest.raises(StorageFault, match="x-ms-date header is missing"):
        check(signed(None))
    for wrong in (signed(NOW, key=b"other"), signed(NOW, account="other")):
        with pytest.raises(StorageFault, match="failed to authenticate"):
            check(wrong)
    with pytest.raises(StorageFault, match="scheme 'basic' is not supported"):
        check(Headers({"authorization": "basic x", "x-ms-date": "x"}))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2018-06-01", 0),
        ("2018-06-01T12:00Z", 12),
        ("2018-06-01T12:00", 12),
        ("2018-06-01T12:00:00Z", 12),
        ("2018-06-01T12:00:00.123Z", 12),
        ("2018-06-01T12:00:00+02:00", 10),
        ("2018-06-01T12:00:00-02:00", 14),
        ("2018-06-01T12:00+05:30", 6.5),
    ],
)
def test_times_of_a_signature_with_and_without_an_offset(text: str, hours: float) -> None:
    assert signed_date(text) == datetime(2018, 6, 1, tzinfo=timezone.utc) + timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "today", "2018-13-01", "2018-06-01T25:00Z", "2018-06-01T12Z", "x2018-06-01"])
def test_what_is_no_time_of_a_signature(text: str) -> None:
    assert signed_date(text) is None


def test_dates_of_headers() -> None:
    assert header_date("Fri, 01 Jun 2018 12:00:00 GMT") == NOW
    assert header_date("Fri, 01 Jun 2018 14:00:00 +0200") == NOW
    assert header_date("Fri, 01 Jun 2018 12:00:00 -0000") == NOW
    assert header_date("today") is None and header_date("") is None


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "no expiry"),
        ({"se": "2018-06-01T12:00:00Z"}, "expired at"),
        ({"se": "2018-06-01T13:59:59+02:00"}, "expired at"),
        ({"se": "2018-06-01T13:00:00Z", "st": "2018-06-01T12:00:01Z"}, "not valid before"),
        ({"se": "2018-06-01T13:00:00Z", "st": "2018-06-01T11:00:00-02:00"}, "not valid before"),
        ({"se": "never"}, "is not a date"),
    ],
)
def test_a_signature_holds_for_its_time_only(query: dict[str, str], says: str) -> None:
    with pytest.raises(StorageFault, match=says):
        shared_access._check_time(query)


def test_a_signature_holds_to_the_second() -> None:
    shared_access._check_time({"se": "2018-06-01T12:00:01Z", "st": "2018-06-01T12:00:00Z"})
    shared_access._check_time({"se": "2018-06-01T11:00:01-01:00"})


# Tokens

ARM, STORAGE = "https://management.azure.com/", "https://storage.azure.com"


def test_a_token_is_for_what_it_was_made_out_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "epoch", lambda: 1000.9)
    mine = tokens.Tokens(KEY)
    for audience, arm, storage in (
        (ARM, True, False),
        ("http://127.0.0.1:1234", True, False),
        (STORAGE, False, True),
        ("https://acct.blob.core.windows.net", False, True),
        ("https://evilcore.windows.net", False, False),
        ("https://example.com", False, False),
        ("nonsense", False, False),
    ):
        token = mine.issue(audience, "tenant", "client")
        assert (mine.is_for_resource_manager(token), mine.is_for_storage(token)) == (arm, storage), audience


def test_a_token_lives_for_a_day_from_a_minute_before_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "epoch", lambda: 100_000.5)
    mine = tokens.Tokens(KEY)
    token = mine.issue(ARM, "tenant", "client")
    for moment, good in ((99_939.9, False), (99_940, True), (186_398.9, True), (186_399, False)):
        monkeypatch.setattr(tokens, "epoch", lambda moment=moment: moment)
        assert mine.is_for_resource_manager(token) is good, moment


def test_a_token_that_was_changed_or_is_of_another_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, others = tokens.Tokens(KEY), tokens.Tokens(b"other")
    token = mine.issue(STORAGE, "tenant", "client")
    header, claims, signature = token.split(".")
    for wrong in (
        others.issue(ARM, "tenant", "client"),
        f"{header}.{mine.issue(ARM, 't', 'c').split('.')[1]}.{signature}",
        f"{header}.{claims}.",
        f"{header}.{claims}.é",
        "",
        "..",
    ):
        assert not mine.is_for_resource_manager(wrong) and not mine.is_for_storage(wrong), wrong
    found = json.loads(tokens._decoded(claims))
    assert (found["tid"], found["oid"], found["exp"] - found["nbf"]) == ("tenant", "client", 86_399)


# Secrets


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(Store(tmp_path / "state.db"), tmp_path / "secrets.key")


def test_what_is_sealed_comes_back_and_is_not_to_be_read(vault: Vault, tmp_path: Path) -> None:
    with vault._store.transaction():
        vault.seal("a", {"password": "hidden-in-here"})
        vault.seal("b", {})
    assert vault.open("a") == {"password": "hidden-in-here"}
    assert (vault.holds("a"), vault.holds("b"), vault.holds("c"), vault.open("c")) == (True, True, False, None)
    with vault._store.transaction():
        vault._store.forget_secrets("a")
    assert (vault.holds("a"), vault.open("a")) == (False, None)
    vault._store.close()
    for file in tmp_path.iterdir():
        assert b"hidden-in-here" not in file.read_bytes(), file


def test_a_fingerprint_tells_bodies_apart_and_not_their_order(vault: Vault, tmp_path: Path) -> None:
    body = {"a": 1, "b": [{"c": "x", "d": None}]}
    same = {"b": [{"d": None, "c": "x"}], "a": 1}
    assert vault.fingerprint(body) == vault.fingerprint(same)
    for other in ({**body, "a": 2}, {**body, "a": "1"}, {"a": 1}, {**body, "b": []}, None):
        assert vault.fingerprint(other) != vault.fingerprint(body)
    (tmp_path / "other").mkdir()
    store = Store(tmp_path / "other" / "state.db")
    assert Vault(store, tmp_path / "other" / "key").fingerprint(body) != vault.fingerprint(body)
    store.close()
    vault._store.close()


def test_what_is_derived_is_of_one_purpose_and_size(vault: Vault) -> None:
    assert vault.derive("a") == vault.derive("a") != vault.derive("b")
    assert (len(vault.derive("a")), len(vault.derive("a", 64))) == (32, 64)
    vault._store.close()


def test_a_password_is_known_by_its_hash_alone() -> None:
    hashed = hash_password("correct horse")
    assert "correct" not in hashed and hashed != hash_password("correct horse")
    assert check_password("correct horse", hashed)
    for wrong in ("", "correct", "Correct horse", "correct horse "):
        assert not check_password(wrong, hashed)

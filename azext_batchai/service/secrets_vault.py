"""Secrets at rest: sealed in the state file under a key that lies beside it, readable by its owner only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from azext_batchai.service.store import StateError, Store

_KEY_BYTES = 32
# Records that a key stands behind: accounts' keys are derived from it, others' secrets and requests sealed under it.
_DEPENDENT = ("account", "cluster", "fileserver", "job")
_REMEDY = (
    "Nothing was changed. Restore it from a backup, or give the state up with `az batchai local reset`, which ends the "
    "jobs and nodes that still run there and deletes what is in the folder, storage included."
)


class Vault:
    """Seals what must survive a restart (job secrets), derives what need not be stored (account keys, signatures)."""

    def __init__(self, store: Store, key_path: Path) -> None:
        """Raises StateError where the key is damaged, or missing although there is something that needs it."""
        self._store = store
        self._master = _load_or_create(key_path, store)
        self._fingerprints = self.derive("fingerprint")

    def derive(self, purpose: str, size: int = 32) -> bytes:
        """Bytes that only this state folder can make, the same each time for the same purpose."""
        return hashlib.shake_256(self._master + purpose.encode()).digest(size)

    def fingerprint(self, document: Any) -> str:
        """Tells whether two request bodies are the same, without keeping the secrets in them."""
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hmac.new(self._fingerprints, text.encode(), hashlib.sha256).hexdigest()

    def seal(self, key: str, document: Any) -> None:
        """Keep `document` under `key` in the current transaction."""
        self._store.put_secret(key, self._cipher().encrypt(json.dumps(document).encode()))

    def open(self, key: str) -> Any:
        """What was sealed under `key`, or None."""
        sealed = self._store.get_secret(key)
        return json.loads(self._cipher().decrypt(sealed)) if sealed else None

    def holds(self, key: str) -> bool:
        return self._store.get_secret(key) is not None

    def _cipher(self) -> Any:
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(self.derive("seal")))


def hash_password(password: str) -> str:
    """A salted scrypt hash: the password itself is never kept."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_scrypt(password, salt).hex()}"


def check_password(password: str, hashed: str) -> bool:
    salt, _, digest = hashed.partition("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)).hex(), digest)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)


def _load_or_create(path: Path, store: Store) -> bytes:
    """The key of the state folder; a new one where nothing is sealed yet. Raises StateError."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        if any(store.count(kind) for kind in _DEPENDENT):
            raise StateError(
                f"The key file {path} is missing, and there is state that only it opens. {_REMEDY}"
            ) from None
        return _create(path)
    if len(key) != _KEY_BYTES:
        raise StateError(f"The key file {path} has {len(key)} bytes, not {_KEY_BYTES}: it is damaged. {_REMEDY}")
    return key


def _create(path: Path) -> bytes:
    """Whole and on disk, or not there: what is sealed under a key must never outlive it."""
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(key)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key

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

from azext_batchai.service.store import Store


class Vault:
    """Seals what must survive a restart (job secrets), derives what need not be stored (account keys, signatures)."""

    def __init__(self, store: Store, key_path: Path) -> None:
        self._store = store
        self._master = _load_or_create(key_path)

    def derive(self, purpose: str, size: int = 32) -> bytes:
        """Bytes that only this state folder can make, the same each time for the same purpose."""
        return hashlib.shake_256(self._master + purpose.encode()).digest(size)

    def fingerprint(self, document: Any) -> str:
        """Tells whether two request bodies are the same, without keeping the secrets in them."""
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hmac.new(self.derive("fingerprint"), text.encode(), hashlib.sha256).hexdigest()

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


def _load_or_create(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        key = secrets.token_bytes(32)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        return key

"""The two keys of a storage account, which are derived and therefore stored nowhere.

A key that is renewed is derived for another generation; the generations lie in the account's folder and go with it.
"""

from __future__ import annotations

import json
import os

from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.storage.layout import StorageLayout

KEY_NAMES = ("key1", "key2")
_FILE = "key-generations.json"


def account_keys(vault: Vault, layout: StorageLayout, account: str) -> dict[str, bytes]:
    generations = _generations(layout, account)
    return {name: vault.derive(_purpose(account, name, generations.get(name, 0)), 64) for name in KEY_NAMES}


def renew(layout: StorageLayout, account: str, name: str) -> None:
    """Give the account another key `name`: the one that it had is good for nothing from now on. Raises OSError."""
    generations = _generations(layout, account)
    generations[name] = generations.get(name, 0) + 1
    path = layout.account(account) / _FILE
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(generations, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _generations(layout: StorageLayout, account: str) -> dict[str, int]:
    try:
        text = (layout.account(account) / _FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: dict[str, int] = json.loads(text)
    return found


def _purpose(account: str, name: str, generation: int) -> str:
    return f"account {account} {name}" + (f" {generation}" if generation else "")

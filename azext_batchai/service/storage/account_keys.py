"""The two keys of a storage account, which are derived and therefore stored nowhere."""

from __future__ import annotations

from azext_batchai.service.secrets_vault import Vault

KEY_NAMES = ("key1", "key2")


def account_keys(vault: Vault, account: str) -> dict[str, bytes]:
    return {name: vault.derive(f"account {account} {name}", 64) for name in KEY_NAMES}

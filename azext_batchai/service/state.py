"""What nearly everything of one running service stands on: its settings and its durable state."""

from __future__ import annotations

from dataclasses import dataclass

from azext_batchai.service.arm.operations import Operations
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.store import Store


@dataclass
class State:
    """`base_url` is where the service listens: links and operation URLs begin with it."""

    settings: Settings
    store: Store
    vault: Vault
    storage: StorageLayout
    operations: Operations
    base_url: str

"""What nearly everything of one running service stands on: its settings and its durable state."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from azext_batchai.service.arm.operations import Operations
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.store import Record, Store

_SUBSCRIPTION = "/local/subscription"


@dataclass
class State:
    """`base_url` is where the service listens: links and operation URLs begin with it."""

    settings: Settings
    store: Store
    vault: Vault
    storage: StorageLayout
    operations: Operations
    base_url: str

    @property
    def subscription(self) -> str:
        """The subscription of this state folder, made at its first start."""
        record = self.store.get(_SUBSCRIPTION)
        if not record:
            record = Record(_SUBSCRIPTION, "local", "", {"id": str(uuid.uuid4())})
            with self.store.transaction():
                self.store.add(record)
        identifier: str = record.body["id"]
        return identifier

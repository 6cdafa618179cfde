"""The parts of one running service, handed to every handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from azext_batchai.service.arm.operations import Operations
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.store import Store

if TYPE_CHECKING:
    from azext_batchai.service.controller import ClusterController
    from azext_batchai.service.engine.base import Engine


@dataclass
class Service:
    settings: Settings
    store: Store
    vault: Vault
    storage: StorageLayout
    operations: Operations
    engine: Engine
    base_url: str = ""
    controllers: dict[str, ClusterController] = field(default_factory=dict)

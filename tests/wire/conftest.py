import uuid

import pytest

from harness.service import Service
from wire import accounts
from wire.api import Api


@pytest.fixture
def api(service: Service) -> Api:
    """A workspace of the test's own in the module's service."""
    return Api(service, f"ws-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def account(service: Service, monkeypatch: pytest.MonkeyPatch) -> accounts.Account:
    """A storage account of the test's own, which `az storage` uses."""
    made = accounts.create(service, f"acct{uuid.uuid4().hex[:12]}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", made.connection_string)
    return made

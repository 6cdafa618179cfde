import uuid

import pytest

from harness.service import Service
from wire.api import Api


@pytest.fixture
def api(service: Service) -> Api:
    """A workspace of the test's own in the module's service."""
    return Api(service, f"ws-{uuid.uuid4().hex[:8]}")

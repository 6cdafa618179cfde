"""az batchai list-usages"""

from __future__ import annotations

from typing import Any


def list_usages(client: Any, location: str) -> Any:
    return list(client.list(location))

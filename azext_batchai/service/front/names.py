"""The host names of the local cloud. Nothing resolves them: the proxy maps them, whatever the port of the service."""

from __future__ import annotations

import re

RESOURCE_MANAGER = "management.batchai.localhost"
LOGIN = "login.batchai.localhost"
STORAGE_SUFFIX = "core.localhost"
# What a certificate must name; `*` stands for one label.
CERTIFIED = (
    "localhost",
    "*.batchai.localhost",
    *(f"*.{service}.{STORAGE_SUFFIX}" for service in ("blob", "file", "queue", "table", "dfs", "web")),
)
_OURS = re.compile(r"(?:.+\.)?(?:batchai|core)\.localhost", re.IGNORECASE)


def is_ours(host: str) -> bool:
    """Whether requests to `host` are for the service."""
    return bool(_OURS.fullmatch(host.rstrip(".")))

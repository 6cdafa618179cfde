"""The host names of the local cloud. Nothing resolves them: the proxy maps them, whatever the port of the service."""

from __future__ import annotations

import re

RESOURCE_MANAGER = "management.batchai.localhost"
LOGIN = "login.batchai.localhost"
GRAPH = "graph.batchai.localhost"
STORAGE_SUFFIX = "core.localhost"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What a certificate must name; `*` stands for one label.
CERTIFIED = (
    "localhost",
    "*.batchai.localhost",
    *(f"*.{service}.{STORAGE_SUFFIX}" for service in ("blob", "file", "queue", "table", "dfs", "web")),
)
_OURS = re.compile(r"(?:.+\.)?(?:batchai|core)\.localhost", re.IGNORECASE)
_STORAGE = re.compile(r"([^.]+)\.([^.]+)\.core\.localhost\.?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]/?#@\s]+)(:[0-9]{1,5})?")


def is_ours(host: str) -> bool:
    """Whether requests to `host` are for the service."""
    return bool(_OURS.fullmatch(host.rstrip(".")))


def base_url(scheme: str, authority: str) -> str:
    """How the client names the service (the Host header is `authority`); '' where it is none of the service's names."""
    match = _AUTHORITY.fullmatch(authority)
    if not match or not (match[1].strip("[]") in LOOPBACK or is_ours(match[1])):
        return ""
    return f"{scheme}://{authority}"


def is_loopback(authority: str) -> bool:
    """Whether a Host header is a name of this machine itself, which nobody elsewhere can make lead here."""
    match = _AUTHORITY.fullmatch(authority)
    return match is not None and match[1].strip("[]").lower() in LOOPBACK


def storage(authority: str) -> tuple[str, str] | None:
    """Account and service (`blob`, `file`, `queue`...) that a Host header names; None for any other host."""
    match = _STORAGE.fullmatch(authority.partition(":")[0])
    return (match[1].lower(), match[2].lower()) if match else None


def storage_endpoint(client_base_url: str, account: str, service: str) -> str:
    """Where a client that names the service `client_base_url` finds an account: by name where it can reach names."""
    if client_base_url.endswith(f"//{RESOURCE_MANAGER}"):
        return f"https://{account}.{service}.{STORAGE_SUFFIX}/"
    return f"{client_base_url}/{account}.{service}/"

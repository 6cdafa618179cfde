"""The environment of a shell in which every az, and whatever else asks Azure, talks to the embedded service.

What it replaces is kept in the shell under other names, so that the shell can go back, and nothing of it is printed.
"""

from __future__ import annotations

# pylint: disable=redefined-outer-name
from collections.abc import Mapping
from pathlib import Path

MARKER = "AZURE_BATCHAI_LOCAL_CLOUD"
OUTER = "AZURE_BATCHAI_OUTER_"  # before the name of a variable: what it was
_PROXY = ("HTTPS_PROXY", "https_proxy")
_NO_PROXY = ("NO_PROXY", "no_proxy")
_SET = (
    "AZURE_BATCHAI_ENDPOINT",
    "AZURE_BATCHAI_HOME",
    "AZURE_CONFIG_DIR",
    "AZURE_EXTENSION_DIR",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    *_PROXY,
)
# What would lead past the local cloud: another cloud, or an account of real Azure.
_UNSET = (
    "AZURE_CLOUD_NAME",
    "AZURE_CORE_COLLECT_TELEMETRY",
    "AZURE_CORE_INSTANCE_DISCOVERY",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_AUTH_MODE",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SERVICE_ENDPOINT",
)
_MANAGED = (*_SET, *_NO_PROXY, *_UNSET)
# A host of the local cloud: an exception that covers it would lead past the proxy.
_SAMPLES = (".management.batchai.localhost", ".account.blob.core.localhost")

Changes = dict[str, str | None]


def is_inside(environ: Mapping[str, str]) -> bool:
    return MARKER in environ


def outer(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as it was before the shell turned to the local cloud."""
    if not is_inside(environ):
        return dict(environ)
    kept = {name: value for name, value in environ.items() if not _is_ours(name)}
    before = {name[len(OUTER) :]: value for name, value in environ.items() if name.startswith(OUTER)}  # noqa: E203
    return {**kept, **before}


def _is_ours(name: str) -> bool:
    return name == MARKER or name in _MANAGED or name.startswith(OUTER)


def users_proxy(environ: Mapping[str, str]) -> tuple[str, str]:
    """The proxy for TLS of an outer environment and its exceptions; '' for none."""
    return _first(environ, *_PROXY, "ALL_PROXY", "all_proxy"), _first(environ, *_NO_PROXY)


def entering(environ: Mapping[str, str], values: Mapping[str, str | Path], proxy: str) -> Changes:
    """What to set (None: to unset) in a shell with `environ`; `values` are those of most of what is set."""
    before = outer(environ)
    changes: Changes = {name: str(value) for name, value in values.items()}
    changes |= dict.fromkeys(_PROXY, proxy)
    for name in _NO_PROXY:
        if name in before:
            changes[name] = _without_ours(before[name])
    changes |= {name: None for name in _UNSET if name in before}
    return {MARKER: "1", **changes}


def kept(environ: Mapping[str, str], changes: Changes) -> list[str]:
    """The variables whose values a shell keeps under other names before it makes these changes."""
    return [] if is_inside(environ) else [name for name in changes if name in environ and name != MARKER]


def leaving(environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What a shell takes back to what it was, and what it unsets, to leave the local cloud."""
    back = sorted(name[len(OUTER) :] for name in environ if name.startswith(OUTER))  # noqa: E203
    gone = sorted(name for name in environ if (name == MARKER or name in _MANAGED) and name not in back)
    return back, gone if is_inside(environ) else []


def apply(environ: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """The environment of a program that runs in the local cloud."""
    changed = {**environ, **{OUTER + name: environ[name] for name in kept(environ, changes)}}
    for name, value in changes.items():
        if value is None:
            changed.pop(name, None)
        else:
            changed[name] = value
    return changed


def _without_ours(exceptions: str) -> str:
    def covers(entry: str) -> bool:
        name = entry.strip().lower().lstrip("*").lstrip(".")
        return not name or any(sample.endswith(f".{name}") for sample in _SAMPLES)

    return ",".join(entry for entry in exceptions.split(",") if not covers(entry))


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")

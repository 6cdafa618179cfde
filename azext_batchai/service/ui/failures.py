"""Why something failed, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azext_batchai.formats.last_words import last_word


def brief(error: Mapping[str, Any]) -> str:
    """The message of an error of the wire with the one line of its details that tells most."""
    return f"{error.get('message') or error.get('code') or ''}{_last(details_of(error))}"


def line(properties: Mapping[str, Any]) -> str:
    """Why a job failed: its exit code or signal, its rank, the last line that it said."""
    info = properties.get("executionInfo") or {}
    errors = info.get("errors") or []
    if not errors:
        return f"exit code {info['exitCode']}" if "exitCode" in info else "no reason given"
    said = details_of(errors[0])
    if said.get("Signal"):
        how = f"signal {said['Signal']}"
    elif "exitCode" in info:
        how = f"exit code {info['exitCode']}"
    else:
        return brief(errors[0])
    rank = f" of rank {said['Rank']}" if said.get("Rank") else ""
    return f"{how}{rank}{_last(said)}"


def details(properties: Mapping[str, Any]) -> dict[str, str]:
    """What the service says of a job that failed: `Rank`, `NodeId`, `StdErr`, `Signal`, `Info`, as far as known."""
    errors = (properties.get("executionInfo") or {}).get("errors") or []
    return details_of(errors[0]) if errors else {}


def details_of(error: Mapping[str, Any]) -> dict[str, str]:
    """The details of an error of the wire by their names."""
    return {str(one["name"]): str(one.get("value") or "") for one in error.get("details") or []}


def _last(said: Mapping[str, str]) -> str:
    word = last_word(said.get("Info") or said.get("StdErr") or "")
    return f": {word}" if word else ""

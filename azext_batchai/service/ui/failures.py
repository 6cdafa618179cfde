"""Why something failed, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def brief(error: Mapping[str, Any]) -> str:
    """The message of an error of the wire with the one line of its details that tells most."""
    said = _details(error)
    lines = (said.get("Info") or said.get("StdErr") or "").strip().splitlines()
    return f"{error.get('message') or error.get('code') or ''}{': ' + lines[-1].strip() if lines else ''}"


def line(properties: Mapping[str, Any]) -> str:
    """Why a job failed: its exit code or signal, its rank, the last line that it said."""
    info = properties.get("executionInfo") or {}
    errors = info.get("errors") or []
    if not errors:
        return f"exit code {info['exitCode']}" if "exitCode" in info else "no reason given"
    said = _details(errors[0])
    if said.get("Signal"):
        how = f"signal {said['Signal']}"
    elif "exitCode" in info:
        how = f"exit code {info['exitCode']}"
    else:
        return brief(errors[0])
    rank = f" of rank {said['Rank']}" if said.get("Rank") else ""
    lines = (said.get("Info") or said.get("StdErr") or "").strip().splitlines()
    return f"{how}{rank}{': ' + lines[-1].strip() if lines else ''}"


def details(properties: Mapping[str, Any]) -> dict[str, str]:
    """What the service says of a job that failed: `Rank`, `NodeId`, `StdErr`, `Signal`, `Info`, as far as known."""
    errors = (properties.get("executionInfo") or {}).get("errors") or []
    return _details(errors[0]) if errors else {}


def _details(error: Mapping[str, Any]) -> dict[str, str]:
    return {str(one["name"]): str(one.get("value") or "") for one in error.get("details") or []}

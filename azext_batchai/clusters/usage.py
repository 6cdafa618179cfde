"""What the nodes of clusters did with their time, in node-hours."""

from __future__ import annotations

from typing import Any

STATES = ("running", "idle", "preparing", "unusable", "leaving")


def of_clusters(answer: dict[str, Any], wanted: dict[str, str | None]) -> list[dict[str, Any]]:
    """One entry for each cluster of the service's answer; `wanted`: names by collection, None for all of it."""
    found: dict[str, dict[str, Any]] = {}
    for time in answer["times"]:
        names = _names(time["cluster"])
        if any(name and names.get(kind, "").lower() != name.lower() for kind, name in wanted.items()):
            continue
        entry = found.setdefault(time["cluster"].lower(), _entry(names, answer))
        hours = time["nodeSeconds"] / 3600
        entry["nodeHours"][time["state"]] = entry["nodeHours"].get(time["state"], 0.0) + hours
        if time["experiment"]:
            name = _names(time["experiment"])["experiments"]
            entry["experiments"][name] = entry["experiments"].get(name, 0.0) + hours
    for entry in found.values():
        for kind in ("nodeHours", "experiments"):
            entry[kind] = {name: round(hours, 4) for name, hours in entry[kind].items()}
    return list(found.values())


def _entry(names: dict[str, str], answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster": names["clusters"],
        "workspace": names["workspaces"],
        "resourceGroup": names["resourcegroups"],
        "since": max(filter(None, (answer["since"], answer["keptSince"]))),
        "until": answer["until"],
        "nodeHours": dict.fromkeys(STATES, 0.0),
        "experiments": {},
    }


def _names(arm_id: str) -> dict[str, str]:
    segments = arm_id.strip("/").split("/")
    return {kind.lower(): name for kind, name in zip(segments[::2], segments[1::2])}

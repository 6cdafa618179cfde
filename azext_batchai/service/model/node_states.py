"""The states of a node, as its record and the counts of its cluster have them (wire.md 3.1)."""

from __future__ import annotations

ALLOCATING, PREPARING, IDLE, RUNNING, UNUSABLE, LEAVING = (
    "allocating",
    "preparing",
    "idle",
    "running",
    "unusable",
    "leaving",
)
# On the wire a node that is being allocated does not count yet.
_COUNTED = (RUNNING, IDLE, UNUSABLE, PREPARING, LEAVING)


def empty_counts() -> dict[str, int]:
    """`nodeStateCounts` of a cluster without nodes, in the order of the wire."""
    return {f"{state}NodeCount": 0 for state in _COUNTED}

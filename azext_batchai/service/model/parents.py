"""What lies below what: nothing is made below a resource that is being deleted."""

from __future__ import annotations

from azext_batchai.service.arm.errors import conflict
from azext_batchai.service.state import State
from azext_batchai.service.store import Record

# What Resource Manager says of groups; for the others it has no code of its own.
_CODES = {"group": "ResourceGroupBeingDeleted"}


def under_deletion(state: State, key: str) -> Record | None:
    """What is being deleted: the resource at `key`, or the nearest one above it; None where nothing is."""
    while place := state.store.place(key):
        parent, active = place
        record = state.store.get(key) if active else None
        if record and record.internal.get("deleting"):
            return record
        key = parent
    return None


def refuse_under_deletion(state: State, key: str) -> None:
    """Raises ArmError 409 where the resource at `key`, or anything above it, is being deleted."""
    record = under_deletion(state, key)
    if record:
        raise conflict(
            f"The {record.kind} {record.name} is being deleted. Wait until it is gone, then try again.",
            code=_CODES.get(record.kind, "ResourceIsBeingDeleted"),
        )


def reserve(state: State, record: Record) -> None:
    """Add a new resource, in the current transaction and before anything else of it is made.

    Raises ArmError 409 where its parent is being deleted.
    """
    refuse_under_deletion(state, record.parent)
    state.store.add(record)

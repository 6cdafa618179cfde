"""Paths of a job below its mount roots, and the volumes that they lie on (wire.md 5.3)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

CLUSTER_ROOT, JOB_ROOT = "$AZ_BATCHAI_MOUNT_ROOT", "$AZ_BATCHAI_JOB_MOUNT_ROOT"
# What the variable stood for in Batch AI.
_DOCUMENTED_CLUSTER_ROOT = "/mnt/batch/tasks/shared/LS_root/mounts"
_SPELLINGS = (
    (CLUSTER_ROOT, (CLUSTER_ROOT, "${AZ_BATCHAI_MOUNT_ROOT}", _DOCUMENTED_CLUSTER_ROOT)),
    (JOB_ROOT, (JOB_ROOT, "${AZ_BATCHAI_JOB_MOUNT_ROOT}")),
)


@lru_cache(1000)
def below_root(path: str) -> tuple[str, PurePosixPath] | None:
    """The mount root that a path begins with, CLUSTER_ROOT or JOB_ROOT, and the rest; None for any other path."""
    for root, spellings in _SPELLINGS:
        for spelling in spellings:
            if path == spelling or path.startswith(f"{spelling}/"):
                return root, PurePosixPath(os.path.normpath(path[len(spelling) :].lstrip("/")))
    return None


def mounted_places(mounts: Mapping[str, Any]) -> list[PurePosixPath]:
    """Where `mountVolumes` shows its volumes, below its root."""
    return [PurePosixPath(volume["relativeMountPath"]) for volumes in mounts.values() for volume in volumes]


def place_of(path: PurePosixPath, places: Iterable[PurePosixPath]) -> PurePosixPath | None:
    """The one of `places` that a path lies in."""
    return next((place for place in places if path.is_relative_to(place) and ".." not in path.parts), None)

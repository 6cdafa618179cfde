"""Decisions without side effects: which jobs start, and how many nodes a cluster should have."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_RANKS = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True, order=True)
class QueuedJob:
    """A job that waits: ordered by priority, then by creation."""

    rank: int
    seq: int
    key: str
    node_count: int


class Queue:
    """Jobs that wait for one cluster's nodes, in the order in which they are to start."""

    def __init__(self) -> None:
        self._jobs: list[QueuedJob] = []

    def add(self, key: str, seq: int, priority: str, node_count: int) -> None:
        insort(self._jobs, QueuedJob(_RANKS[priority], seq, key, node_count))

    def remove(self, key: str) -> None:
        for index, job in enumerate(self._jobs):
            if job.key == key:
                del self._jobs[index]
                return

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def startable(self, idle: int, capacity: int) -> list[QueuedJob]:
        """The jobs that can start now on `idle` nodes of a cluster that may have `capacity`.

        A job starts on all its nodes or not at all. One that has to wait holds back those behind it, so that a large
        job is not starved; one that is larger than the cluster may become holds back nobody.
        """
        found = []
        for job in self._jobs:
            if job.node_count > capacity:
                continue
            if job.node_count > idle or idle == 0:
                break
            idle -= job.node_count
            found.append(job)
        return found

    def demand(self, capacity: int) -> int:
        """How many nodes the waiting jobs would use, were there enough."""
        return sum(job.node_count for job in self._jobs if job.node_count <= capacity)


def capacity_of(scale_settings: dict[str, Any]) -> int:
    """How many nodes a cluster may have."""
    if "manual" in scale_settings:
        return int(scale_settings["manual"]["targetNodeCount"])
    return int(scale_settings["autoScale"]["maximumNodeCount"])


def wanted_nodes(scale_settings: dict[str, Any], demand: int) -> int:
    """How many usable nodes a cluster should have; `demand` counts nodes that jobs use or wait for."""
    if "manual" in scale_settings:
        return int(scale_settings["manual"]["targetNodeCount"])
    limits = scale_settings["autoScale"]
    return max(int(limits["minimumNodeCount"]), min(demand, int(limits["maximumNodeCount"])))

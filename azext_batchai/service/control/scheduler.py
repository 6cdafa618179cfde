"""Decisions without side effects: which jobs start, and how many nodes a cluster should have."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_RANKS = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True, order=True)
class QueuedJob:
    """A job that waits: ordered by priority, then by creation. It may run for `seconds` at most."""

    rank: int
    seq: int
    key: str
    node_count: int
    seconds: float


class Queue:
    """Jobs that wait for one cluster's nodes, in the order in which they are to start."""

    def __init__(self) -> None:
        self._jobs: list[QueuedJob] = []
        self._by_key: dict[str, QueuedJob] = {}
        self._sizes: Counter[int] = Counter()  # how many jobs want so many nodes

    def add(self, key: str, seq: int, priority: str, node_count: int, seconds: float) -> None:
        job = QueuedJob(_RANKS[priority], seq, key, node_count, seconds)
        insort(self._jobs, job)
        self._by_key[key] = job
        self._sizes[node_count] += 1

    def remove(self, key: str) -> None:
        job = self._by_key.pop(key, None)
        if job:
            del self._jobs[bisect_left(self._jobs, job)]
            self._sizes[job.node_count] -= 1

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def startable(self, idle: int, capacity: int) -> list[QueuedJob]:
        """The jobs that can start now on `idle` nodes of a cluster that may have `capacity`.

        A job starts on all its nodes or not at all. One that has to wait holds back those behind it, so that a large
        job is not starved; one that is larger than the cluster may become holds back nobody.
        """
        found: list[QueuedJob] = []
        if not idle or not any(count for size, count in self._sizes.items() if size <= capacity):
            return found
        for job in self._jobs:
            if job.node_count > capacity:
                continue
            if job.node_count > idle:
                break
            idle -= job.node_count
            found.append(job)
        return found

    def blocks(self, free: int, missing: int, capacity: int) -> list[int]:
        """Sizes of the blocks in which at most `missing` new nodes are asked for; `free` nodes are there or coming.

        What a job lacks comes in one block or not at all: no cluster sits on half a gang.
        """
        found: list[int] = []
        for job in self._jobs:
            if missing <= 0:
                break
            if job.node_count > capacity:
                continue
            lack = max(job.node_count - free, 0)
            if lack > missing:
                break
            free = max(free - job.node_count, 0)
            if lack:
                found.append(lack)
                missing -= lack
        return found

    def demand(self, capacity: int) -> int:
        """How many nodes the waiting jobs would use, were there enough."""
        return sum(size * count for size, count in self._sizes.items() if size <= capacity)


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

"""Decisions without side effects: which jobs start, and how many nodes a cluster should have."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_RANKS = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True, order=True)
class QueuedJob:
    """A job that waits: ordered by priority, then by creation. It may run for `seconds` at most.

    Of the jobs of its sweep at most `most` run at once; "" for a job of none.
    """

    rank: int
    seq: int
    key: str
    node_count: int
    seconds: float
    sweep: str = ""
    most: int = 0


_NONE: Mapping[str, int] = {}


class Queue:
    """Jobs that wait for one cluster's nodes, in the order in which they are to start."""

    def __init__(self) -> None:
        self._jobs: list[QueuedJob] = []
        self._by_key: dict[str, QueuedJob] = {}
        self._sizes: Counter[int] = Counter()  # how many jobs want so many nodes
        self._limited = 0  # how many are of a sweep that may not run as a whole

    def add(
        self, key: str, seq: int, priority: str, node_count: int, seconds: float, sweep: str = "", most: int = 0
    ) -> None:
        job = QueuedJob(_RANKS[priority], seq, key, node_count, seconds, sweep, most)
        insort(self._jobs, job)
        self._by_key[key] = job
        self._sizes[node_count] += 1
        self._limited += bool(sweep)

    def remove(self, key: str) -> None:
        job = self._by_key.pop(key, None)
        if job:
            del self._jobs[bisect_left(self._jobs, job)]
            self._sizes[job.node_count] -= 1
            self._limited -= bool(job.sweep)

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def _in_turn(self, capacity: int, running: Mapping[str, int]) -> Iterator[QueuedJob]:
        """The jobs that lack nothing but nodes, in order; `running`: how many of each sweep run.

        One that is larger than the cluster may become, or whose sweep has its number, holds back nobody.
        """
        begun = Counter(running)
        for job in self._jobs:
            if job.node_count > capacity:
                continue
            if job.sweep:
                if begun[job.sweep] >= job.most:
                    continue
                begun[job.sweep] += 1
            yield job

    def startable(self, idle: int, capacity: int, running: Mapping[str, int] = _NONE) -> list[QueuedJob]:
        """The jobs that can start now on `idle` nodes of a cluster that may have `capacity`.

        A job starts on all its nodes or not at all. One that has to wait for nodes holds back those behind it, so
        that a large job is not starved.
        """
        found: list[QueuedJob] = []
        if not idle or not any(count for size, count in self._sizes.items() if size <= capacity):
            return found
        for job in self._in_turn(capacity, running):
            if job.node_count > idle:
                break
            idle -= job.node_count
            found.append(job)
            if not idle:
                break
        return found

    def blocks(self, free: int, missing: int, capacity: int, running: Mapping[str, int] = _NONE) -> list[int]:
        """Sizes of the blocks in which at most `missing` new nodes are asked for; `free` nodes are there or coming.

        What a job lacks comes in one block or not at all: no cluster sits on half a gang.
        """
        found: list[int] = []
        for job in self._in_turn(capacity, running):
            if missing <= 0:
                break
            lack = max(job.node_count - free, 0)
            if lack > missing:
                break
            free = max(free - job.node_count, 0)
            if lack:
                found.append(lack)
                missing -= lack
        return found

    def demand(self, capacity: int, running: Mapping[str, int] = _NONE) -> int:
        """How many nodes the waiting jobs would use, were there enough."""
        if self._limited:
            return sum(job.node_count for job in self._in_turn(capacity, running))
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

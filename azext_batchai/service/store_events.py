"""When nodes entered their states: a table beside the resources, which outlives them and has an end."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

TABLE = """
CREATE TABLE IF NOT EXISTS node_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    node TEXT NOT NULL,
    cluster TEXT NOT NULL,
    state TEXT NOT NULL,
    experiment TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS node_events_by_node ON node_events (node, seq);
"""
GONE = "gone"
KEPT_SECONDS = 400 * 86400.0
MOST_EVENTS = 100_000
_PRUNED_EVERY = 1000  # events

# Each event lasts until the node's next one, and the last until now. What was over before is not looked at.
_INTERVALS = """
SELECT cluster, experiment, state, at, LEAD(at, 1, :now) OVER (PARTITION BY node ORDER BY seq) AS until
FROM node_events
WHERE at>=:since OR seq IN (SELECT MAX(seq) FROM node_events WHERE at<:since GROUP BY node)
"""
_LAST_OF_EACH = "SELECT MAX(seq) FROM node_events GROUP BY node"


@dataclass(frozen=True)
class NodeTime:
    """For how many seconds nodes of a cluster were in a state; `experiment`: the key of the one they ran for, or ''."""

    cluster: str
    experiment: str
    state: str
    seconds: float


class NodeEvents:
    """The events of one state file. Times are seconds since 1970 by the wall clock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._since_pruning = 0
        self.waiting: list[tuple[str, str, str, str, float]] = []  # what is to be added, in the order of `add`

    def add(self, node: str, cluster: str, state: str, experiment: str, at: float) -> None:
        """Raises sqlite3.Error."""
        self._db.execute(
            "INSERT INTO node_events (node, cluster, state, experiment, at) VALUES (?,?,?,?,?)",
            (node, cluster, state, experiment, at),
        )
        self._since_pruning += 1
        if self._since_pruning >= _PRUNED_EVERY:
            self._since_pruning = 0
            self.prune(at)

    def times(self, since: float, now: float) -> list[NodeTime]:
        """What nodes did between two moments. A clock that was set back takes nothing away."""
        rows = self._db.execute(
            f"SELECT cluster, experiment, state, SUM(MAX(MIN(until, :now) - MAX(at, :since), 0)) FROM ({_INTERVALS})"
            f" WHERE state<>'{GONE}' AND until>:since AND at<:now GROUP BY cluster, experiment, state"
            " ORDER BY cluster, experiment, state",
            {"now": now, "since": since},
        )
        return [NodeTime(*row) for row in rows]

    def first(self) -> float | None:
        """When the oldest event was that is kept."""
        (at,) = self._db.execute("SELECT MIN(at) FROM node_events").fetchone()
        return None if at is None else float(at)

    def close_others(self, nodes: Collection[str]) -> None:
        """End the time of nodes that are no more, and of whose end nothing is known, where it was last heard of."""
        rows = self._db.execute(
            f"SELECT node, cluster, at FROM node_events WHERE seq IN ({_LAST_OF_EACH}) AND state<>'{GONE}'"
        ).fetchall()
        for node, cluster, at in rows:
            if node not in nodes:
                self.add(node, cluster, GONE, "", at)

    def prune(self, now: float) -> None:
        """Forget what is too old or too much; of a node that is there its last event stays."""
        self._db.execute(
            f"DELETE FROM node_events WHERE (at<? OR seq<=(SELECT MAX(seq) FROM node_events)-?) AND NOT"
            f" (state<>'{GONE}' AND seq IN ({_LAST_OF_EACH}))",
            (now - KEPT_SECONDS, MOST_EVENTS),
        )

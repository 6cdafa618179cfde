"""When nodes entered their states: a table beside the resources, which outlives them and has an end."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

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
# The same for one cluster, from the newest event that is older: a look back of an hour does not read that of a year.
# Keys of nodes begin with that of their cluster.
_SERIES = """
WITH past(seq) AS (
    SELECT IFNULL((SELECT seq FROM node_events WHERE at<:since ORDER BY seq DESC LIMIT 1), 0)
), event AS (
    SELECT * FROM node_events WHERE seq>(SELECT seq FROM past) AND cluster=:cluster
    UNION ALL
    SELECT * FROM node_events WHERE seq IN (
        SELECT MAX(seq) FROM node_events
        WHERE node>:cluster || '/' AND node<:cluster || '0' AND seq<=(SELECT seq FROM past) GROUP BY node
    )
), interval AS (
    SELECT state, MAX(at, :since) AS at, MIN(LEAD(at, 1, :now) OVER (PARTITION BY node ORDER BY seq), :now) AS until
    FROM event
), edge AS (
    SELECT state, 1 AS step, at-:since AS at FROM interval WHERE until>at
    UNION ALL
    SELECT state, -1 AS step, until-:since AS at FROM interval WHERE until>at
)
SELECT state, CAST(at/:width AS INTEGER) AS bucket, SUM(step), SUM(step*at) FROM edge
WHERE state<>'gone' GROUP BY state, bucket
"""
_MOST_REMEMBERED = 64  # clusters and spans
_LAST_OF_EACH = "SELECT MAX(seq) FROM node_events GROUP BY node"


@dataclass(frozen=True)
class NodeTime:
    """For how many seconds nodes of a cluster were in a state; `experiment`: the key of the one they ran for, or ''."""

    cluster: str
    experiment: str
    state: str
    seconds: float


@dataclass(frozen=True)
class NodeSeries:
    """Node-seconds by state in buckets of `width` seconds, the first of which begins at `since`."""

    since: float
    width: float
    seconds: dict[str, list[float]]


class NodeEvents:
    """The events of one state file. Times are seconds since 1970 by the wall clock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._since_pruning = 0
        self.waiting: list[tuple[str, str, str, str, float]] = []  # what is to be added, in the order of `add`
        self._over: dict[tuple[str, float], dict[int, dict[str, float]]] = {}  # buckets in which nothing changes

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

    def series(self, cluster: str, width: float, buckets: int, now: float) -> NodeSeries:
        """What nodes of the cluster with this key did in each of so many buckets; `now` lies in the last one.

        Buckets begin at multiples of `width`: those that are over are remembered, only the others are looked at again.
        Nodes that were in no state at a time count nowhere. An event that a clock which was set back has put into a
        bucket that is over may be missing in it.
        """
        last = int(now // width)
        first = last - buckets + 1
        known = self._over.pop((cluster, width), {})
        begin = next(number for number in range(first, last + 1) if number == last or number not in known)
        found = {number: known[number] for number in range(first, begin)}
        found.update(enumerate(self._buckets(cluster, begin, last, width, now), begin))
        self._over[cluster, width] = {number: found[number] for number in range(first, last)}
        for key in list(islice(self._over, max(len(self._over) - _MOST_REMEMBERED, 0))):
            del self._over[key]
        states = dict.fromkeys(state for bucket in found.values() for state in bucket)
        seconds = {state: [found[number].get(state, 0.0) for number in range(first, last + 1)] for state in states}
        return NodeSeries(first * width, width, seconds)

    def _buckets(self, cluster: str, first: int, last: int, width: float, now: float) -> list[dict[str, float]]:
        """Node-seconds by state, from the numbers of those that enter and leave a state in each bucket, and when."""
        since = first * width
        values = {"cluster": cluster, "since": since, "now": now, "width": width}
        entered: dict[str, dict[int, tuple[int, float]]] = {}
        for state, bucket, number, moments in self._db.execute(_SERIES, values):
            entered.setdefault(state, {})[bucket] = (number, moments)
        found: list[dict[str, float]] = [{} for _ in range(first, last + 1)]
        for state, steps in entered.items():
            nodes, offset, before = 0, 0.0, 0.0
            for bucket, there in enumerate(found):
                number, moments = steps.get(bucket, (0, 0.0))
                nodes, offset = nodes + number, offset + moments
                spent = nodes * min((bucket + 1) * width, now - since) - offset
                if spent - before > 1e-4:  # less is what the sums are wrong by
                    there[state] = spent - before
                before = spent
        return found

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

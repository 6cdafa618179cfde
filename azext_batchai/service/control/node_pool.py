"""The nodes of one cluster: how they come up, what state they are in, how they leave.

The controller decides how many there are; this is the only place that changes a node's state.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.background import until_written
from azext_batchai.service.control.node_times import NodeTimes
from azext_batchai.service.engine.base import Allocation, Engine, TaskError
from azext_batchai.service.model import node_specs
from azext_batchai.service.model.node_states import (
    ALLOCATING,
    IDLE,
    LEAVING,
    PREPARING,
    RUNNING,
    UNUSABLE,
    empty_counts,
)
from azext_batchai.service.state import State
from azext_batchai.service.store import Record

log = logging.getLogger(__name__)

PENDING_PATIENCE_SECONDS = 30.0
RELEASE_SECONDS = 10.0  # between two attempts to release a node


@dataclass(eq=False)
class Node:
    """A node of the cluster; `record` is its durable part."""

    record: Record
    state: str
    job: str | None = None
    since: float = field(default_factory=lambda: clock.monotonic())  # when it entered its state
    draining: bool = False  # to be taken away when its job has ended; decided anew in each pass
    doomed: bool = False  # preempted or lost: no job is started on it any more
    bring_up: asyncio.Task[None] | None = None
    watch: asyncio.Task[None] | None = None
    leave: asyncio.Task[None] | None = None

    @property
    def node_id(self) -> str:
        return self.record.name

    @property
    def address(self) -> str:
        address: str = self.record.internal["address"]
        return address

    def lasts(self, seconds: float) -> bool:
        """Whether its time is long enough for a job that may run for so long."""
        expires: float | None = self.record.internal["expires"]
        return expires is None or clock.epoch() + seconds <= expires


class NodePool:
    """The nodes of one cluster.

    `changed` is called when a node has got a new state, `left` when one is gone, `lost` when the engine has lost one,
    `spawn` runs a coroutine in the background.
    """

    def __init__(
        self,
        state: State,
        engine: Engine,
        cluster: Record,
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
        changed: Callable[[], None],
        left: Callable[[], None],
        lost: Callable[[Node, TaskError], None],
    ) -> None:
        self._state = state
        self._engine = engine
        self._key = cluster.key
        self._low_priority = cluster.properties["vmPriority"] == "lowpriority"
        self._spawn = spawn
        self._changed = changed
        self._left = left
        self._lost = lost
        self._times = NodeTimes(state.store, cluster.key)
        self._nodes: dict[str, Node] = {}
        self._unsaved: set[str] = set()

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, node_id: str) -> Node | None:
        return self._nodes.get(node_id)

    def active(self) -> list[Node]:
        return [node for node in self if node.state != LEAVING]

    def state_counts(self) -> dict[str, int]:
        counts = empty_counts()
        for node in self:
            if node.state != ALLOCATING:
                counts[f"{node.state}NodeCount"] += 1
        return counts

    def errors(self) -> list[dict[str, Any]]:
        """Why nodes are unusable, and what those wait for that should be there by now."""
        found = [node.record.internal["error"] for node in self if node.state == UNUSABLE]
        for node in self:
            if node.state == ALLOCATING:
                reason = self._engine.pending_reason(node.node_id)
                if isinstance(reason, TaskError):
                    details = {"NodeId": node.node_id, **reason.details}
                    found.append(TaskError(reason.code, reason.message, details).body())
                elif reason and clock.monotonic() - node.since >= PENDING_PATIENCE_SECONDS:
                    details = {"NodeId": node.node_id, "Info": reason}
                    found.append(TaskError("NodeAllocationPending", "The node is waited for", details).body())
        return found

    def remote_login(self) -> list[dict[str, Any]]:
        """Where each node's SSH server is, for nodes that have one (wire.md 1.3)."""
        found = []
        for node in self:
            endpoint = node.record.internal["endpoint"]
            if endpoint:
                found.append({"nodeId": node.node_id, "ipAddress": endpoint["ip_address"], "port": endpoint["port"]})
        return found

    def hosts(self) -> dict[str, str]:
        """The machine of each node that was given, by the name that its engine has for it."""
        names = {node.node_id: node.record.internal.get("host") for node in self if node.state != ALLOCATING}
        return {node_id: name for node_id, name in names.items() if name}

    def resume(self) -> None:
        """Take up the nodes as an earlier service left them."""
        blocks: dict[str, list[Node]] = {}
        for record in self._state.store.children(self._key, "node"):
            node = Node(record, record.internal["state"])
            if node.state == RUNNING:
                node.state = IDLE
            self._times.note(record.key, node.state)  # its job may have left it unnoticed
            self._nodes[node.node_id] = node
            if node.state == LEAVING:
                self.retire(node)
            else:
                blocks.setdefault(record.internal["block"], []).append(node)
        for block in blocks.values():
            self._bring_up_block(block, resume=True)

    def asked_for_jobs(self) -> list[list[Node]]:
        """The blocks that are still waited for and that nobody but queued jobs wanted."""
        blocks: dict[str, list[Node]] = {}
        for node in self:
            if node.state == ALLOCATING and node.record.internal.get("forJobs"):
                blocks.setdefault(node.record.internal["block"], []).append(node)
        return list(blocks.values())

    def provision(self, blocks: Sequence[int], for_jobs: bool = False) -> None:
        """Bring up new nodes in blocks of these sizes; `for_jobs` are given up where their jobs go before they come."""
        if not blocks:
            return
        store = self._state.store
        made: list[list[Node]] = []
        with store.transaction():
            cluster = store.get(self._key)
            assert cluster
            suffix = "-p" if self._low_priority else ""
            stamp = clock.utc_now().strftime("%Y%m%dt%H%M%Sz")
            for size in blocks:
                block = f"{self._key}/{cluster.internal['nextNode']}"
                nodes = []
                for _ in range(size):
                    name = f"tvm-{cluster.internal['nodeNumber']}_{cluster.internal['nextNode']}-{stamp}{suffix}"
                    cluster.internal["nextNode"] += 1
                    record = Record(f"{self._key}/nodes/{name}", "node", self._key, {"name": name})
                    record.internal = {
                        "state": ALLOCATING,
                        "block": block,
                        "forJobs": for_jobs,
                        "address": "",
                        "endpoint": None,
                        "expires": None,
                        "held": {},
                    }
                    store.add(record)
                    nodes.append(Node(record, ALLOCATING))
                made.append(nodes)
            store.update(cluster, touch=False)
        for nodes in made:
            self._nodes.update({node.node_id: node for node in nodes})
            self._bring_up_block(nodes, resume=False)

    def _bring_up_block(self, nodes: list[Node], resume: bool) -> None:
        given = self._spawn(self._allocate(nodes, resume))
        for index, node in enumerate(nodes):
            node.bring_up = self._spawn(self._bring_up(node, given, index, resume))

    async def _allocate(self, nodes: list[Node], resume: bool) -> Sequence[Allocation | TaskError]:
        """What the engine gives for a block; an error for each node where it gives nothing."""
        try:
            cluster = self._state.store.get(self._key)
            assert cluster
            specs = [node_specs.spec_of(cluster, node.record) for node in nodes]
            return await self._engine.allocate(specs, resume)
        except TaskError as exc:
            return [exc] * len(nodes)
        except OSError as exc:
            return [_not_set_up(exc)] * len(nodes)
        except Exception as exc:
            log.exception("nodes could not be allocated")
            return [_mistake(exc)] * len(nodes)

    async def _bring_up(
        self, node: Node, given: asyncio.Task[Sequence[Allocation | TaskError]], index: int, resume: bool
    ) -> None:
        try:
            allocation = (await asyncio.shield(given))[index]
            if isinstance(allocation, TaskError):
                raise TaskError(allocation.code, allocation.message, allocation.details)
            if node.state == LEAVING:
                return
            new = node.state in (ALLOCATING, PREPARING)
            self._enter(
                node,
                PREPARING if new else node.state,
                address=allocation.address,
                host=allocation.host,
                endpoint=asdict(allocation.endpoint) if allocation.endpoint else None,
                expires=allocation.expires,
                held=dict(allocation.held),
            )
            node.watch = self._spawn(self._watch(node))
            self._changed()
            if node.state != UNUSABLE:
                cluster = self._state.store.get(self._key)
                assert cluster
                setup = node_specs.setup_of(self._state, cluster)
                await self._engine.prepare(node.node_id, setup, resume)
            if resume and not node.job:
                await self._engine.tidy(node.node_id)
        except TaskError as exc:
            self.became_unusable(node, exc)
        except OSError as exc:
            self.became_unusable(node, _not_set_up(exc))
        except Exception as exc:
            log.exception("node %s could not be brought up", node.node_id)
            self.became_unusable(node, _mistake(exc))
        else:
            if node.state == PREPARING:
                self._enter(node, IDLE)
        self._changed()

    async def _watch(self, node: Node) -> None:
        reason = await self._engine.lost(node.node_id)
        if node.state != LEAVING:
            log.warning("node %s is lost: %s %s", node.node_id, reason.message, reason.details)
            self._lost(node, reason)

    def _enter(self, node: Node, state: str, **internal: Any) -> None:
        """The one place where a node's state changes; what cannot be written (a full disk) `save` writes later."""
        if node.state != state:
            self._begin(node, state)
        node.record.internal.update(internal, state=state)
        self._unsaved.add(node.node_id)
        try:
            self.save()
        except sqlite3.Error as exc:
            log.error("node %s is %s, which cannot be written: %s", node.node_id, state, exc)

    def save(self) -> None:
        """Write what could not be written before. Raises sqlite3.Error."""
        if self._unsaved:
            with self._state.store.transaction(durable=False):
                for node_id in self._unsaved:
                    node = self._nodes.get(node_id)
                    if node:
                        self._state.store.update(node.record)
            self._unsaved.clear()

    def occupy(self, node: Node, job_key: str) -> None:
        """A job has the node. Kept in the job's record: the node's own needs no write for it."""
        node.job = job_key
        if node.state == IDLE:
            self._begin(node, RUNNING, job_key)

    def vacate(self, node: Node) -> None:
        node.job = None
        if node.state == RUNNING:
            self._begin(node, IDLE)

    def _begin(self, node: Node, state: str, job_key: str = "") -> None:
        node.state, node.since = state, clock.monotonic()
        self._times.note(node.record.key, state, job_key)

    def became_unusable(self, node: Node, error: TaskError) -> None:
        """Nothing is started on it any more; it is there until the cluster shrinks or replaces it."""
        if node.state in (LEAVING, UNUSABLE):
            return
        log.warning("node %s is unusable: %s %s %s", node.node_id, error.code, error.message, error.details)
        error.details.setdefault("NodeId", node.node_id)
        self._enter(node, UNUSABLE, error=error.body())

    def retire(self, node: Node) -> asyncio.Task[None]:
        """Begin to take a node away; it is leaving from this moment on.

        Those that are still to come in one block with it go, too: a block comes whole or not at all.
        """
        if not node.leave:
            block = node.record.internal["block"] if node.state == ALLOCATING else None
            self._enter(node, LEAVING)
            node.leave = self._spawn(self._leave(node))
            for other in self:
                if other.state == ALLOCATING and other.record.internal["block"] == block:
                    self.retire(other)
        return node.leave

    async def _leave(self, node: Node) -> None:
        if node.watch:
            node.watch.cancel()
        while True:
            try:
                await self._engine.interrupt(node.node_id)
                if node.bring_up:
                    await asyncio.wait([node.bring_up])
                await self._engine.release(node.node_id)
                break
            except Exception as exc:  # a node that is forgotten here would live on where it is, and cost
                log.error("node %s cannot be released: %r; trying again in %s s", node.node_id, exc, RELEASE_SECONDS)
                await asyncio.sleep(RELEASE_SECONDS)

        def forget() -> None:
            with self._state.store.transaction():
                self._state.store.remove(node.record.key)
                self._times.gone(node.record.key)

        await until_written(forget)
        self._nodes.pop(node.node_id, None)
        self._left()


def _not_set_up(exc: OSError) -> TaskError:
    return TaskError("NodeAllocationFailed", "The node could not be set up", {"Info": exc.strerror or str(exc)})


def _mistake(exc: Exception) -> TaskError:
    return TaskError("InternalError", "The node could not be set up", {"Info": repr(exc)})

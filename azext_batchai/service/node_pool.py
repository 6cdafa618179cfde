"""The nodes of one cluster: how they come up, what state they are in, how they leave.

The controller decides how many there are; this is the only place that changes a node's state durably.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from azext_batchai.service.clock import monotonic, utc_now
from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import NodeSpec, TaskError
from azext_batchai.service.resources import node_specs, quotas
from azext_batchai.service.store import Record

log = logging.getLogger(__name__)

ALLOCATING, PREPARING, IDLE, RUNNING, UNUSABLE, LEAVING = (
    "allocating",
    "preparing",
    "idle",
    "running",
    "unusable",
    "leaving",
)


@dataclass
class Node:
    """A node of the cluster; `record` is its durable part."""

    record: Record
    state: str
    job: str | None = None
    idle_since: float = 0.0
    draining: bool = False  # to be taken away when its job has ended; decided anew in each pass
    preempted: bool = False
    bring_up: asyncio.Task[None] | None = None
    leave: asyncio.Task[None] | None = None

    @property
    def node_id(self) -> str:
        return self.record.name


class NodePool:
    """`changed` is called when a node has got a new state, `spawn` runs a coroutine in the background."""

    NONE: ClassVar[dict[str, int]] = {f"{state}NodeCount": 0 for state in (RUNNING, IDLE, UNUSABLE, PREPARING, LEAVING)}

    def __init__(
        self,
        service: Service,
        cluster: Record,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        changed: Callable[[], None],
    ) -> None:
        self._service = service
        self._key = cluster.key
        self._vm_size: str = cluster.properties["vmSize"]
        self._vm_priority: str = cluster.properties["vmPriority"]
        self._spawn = spawn
        self._changed = changed
        self._nodes: dict[str, Node] = {}

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, node_id: str) -> Node | None:
        return self._nodes.get(node_id)

    def active(self) -> list[Node]:
        return [node for node in self if node.state != LEAVING]

    def state_counts(self) -> dict[str, int]:
        counts = dict(self.NONE)
        for node in self:
            if node.state != ALLOCATING:
                counts[f"{node.state}NodeCount"] += 1
        return counts

    def errors(self) -> list[dict[str, Any]]:
        return [node.record.internal["error"] for node in self if node.state == UNUSABLE]

    def remote_login(self) -> list[dict[str, Any]]:
        return [
            {"nodeId": node.node_id, "ipAddress": "127.0.0.1", "port": node.record.internal["port"]}
            for node in self
            if node.state != ALLOCATING
        ]

    def resume(self) -> None:
        """Take up the nodes as an earlier service left them."""
        for record in self._service.store.children(self._key, "node"):
            node = Node(record, record.internal["state"], idle_since=monotonic())
            if node.state == RUNNING:
                node.state = IDLE
            self._nodes[node.node_id] = node
            if node.state == LEAVING:
                self.retire(node)
            else:
                node.bring_up = self._spawn(self._bring_up(node, resume=True))

    def provision(self, count: int) -> None:
        """Bring up `count` more nodes, or as many as the quota allows."""
        count = min(count, quotas.room_for_nodes(self._service, self._vm_size, self._vm_priority))
        if count <= 0:
            return
        store = self._service.store
        with store.transaction():
            cluster = store.get(self._key)
            assert cluster
            suffix = "-p" if self._vm_priority == "lowpriority" else ""
            stamp = utc_now().strftime("%Y%m%dt%H%M%Sz")
            for _ in range(count):
                name = f"tvm-{cluster.internal['nodeNumber']}_{cluster.internal['nextNode']}-{stamp}{suffix}"
                cluster.internal["nextNode"] += 1
                record = Record(f"{self._key}/nodes/{name}", "node", self._key, {"name": name})
                record.internal = {"state": ALLOCATING, "port": 0}
                store.add(record)
                self._nodes[name] = Node(record, ALLOCATING)
            store.update(cluster, touch=False)
        for node in self._nodes.values():
            if node.state == ALLOCATING and not node.bring_up:
                node.bring_up = self._spawn(self._bring_up(node, resume=False))

    def _enter(self, node: Node, state: str, **internal: Any) -> None:
        """The one place where a node's state changes."""
        node.state = state
        node.record.internal.update(internal, state=state)
        with self._service.store.transaction(durable=False):
            self._service.store.update(node.record, touch=False)

    async def _bring_up(self, node: Node, resume: bool) -> None:
        was = node.state
        try:
            spec: NodeSpec = node_specs.of(self._service, self._key, node.record)
            allocation = await self._service.engine.allocate(spec)
            if node.state == LEAVING:
                return
            self._enter(
                node, PREPARING if was == ALLOCATING else node.state, port=allocation.port, gpus=allocation.gpus
            )
            self._changed()
            if was in (ALLOCATING, PREPARING):
                await self._service.engine.prepare(node_specs.mounted(self._service, self._key, spec), resume)
        except TaskError as exc:
            self._became_unusable(node, exc)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            self._became_unusable(
                node, TaskError("NodeAllocationFailed", "The node could not be set up", {"Info": reason})
            )
        else:
            if node.state == PREPARING:
                node.idle_since = monotonic()
                self._enter(node, IDLE)
        self._changed()

    def _became_unusable(self, node: Node, error: TaskError) -> None:
        if node.state == LEAVING:
            return
        log.warning("node %s is unusable: %s %s %s", node.node_id, error.code, error.message, error.details)
        error.details.setdefault("NodeId", node.node_id)
        node.idle_since = monotonic()
        self._enter(node, UNUSABLE, error=error.body())

    def retire(self, node: Node) -> asyncio.Task[None]:
        """Begin to take a node away; it is leaving from this moment on."""
        if not node.leave:
            self._enter(node, LEAVING)
            node.leave = self._spawn(self._leave(node))
        return node.leave

    async def _leave(self, node: Node) -> None:
        engine = self._service.engine
        await engine.interrupt(node.node_id)
        if node.bring_up:
            await asyncio.wait([node.bring_up])
        await engine.release(node.node_id)
        self._nodes.pop(node.node_id, None)
        with self._service.store.transaction():
            self._service.store.remove(node.record.key)
        for controller in self._service.controllers.values():
            controller.wake()  # this one's, and any that has waited for the quota

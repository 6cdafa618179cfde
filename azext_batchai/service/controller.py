"""One controller per cluster: decides how many nodes there are and starts queued jobs on them.

Everything happens on the event loop's thread: `wake` asks for a pass, a pass looks at the whole cluster and acts.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from azext_batchai.service.arm.errors import ArmError, conflict
from azext_batchai.service.clock import monotonic, wire_now
from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import JobOutcome, TaskError
from azext_batchai.service.node_pool import ALLOCATING, IDLE, LEAVING, PREPARING, RUNNING, UNUSABLE, Node, NodePool
from azext_batchai.service.resources import job_plans, job_states
from azext_batchai.service.scheduler import Queue, capacity_of, wanted_nodes
from azext_batchai.service.store import Record

log = logging.getLogger(__name__)

_STORE_RETRY_SECONDS = 5.0
# Who goes first when a cluster shrinks.
_RETIREMENT_ORDER = (UNUSABLE, ALLOCATING, PREPARING, IDLE, RUNNING)


@dataclass
class _Run:
    """A job on its nodes."""

    nodes: list[Node]
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    timer: asyncio.TimerHandle | None = None
    preemption: asyncio.TimerHandle | None = None
    stopping: bool = False

    def cancel_timers(self) -> None:
        for timer in (self.timer, self.preemption):
            if timer:
                timer.cancel()


class ClusterController:
    """Owns the nodes and the queue of one cluster."""

    def __init__(self, service: Service, record: Record) -> None:
        self._service = service
        self.key = record.key
        self.vm_size: str = record.properties["vmSize"]
        self.vm_priority: str = record.properties["vmPriority"]
        self.nodes = NodePool(service, record, self._spawn, self.wake)
        self._scale: dict[str, Any] = record.properties["scaleSettings"]
        self._runs: dict[str, _Run] = {}
        self.queue = Queue()
        self._wake: asyncio.Handle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def running_jobs(self) -> int:
        return len(self._runs)

    # What others ask for

    def begin(self) -> None:
        """Start a new cluster with its initial nodes."""
        self.nodes.provision(self._scale.get("autoScale", {}).get("initialNodeCount", 0))
        self.wake()

    def rescale(self, scale_settings: dict[str, Any]) -> None:
        self._scale = scale_settings
        self.wake()

    def enqueue(self, job: Record) -> None:
        self.queue.add(job.key, job.seq, job.properties["schedulingPriority"], job.properties["nodeCount"])
        self.wake()

    async def preempt(self, node_id: str) -> None:
        """Take a node away as Azure takes back a low-priority one: its job is told, ended and queued again.

        Raises ArmError where there is no such node or it is a dedicated one.
        """
        node = self.nodes.get(node_id)
        if not node or node.state == LEAVING:
            raise ArmError(404, "NodeNotFound", f"The cluster has no node {node_id}.")
        if self.vm_priority != "lowpriority":
            raise conflict("Nodes of a dedicated cluster are not preempted.", code="NodeNotLowPriority")
        log.info("node %s is preempted", node_id)
        node.preempted = True
        if node.job:
            job_states.intend(self._service, node.job, job_states.REQUEUE)
            await self.stop(node.job)
        await asyncio.shield(self.nodes.retire(node))

    def is_running(self, job_key: str) -> bool:
        return job_key in self._runs

    async def stop(self, job_key: str) -> None:
        """End a running job's processes and wait until it has ended; what it becomes stands in its record."""
        run = self._runs.get(job_key)
        if not run:
            return
        if not run.stopping:
            run.stopping = True
            await self._service.engine.stop_job(job_key)
        await asyncio.shield(run.ended)

    async def tear_down(self) -> None:
        """Take all nodes away for good. Running jobs end as terminated; queued ones keep waiting."""
        self._closing = True
        self._cancel_timers()
        for job_key in list(self._runs):
            job_states.intend(self._service, job_key, job_states.TERMINATE)
        await asyncio.gather(*(self.stop(job_key) for job_key in list(self._runs)))
        await asyncio.gather(*(self.nodes.retire(node) for node in self.nodes))

    def close(self) -> None:
        """The service stops: forget everything, end nothing."""
        self._closing = True
        self._cancel_timers()
        for task in self._tasks:
            task.cancel()

    def resume(self, unfinished: list[Record]) -> None:
        """Take up nodes and the cluster's unfinished jobs as an earlier service left them."""
        self.nodes.resume()
        for job in unfinished:
            if job.properties["executionState"] == "queued":
                self.enqueue(job)
            else:
                found = (self.nodes.get(name) for name in job.internal["nodes"])
                nodes = [node for node in found if node]
                self._launch(job, nodes, resume=True)
        self.wake()

    def wake(self) -> None:
        """Ask for a pass; several requests in one turn of the loop make one pass."""
        if not self._wake and not self._closing:
            self._wake = asyncio.get_running_loop().call_soon(self._pass)

    # One pass

    def _pass(self) -> None:
        self._wake = None
        if self._closing:
            return
        try:
            self._shrink()
            self._grow()
            self._start_jobs()
            self._settle()
        except sqlite3.Error as exc:
            self._wait_for_store(exc)

    def _wait_for_store(self, reason: sqlite3.Error) -> None:
        """State cannot be written (a full disk): what runs goes on, new work waits (design P9)."""
        log.error(
            "cluster %s: state cannot be written: %s; trying again in %s s", self.key, reason, _STORE_RETRY_SECONDS
        )
        asyncio.get_running_loop().call_later(_STORE_RETRY_SECONDS, self.wake)

    def _wanted(self) -> int:
        busy = sum(node.state == RUNNING for node in self.nodes)
        return wanted_nodes(self._scale, busy + self.queue.demand(capacity_of(self._scale)))

    def _shrink(self) -> None:
        active = self.nodes.active()
        for node in active:
            node.draining = False
        if "manual" in self._scale:
            surplus = len(active) - self._wanted()
            active.sort(key=lambda node: _RETIREMENT_ORDER.index(node.state))
            for node in active[: max(surplus, 0)]:
                self._give_up(node, self._scale["manual"]["nodeDeallocationOption"])
            return
        self._shrink_idle(active)

    def _shrink_idle(self, active: list[Node]) -> None:
        """Take away nodes that had nothing to do for long enough, down to what is wanted."""
        if self._idle_timer:
            self._idle_timer.cancel()
            self._idle_timer = None
        maximum = capacity_of(self._scale)
        keep = self._wanted()
        spare = sorted(
            (node for node in active if node.state in (IDLE, UNUSABLE)),
            key=lambda node: (node.state == IDLE, node.idle_since),
        )
        surplus = min(len(active) - keep, len(spare))
        now, patience = monotonic(), self._service.settings.node_idle_seconds
        for node in spare[: max(surplus, 0)]:
            wait = node.idle_since + patience - now
            if wait <= 0 or len(active) > maximum:
                self.nodes.retire(node)
            elif not self._idle_timer:
                self._idle_timer = asyncio.get_running_loop().call_later(wait, self.wake)

    def _give_up(self, node: Node, option: str) -> None:
        if node.job is None:
            self.nodes.retire(node)
        elif option == "waitforjobcompletion":
            node.draining = True
        else:
            node.draining = True
            run = self._runs[node.job]
            if not run.stopping:
                job_states.intend(
                    self._service, node.job, job_states.REQUEUE if option == "requeue" else job_states.TERMINATE
                )
                self._spawn(self.stop(node.job))

    def _grow(self) -> None:
        active = self.nodes.active()
        usable = sum(node.state != UNUSABLE for node in active)
        if "manual" in self._scale:
            missing = self._wanted() - len(active)
        else:
            missing = min(self._wanted() - usable, capacity_of(self._scale) - len(active))
        self.nodes.provision(missing)

    def _start_jobs(self) -> None:
        if not self.queue:
            return
        idle = [node for node in self.nodes if node.state == IDLE and not node.draining and not node.preempted]
        for queued in self.queue.startable(len(idle), capacity_of(self._scale)):
            nodes, idle = idle[: queued.node_count], idle[queued.node_count :]
            job = job_states.mark_running(self._service, queued.key, [node.node_id for node in nodes])
            self.queue.remove(queued.key)
            self._launch(job, nodes, resume=False)

    def _settle(self) -> None:
        """Say `steady` once the wanted nodes are allocated, `resizing` before (wire.md 3.1)."""
        moving = any(node.state in (ALLOCATING, LEAVING) or node.draining for node in self.nodes)
        state = "resizing" if moving else "steady"
        record = self._service.store.get(self.key)
        if record and record.properties["allocationState"] != state:
            record.properties["allocationState"] = state
            record.properties["allocationStateTransitionTime"] = wire_now()
            with self._service.store.transaction(durable=False):
                self._service.store.update(record, touch=False)

    # Jobs

    def _launch(self, job: Record, nodes: list[Node], resume: bool) -> None:
        run = _Run(nodes)
        self._runs[job.key] = run
        for node in nodes:
            node.job = job.key
            node.state = RUNNING
        remaining = job_states.remaining_seconds(job)
        loop = asyncio.get_running_loop()
        run.timer = loop.call_later(remaining, self._time_out, job.key)
        if self.vm_priority == "lowpriority":
            patience = self._service.settings.low_priority_seconds - job_states.elapsed_seconds(job)
            run.preemption = loop.call_later(max(patience, 0.0), self._preempt_all, job.key)
        self._spawn(self._run(job, run, resume))

    def _time_out(self, job_key: str) -> None:
        run = self._runs.get(job_key)
        if run and not run.stopping:
            job_states.intend(self._service, job_key, job_states.TIME_OUT)
            self._spawn(self.stop(job_key))

    def _preempt_all(self, job_key: str) -> None:
        """A job that has run on low-priority nodes for a day loses them (the article: over 24 hours)."""
        run = self._runs.get(job_key)
        for node in run.nodes if run else ():
            self._spawn(self.preempt(node.node_id))

    async def _run(self, job: Record, run: _Run, resume: bool) -> None:
        try:
            for node in run.nodes:
                if node.bring_up and not node.bring_up.done():
                    await asyncio.wait([node.bring_up])
            plan = job_plans.plan_of(self._service, job)
            if job.internal.get("intent"):  # an earlier service was about to stop it
                await self._service.engine.stop_job(job.key)
            outcome = await self._service.engine.run_job(plan, resume)
        except TaskError as exc:
            outcome = JobOutcome(None, exc)
        except Exception as exc:
            log.exception("job %s could not be run", job.key)
            outcome = JobOutcome(None, TaskError("InternalError", "The job could not be run", {"Info": repr(exc)}))
        run.cancel_timers()
        while True:
            try:
                self._ended(job.key, run, outcome)
                return
            except sqlite3.Error as exc:
                log.error("job %s ended but its state cannot be written: %s", job.key, exc)
                await asyncio.sleep(_STORE_RETRY_SECONDS)

    def _ended(self, job_key: str, run: _Run, outcome: JobOutcome) -> None:
        job = job_states.finish(self._service, job_key, outcome)
        del self._runs[job_key]
        now = monotonic()
        for node in run.nodes:
            node.job = None
            node.idle_since = now
            if node.state == RUNNING:
                node.state = IDLE
        if job and job.properties["executionState"] == "queued":
            self.queue.add(job.key, job.seq, job.properties["schedulingPriority"], job.properties["nodeCount"])
        run.ended.set_result(None)
        self.wake()

    # Helpers

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("cluster %s: a background task failed", self.key, exc_info=task.exception())

    def _cancel_timers(self) -> None:
        if self._wake:
            self._wake.cancel()
            self._wake = None
        if self._idle_timer:
            self._idle_timer.cancel()
        for run in self._runs.values():
            run.cancel_timers()

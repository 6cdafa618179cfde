"""One controller per cluster: decides how many nodes there are and starts queued jobs on them.

Everything happens on the event loop's thread: `wake` asks for a pass, a pass looks at the whole cluster and acts.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.arm.errors import ArmError, conflict
from azext_batchai.service.background import STORE_RETRY_SECONDS, Background, until_written
from azext_batchai.service.clock import wire_now
from azext_batchai.service.control.node_pool import Node, NodePool
from azext_batchai.service.control.scheduler import Queue, capacity_of, wanted_nodes
from azext_batchai.service.engine.base import (
    Engine,
    JobHandle,
    JobOutcome,
    JobPlan,
    MachineRestarted,
    NodeFault,
    TaskError,
)
from azext_batchai.service.model import job_plans, job_states, parents, sweeps
from azext_batchai.service.model.node_states import ALLOCATING, IDLE, LEAVING, PREPARING, RUNNING, UNUSABLE
from azext_batchai.service.state import State
from azext_batchai.service.store import Record
from azext_batchai.service.toolkits import ports_needed

log = logging.getLogger(__name__)

# Who goes first when a cluster shrinks.
_RETIREMENT_ORDER = (UNUSABLE, ALLOCATING, PREPARING, IDLE, RUNNING)
STARTS_AT_ONCE = 100  # in one pass; requests have their turn between two
STOP_SECONDS = 10.0  # between two attempts to stop a job


@dataclass
class _Run:
    """A job on its nodes. `handle` is the engine's end of it, from the moment when it may have processes.

    `sweep`: which one's limit it counts for. `stopping`: somebody has asked for its end. `over`: it has come, only the
    job's folders are still to go.
    """

    nodes: Sequence[Node]
    stopping: bool
    sweep: str = ""
    handle: JobHandle | None = None
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    timer: asyncio.TimerHandle | None = None
    preemption: asyncio.TimerHandle | None = None
    over: bool = False

    def cancel_timers(self) -> None:
        for timer in (self.timer, self.preemption):
            if timer:
                timer.cancel()


class ClusterController:
    """Owns the nodes and the queue of one cluster.

    `room` tells how many more nodes the quota allows; `left` is called when a node is gone and has made room.
    """

    def __init__(
        self, state: State, engine: Engine, record: Record, room: Callable[[], int], left: Callable[[], None]
    ) -> None:
        self._state = state
        self._engine = engine
        self._room = room
        self.key = record.key
        self.vm_size: str = record.properties["vmSize"]
        self.vm_priority: str = record.properties["vmPriority"]
        self.engine_name: str = record.internal["engine"]
        self._background = Background(f"cluster {record.key}")
        self._spawn = self._background.spawn
        self.nodes = NodePool(state, engine, record, self._spawn, self.wake, left, self._lost)
        self._scale: dict[str, Any] = record.properties["scaleSettings"]
        self._runs: dict[str, _Run] = {}
        self.queue = Queue()
        self._wake: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._new = record.internal["nextNode"] == 1  # it has yet to get its initial nodes
        self._allocation_state: str = record.properties["allocationState"]  # as its record has it
        self._closing = False

    @property
    def running_jobs(self) -> int:
        return len(self._runs)

    # What others ask for

    def rescale(self, scale_settings: dict[str, Any]) -> None:
        self._scale = scale_settings
        self.wake()

    def enqueue(self, job: Record) -> None:
        properties = job.properties
        # Only a limit that somebody set says how long a job will take: the default is 150 days.
        seconds = job_states.time_limit(job) if job.internal.get("limited") else 0.0
        sweep, most = sweeps.limit_of(job)
        priority, node_count = properties["schedulingPriority"], properties["nodeCount"]
        self.queue.add(job.key, job.seq, priority, node_count, seconds, sweep, most)
        self.wake()

    def dequeue(self, job_key: str) -> None:
        self.queue.remove(job_key)
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
        node.doomed = True
        await self._take_away(node, f"node {node_id} was preempted")

    def _lost(self, node: Node, reason: TaskError) -> None:
        node.doomed = True
        details = " ".join(filter(None, (reason.message, reason.details.get("Info", ""))))
        self._spawn(self._take_away(node, f"node {node.node_id} was lost: {details}"))

    async def _take_away(self, node: Node, reason: str) -> None:
        """Let a node go; a job that has it is queued again, with the reason."""
        if node.job:
            job_key = node.job
            await until_written(lambda: self._requeue(job_key, reason))
            await self.stop(job_key)
        await asyncio.shield(self.nodes.retire(node))

    def _requeue(self, job_key: str, reason: str) -> None:
        log.info("job %s is to run again: %s", job_key, reason)
        job_states.intend(self._state, job_key, job_states.REQUEUE, reason)

    def is_running(self, job_key: str) -> bool:
        return job_key in self._runs

    async def stop(self, job_key: str) -> None:
        """End a running job's processes and wait until it has ended; what it becomes stands in its record."""
        run = self._runs.get(job_key)
        if not run:
            return
        if not run.stopping:
            run.stopping = True
            await self._halt(job_key, run)
        await asyncio.shield(run.ended)

    async def _halt(self, job_key: str, run: _Run) -> None:
        while run.handle and not run.over:
            try:
                await run.handle.stop()
                return
            except Exception as exc:  # a job that is to end must end
                log.error("job %s cannot be stopped: %r; trying again in %s s", job_key, exc, STOP_SECONDS)
                await asyncio.sleep(STOP_SECONDS)

    async def tear_down(self) -> None:
        """Take all nodes away for good. Running jobs end as terminated; queued ones keep waiting."""
        self._closing = True
        await until_written(self._terminate_all)
        await asyncio.gather(*(self.stop(job_key) for job_key in list(self._runs)))
        await asyncio.gather(*(self.nodes.retire(node) for node in self.nodes))

    def _terminate_all(self) -> None:
        with self._state.store.transaction():
            for job_key in self._runs:
                job_states.intend(self._state, job_key, job_states.TERMINATE)

    def close(self) -> None:
        """The service stops: forget everything, end nothing."""
        self._closing = True
        for run in self._runs.values():
            run.cancel_timers()
        self._background.cancel()

    def resume(self, unfinished: list[Record]) -> None:
        """Take up nodes and the cluster's unfinished jobs as an earlier service left them."""
        self.nodes.resume()
        for job in unfinished:
            if job.properties["executionState"] == "queued":
                self.enqueue(job)
            else:
                found = (self.nodes.get(name) for name in job.internal["nodes"])
                self._launch(job, [node for node in found if node], resume=True)
        self.wake()

    def wake(self) -> None:
        """Ask for a pass; several requests in one turn of the loop make one pass."""
        if not self._wake:
            self._wake = asyncio.get_running_loop().call_soon(self._pass)

    # One pass

    def _pass(self) -> None:
        self._wake = None
        if self._closing:
            return
        try:
            self.nodes.save()
            if not parents.under_deletion(self._state, self.key):
                self._give_initial()
                self._shrink()
                self._grow()
                self._start_jobs()
            self._settle()
        except sqlite3.Error as exc:  # a full disk: what runs goes on, new work waits (P9)
            log.error("cluster %s: state cannot be written: %s", self.key, exc)
            self._wake_in(STORE_RETRY_SECONDS)

    def _give_initial(self) -> None:
        if self._new and "autoScale" in self._scale:
            self.nodes.provision([1] * min(self._scale["autoScale"]["initialNodeCount"], self._room()))
        self._new = False

    def _wake_in(self, seconds: float) -> None:
        if self._later:
            self._later.cancel()
        self._later = asyncio.get_running_loop().call_later(seconds, self.wake)

    def _wanted(self) -> int:
        if "manual" in self._scale:  # whatever there is to do
            return wanted_nodes(self._scale, 0)
        busy = sum(node.state == RUNNING for node in self.nodes)
        waiting = self.queue.demand(capacity_of(self._scale), self.running_of_sweeps())
        return wanted_nodes(self._scale, busy + waiting)

    def running_of_sweeps(self) -> Counter[str]:
        """How many jobs run of each sweep that has a limit."""
        return Counter(run.sweep for run in self._runs.values() if run.sweep)

    def _shrink(self) -> None:
        active = self.nodes.active()
        for node in active:
            node.draining = False
        if "manual" in self._scale:
            surplus = len(active) - self._wanted()
            if surplus <= 0:
                return
            active.sort(key=lambda node: (not node.doomed, _RETIREMENT_ORDER.index(node.state)))
            for node in active[:surplus]:
                self._give_up(node, self._scale["manual"]["nodeDeallocationOption"])
            return
        self._shrink_pending(active)
        self._shrink_idle(self.nodes.active())

    def _shrink_pending(self, active: list[Node]) -> None:
        """Give up blocks that were asked for jobs which have gone, or have got other nodes, before they came."""
        usable = sum(node.state != UNUSABLE and not node.doomed for node in active)
        surplus = usable - self._wanted()
        for block in sorted(self.nodes.asked_for_jobs(), key=len, reverse=True):
            if len(block) <= surplus:
                surplus -= len(block)
                for node in block:
                    self.nodes.retire(node)

    def _shrink_idle(self, active: list[Node]) -> None:
        """Take away nodes that had nothing to do for long enough, down to what is wanted."""
        over = len(active) - capacity_of(self._scale)  # so many do not wait: the maximum was lowered
        spare = sorted(
            (node for node in active if node.state in (IDLE, UNUSABLE) and not node.job),
            key=lambda node: (node.state == IDLE, node.since),
        )
        surplus = min(len(active) - self._wanted(), len(spare))
        now, patience = clock.monotonic(), self._engine.node_idle_seconds
        if patience is None:
            patience = self._state.settings.node_idle_seconds
        waits = []
        for index, node in enumerate(spare[: max(surplus, 0)]):
            wait = node.since + patience - now
            if wait > 0 and index >= over:
                waits.append(wait)
            else:
                self.nodes.retire(node)
        if waits:
            self._wake_in(min(waits))

    def _give_up(self, node: Node, option: str) -> None:
        if node.job is None:
            self.nodes.retire(node)
            return
        node.draining = True
        run = self._runs[node.job]
        if option != "waitforjobcompletion" and not run.stopping:
            if option == "requeue":
                self._requeue(node.job, "the cluster was made smaller")
            else:
                job_states.intend(self._state, node.job, job_states.TERMINATE)
            self._spawn(self.stop(node.job))

    def _grow(self) -> None:
        active = self.nodes.active()
        capacity = capacity_of(self._scale)
        missing = capacity - len(active)
        if missing <= 0:
            return
        missing = min(missing, self._room())
        if "manual" in self._scale:
            self.nodes.provision([1] * missing)
            return
        # Unusable nodes are replaced, as far as there may be more nodes.
        usable = [node for node in active if node.state != UNUSABLE]
        free = sum(not node.job for node in usable)
        blocks = self.queue.blocks(free, missing, capacity, self.running_of_sweeps())
        least = min(wanted_nodes(self._scale, 0) - len(usable), missing) - sum(blocks)
        self.nodes.provision(blocks, for_jobs=True)
        self.nodes.provision([1] * least)

    def _start_jobs(self) -> None:
        if not self.queue:
            return
        idle = {
            node.node_id: node for node in self.nodes if node.state == IDLE and not node.doomed
        }
        startable = self.queue.startable(len(idle), capacity_of(self._scale), self.running_of_sweeps())
        if len(startable) > STARTS_AT_ONCE:
            self.wake()
        for queued in startable[:STARTS_AT_ONCE]:
            lasting = (node for node in idle.values() if node.lasts(queued.seconds))
            nodes = list(islice(lasting, queued.node_count))
            if len(nodes) < queued.node_count:
                return
            for node in nodes:
                del idle[node.node_id]
            job = job_states.mark_running(self._state, queued.key, [node.node_id for node in nodes])
            self.queue.remove(queued.key)
            if job:
                self._launch(job, nodes, resume=False)

    def _settle(self) -> None:
        """Say `steady` once the wanted nodes are allocated, `resizing` before (wire.md 3.1)."""
        moving = any(node.state in (ALLOCATING, LEAVING) or node.draining for node in self.nodes)
        allocation_state = "resizing" if moving else "steady"
        if self._allocation_state != allocation_state:
            record = self._state.store.get(self.key)
            assert record
            record.properties["allocationState"] = allocation_state
            record.properties["allocationStateTransitionTime"] = wire_now()
            with self._state.store.transaction(durable=False):
                self._state.store.update(record, touch=False)
            self._allocation_state = allocation_state

    # Jobs

    def _launch(self, job: Record, nodes: Sequence[Node], resume: bool) -> None:
        stopping = bool(job.internal.get("intent"))  # an earlier service was about to stop it
        run = _Run(nodes, stopping, sweeps.limit_of(job)[0])
        self._runs[job.key] = run
        for node in nodes:
            self.nodes.occupy(node, job.key)
        loop = asyncio.get_running_loop()
        remaining = job_states.remaining_seconds(job)
        run.timer = loop.call_later(remaining, lambda: self._spawn(self._time_out(job.key, run)))
        if self.vm_priority == "lowpriority":
            patience = self._state.settings.low_priority_seconds - job_states.elapsed_seconds(job)
            run.preemption = loop.call_later(patience, self._preempt_all, job.key)
        self._spawn(self._run(job, run, resume))

    async def _time_out(self, job_key: str, run: _Run) -> None:
        def intend() -> None:
            if self._runs.get(job_key) is run:  # not a later job of the same name
                job_states.intend(self._state, job_key, job_states.TIME_OUT)

        await until_written(intend)
        if self._runs.get(job_key) is run:
            await self.stop(job_key)

    def _preempt_all(self, job_key: str) -> None:
        """A job that has run on low-priority nodes for a day loses them (the article: over 24 hours)."""
        run = self._runs.get(job_key)
        for node in run.nodes if run else ():
            if node.state != LEAVING:
                self._spawn(self.preempt(node.node_id))

    async def _run(self, job: Record, run: _Run, resume: bool) -> None:
        """From a job that has its nodes to one that has ended and left them."""
        outcome = await self._outcome(job, run, resume)
        run.over = True
        run.cancel_timers()
        finished = await until_written(lambda: job_states.finish(self._state, job.key, outcome))
        if run.handle:
            try:
                await run.handle.clean_up()
            except Exception:  # the outcome stands: what is left lies in the node's folder and goes with it
                log.exception("what job %s left could not be removed", job.key)
        if self._runs.get(job.key) is run:  # else a later job of the same name has begun meanwhile
            del self._runs[job.key]
        for node in run.nodes:
            self.nodes.vacate(node)
        if finished and finished.properties["executionState"] == "queued":
            current = self._state.store.get(job.key)  # it may have been terminated since
            if current and current.properties["executionState"] == "queued":
                self.enqueue(current)
        run.ended.set_result(None)
        self.wake()

    async def _outcome(self, job: Record, run: _Run, resume: bool) -> JobOutcome:
        try:
            for node in run.nodes:
                if node.bring_up:
                    await asyncio.wait([node.bring_up])
            run.handle = self._engine.job(await self._plan(job, run, resume))
            if run.stopping:
                await self._halt(job.key, run)
            return await run.handle.run(resume)
        except NodeFault as exc:
            await self._blame(job.key, exc)
            return JobOutcome(None, exc)
        except MachineRestarted as exc:
            if self._runs_again(job):
                await until_written(lambda: self._requeue(job.key, "its machine was started anew while it ran"))
            return JobOutcome(None, exc)
        except TaskError as exc:
            return JobOutcome(None, exc)
        except Exception as exc:
            log.exception("job %s could not be run", job.key)
            return JobOutcome(None, TaskError("InternalError", "The job could not be run", {"Info": repr(exc)}))

    async def _plan(self, job: Record, run: _Run, resume: bool) -> JobPlan:
        """The job bound to the nodes it has: their addresses, and ports that are free on them."""
        ports = job.internal.get("ports", [])
        count = ports_needed(job.properties)
        if len(ports) < count:
            ports = await self._engine.free_ports(job.internal["nodes"], count)
            await until_written(lambda: job_states.note_ports(self._state, job.key, ports))
        return job_plans.plan_of(self._state, job, [node.address for node in run.nodes], ports, resume)

    def _runs_again(self, job: Record) -> bool:
        """Whether a job that was lost with its machine is queued again: it says so itself, or the service's setting."""
        wish = job_states.requeue_on_reboot(job)
        return self._state.settings.requeue_on_reboot if wish is None else wish

    async def _blame(self, job_key: str, fault: NodeFault) -> None:
        """The node is to blame, not the job: nothing is started there any more, and the job runs elsewhere."""
        node = self.nodes.get(fault.node_id)
        if node:
            self.nodes.became_unusable(node, fault)
        reason = f"node {fault.node_id} could not run it: {fault.message}"
        await until_written(lambda: self._requeue(job_key, reason))

"""An engine without machines: nodes are entries of a table and jobs wait until the test ends them.

A `World` is what outlives a service: the nodes that were given, the jobs that run. Another `MemoryEngine` over the same
world is what a restarted service finds.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from azext_batchai.service.engine.base import (
    Allocation,
    Endpoint,
    Engine,
    FileEntry,
    Files,
    JobHandle,
    JobOutcome,
    JobPlan,
    NodeFault,
    NodeSetup,
    NodeSpec,
    TaskError,
    Volume,
)


@dataclass
class Run:
    """One attempt of a job."""

    plan: JobPlan
    outcome: JobOutcome | TaskError | None = None
    resumed: list[bool] = field(default_factory=list)  # how each service called it
    stops: int = 0  # how often it was told to end
    cleaned: bool = False


@dataclass
class World:
    """What there is outside of the service, and how it behaves.

    `automatic` has the things that happen by themselves: allocate, prepare, stop, clean, release. The others wait for
    `MemoryEngine.decide`. `faults` are raised by the call of that name, once.
    """

    automatic: set[str] = field(default_factory=lambda: {"allocate", "prepare", "stop", "clean", "release", "ports"})
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    blocks: list[tuple[str, ...]] = field(default_factory=list)  # as they were asked for
    expires: float | None = None  # of the nodes that are given from now on
    prepared: list[tuple[str, NodeSetup]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)  # by job and attempt
    started: list[str] = field(default_factory=list)  # jobs, in the order in which they were started
    reasons: dict[str, str | TaskError] = field(default_factory=dict)  # why nodes are pending
    port: int = 20000
    endpoints: bool = True  # whether one can log in to nodes
    error_for_gone: bool = True  # how a resumed engine tells that a node is gone: an error, or as lost

    def fault(self, call: str, *errors: Exception) -> None:
        self.faults.setdefault(call, []).extend(errors)

    def of_job(self, name: str) -> Run:
        """The latest attempt of a job, by its name."""
        return [run for run in self.runs.values() if run.plan.name == name][-1]

    def outcome_of(self, run: Run) -> JobOutcome:
        """How a run ends that nobody has decided about."""
        return JobOutcome(143 if run.stops else 0)

    def forget_runs(self) -> None:
        """The machine was started anew: what ran is gone."""
        for run in self.runs.values():
            if run.outcome is None:
                run.outcome = TaskError("NodeLost", "The machine was started anew")


class MemoryFiles:
    """See `engine.base.Files`."""

    def __init__(self) -> None:
        self.content: dict[tuple[Volume, str], bytes] = {}

    async def entries(self, volume: Volume, directory: str, after: str, limit: int) -> list[FileEntry]:
        if ".." in directory.split("/"):
            raise ValueError("it leads out of the volume")
        prefix = "" if directory in ("", ".") else f"{directory}/"
        paths = sorted(path for where, path in self.content if where == volume)
        names = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
        found = [FileEntry(name, False, len(self.content[volume, prefix + name])) for name in names if name > after]
        return found[:limit]

    async def open(self, volume: Volume, path: str) -> BinaryIO:
        if (volume, path) not in self.content:
            raise FileNotFoundError(path)
        return io.BytesIO(self.content[volume, path])


class MemoryEngine:
    """See `engine.base.Engine`."""

    def __init__(self, world: World, gpus: int | None = 0) -> None:
        self.world = world
        self._gpus = gpus
        self._files = MemoryFiles()
        self._waiting: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._lost: dict[str, asyncio.Future[TaskError]] = {}
        self._watched: dict[str, asyncio.Future[JobOutcome]] = {}
        self._known: set[str] = set()  # nodes that this engine gave or took up
        self.interrupted: list[str] = []
        self.tidied: list[str] = []
        self.asked_to_prepare: list[tuple[str, bool]] = []
        self.watched: list[str] = []  # nodes whose loss somebody waits for

    @property
    def files(self) -> Files:
        return self._files

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def gpu_count(self) -> int | None:
        return self._gpus

    # What the test decides

    def waits(self, call: str) -> list[str]:
        """For which nodes or jobs this call waits."""
        return [name for waiting, name in self._waiting if waiting == call]

    def decide(self, call: str, name: str, error: Exception | None = None) -> None:
        """Let a call that waits return, or raise."""
        future = self._waiting.pop((call, name))
        if error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def end(self, job: str, exit_code: int = 0, error: TaskError | None = None) -> None:
        """End the latest attempt of a job by itself."""
        self._finish(self.world.of_job(job), JobOutcome(exit_code, error))

    def fail(self, job: str, error: TaskError) -> None:
        """Have the run of a job raise."""
        self._finish(self.world.of_job(job), error)

    def lose(self, node_id: str, why: str = "the power is gone") -> None:
        """A node is gone, and what ran there with it."""
        self.world.nodes.pop(node_id)
        if not self._lost[node_id].done():  # nobody waits for it any more
            self._lost[node_id].set_result(TaskError("NodeLost", "The node is gone", {"Info": why}))

    def _finish(self, run: Run, outcome: JobOutcome | TaskError) -> None:
        run.outcome = outcome
        future = self._watched.get(_run_key(run.plan))
        if future and not future.done():
            if isinstance(outcome, TaskError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _pause(self, call: str, name: str) -> None:
        """A step of a call: it may fail, or wait for the test; in any case others have their turn meanwhile."""
        await asyncio.sleep(0)
        errors = self.world.faults.get(call)
        if errors:
            raise errors.pop(0)
        if call not in self.world.automatic:
            future = asyncio.get_running_loop().create_future()
            self._waiting[call, name] = future
            try:
                await future
            finally:
                self._waiting.pop((call, name), None)

    # Nodes

    async def allocate(self, block: Sequence[NodeSpec], resume: bool) -> Sequence[Allocation | TaskError]:
        names = tuple(spec.node_id for spec in block)
        await asyncio.sleep(0)
        if not resume:
            self.world.blocks.append(names)
        for spec in block:
            if spec.node_id not in self.world.nodes and not spec.held:
                await self._pause("allocate", spec.node_id)
        given: list[Allocation | TaskError] = []
        for spec in block:
            gone = spec.held and spec.node_id not in self.world.nodes
            if gone and self.world.error_for_gone:
                given.append(TaskError("NodeLost", "The node is gone"))
                continue
            if not gone:
                self.world.nodes[spec.node_id] = spec
                self._known.add(spec.node_id)
            held: Mapping[str, Any] = spec.held or {"number": spec.number, "expires": self.world.expires}
            given.append(
                Allocation(
                    address=f"10.0.0.{held['number']}",
                    host="memory",
                    endpoint=Endpoint("127.0.0.1", 1000 + held["number"]) if self.world.endpoints else None,
                    gpus=spec.gpus,
                    expires=held["expires"],
                    held=held,
                )
            )
        return given

    @property
    def node_idle_seconds(self) -> float | None:
        return None

    @property
    def not_supported(self) -> Collection[str]:
        return ()

    def pending_reason(self, node_id: str) -> str | TaskError:
        return self.world.reasons.get(node_id, "")

    async def prepare(self, node_id: str, setup: NodeSetup, resume: bool) -> None:
        self.asked_to_prepare.append((node_id, resume))
        if resume and any(node_id == ready for ready, _ in self.world.prepared):
            return  # it is found to be ready
        await self._pause("prepare", node_id)
        self.world.prepared.append((node_id, setup))

    async def tidy(self, node_id: str) -> None:
        self.tidied.append(node_id)

    async def interrupt(self, node_id: str) -> None:
        self.interrupted.append(node_id)
        await asyncio.sleep(0)
        for call in ("allocate", "prepare"):
            if (call, node_id) in self._waiting:
                self.decide(call, node_id, TaskError("Interrupted", "It was not to be"))

    async def release(self, node_id: str) -> None:
        await self._pause("release", node_id)
        self.world.nodes.pop(node_id, None)

    async def lost(self, node_id: str) -> TaskError:
        self._lost[node_id] = asyncio.get_running_loop().create_future()
        if node_id not in self.world.nodes:
            return TaskError("NodeLost", "The node is gone")
        self.watched.append(node_id)
        try:
            return await self._lost[node_id]
        finally:
            self.watched.remove(node_id)

    async def free_ports(self, node_ids: Sequence[str], count: int) -> list[int]:
        await self._pause("ports", node_ids[0])
        self.world.port += count
        return list(range(self.world.port - count, self.world.port))

    # Jobs

    def job(self, plan: JobPlan) -> JobHandle:
        for node_id in plan.node_ids:
            if node_id not in self.world.nodes or node_id not in self._known:
                raise NodeFault(node_id, "NodeLost", "The job's node does not exist any more")
        return _MemoryJob(self, plan)


class _MemoryJob:
    """See `engine.base.JobHandle`."""

    def __init__(self, engine: MemoryEngine, plan: JobPlan) -> None:
        self._engine = engine
        self._plan = plan
        self._stopped = False

    async def run(self, resume: bool) -> JobOutcome:
        await asyncio.sleep(0)
        world, key = self._engine.world, _run_key(self._plan)
        if key not in world.runs:
            if self._stopped:
                return JobOutcome(None)
            world.runs[key] = Run(self._plan)
            world.started.append(self._plan.name)
        elif not resume:
            raise AssertionError(f"{key} is started a second time")
        run = world.runs[key]
        run.resumed.append(resume)
        if run.outcome is None:
            future: asyncio.Future[JobOutcome] = asyncio.get_running_loop().create_future()
            self._engine._watched[key] = future
            if self._stopped:
                await self.stop()
            return await future
        if isinstance(run.outcome, TaskError):
            raise run.outcome
        return run.outcome

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.sleep(0)
        errors = self._engine.world.faults.get("stop")
        if errors:
            raise errors.pop(0)
        run = self._engine.world.runs.get(_run_key(self._plan))
        if run:
            run.stops += 1
            if run.outcome is None and "stop" in self._engine.world.automatic:
                self._engine._finish(run, JobOutcome(143))

    async def clean_up(self) -> None:
        await self._engine._pause("clean", self._plan.name)
        run = self._engine.world.runs.get(_run_key(self._plan))
        if run:
            run.cleaned = True


def _run_key(plan: JobPlan) -> str:
    return f"{plan.job_key}#{plan.attempt}"


def _is_an_engine(engine: MemoryEngine) -> Engine:
    """For the type checker."""
    return engine

"""All clusters of a service: the only place that makes a controller, and what they share (quotas, wake-ups)."""

from __future__ import annotations

from collections.abc import Iterator

from azext_batchai.service.background import Background, until_written
from azext_batchai.service.control import node_times
from azext_batchai.service.control.controller import ClusterController
from azext_batchai.service.engine.engines import Engines
from azext_batchai.service.model import job_states, vm_sizes
from azext_batchai.service.state import State
from azext_batchai.service.store import Record


class Fleet:
    """The controllers of all clusters, by the keys of their records."""

    def __init__(self, state: State, engines: Engines) -> None:
        self._state = state
        self._engines = engines
        self._controllers: dict[str, ClusterController] = {}
        self._background = Background("fleet")

    def __iter__(self) -> Iterator[ClusterController]:
        return iter(list(self._controllers.values()))

    def __len__(self) -> int:
        return len(self._controllers)

    def get(self, cluster_key: str) -> ClusterController | None:
        """None where the cluster is gone."""
        return self._controllers.get(cluster_key)

    def create(self, record: Record) -> None:
        """Give a new cluster its nodes; jobs that were left by an earlier one of its name run on it."""
        controller = self._open(record)
        controller.wake()
        for job in self._unfinished().get(record.key, ()):
            controller.enqueue(job)

    def _open(self, record: Record) -> ClusterController:
        size, priority = record.properties["vmSize"], record.properties["vmPriority"]
        controller = ClusterController(
            self._state, self._engines.of(record), record, lambda: self.room(size, priority), self.wake
        )
        self._controllers[record.key] = controller
        return controller

    def room(self, vm_size: str, vm_priority: str) -> int:
        """How many more nodes of this kind the quota allows: a short quota gives fewer nodes (wire.md 7)."""
        used = 0
        for controller in self._controllers.values():
            if controller.vm_priority == vm_priority:
                used += len(controller.nodes) * vm_sizes.vcpus_of(controller.vm_size)
        return max(self._state.settings.vcpu_quota - used, 0) // vm_sizes.vcpus_of(vm_size)

    def wake(self) -> None:
        """A node is gone: its cluster has to look again, and any that has waited for the quota."""
        for controller in self._controllers.values():
            controller.wake()

    def resume(self) -> None:
        """Take up clusters, nodes and jobs as an earlier service left them."""
        node_times.take_up(self._state.store)
        unfinished = self._unfinished()
        for cluster in self._state.store.all_of("cluster"):
            self._open(cluster).resume(unfinished.get(cluster.key, []))
        for jobs in unfinished.values():
            for job in jobs:
                operation = job.internal.get("terminating", "")
                if self._state.operations.reopen(operation):
                    self.finish_terminating(job, operation)

    def _unfinished(self) -> dict[str, list[Record]]:
        """The jobs that have not ended, by the keys of their clusters."""
        unfinished: dict[str, list[Record]] = {}
        for job in self._state.store.active("job"):
            if job.properties["executionState"] not in job_states.ENDED:
                unfinished.setdefault(job.internal["cluster"], []).append(job)
        return unfinished

    def enqueue(self, job: Record) -> None:
        """A new job waits for the nodes of its cluster."""
        self._controllers[job.internal["cluster"]].enqueue(job)

    def finish_terminating(self, job: Record, operation: str) -> None:
        """Carry out a termination that has been acknowledged."""
        self._background.spawn(
            self._state.operations.carry_out(operation, self.end_job(job), f"Terminating {job.name}")
        )

    def terminate(self, job: Record) -> bool:
        """Begin to end a job, in the transaction that acknowledges it; True where that takes time (`end_job`).

        When the transaction is over a job that waited has to leave its queue (`dequeue`).
        """
        state = job.properties["executionState"]
        controller = self._controllers.get(job.internal["cluster"])
        running = bool(controller and controller.is_running(job.key) and state != "queued")
        if running:
            job_states.intend(self._state, job.key, job_states.TERMINATE)
        elif state not in job_states.ENDED:
            job_states.terminate_queued(self._state, job.key)
        return running

    def dequeue(self, job: Record) -> None:
        """The job does not wait for nodes any more."""
        controller = self._controllers.get(job.internal["cluster"])
        if controller:
            controller.dequeue(job.key)

    async def end_job(self, job: Record) -> None:
        """End a job and wait until nothing of it is left on its nodes."""
        await until_written(lambda: self._end(job.key))
        self.dequeue(job)
        controller = self._controllers.get(job.internal["cluster"])
        if controller:
            await controller.stop(job.key)

    def _end(self, job_key: str) -> None:
        job = self._state.store.get(job_key)
        if job:
            self.terminate(job)

    async def tear_down(self, cluster: Record) -> None:
        """Take away a cluster's nodes and its controller."""
        controller = self._controllers.get(cluster.key)
        if controller:
            await controller.tear_down()
            self._controllers.pop(cluster.key, None)

    def close(self) -> None:
        """The service stops: forget everything, end nothing."""
        self._background.cancel()
        for controller in self._controllers.values():
            controller.close()
        node_times.write(self._state.store)

"""The local engine: nodes are folders, jobs are processes on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from azext_batchai.service.engine.base import Allocation, JobOutcome, JobPlan, Login, NodeSpec, TaskError
from azext_batchai.service.engine.local import node_ssh
from azext_batchai.service.engine.local.environment import find_gpus, node_environment
from azext_batchai.service.engine.local.job import LocalJob
from azext_batchai.service.engine.local.node import LocalNode, open_endpoint
from azext_batchai.service.engine.local.ssh_server import SshEndpoint
from azext_batchai.service.engine.local.tasks import Launcher
from azext_batchai.service.engine.local.view import View, find_bubblewrap
from azext_batchai.service.settings import Settings


class LocalEngine:
    """See `engine.base.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._launcher = Launcher()
        self._once = asyncio.Lock()  # for what the first node finds out for all
        self._bubblewrap: str | None = None
        self._node_key = settings.home / "node_key"
        self._nodes: dict[str, LocalNode] = {}
        self._jobs: dict[str, LocalJob] = {}
        self._free_gpus = find_gpus()
        self._gpu_count = len(self._free_gpus)
        self._stopping: set[str] = set()  # a stop may come before its job has got so far
        self._file_servers: dict[str, SshEndpoint] = {}

    async def start(self) -> None:
        (self._settings.home / "nodes").mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        endpoints = [node.close() for node in self._nodes.values()]
        endpoints += [endpoint.close() for endpoint in self._file_servers.values()]
        await asyncio.gather(*endpoints)
        await self._launcher.close()

    def gpu_count(self) -> int:
        return self._gpu_count

    async def allocate(self, spec: NodeSpec) -> Allocation:
        gpus = self._deal_gpus(spec)
        inner_key = await node_ssh.provide_key(self._node_key)
        async with self._once:
            if self._bubblewrap is None:
                self._bubblewrap = await find_bubblewrap()
        root = self._settings.home / "nodes" / spec.node_id
        login = replace(spec.login, public_keys=(*spec.login.public_keys, inner_key))
        node = LocalNode(
            replace(spec, login=login, gpus_held=gpus),
            View(root, self._bubblewrap),
            self._launcher,
            self._settings.kill_grace_seconds,
        )
        try:
            port = await node.open()
        except OSError:
            self._free_gpus += gpus
            raise
        self._nodes[spec.node_id] = node
        return Allocation(port, gpus)

    def _deal_gpus(self, spec: NodeSpec) -> tuple[int, ...]:
        """What the node held before, as far as it is still there, else as many free ones as its size promises."""
        if spec.gpus_held:
            taken = [number for number in spec.gpus_held if number in self._free_gpus]
        else:
            taken = self._free_gpus[: spec.gpus_promised]
        self._free_gpus = [number for number in self._free_gpus if number not in taken]
        return tuple(taken)

    async def prepare(self, spec: NodeSpec, resume: bool) -> None:
        await self._nodes[spec.node_id].prepare(spec, resume)

    async def interrupt(self, node_id: str) -> None:
        node = self._nodes.get(node_id)
        if node:
            await node.interrupt()

    async def release(self, node_id: str) -> None:
        node = self._nodes.pop(node_id, None)
        if node:
            await node.remove()
            self._free_gpus = sorted([*self._free_gpus, *node.spec.gpus_held])

    async def run_job(self, plan: JobPlan, resume: bool) -> JobOutcome:
        nodes = [self._nodes[node_id] for node_id in plan.node_ids if node_id in self._nodes]
        if len(nodes) != len(plan.node_ids):
            raise TaskError("NodeLost", "The job's node does not exist any more")
        job = LocalJob(plan, nodes, self._launcher, self._settings.kill_grace_seconds, self._node_key)
        self._jobs[plan.job_key] = job
        try:
            if plan.job_key in self._stopping:
                await job.stop()
            return await job.run(resume)
        finally:
            del self._jobs[plan.job_key]
            self._stopping.discard(plan.job_key)

    async def stop_job(self, job_key: str) -> None:
        self._stopping.add(job_key)
        job = self._jobs.get(job_key)
        if job:
            await job.stop()

    async def open_file_server(self, key: str, folder: str, login: Login, port: int) -> int:
        data = Path(folder)
        data.mkdir(parents=True, exist_ok=True)
        environment = node_environment(data.parent, "fileserver")
        endpoint = await open_endpoint(key, View(data.parent), data, login, environment, port)
        self._file_servers[key] = endpoint
        return endpoint.port

    async def close_file_server(self, key: str) -> None:
        endpoint = self._file_servers.pop(key, None)
        if endpoint:
            await endpoint.close()

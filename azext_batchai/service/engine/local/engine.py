"""The local engine: nodes are folders, jobs are processes on this machine."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from azext_batchai.service.engine.base import (
    Allocation,
    Endpoint,
    JobHandle,
    JobPlan,
    Login,
    NodeFault,
    NodeSetup,
    NodeSpec,
    TaskError,
)
from azext_batchai.service.engine.job_run import JobRun
from azext_batchai.service.engine.local import node_ssh
from azext_batchai.service.engine.local.environment import find_gpus
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.engine.local.host import LocalHost
from azext_batchai.service.engine.local.job_site import LocalSite
from azext_batchai.service.engine.local.node import LocalNode
from azext_batchai.service.engine.local.view import View, find_bubblewrap
from azext_batchai.service.settings import Settings


class LocalEngine:
    """See `engine.base.Engine`."""

    node_idle_seconds = None
    not_supported: frozenset[str] = frozenset()

    def __init__(self, settings: Settings, files: FolderFiles) -> None:
        self.files = files
        self._settings = settings
        self._host = LocalHost()
        self._once = asyncio.Lock()  # for what the first node finds out for all
        self._bubblewrap: str | None = None
        self._node_key = settings.home / "node_key"
        self._nodes: dict[str, LocalNode] = {}
        self._free_gpus = find_gpus()
        self._gpu_count = len(self._free_gpus)

    async def start(self) -> None:
        (self._settings.home / "nodes").mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await self._host.close()

    def gpu_count(self) -> int:
        return self._gpu_count

    # Nodes

    async def allocate(self, block: Sequence[NodeSpec], resume: bool) -> Sequence[Allocation | TaskError]:
        given: list[Allocation | TaskError] = []
        await self._host.warm_up()
        for spec in block:
            try:
                given.append(await self._open(spec))
            except (OSError, ValueError) as exc:  # a key that cannot be read is a ValueError
                reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
                failed = TaskError("NodeAllocationFailed", "The node could not be set up", {"Info": reason})
                if not resume:
                    await asyncio.gather(*(self.release(spec.node_id) for spec in block))
                    raise failed from None
                given.append(failed)
        return given

    async def _open(self, spec: NodeSpec) -> Allocation:
        node = self._node(spec, self._deal_gpus(spec), self._bubblewrap or "")
        self._nodes[spec.node_id] = node  # before it can fail: a job that runs there is found by it
        inner_key = await node_ssh.provide_key(self._node_key)
        async with self._once:
            if self._bubblewrap is None:
                self._bubblewrap = await find_bubblewrap()
        login = replace(spec.login, public_keys=(*spec.login.public_keys, inner_key))
        node = self._node(replace(spec, login=login), node.gpus, self._bubblewrap)
        self._nodes[spec.node_id] = node
        if spec.held and not node.is_there():
            raise OSError("The node's folder is gone")
        port = await node.open(spec.held.get("port", 0))
        return Allocation(
            address=loopback_address(spec.number),
            host=socket.gethostname(),
            endpoint=Endpoint("127.0.0.1", port),
            gpus=len(node.gpus),
            held={"port": port, "gpus": list(node.gpus)},
        )

    def _node(self, spec: NodeSpec, gpus: tuple[int, ...], bubblewrap: str) -> LocalNode:
        view = View(self._settings.home / "nodes" / spec.node_id, bubblewrap)
        return LocalNode(spec, gpus, view, self._host, self.files, self._settings.kill_grace_seconds)

    def _deal_gpus(self, spec: NodeSpec) -> tuple[int, ...]:
        """What the node held before, as far as it is still there, else as many free ones as its size promises."""
        if "gpus" in spec.held:
            taken = [number for number in spec.held["gpus"] if number in self._free_gpus]
        else:
            taken = self._free_gpus[: spec.gpus]
        self._free_gpus = [number for number in self._free_gpus if number not in taken]
        return tuple(taken)

    def pending_reason(self, node_id: str) -> str | TaskError:
        return ""  # nobody waits for a node of this machine

    async def prepare(self, node_id: str, setup: NodeSetup, resume: bool) -> None:
        await self._nodes[node_id].prepare(setup, resume)

    async def tidy(self, node_id: str) -> None:
        await self._nodes[node_id].sweep()

    async def interrupt(self, node_id: str) -> None:
        node = self._nodes.get(node_id)
        if node:
            await node.interrupt()

    async def release(self, node_id: str) -> None:
        node = self._nodes.pop(node_id, None)
        if not node:  # it was leaving already when this service started
            node = self._node(NodeSpec(node_id, 0, "", "", False, Login("", (), None)), (), "")
        await node.remove()
        self._free_gpus = sorted([*self._free_gpus, *node.gpus])

    def left(self) -> list[str]:
        """The nodes that have a folder, of this engine or another."""
        nodes = self._settings.home / "nodes"
        return [folder.name for folder in nodes.iterdir()] if nodes.is_dir() else []

    async def lost(self, node_id: str) -> TaskError:
        never: asyncio.Future[TaskError] = asyncio.get_running_loop().create_future()
        return await never  # a node of this machine goes with the machine

    async def free_ports(self, node_ids: Sequence[str], count: int) -> list[int]:
        """They lie below the range from which the system gives ports to outgoing connections: one of those could take
        a port before the job's process does."""
        found: list[int] = []
        candidates = range(10000, _first_ephemeral_port())
        for port in random.sample(candidates, len(candidates)):
            if len(found) == count:
                return found
            with socket.socket() as probe:
                try:
                    probe.bind(("", port))
                except OSError:
                    continue
            found.append(port)
        raise TaskError("NoFreePorts", "There are not enough free ports for the job's processes")

    # Jobs

    def job(self, plan: JobPlan) -> JobHandle:
        nodes = []
        for node_id in plan.node_ids:
            node = self._nodes.get(node_id)
            if not node:
                raise NodeFault(node_id, "NodeLost", "The job's node does not exist any more")
            nodes.append(node)
        return JobRun(plan, LocalSite(plan, nodes, self._settings.kill_grace_seconds, self._node_key))


def loopback_address(number: int) -> str:
    """A loopback address for the machine's node `number`: nodes are told apart by it, as by an IP address in Azure."""
    number = 4 + number % (1 << 22)  # in Azure the first node of a subnet is .4
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _first_ephemeral_port() -> int:
    try:
        return max(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]), 11000)
    except OSError:
        return 32768

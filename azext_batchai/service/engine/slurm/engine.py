"""The Slurm engine: nodes are allocations of an existing Slurm, jobs are tasks of the agents in them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from azext_batchai.service import clock
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
from azext_batchai.service.engine.local.engine import loopback_address
from azext_batchai.service.engine.local.environment import node_environment
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.engine.local.job_site import LocalSite
from azext_batchai.service.engine.local.node import LocalNode
from azext_batchai.service.engine.local.ssh_far import FarNode
from azext_batchai.service.engine.local.view import View
from azext_batchai.service.engine.slurm import commands, programs
from azext_batchai.service.engine.slurm.block import Block, name_of
from azext_batchai.service.engine.slurm.containers import containers_of
from azext_batchai.service.engine.slurm.host import Greeting, SlurmHost
from azext_batchai.service.engine.slurm.job import SlurmJob
from azext_batchai.service.engine.slurm.options import options_of
from azext_batchai.service.engine.slurm.profile import Profile, ProfileError
from azext_batchai.service.engine.slurm.queue import SlurmQueue
from azext_batchai.service.engine.slurm.rank_pipes import SlurmPipes, Station
from azext_batchai.service.settings import Settings

_FRESH_SECONDS = 60.0  # a job that starts so soon after its nodes has had all the time that there is
_SETTLE_SECONDS = 2.0  # for a job to be taken up, or to end, whose node is lost
_REMOVAL_SECONDS = 10.0


class SlurmEngine:
    """See `engine.base.Engine`. `profile` reads the profile as it is today; it raises ProfileError."""

    not_supported = frozenset({"unmanagedFileSystems", "subnet"})

    def __init__(
        self, settings: Settings, files: FolderFiles, queue: SlurmQueue, profile: Callable[[], Profile]
    ) -> None:
        self.files = files
        self._settings = settings
        self._queue = queue
        self._profile = profile
        self._root = settings.home / "slurm"
        self._node_key = settings.home / "node_key"
        self._blocks: dict[str, Block] = {}  # by the ids of their nodes
        self._nodes: dict[str, LocalNode] = {}
        self._hosts: dict[str, SlurmHost] = {}
        self._stations: dict[str, Station] = {}
        self._begun: dict[str, float] = {}  # when a node was given, where this service has seen it
        self._runs: list[SlurmJob] = []
        self._installed: Path | None = None

    @property
    def node_idle_seconds(self) -> float | None:
        try:
            return self._profile().node_idle_seconds
        except ProfileError:
            return None

    def _programs(self) -> Path:
        """Where nodes find what they run; looked for again where somebody has removed it."""
        if not self._installed or not self._installed.is_dir():
            self._installed = programs.install(self._root)
        return self._installed

    async def start(self) -> None:
        pass  # nothing costs anything before a cluster wants it

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await asyncio.gather(*(block.let_go() for block in set(self._blocks.values())))

    def gpu_count(self) -> int | None:
        return None

    # Nodes

    async def allocate(self, block: Sequence[NodeSpec], resume: bool) -> Sequence[Allocation | TaskError]:
        held = [spec for spec in block if spec.held]
        name = held[0].held["block"] if held else name_of(block[0].node_id)
        one = Block(self._root / "blocks" / name, self._programs(), self._queue)
        for spec in block:
            self._blocks[spec.node_id] = one
        if held:
            one.adopt(held[0].held["job"])
        else:
            await self._ask_for(one, block, resume)
        inner_key = await node_ssh.provide_key(self._node_key)
        given: list[Allocation | TaskError] = []
        for spec in block:
            try:
                given.append(await self._open(one, spec, inner_key))
            except OSError as exc:
                reason = exc.strerror or str(exc)
                given.append(TaskError("NodeAllocationFailed", "The node could not be set up", {"Info": reason}))
        return given

    async def _ask_for(self, one: Block, block: Sequence[NodeSpec], resume: bool) -> None:
        if not one.node_ids:
            one.make([spec.node_id for spec in block])
        try:
            profile = self._profile()
        except ProfileError as exc:
            raise TaskError("NodeAllocationFailed", "The engine's profile cannot be used", {"Info": str(exc)}) from None
        options = options_of(profile, block[0])
        await one.wait(options, profile.prologue, profile.python, profile.interface, resume)
        one.hold()
        now = clock.monotonic()
        self._begun.update({spec.node_id: now for spec in block})

    async def _open(self, block: Block, spec: NodeSpec, inner_key: str) -> Allocation:
        number = block.node_ids.index(spec.node_id) if spec.node_id in block.node_ids else -1
        greeting = block.greetings.get(number) or _unknown(spec)
        host = block.hosts.get(number)
        if not host:  # its block's folder is gone: nothing is known of it but that it was
            host = SlurmHost((), lambda: None)
            host.lose(TaskError("NodeLost", "The node's folder is gone"))
        same_machine = greeting.machine == _own_machine()
        configuration = greeting.environment.get("SLURM_CONF")  # a node's own processes are not told of it
        enter = ["/usr/bin/env", f"SLURM_CONF={configuration}"] if configuration else []
        enter += commands.step(block.job, greeting.host)
        session = str(self._programs() / "session.py")
        far = FarNode(
            tuple(enter),
            lambda spec: [
                *(sys.executable, "-I", "-S", session, "here"),
                *(*enter, greeting.python, "-B", session, "there"),
                base64.b64encode(json.dumps(spec).encode()).decode(),
            ],
            greeting.sftp_server,
        )
        login = replace(spec.login, public_keys=(*spec.login.public_keys, inner_key))
        devices = greeting.environment.get("CUDA_VISIBLE_DEVICES", "")
        gpus = tuple(range(len([device for device in devices.split(",") if device])))
        node = LocalNode(
            replace(spec, login=login),
            gpus,
            View(self._settings.home / "nodes" / spec.node_id),
            host,
            self.files,
            self._settings.kill_grace_seconds,
        )
        environment = node_environment(node.root, spec.node_id, gpus, {**os.environ, **greeting.environment})
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = environment["NVIDIA_VISIBLE_DEVICES"] = devices
        node.place_on(
            environment,
            "lo" if same_machine else greeting.interface,
            None if same_machine else far,
            greeting.local if greeting.socket else None,
        )
        self._nodes[spec.node_id], self._hosts[spec.node_id] = node, host
        step, machine = tuple(enter), dict(greeting.environment)
        node.containers = lambda: containers_of(self._containers(), host, step, machine, self._root / "images")
        own_address = "127.0.0.1" if same_machine else greeting.address
        self._stations[spec.node_id] = Station(host, greeting, own_address)
        port = await node.open(spec.held.get("port", 0))
        return Allocation(
            address=loopback_address(spec.number) if same_machine else greeting.address,
            host=greeting.host,
            endpoint=Endpoint("127.0.0.1", port),
            gpus=len(gpus),
            expires=block.expires,
            held={"job": block.job, "block": block.name, "host": greeting.host, "port": port},
        )

    def _containers(self) -> str:
        try:
            return self._profile().containers
        except ProfileError:
            return ""

    def pending_reason(self, node_id: str) -> str | TaskError:
        block = self._blocks.get(node_id)
        return block.waits_for if block else ""

    async def prepare(self, node_id: str, setup: NodeSetup, resume: bool) -> None:
        await self._nodes[node_id].prepare(setup, resume)

    async def tidy(self, node_id: str) -> None:
        await self._nodes[node_id].sweep()

    async def interrupt(self, node_id: str) -> None:
        block, node = self._blocks.get(node_id), self._nodes.get(node_id)
        if block:
            block.interrupted.set()
        if node:
            await node.interrupt()

    async def release(self, node_id: str) -> None:
        node = self._nodes.pop(node_id, None)
        block = self._blocks.get(node_id) or self._block_of(node_id)
        if node:
            try:  # what hides from Slurm goes by its mark, while somebody is there to find it
                await asyncio.wait_for(node.remove(), _REMOVAL_SECONDS)
            except asyncio.TimeoutError:
                pass
        if block and block.release(node_id):
            await block.end()
        if not node:  # this service never took it up, or it never came
            gone = SlurmHost((), lambda: None)
            gone.lose(TaskError("NodeReleased", "The node was released"))
            spec = NodeSpec(node_id, 0, "", "", False, Login("", (), None))
            view = View(self._settings.home / "nodes" / node_id)
            node = LocalNode(spec, (), view, gone, self.files, self._settings.kill_grace_seconds)
        await node.remove()
        for known in (self._blocks, self._hosts, self._stations, self._begun):
            known.pop(node_id, None)

    def left(self) -> list[str]:
        """The nodes of the blocks that have a folder."""
        return [node_id for block in self._blocks_left() for node_id in block.node_ids]

    def _blocks_left(self) -> Iterator[Block]:
        blocks = self._root / "blocks"
        for folder in blocks.iterdir() if blocks.is_dir() else ():
            yield Block(folder, self._programs(), self._queue)

    def _block_of(self, node_id: str) -> Block | None:
        """The block of a node that an earlier service had."""
        return next((block for block in self._blocks_left() if node_id in block.node_ids), None)

    async def lost(self, node_id: str) -> TaskError:
        reason = await self._hosts[node_id].lost()
        # A job may have ended before its node did: what it says of itself counts first.
        if node_id not in self._begun:
            await asyncio.sleep(_SETTLE_SECONDS)
        deciding = [asyncio.ensure_future(run.decided.wait()) for run in self._runs if node_id in run.node_ids]
        if deciding:
            _, undecided = await asyncio.wait(deciding, timeout=_SETTLE_SECONDS)
            for waiting in undecided:  # a gang whose other nodes go on
                waiting.cancel()
        return reason

    async def free_ports(self, node_ids: Sequence[str], count: int) -> list[int]:
        ports: list[int] = []
        for node_id in dict.fromkeys(node_ids):
            host = self._hosts.get(node_id)
            if host:
                ports = await host.free_ports(ports, count + 8 * len(node_ids))
        if len(ports) < count:
            raise TaskError("NoFreePorts", "There are not enough free ports for the job's processes")
        return ports[:count]

    # Jobs

    def job(self, plan: JobPlan) -> JobHandle:
        nodes = []
        for node_id in plan.node_ids:
            node = self._nodes.get(node_id)
            if not node:
                raise NodeFault(node_id, "NodeLost", "The job's node does not exist any more")
            nodes.append(node)
        hosts = [self._hosts[node_id] for node_id in plan.node_ids]
        blocks = {self._blocks[node_id] for node_id in plan.node_ids}
        begun = clock.monotonic()

        async def look() -> None:
            for block in blocks:
                await block.look_now()

        def is_lost() -> bool:
            return any(host.is_lost for host in hosts)

        def out_of_time() -> TaskError | None:
            late = [block for block in blocks if block.ended_by == "TIMEOUT"]
            fresh = all(begun - self._begun.get(node_id, 0.0) < _FRESH_SECONDS for node_id in plan.node_ids)
            if not late or not fresh:
                return None
            return TaskError("WallTimeExceeded", "The job did not end in the time that its nodes were given for")

        pipes = SlurmPipes([self._stations[node_id] for node_id in plan.node_ids], self._programs())
        site = LocalSite(plan, nodes, self._settings.kill_grace_seconds, self._node_key, pipes)
        run = SlurmJob(JobRun(plan, site), plan.node_ids, look, is_lost, out_of_time)
        self._runs = [other for other in self._runs if not other.decided.is_set()] + [run]
        return run


def _unknown(spec: NodeSpec) -> Greeting:
    held: Mapping[str, str] = spec.held
    return Greeting(0, held.get("host", ""), "", "127.0.0.1", "lo", "", "python3", {})


def _own_machine() -> str:
    return f"{clock.boot_id()}/{os.stat('/proc/self/ns/net').st_ino}"

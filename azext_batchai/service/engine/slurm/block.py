"""A block: nodes that are one job of Slurm's, from the moment when they are wanted to the one when it is gone.

Its folder on the shared file system is its memory:
  block.json     {"nodes"}: ids of its nodes, written before Slurm hears of it; the job's name is the folder's
  released.<id>  that node was given back; the job is cancelled with the last of them
  lock           held by whoever submits: a sbatch that has outlived its service is awaited before its job is looked for
  nonce, output, agent.<number>.json   for and by the agents
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from azext_batchai.service import clock
from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.engine.slurm import batch_script, commands
from azext_batchai.service.engine.slurm.commands import QueuedBlock, SlurmError
from azext_batchai.service.engine.slurm.host import Greeting, SlurmHost
from azext_batchai.service.engine.slurm.queue import SECONDS, SlurmQueue

log = logging.getLogger(__name__)

_UNAVAILABLE_SECONDS = 5.0
_REFUSED_SECONDS = (5.0, 15.0, 60.0, 300.0)
_QUICK_SECONDS = 30.0  # how long a new block is looked at more often than Slurm is asked
_LOOK_SECONDS = 0.05
_QUIET_SECONDS = 30.0  # between two looks at a block whose agents can all be reached
_FIRST_SECONDS = 3.0  # before Slurm is asked about a new block: free nodes have told of themselves by then
_ENDING_SECONDS = 0.3  # from scancel to a look at what has become of it
_AGENT_SECONDS = 120.0  # from a job that runs to agents that answer
_REASONS = {
    "TIMEOUT": "its time limit was over",
    "PREEMPTED": "it was preempted",
    "NODE_FAIL": "the node failed",
    "CANCELLED": "its Slurm job was cancelled",
    "DEADLINE": "its deadline was over",
    "OUT_OF_MEMORY": "it ran out of memory",
    "": "its Slurm job does not exist any more",
}


def name_of(node_id: str) -> str:
    """The name of the Slurm job whose first node this is."""
    return f"batchai-{node_id}"


class Block:
    """`folder` is the block's own; `programs` is where agent and relay are, for the nodes to run."""

    def __init__(self, folder: Path, programs: Path, queue: SlurmQueue) -> None:
        self.folder = folder
        self.name = folder.name
        self.job = 0
        self.expires: float | None = None
        self.waits_for: TaskError | str = ""
        self.ended_by = ""  # Slurm's state of the job at its end
        self.hosts: dict[int, SlurmHost] = {}  # by the node's number in the block
        self.greetings: dict[int, Greeting] = {}
        self._programs = programs
        self._queue = queue
        self._poked = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.interrupted = asyncio.Event()

    # Its folder

    @property
    def node_ids(self) -> list[str]:
        """[] where the folder is gone or was never finished."""
        try:
            nodes: list[str] = json.loads((self.folder / "block.json").read_text(encoding="utf-8"))["nodes"]
        except (OSError, ValueError):
            return []
        return nodes

    def make(self, node_ids: Sequence[str]) -> None:
        """Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        batch_script.write_nonce(self.folder)
        temporary = self.folder / "block.new"
        temporary.write_text(json.dumps({"nodes": list(node_ids)}), encoding="utf-8")
        temporary.replace(self.folder / "block.json")

    def release(self, node_id: str) -> bool:
        """Note that a node was given back; True where it was the last."""
        if self.folder.is_dir():
            (self.folder / f"released.{node_id}").touch()
        return all((self.folder / f"released.{other}").exists() for other in self.node_ids)

    # Asking for it

    async def wait(self, options: Sequence[str], prologue: str, python: str, interface: str, resume: bool) -> None:
        """Return when its agents are ready. Raises TaskError where it is not wanted any more or cannot be used."""
        waiting = asyncio.ensure_future(self._wait(options, prologue, python, interface, resume))
        interrupted = asyncio.ensure_future(self.interrupted.wait())
        try:
            await asyncio.wait((waiting, interrupted), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise TaskError("NodeReleased", "The node was released")
            waiting.result()
        finally:
            for task in (waiting, interrupted):
                task.cancel()
            await asyncio.gather(waiting, interrupted, return_exceptions=True)

    async def _wait(self, options: Sequence[str], prologue: str, python: str, interface: str, resume: bool) -> None:
        refusals = 0
        if resume:
            await self._find()
        while True:
            if not self.job:
                try:
                    script = batch_script.text(self.folder, self._programs, prologue, python, interface)
                    self.job = await self._submit(options, script)
                except SlurmError as exc:
                    if exc.unavailable:
                        self.waits_for = TaskError("SlurmUnavailable", "Slurm does not answer", {"Info": str(exc)})
                        await asyncio.sleep(_UNAVAILABLE_SECONDS)
                        await self._find()  # it may have heard us all the same
                        continue
                    log.warning("block %s was refused: %s", self.name, exc)
                    self.waits_for = TaskError(
                        "NodeAllocationFailed", "Slurm refused the allocation", {"Info": str(exc)}
                    )
                    await asyncio.sleep(_REFUSED_SECONDS[min(refusals, len(_REFUSED_SECONDS) - 1)])
                    refusals += 1
                    continue
            self.waits_for = ""
            if await self._start():
                self.waits_for = ""
                return
            self.job = 0  # cancelled or preempted before its agents were there: ask again
            self.greetings.clear()
            for greeting in self.folder.glob("agent.*"):
                greeting.unlink()
            refusals += 1
            await asyncio.sleep(_REFUSED_SECONDS[min(refusals - 1, len(_REFUSED_SECONDS) - 1)])

    async def _submit(self, options: Sequence[str], script: str) -> int:
        """Raises SlurmError."""
        mine = [f"--job-name={self.name}", f"--nodes={len(self.node_ids)}", f"--output={self.folder / 'output'}"]
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return await commands.submit([*mine, *options], script, (lock,))
        except BlockingIOError:
            raise SlurmError("an earlier sbatch of this block has not ended yet", True) from None
        finally:
            os.close(lock)

    async def _no_sbatch(self) -> None:
        """Wait until no sbatch of this block is under way."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)

    async def _find(self) -> None:
        """Set `job` where Slurm has one of this name: the record of it may have been lost (P4)."""
        await self._no_sbatch()
        snapshot = await self._queue.certain()
        found = sorted(entry.job for entry in snapshot.values() if entry.name == self.name and not entry.is_over)
        if found:
            self.job = found[0]
            if found[1:]:
                await commands.cancel(found[1:])

    async def _start(self) -> bool:
        """Follow the job until its agents are ready: False where it was taken away before.

        Raises TaskError where the nodes cannot be used.
        """
        quick_until, running_since = clock.monotonic() + _QUICK_SECONDS, 0.0
        patience = _FIRST_SECONDS
        while True:
            # Looking for files is cheap: free nodes are there before Slurm has been asked about them again.
            pause = clock.monotonic() + patience
            while not self._greet() and clock.monotonic() < min(quick_until, pause):
                await asyncio.sleep(_LOOK_SECONDS)
            ready, patience = self._greet(), SECONDS
            known = self._own(self._queue.latest.get(self.job))
            if ready and known and known.has_nodes:  # asked about for another block: its agents say that it still has
                self.waits_for, self.expires = "", known.ends
                return True
            snapshot = await self._queue.after(0 if ready or quick_until > pause else SECONDS)
            if snapshot is None:
                continue
            entry = self._own(snapshot.get(self.job))
            if not entry or entry.is_over:
                self._raise_failure(entry)
                return False
            if entry.state in commands.WAITING:
                self.waits_for = "" if entry.reason == "None" else entry.reason
                continue
            self.waits_for = ""
            if not entry.has_nodes:
                continue
            if ready:
                self.expires = entry.ends
                return True
            if not running_since:
                running_since = clock.monotonic()
                quick_until = running_since + _QUICK_SECONDS
            if clock.monotonic() - running_since > _AGENT_SECONDS:
                raise self._failure(entry)

    def _own(self, entry: QueuedBlock | None) -> QueuedBlock | None:
        """Slurm gives numbers again that a crash of its controller has made it forget."""
        return entry if entry and entry.name == self.name else None

    def _greet(self) -> bool:
        """Read what agents have written; True when all are there."""
        count = len(self.node_ids)
        for number in range(count):
            if number not in self.greetings:
                try:
                    self.greetings[number] = Greeting.read(self.folder / f"agent.{number}.json")
                except (OSError, ValueError, KeyError):
                    return False
        return True

    def _raise_failure(self, entry: QueuedBlock | None) -> None:
        """Tell a job that could not start its agents from one that somebody took away: that is asked for again."""
        ended = ("FAILED", "COMPLETED", "OUT_OF_MEMORY")
        if entry and (entry.state in ended or batch_script.NO_FOLDER in self._output()):
            raise self._failure(entry)

    def _output(self) -> str:
        try:
            return (self.folder / "output").read_text(encoding="utf-8", errors="replace")[-2000:].strip()
        except OSError:
            return ""

    def _failure(self, entry: QueuedBlock) -> TaskError:
        output, hosts = self._output(), ", ".join(sorted(entry.hosts))
        if batch_script.NO_FOLDER in output or not (self.folder / "output").exists():
            home = self.folder.parents[2]
            node = output.partition(f"{batch_script.NO_FOLDER} on ")[2].split("\n")[0] or hosts
            return TaskError(
                "SharedFolderMissing",
                "The state folder is not on a file system that the nodes share",
                {"Folder": str(home), "Host": node, "Info": "Set AZURE_BATCHAI_HOME to a folder that all nodes have."},
            )
        info = output or f"its job ended as {entry.state}"
        return TaskError("AgentFailed", "The node's agent could not be started", {"Host": hosts, "Info": info})

    # Holding it

    def hold(self, adopted: bool = False) -> None:
        """Connect with the agents, and watch over the block from now on."""
        if self._watching:
            return
        for number, greeting in self.greetings.items():
            relay = commands.step(self.job, greeting.host) + [
                greeting.python, "-B", str(self._programs / "relay.py"), greeting.socket,
            ]  # fmt: skip
            self.hosts[number] = SlurmHost(relay, self._poked.set, greeting.version)
            self.hosts[number].connect()
        self._watching = asyncio.get_running_loop().create_task(self._watch(adopted))

    def adopt(self, job: int) -> None:
        """Take up a block that was held by an earlier service."""
        self.job = job
        self._greet()
        self.hold(adopted=True)

    async def _watch(self, adopted: bool) -> None:
        """Find out what is lost: at once where a channel is silent, else now and then."""
        wait = 0.0 if adopted else _QUIET_SECONDS
        while not all(host.is_lost for host in self.hosts.values()):
            snapshot = await self._look(wait)
            wait = SECONDS
            if snapshot is None:
                continue
            entry = self._own(snapshot.get(self.job))
            if entry and entry.state in commands.ENDING:
                continue
            if not entry or not entry.has_nodes:
                self._lose_all(entry.state if entry else "")
                return
            self.expires = entry.ends
            for number, host in self.hosts.items():
                name = self.greetings[number].host
                if name not in entry.hosts:
                    self._lose(number, f"node {name} failed")
                elif host.agent_is_gone and not host.is_lost:
                    await self._clear(number)
                    self._lose(number, f"the agent on {name} was killed")
            if not any(host.is_silent for host in self.hosts.values()):
                wait = _QUIET_SECONDS

    async def _look(self, seconds: float) -> commands.Snapshot | None:
        """The queue in so many seconds, or soon where a channel falls silent meanwhile."""
        self._poked.clear()
        poked = asyncio.ensure_future(self._poked.wait())
        looking = asyncio.ensure_future(self._queue.after(seconds))
        try:
            await asyncio.wait((poked, looking), return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                return looking.result()
            return await self._queue.after(0 if seconds > SECONDS else SECONDS)
        finally:
            poked.cancel()
            looking.cancel()

    async def look_now(self) -> None:
        """Know whether Slurm has begun to take the block away, as of now.

        A controller that does not answer takes nothing away, and an agent that does is still there.
        """
        snapshot = await self._queue.after(0)
        if snapshot is None:
            if all(host.is_connected for host in self.hosts.values()):
                return
            snapshot = await self._queue.certain()
        entry = self._own(snapshot.get(self.job))
        if not entry or not entry.has_nodes:
            self.ended_by = self.ended_by or (entry.state if entry else "")
            self._poked.set()
            for host in self.hosts.values():
                await host.lost()

    async def _clear(self, number: int) -> None:
        """Kill what an agent has left behind that was killed."""
        greeting, node_id = self.greetings[number], self.node_ids[number]
        mark = f"AZ_BATCHAI_NODE_ID={node_id}"
        kill = [greeting.python, "-B", str(self._programs / "relay.py"), "--kill", mark]
        try:
            await commands.run(commands.step(self.job, greeting.host) + kill)
        except SlurmError as exc:
            log.warning("what ran on %s: %s", node_id, exc)

    def _lose_all(self, state: str) -> None:
        self.ended_by = state
        reason = _REASONS.get(state, f"its Slurm job ended as {state}")
        for number in self.hosts:
            self._lose(number, reason)

    def _lose(self, number: int, why: str) -> None:
        details = {"Info": why, "Host": self.greetings[number].host, "SlurmJob": str(self.job)}
        self.hosts[number].lose(TaskError("NodeLost", "Slurm took the node away", details))

    # Its end

    async def let_go(self) -> None:
        """Stop watching; the block stays."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await asyncio.gather(*(host.close() for host in self.hosts.values()))

    async def end(self) -> None:
        """Cancel its job, wait until Slurm says that it is gone, and forget it."""
        await self.let_go()
        if self.folder.is_dir():
            await self._cancel()
        for host in self.hosts.values():
            host.lose(TaskError("NodeReleased", "The node was released"))
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _cancel(self) -> None:
        """Cancel whatever has its name, until Slurm says that there is nothing."""
        await self._no_sbatch()
        while True:
            try:
                await commands.cancel_named(self.name)
                snapshot = await self._queue.after(_ENDING_SECONDS)
            except SlurmError as exc:
                log.warning("scancel: %s", exc)
                snapshot = await self._queue.after(SECONDS)
            if snapshot is not None and not any(
                entry.name == self.name and not entry.is_over for entry in snapshot.values()
            ):
                return

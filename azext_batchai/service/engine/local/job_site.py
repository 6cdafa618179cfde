"""A job on local nodes: its folders, mounts, environment and containers, and how its commands are started."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGTERM
from typing import TypeVar

from azext_batchai.service.clock import wire_now
from azext_batchai.service.engine.base import Container, JobPlan, NodeFault, Process, TaskError
from azext_batchai.service.engine.job_run import Streams
from azext_batchai.service.engine.job_variables import (
    Folders,
    OutputFolder,
    folder_of,
    input_variables,
    output_folders,
    own_variables,
    wrong_path,
)
from azext_batchai.service.engine.local import mpi, node_ssh
from azext_batchai.service.engine.local.containers import Containers, no_runtime
from azext_batchai.service.engine.local.environment import expand, shell
from azext_batchai.service.engine.local.folders import make_folder, real_path
from azext_batchai.service.engine.local.mounts import mount, run_later, unmount_below
from azext_batchai.service.engine.local.node import LocalNode, tail
from azext_batchai.service.engine.local.view import DOCUMENTED_ROOT
from azext_batchai.service.engine.task import Command, Task, TaskEnd

_Item = TypeVar("_Item")
_FEW_NODES = 8  # whose files are made faster than a thread is asked to


@dataclass(frozen=True)
class _Place:
    """Where the job is on one node. `variables` are the service's own, `environment` has the user's too."""

    node: LocalNode
    folders: Folders
    outputs: list[OutputFolder]
    variables: dict[str, str]
    environment: dict[str, str]
    log: str
    container: str


class LocalSite:
    """See `engine.job_run.JobSite`."""

    def __init__(
        self,
        plan: JobPlan,
        nodes: Sequence[LocalNode],
        grace: float,
        node_key: Path,
        pipes: mpi.RankPipes = mpi.FolderPipes(),  # noqa: B008  # it has no state
    ) -> None:
        self._plan = plan
        self._nodes = nodes
        self._grace = grace
        self._node_key = node_key
        self._pipes = pipes
        self._tasks: list[Task] = []
        self._stopping = False
        self._complete = False  # whether the job's commands find all that they need
        self._mounts = False  # whether one of them may have mounted something
        self._first = False  # whether nobody but this service has had to do with the job on its nodes
        self._notes: list[str] = []
        self._logging: asyncio.Task[None] | None = None  # notes that are on their way to many nodes' logs
        self._runtimes: dict[str, Containers] = {}  # by node, where the job is to run in an image
        self._killer: asyncio.Task[None] | None = None
        self._job = plan.output_segment.rsplit("/", 1)[-1]
        self._attempt = f"{self._job}-{plan.attempt}"
        # A job of one process needs nothing that is its own to find its only node.
        self._alone = len(nodes) == 1 and not nodes[0].reach and not any(one.world_size for one in plan.processes)
        self._output = ""
        self._places: list[_Place] = []

    # Setting up

    async def open(self, resume: bool) -> None:
        await self._off_loop(self._find_places)
        if self._plan.container:
            found = {node.spec.node_id: node.containers() for node in self._nodes}
            self._runtimes = {node_id: runtime for node_id, runtime in found.items() if runtime}
        for node in self._nodes:
            if not node.is_there():  # what may still run there must not go on beside the job's next start
                await node.host.kill_marked("AZ_BATCHAI_NODE_ID", node.spec.node_id)
                raise NodeFault(node.spec.node_id, "NodeLost", "The node's folder is gone")
        if not resume:
            for nodes in self._few_at_a_time([node for node in self._nodes if not node.is_clean]):
                await asyncio.gather(*(node.sweep() for node in nodes))
                await asyncio.sleep(0)  # others have their turn
            for node in self._nodes:
                node.is_clean = False
            self._first = True
        await self._off_loop(lambda: self._make_folders(not resume))
        for places in self._few_at_a_time(self._places if self._plan.volumes else ()):
            for place in places:
                await mount(place.node.host, Path(place.folders.mounts), self._plan.volumes, place.node.files)
            await asyncio.sleep(0)
        await self._off_loop(self._make_output)
        await self._off_loop(self._connect_nodes)
        if self._plan.container:
            await self._start_containers(self._plan.container, resume)
        self._complete = True

    async def _off_loop(self, make: Callable[[], None]) -> None:
        if len(self._nodes) <= _FEW_NODES:
            make()
        else:
            await asyncio.to_thread(make)

    @staticmethod
    def _few_at_a_time(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
        return (items[first : first + _FEW_NODES] for first in range(0, len(items), _FEW_NODES))

    def _find_places(self) -> None:
        relative = folder_of(self._plan)
        shared = f"{self._nodes[0].root}/{relative}/shared"
        self._places = [self._place(node, Folders(f"{node.root}/{relative}", shared)) for node in self._nodes]

    def _make_folders(self, spares: bool) -> None:
        for place in self._places:
            folders = place.folders
            if spares:
                place.node.take_spare("tasks", self._tasks_of(place.node))
                if place.node.take_spare("job", folders.root):
                    continue
            for folder in (folders.work, folders.mounts, folders.temp):
                make_folder(folder)
        make_folder(self._places[0].folders.shared)

    def _place(self, node: LocalNode, folders: Folders) -> _Place:
        """The job's variables and paths on a node; makes nothing, so that a job is found again whatever is gone."""
        plan = self._plan
        meeting = self._meeting(folders.shared)
        variables = {
            **node.environment,
            **own_variables(plan, folders),
            "BATCHAI_SSH_CONFIG": f"{meeting}/.ssh_config",
            **mpi.variables(f"{meeting}/.agent/agent", f"{meeting}/.hosts", plan.addresses, node.interface),
        }

        def real(path: str) -> str:
            return node.view.outside(expand(path, variables))

        outputs = list(output_folders(plan, real))
        variables.update({output.variable: output.path for output in outputs})
        variables.update(input_variables(plan, real))
        self._output = outputs[0].path
        # Paths are those of the node's own view, but for what all nodes of the job share.
        everybodys = {name: value for name, value in variables.items() if folders.shared in value}
        variables = {**node.view.variables(variables), **everybodys}
        log_name = f"execution-{node.spec.node_id}.log" if len(self._nodes) > 1 else "execution.log"
        environment = {**variables, **plan.environment}
        container = node.container(self._attempt)
        return _Place(node, folders, outputs, variables, environment, f"{self._output}/{log_name}", container)

    def _make_output(self) -> None:
        """Raises TaskError for a place that cannot be made, OSError."""
        for place in self._places:
            for output in place.outputs:
                try:
                    make_folder(output.base)
                except OSError as exc:
                    raise wrong_path(output.what, output.prefix, exc.strerror or str(exc)) from None
                if self._is_the_nodes(place, real_path(output.base)):
                    self._keep(output)
                else:
                    make_folder(output.path)

    def _is_the_nodes(self, place: _Place, folder: str) -> bool:
        """Whether a folder, whose links have been followed, is the node's own: neither of a volume nor the user's."""
        if not f"{folder}/".startswith(f"{place.node.real_root}/"):
            return False
        mounted = [
            Path(mounts, volume.relative_path)
            for mounts, volumes in (
                (place.node.mounts, place.node.volumes),
                (Path(place.folders.mounts), self._plan.volumes),
            )
            for volume in volumes
            if volume.mount_command
        ]
        return not any(Path(folder).is_relative_to(mount.resolve()) for mount in mounted)

    def _keep(self, output: OutputFolder) -> None:
        """Output that is on no volume (a mistyped mount, say) would vanish with the node: it lies elsewhere."""
        kept = self._nodes[0].files.kept(self._job, output.identifier)
        kept.mkdir(parents=True, exist_ok=True)
        path = Path(output.path)
        make_folder(str(path.parent))
        if not path.is_symlink():
            path.symlink_to(kept, target_is_directory=True)

    def _meeting(self, shared: str) -> str:
        """The folder of what tells a job's processes how to find its nodes."""
        return f"{self._nodes[0].root}/alone" if self._alone else shared

    def _connect_nodes(self) -> None:
        """How the nodes find each other: one set of files for all of them."""
        meeting = Path(self._meeting(self._places[0].folders.shared))
        if self._alone:
            if self._nodes[0].is_connected:
                return
            meeting.mkdir(exist_ok=True)
        ranks = max((process.world_size for process in self._plan.processes), default=0)
        gpus = int(self._nodes[0].environment["AZ_BATCHAI_NUM_GPUS"])
        slots = max(gpus, -(-ranks // len(self._nodes)), 1)
        stations: dict[str, mpi.Station] = {}
        for address, place in zip(self._plan.addresses, self._places):
            variables = {name: value for name, value in place.variables.items() if _is_the_nodes_own(name)}
            work = Path(place.folders.work)
            enter = () if self._plan.container else place.node.view.enter((), work)
            own = {"BATCHAI_WORK": place.node.view.inside(str(work)), "BATCHAI_NODE_INDEX": str(len(stations))}
            stations[address] = mpi.Station({**variables, **own}, enter, place.node.reach)
        if self._alone:  # whoever asks is there already, with all variables
            stations = {address: mpi.Station({"BATCHAI_WORK": "."}, ()) for address in stations}
        hosts = {
            address: (node.spec.node_id, node.spec.login.user_name, node.port)
            for address, node in zip(self._plan.addresses, self._nodes)
        }
        node_ssh.write_config(meeting / ".ssh_config", self._node_key, hosts)
        mpi.write_host_file(meeting / ".hosts", self._plan.addresses, slots)
        mpi.write_agent(meeting / ".agent", stations)
        self._nodes[0].is_connected = self._nodes[0].is_connected or self._alone

    async def _start_containers(self, container: Container, resume: bool) -> None:
        if len(self._runtimes) < len(self._nodes):
            raise no_runtime(container)
        if self._stopping:  # before this service had found the containers
            await self._end_containers()
            return
        self.note(f"container image {container.image}")
        folders = [node.root for node in self._nodes]
        for node in self._nodes:
            folders += [node.files.folder(volume) for volume in (*node.volumes, *self._plan.volumes) if volume.name]
        folders += [node.local for node in self._nodes if node.local]
        folders += [Path(output.path).resolve() for place in self._places for output in place.outputs]
        same = {str(folder): str(folder) for folder in folders}
        for place in self._places:  # one after the other: the first pulls the image for all
            mounts = {**same, DOCUMENTED_ROOT: str(place.node.root)}
            await self._containers(place).start(place.container, container, mounts, resume)

    # Running

    def _folder(self, node: LocalNode, task: str) -> Path:
        return Path(self._tasks_of(node), task)

    def _tasks_of(self, node: LocalNode) -> str:
        return f"{node.root}/tasks/{self._attempt}"

    def has_started(self, task: str) -> bool:
        return any((self._folder(node, task) / "cookie").exists() for node in self._nodes)

    async def run_task(
        self,
        task: str,
        node: int,
        command_line: str,
        environment: Mapping[str, str],
        streams: Streams,
        resume: bool,
        process: Process | None = None,
    ) -> TaskEnd:
        own = Task(self._nodes[node].host, self._folder(self._nodes[node], task), self._grace)
        self._tasks.append(own)
        if self._stopping and not self._killer:
            await own.stop()
        # What runs already needs nothing but to be found.
        end = await own.adopt() if resume else None
        if end:
            self._mounts = self._mounts or end.mounts
            return end
        if self._stopping:
            return TaskEnd(128 + SIGTERM, SIGTERM)
        if not self._complete:
            raise TaskError("JobSetUpFailed", "What the job's processes need could not be made again")
        opened = await self._open_pipes(own, node, process) if process and process.world_size else None
        command = self._command(own, node, command_line, environment, streams, process, opened)
        end = await own.run(command, resume=False)
        self._mounts = self._mounts or end.mounts
        return end

    async def _open_pipes(self, task: Task, node: int, process: Process) -> mpi.OpenPipes | None:
        """None where each rank has files of its own. Raises TaskError."""
        folder = task.folder / "ranks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if "{rank}" in process.stdout:
                return None
            return await self._pipes.open(self._attempt, folder, node, process.world_size)
        except OSError as exc:
            raise TaskError("JobSetUpFailed", "The ranks' pipes could not be made", {"Info": str(exc)}) from None

    def _command(
        self,
        task: Task,
        node: int,
        command_line: str,
        environment: Mapping[str, str],
        streams: Streams,
        process: Process | None,
        opened: mpi.OpenPipes | None,
    ) -> Command:
        place = self._places[node]
        stdout, stderr = (f"{self._output}/{file}" for file in streams)
        expanded = {name: expand(value, place.environment) for name, value in environment.items()}
        work, variables = place.folders.work, {**place.environment, **expanded}
        command = Command((shell(), "-c", command_line), work, variables, stdout, stderr)
        if process and process.world_size:
            folder = task.folder / "ranks"
            command = mpi.ranks_command(process, command, folder, Path(self._output), bool(self._runtimes), opened)
        wrap = opened.wrap if opened else ()
        if not self._runtimes:
            return self._in_view(replace(command, argv=(*wrap, *command.argv)), place)
        line = command_line if command.argv[0] == shell() else shlex.join(command.argv)
        seen = Path(place.node.view.inside(work))
        argv, handed = self._containers(place).inside(place.container, seen, line, variables)
        return replace(command, argv=(*wrap, *argv), environment=handed)

    def _in_view(self, command: Command, place: _Place) -> Command:
        """In the namespace that the node's jobs share, unless it would hold what the user's own command has mounted."""
        view, work = place.node.view, place.folders.work
        if any(volume.mount_command for volume in (*place.node.volumes, *self._plan.volumes)):
            return replace(command, argv=view.enter(command.argv, Path(work)))
        return replace(command, enter=view.namespace(), inside=view.inside(work))

    # Ending

    async def stop(self) -> None:
        self._stopping = True
        if any(runtime.holds_processes for runtime in self._runtimes.values()):
            await self._end_containers()
        else:
            await asyncio.gather(*(task.stop() for task in self._tasks))

    async def _end_containers(self) -> None:
        """What runs in a container is no child of ours: it is told inside, and goes with its container."""
        if not self._killer:
            self._killer = asyncio.get_running_loop().create_task(self._kill_later())
            told = (self._containers(place).terminate(place.container) for place in self._places if self._runtimes)
            await asyncio.gather(*told)

    async def _kill_later(self) -> None:
        await asyncio.sleep(self._grace)
        await self._remove_containers()
        await asyncio.gather(*(task.stop() for task in self._tasks))

    async def close(self) -> None:
        self._write_notes()
        if self._logging:
            await self._logging
        if self._killer:
            self._killer.cancel()
        await self._remove_containers()

    async def _remove_containers(self) -> None:
        if self._runtimes:
            await asyncio.gather(*(self._containers(place).remove(place.container) for place in self._places))

    def _containers(self, place: _Place) -> Containers:
        return self._runtimes[place.node.spec.node_id]

    async def clean_up(self) -> None:
        for place in self._places:
            if any(volume.mount_command for volume in self._plan.volumes):
                await asyncio.to_thread(unmount_below, Path(place.folders.root))
        await self._off_loop(self._discard)

    def _discard(self) -> None:
        # Whatever was mounted in the job's folders must not meet the next job there.
        clean = self._complete and not self._runtimes and not self._plan.volumes and not self._mounts
        for place in self._places:
            place.node.is_clean = False
            for name, folder in (("job", place.folders.root), ("tasks", self._tasks_of(place.node))):
                if not clean or not place.node.put_back(name, folder):
                    place.node.discard(Path(folder))
                    run_later(place.node.prepare_spares)
            place.node.is_clean = self._first

    # What is told

    def note(self, text: str) -> None:
        """A line of every node's execution log, which is written as soon as there is nothing to be started."""
        if not self._notes:
            asyncio.get_running_loop().call_soon(self._write_notes)
        self._notes.append(f"{wire_now()} {text}\n")

    def _write_notes(self) -> None:
        lines, self._notes = "".join(self._notes).encode(), []
        if lines and len(self._places) <= _FEW_NODES:
            self._write_logs(lines)
        elif lines:
            self._logging = asyncio.get_running_loop().create_task(self._log(self._logging, lines))

    async def _log(self, earlier: asyncio.Task[None] | None, lines: bytes) -> None:
        if earlier:
            await earlier
        await self._off_loop(lambda: self._write_logs(lines))

    def _write_logs(self, lines: bytes) -> None:
        for place in self._places:
            try:
                log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                try:
                    os.write(log, lines)
                finally:
                    os.close(log)
            except OSError:
                pass  # the share is gone: the job's own fate says so

    def last_lines(self, file: str) -> str:
        return tail(Path(self._output, file))

    def where(self, file: str) -> str:
        return f"{self._output}/{file}"


def _is_the_nodes_own(name: str) -> bool:
    """Variables that differ from node to node of a job."""
    return name.startswith("AZ_BATCHAI_") or name in (
        "HOME",
        "TMPDIR",
        "PATH",
        "OMPI_MCA_plm_rsh_agent",
        "BATCHAI_SSH_CONFIG",
        mpi.LOCAL_VARIABLE,
    )

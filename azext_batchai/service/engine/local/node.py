"""A local node: a folder, links to its volumes, an SSH endpoint, and the tasks that run on it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from azext_batchai.service.engine.base import Login, NodeSetup, NodeSpec, SetupTask, TaskError, Volume
from azext_batchai.service.engine.host import Host
from azext_batchai.service.engine.local import mpi, node_ssh
from azext_batchai.service.engine.local.containers import ContainerRuntime, Containers
from azext_batchai.service.engine.local.environment import expand, node_environment, shell
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.engine.local.folders import is_as_made, make_folder
from azext_batchai.service.engine.local.mounts import mount, remove_later, remove_tree, run_later, unmount_below
from azext_batchai.service.engine.local.ssh_far import FarNode
from azext_batchai.service.engine.local.ssh_server import SshEndpoint, SshEndpointSpec
from azext_batchai.service.engine.local.view import View
from azext_batchai.service.engine.task import Command, Task, make_spare
from azext_batchai.service.secrets_vault import check_password

log = logging.getLogger(__name__)

_LAST_BYTES = 2000
_SPARES = {"job": ("wd", "mounts", "temp", "shared"), "tasks": ("main-0",)}


class LocalNode:
    """One node in the folder of `view`; `spec` says what it is to be, `gpus` are the numbers of its own."""

    def __init__(
        self, spec: NodeSpec, gpus: tuple[int, ...], view: View, host: Host, files: FolderFiles, grace: float
    ) -> None:
        self.spec = spec
        self.gpus = gpus
        self.view = view
        self.files = files
        self.root = root = view.root
        self.volumes: tuple[Volume, ...] = ()
        self.host = host
        self._grace = grace
        self._endpoint: SshEndpoint | None = None
        self._setup: Task | None = None
        self._closing = False
        self.environment = node_environment(root, spec.node_id, gpus)
        self.interface = "lo"  # by which the nodes of a job talk to each other
        self._making = threading.Lock()  # spare folders: nothing is to be made in a folder that is being removed
        self._removed = False
        self.is_clean = False  # whether no job has left anything
        self.is_connected = False  # whether what a job finds its only node by has been written
        self.local: Path | None = None
        self.containers: Callable[[], Containers | None] = lambda: ContainerRuntime.find(host)
        self.far: FarNode | None = None

    @property
    def mounts(self) -> Path:
        return self.root / "mounts"

    @property
    def port(self) -> int:
        return self._endpoint.port if self._endpoint else 0

    def place_on(
        self, environment: dict[str, str], interface: str, far: FarNode | None, local: Path | None
    ) -> None:
        """The node is not this machine's own: its environment, its network interface, how something is run there where
        it is another machine, and a folder that nobody else has."""
        self.environment, self.interface, self.far, self.local = environment, interface, far, local
        if local:
            environment[mpi.LOCAL_VARIABLE] = str(local)

    @property
    def reach(self) -> tuple[str, ...]:
        """What runs a command there, where the node is another machine."""
        return self.far.reach if self.far else ()

    @cached_property
    def real_root(self) -> Path:
        """Its folder, links followed."""
        return self.root.resolve()

    def is_there(self) -> bool:
        """Whether the node still has its folder."""
        return os.path.isdir(f"{self.root}/jobs")

    async def open(self, port: int) -> int:
        """Make the folder and the SSH endpoint; returns its port, `port` where that is free. Raises OSError."""
        for name in ("home", "tmp", "mounts", "logs", "jobs", "tasks", "bin", "waste"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        if not self.reach:
            mpi.write_mpirun(self.root / "bin")
        node_ssh.write_programs(self.root / "bin")
        if not shutil.which("python", path=self.environment["PATH"]):
            mpi.write_program(self.root / "bin" / "python", '#!/bin/sh\n# 2018 jobs say python\nexec python3 "$@"\n')
        for waste in (self.root / "waste").iterdir():
            remove_later(waste)
        run_later(self.prepare_spares)
        self._endpoint = await open_endpoint(
            self.spec.node_id, self.view, self.root / "home", self.spec.login, self.environment, port, self
        )
        return self._endpoint.port

    def enter(self, argv: Sequence[str], terminal: bool = False) -> Sequence[str]:
        """The command that runs `argv` in the node's home, there on a terminal where it has one here."""
        home = self.root / "home"
        if not self.far:
            return self.view.enter(argv, home)
        return self.far.run(argv, home, terminal)

    async def prepare(self, setup: NodeSetup, resume: bool) -> None:
        """Mount the volumes, then run the setup task. Raises TaskError."""
        self.volumes = setup.volumes
        await mount(self.host, self.mounts, setup.volumes, self.files)
        if setup.task:
            await self._run_setup(setup.task, resume)

    async def _run_setup(self, setup: SetupTask, resume: bool) -> None:
        prefix = Path(self.view.outside(expand(setup.output_prefix, self.environment)))
        if not prefix.is_absolute():
            raise TaskError(
                "SetupTaskOutputPathInvalid",
                "The output path of the setup task is not an absolute path",
                {"Path": setup.output_prefix},
            )
        output = prefix / setup.output_suffix
        if prefix.is_relative_to(self.root / "logs"):
            output = prefix
        stdout, stderr = (output / f"{name}-{self.spec.node_id}.txt" for name in ("stdout", "stderr"))
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise TaskError(
                "SetupTaskOutputPathInvalid",
                "The output path of the setup task cannot be made",
                {"Path": setup.output_prefix, "Info": exc.strerror or str(exc)},
            ) from None
        # A setup task is there to install things: who is not root may need sudo, which no mount namespace allows.
        view = self.view if os.geteuid() == 0 else View(self.root)
        environment = {**view.variables(self.environment), **setup.environment}
        home = self.root / "home"
        argv = view.enter((shell(), "-c", setup.command_line), home)
        command = Command(argv, home, environment, stdout, stderr)
        self._setup = Task(self.host, self.root / "tasks" / "setup", self._grace)
        if self._closing:
            raise TaskError("NodeReleased", "The node was released")
        end = await self._setup.run(command, resume)
        if end.exit_code != 0:
            raise TaskError(
                "SetupTaskFailed",
                "The setup task failed with a non-zero exit code",
                {"ExitCode": str(end.exit_code), "StdErr": tail(stderr), "Path": str(stderr)},
            )

    async def interrupt(self) -> None:
        """End the setup task, if one runs or is about to."""
        self._closing = True
        if self._setup:
            await self._setup.stop()

    async def close(self) -> None:
        """Close the endpoint and what runs in its sessions; jobs go on."""
        if self._endpoint:
            await self._endpoint.close()
            self._endpoint = None

    async def remove(self) -> None:
        """Take the node away with everything that was started on it, also what left its session."""
        await self.close()
        await self.host.kill_marked("AZ_BATCHAI_NODE_ID", self.spec.node_id)
        await self._remove_containers(self._attempts())
        await asyncio.to_thread(self._remove_folder)

    def _remove_folder(self) -> None:
        unmount_below(self.root)
        with self._making:
            self._removed = True
        remove_tree(self.root)

    # Folders are made ahead of the next job: where that is slow (ext4) it would be most of a start.

    def prepare_spares(self) -> None:
        """Have the folders of a job, and of its first task, ready. Best called by another thread."""
        with self._making:
            for name, folders in _SPARES.items() if not self._removed else ():
                spare, new = self.root / f"spare-{name}", self.root / f"spare-{name}.new"
                try:
                    if not spare.exists():
                        for folder in folders:
                            os.makedirs(new / folder, exist_ok=True)
                        os.replace(new, spare)
                except OSError as exc:  # a job that makes its own folders says what is wrong
                    log.debug("no spare folders in %s: %s", self.root, exc)

    def take_spare(self, name: str, place: str) -> bool:
        """Put the spare folders of a kind to their place, if they are there and it is free."""
        spare = f"{self.root}/spare-{name}"
        try:
            try:
                os.replace(spare, place)
            except FileNotFoundError:  # it may be the folder that it is to be in
                make_folder(os.path.dirname(place))
                os.replace(spare, place)
        except OSError:
            return False
        return True

    def put_back(self, name: str, place: str) -> bool:
        """Make spare folders of those that a job has left as they were; False where it has not, or is not known to.

        They cost no new folder, and no removal, which makes new ones dear (ext4 without a journal).
        """
        spare = f"{self.root}/spare-{name}"
        try:
            root_may_have_mounted = os.geteuid() == 0 and not self.view.bubblewrap
            if os.path.lexists(spare) or self.far or root_may_have_mounted:
                return False
            if name == "tasks":
                untouched = os.listdir(place) == [*_SPARES[name]] and make_spare(f"{place}/{_SPARES[name][0]}")
            else:
                untouched = sorted(os.listdir(place)) == sorted(_SPARES[name])
                untouched = untouched and all(is_as_made(f"{place}/{folder}", self._made) for folder in _SPARES[name])
            if untouched:
                os.rename(place, spare)
            return untouched
        except OSError as exc:
            log.debug("folders of %s cannot be used again: %s", place, exc)
            return False

    @cached_property
    def _made(self) -> tuple[int, int, int]:
        """Device, mode and owner of the folders that this service makes."""
        status = (self.root / "waste").lstat()
        return status.st_dev, status.st_mode, status.st_uid

    # A node has one job at a time: what is there of others was left by a service that was killed.

    def _attempts(self) -> list[str]:
        """The runs of jobs whose tasks' folders are there."""
        tasks = self.root / "tasks"
        return [name for name in os.listdir(tasks) if name != "setup"] if tasks.is_dir() else []

    async def sweep(self) -> None:
        """Make room for a job: remove what earlier ones have left."""
        left = self._attempts()
        await self._remove_containers(left)
        for attempt in left:
            self.discard(self.root / "tasks" / attempt)
        # Those of workspaces and experiments stay: the next job is likely to need them again.
        for folder in [*(self.root / "jobs").glob("*/*/*")]:
            await asyncio.to_thread(unmount_below, folder)
            self.discard(folder)

    async def _remove_containers(self, attempts: list[str]) -> None:
        runtime = self.containers() if attempts else None
        if runtime:
            for attempt in attempts:
                await runtime.remove(self.container(attempt))

    def container(self, attempt: str) -> str:
        """The name of the container in which a run of a job is on this node."""
        return f"batchai-{attempt}-{self.spec.node_id}"

    def discard(self, folder: Path) -> None:
        """Take a folder out of the way at once, for a job of the same name; it is removed by and by. Raises OSError."""
        if folder.exists():
            waste = self.root / "waste" / secrets.token_hex(8)
            folder.rename(waste)
            remove_later(waste)


async def open_endpoint(
    name: str,
    view: View,
    home: Path,
    login: Login,
    environment: dict[str, str],
    port: int,
    node: LocalNode | None = None,
) -> SshEndpoint:
    """An SSH endpoint whose host key lies in the folder of `view`; on another port where `port` is taken by now.

    `node` knows how a command is run there, where the view alone does not.
    """
    password_hash = login.password_hash
    spec = SshEndpointSpec(
        node_id=name,
        host_key_path=view.root / "ssh_host_ed25519_key",
        home=home,
        user_name=login.user_name,
        authorized_keys=login.public_keys,
        verify_password=(lambda given: check_password(given, password_hash)) if password_hash else None,
        environment=lambda: view.variables({**environment, "HOME": str(home), "PWD": str(home)}),
        enter=node.enter if node else (lambda argv, terminal: view.enter(argv, home)),
        far=node.far if node else None,
        port=port,
    )
    try:
        return await SshEndpoint.start(spec)
    except OSError:
        if not port:
            raise
    return await SshEndpoint.start(replace(spec, port=0))


def tail(path: Path) -> str:
    """The last lines of a file, for an error's details."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _LAST_BYTES, 0))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""

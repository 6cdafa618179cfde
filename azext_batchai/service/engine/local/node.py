"""A local node: a folder, links to its volumes, an SSH endpoint, and the tasks that run on it."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

from azext_batchai.service.engine.base import Login, NodeSpec, TaskError
from azext_batchai.service.engine.local import mpi, node_ssh
from azext_batchai.service.engine.local.environment import expand, node_environment, shell
from azext_batchai.service.engine.local.mounts import remove_tree, show_volumes, unmount_below
from azext_batchai.service.engine.local.ssh_server import SshEndpoint, SshEndpointSpec
from azext_batchai.service.engine.local.tasks import Command, Launcher, Task, kill_marked
from azext_batchai.service.engine.local.view import View
from azext_batchai.service.secrets_vault import check_password

_LAST_BYTES = 2000


class LocalNode:
    """One node in the folder of `view`; `spec` says what it is to be."""

    def __init__(self, spec: NodeSpec, view: View, launcher: Launcher, grace: float) -> None:
        self.spec = spec
        self.view = view
        self.root = root = view.root
        self._launcher = launcher
        self._grace = grace
        self._endpoint: SshEndpoint | None = None
        self._setup: Task | None = None
        self._closing = False
        self.environment = node_environment(root, spec.node_id, spec.gpus_held)

    @property
    def mounts(self) -> Path:
        return self.root / "mounts"

    @property
    def port(self) -> int:
        return self._endpoint.port if self._endpoint else 0

    async def open(self) -> int:
        """Make the folder and the SSH endpoint; returns the port, the former one where it is free. Raises OSError."""
        for name in ("home", "tmp", "mounts", "logs", "jobs", "tasks", "bin", "waste"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        mpi.write_mpirun(self.root / "bin")
        node_ssh.write_programs(self.root / "bin")
        if not shutil.which("python"):
            mpi.write_program(self.root / "bin" / "python", '#!/bin/sh\n# 2018 jobs say python\nexec python3 "$@"\n')
        self._endpoint = await open_endpoint(
            self.spec.node_id, self.view, self.root / "home", self.spec.login, self.environment, self.spec.port
        )
        return self._endpoint.port

    async def prepare(self, spec: NodeSpec, resume: bool) -> None:
        """Mount the volumes, then run the setup task. Raises TaskError."""
        self.spec = replace(spec, login=self.spec.login, gpus_held=self.spec.gpus_held)
        await show_volumes(self.mounts, spec.volumes)
        if spec.setup:
            await self._run_setup(resume)

    async def _run_setup(self, resume: bool) -> None:
        setup = self.spec.setup
        assert setup
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
        self._setup = Task(self._launcher, self.root / "tasks" / "setup", self._grace)
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
        await asyncio.to_thread(kill_marked, "AZ_BATCHAI_NODE_ID", self.spec.node_id)
        await asyncio.to_thread(unmount_below, self.root)
        await asyncio.to_thread(remove_tree, self.root)


async def open_endpoint(
    name: str, view: View, home: Path, login: Login, environment: dict[str, str], port: int
) -> SshEndpoint:
    """An SSH endpoint whose host key lies in the folder of `view`; on another port where `port` is taken by now."""
    password_hash = login.password_hash
    spec = SshEndpointSpec(
        node_id=name,
        host_key_path=view.root / "ssh_host_ed25519_key",
        home=home,
        user_name=login.user_name,
        authorized_keys=login.public_keys,
        verify_password=(lambda given: check_password(given, password_hash)) if password_hash else None,
        environment=lambda: view.variables({**environment, "HOME": str(home), "PWD": str(home)}),
        enter=lambda argv: view.enter(argv, home),
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

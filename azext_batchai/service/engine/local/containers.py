"""Jobs in containers, by podman or docker: one container a node for as long as the job lasts (wire.md 5.5).

Job preparation and the job itself run in the same container, as they did in Batch AI. Paths are the same inside and
outside, so the variables of the job hold in both.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from azext_batchai.service.engine.base import Container, TaskError
from azext_batchai.service.engine.host import Host

# What the runtime itself needs of the machine's environment; the job's values of these are not handed over by name.
_MACHINES_OWN = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "DOCKER_HOST", "CONTAINER_HOST")
# Variables of the node that are wrong in an image of its own.
_NODE_ONLY = {"PATH", "HOME", "TMPDIR", "SHELL", "LD_LIBRARY_PATH", "PYTHONUSERBASE", "VIRTUAL_ENV", "PIP_CONFIG_FILE"}
SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; fi; exec sh -c "$1"'
# Of a container that podman was killed over, with the service, a first process and its monitor wait for ever, of which
# podman itself knows nothing any more. The monitor's arguments tell which container it is.
_END_LEFT = r"""
grep -lzxF -- "$1" /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do
    words=$(tr '\0' '\n' <"$file" 2>/dev/null)
    case ${words%%"
"*} in */conmon | conmon) ;; *) continue ;; esac
    monitor=${file#/proc/} monitor=${monitor%/cmdline}
    runtime=$(printf '%s\n' "$words" | sed -n '/^-r$/{n;p;q;}')
    container=$(printf '%s\n' "$words" | sed -n '/^-c$/{n;p;q;}')
    kill -KILL $(cat "/proc/$monitor/task/$monitor/children") 2>/dev/null
    "$runtime" delete --force "$container" 2>/dev/null
    kill -KILL "$monitor" 2>/dev/null
done
"""
PULL_SECONDS = 3600.0
_END_SECONDS = 30.0
_SAID_CHARACTERS = 1000
_ON_HOST = (
    "Or let such jobs run directly on the node: set AZURE_BATCHAI_CONTAINERS_ON_HOST=1, run `az batchai local down`, "
    "then submit the job again."
)


class Containers(Protocol):
    """A way to run commands in images on one node. With `holds_processes` they run in a container that stays between
    commands and are no children of ours."""

    @property
    def holds_processes(self) -> bool: ...

    async def start(self, name: str, container: Container, mounts: Mapping[str, str], resume: bool) -> None:
        """Be ready for commands in the image. Raises TaskError FailedStartingContainer."""

    def inside(
        self, name: str, work: Path, command_line: str, environment: Mapping[str, str]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Arguments and environment that run a command line in the image; values are not among the arguments."""

    async def terminate(self, name: str) -> None:
        """TERM to all processes in the container that stays."""

    async def remove(self, name: str) -> None:
        """Remove the container that stays, and what runs in it. Idempotent."""


class ContainerRuntime:
    """podman or docker as found on this machine, or as AZURE_BATCHAI_CONTAINER_COMMAND names it."""

    holds_processes = True

    def __init__(self, host: Host, command: Sequence[str], run_arguments: Sequence[str]) -> None:
        self._host = host
        self._command = tuple(command)
        self._run_arguments = tuple(run_arguments)

    @classmethod
    def find(cls, host: Host) -> ContainerRuntime | None:
        """None where there is neither."""
        arguments = shlex.split(os.environ.get("AZURE_BATCHAI_CONTAINER_RUN_ARGUMENTS", ""))
        chosen = shlex.split(os.environ.get("AZURE_BATCHAI_CONTAINER_COMMAND", ""))
        for words in [chosen] if chosen else [["podman"], ["docker"]]:
            program = shutil.which(words[0])
            if program:
                return cls(host, (program, *words[1:]), arguments)
        return None

    async def start(self, name: str, container: Container, mounts: Mapping[str, str], resume: bool) -> None:
        """Have the container running, with folders of the machine at the places that are the keys of `mounts`.

        Raises TaskError FailedStartingContainer with what the runtime said.
        """
        if resume and (await self._call("start", name))[0] == 0:  # which says yes where it runs already
            return
        image = await self._provide(container)
        arguments = ["run", "--detach", "--name", name, "--network=host", *self._run_arguments]
        for place, folder in sorted(mounts.items()):
            arguments += ["--volume", f"{folder}:{place}"]
        if container.shm_size:
            arguments += ["--shm-size", container.shm_size]
        await self.remove(name)  # one of an earlier attempt that could not be removed
        status, said = await self._call(*arguments, "--entrypoint", "sleep", image, "2147483647")
        if status != 0:
            await self.remove(name)
            raise await self._failed(container, said)

    async def _provide(self, container: Container) -> str:
        """The image's full name; it is pulled unless it is here."""
        name = container.own_name
        if (await self._call("image", "inspect", name))[0] == 0:
            return name
        name = container.full_name
        first = name.split("/")[0]
        insecure = (
            ["--tls-verify=false"] if self._is_podman and first.split(":")[0] in ("localhost", "127.0.0.1") else []
        )
        with tempfile.TemporaryDirectory(prefix="batchai-auth-") as folder:
            # A file for the owner's eyes: a password must not be seen among the arguments.
            options: list[str] = []
            if container.user_name:
                pair = base64.b64encode(f"{container.user_name}:{container.password}".encode()).decode()
                config = Path(folder) / "config.json"
                config.touch(mode=0o600)
                config.write_text(json.dumps({"auths": {first: {"auth": pair}}}), encoding="utf-8")
                options = ["--authfile", str(config)] if self._is_podman else []
            environment = (
                None if self._is_podman or not container.user_name else {**os.environ, "DOCKER_CONFIG": folder}
            )
            status, said = await self._call("pull", *options, *insecure, name, environment=environment)
        if status != 0:
            raise await self._failed(container, said)
        return name

    def inside(
        self, name: str, work: Path, command_line: str, environment: Mapping[str, str]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Arguments and environment that run a command line in a container; values are not among the arguments."""
        arguments = [*self._command, "exec", "--workdir", str(work)]
        machines, jobs = variables_inside(environment, os.environ)
        for key in jobs:
            arguments += ["--env", key]
        return (*arguments, name, "/bin/sh", "-c", SHELL, "sh", command_line), {**machines, **jobs}

    async def terminate(self, name: str) -> None:
        """TERM to all processes in the container but its first."""
        await self._call("exec", name, "/bin/sh", "-c", "kill -TERM -1")

    async def remove(self, name: str) -> None:
        """Remove the container and what runs in it. Idempotent."""
        arguments = ["rm", "--force", *(["--time", "0"] if self._is_podman else []), name]
        await self._call(*arguments)
        if self._is_podman:
            await self._host.call(("/bin/sh", "-c", _END_LEFT, "sh", name), _END_SECONDS)

    async def _failed(self, container: Container, said: str) -> TaskError:
        """The runtime's own words, with what to do where it is the runtime itself that does not work."""
        name = Path(self._command[0]).name
        if (await self._call("info"))[0] == 0:
            return failed(container, said[-_SAID_CHARACTERS:])
        said = said[-_SAID_CHARACTERS:].rstrip()
        return failed(
            container,
            f"{said}{'' if said.endswith(('.', '?', '!')) else '.'} {name} is installed but does not work: see what "
            f"`{shlex.join((name, *self._command[1:], 'info'))}` says (its daemon may have to be started, or you may "
            f"not be allowed to use it). {_ON_HOST}",
        )

    @property
    def _is_podman(self) -> bool:
        return any(Path(word).name.startswith("podman") for word in self._command)

    async def _call(self, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Exit status and what was said on stderr."""
        try:
            return await self._host.call((*self._command, *arguments), PULL_SECONDS, environment)
        except OSError as exc:
            return 1, exc.strerror or str(exc)


def variables_inside(
    environment: Mapping[str, str], machine: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """What the runtime itself needs of the machine's environment, and what a command in an image gets of the job's."""
    machines = {key: value for key, value in machine.items() if key in _MACHINES_OWN}
    left_out = {*_MACHINES_OWN, *_NODE_ONLY}
    return machines, {key: value for key, value in environment.items() if key not in left_out}


def failed(container: Container, said: str) -> TaskError:
    return TaskError(
        "FailedStartingContainer",
        "unable to start docker container",
        {"imageName": container.image, "Info": said},
    )


def no_runtime(container: Container) -> TaskError:
    return failed(
        container,
        f"There is no podman or docker on this machine. Install one. {_ON_HOST}",
    )

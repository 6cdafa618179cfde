"""Jobs in containers on Slurm's nodes: podman as on one machine, or what sites have instead, apptainer and pyxis.

The latter two keep no container between commands: each command has one of its own, which is its child and goes with it.
Paths are the same inside and outside, and what preparation writes into its image is gone before the job runs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from azext_batchai.service.engine.base import Container
from azext_batchai.service.engine.host import Host
from azext_batchai.service.engine.local.containers import (
    PULL_SECONDS,
    SHELL,
    ContainerRuntime,
    Containers,
    failed,
    variables_inside,
)

_ENV = "/usr/bin/env"  # programs are looked for on the node, by the task's own PATH


def containers_of(
    kind: str, host: Host, step: Sequence[str], machine: Mapping[str, str], images: Path
) -> Containers | None:
    """The runtime of one node. `step` begins a command that Slurm runs there, `images` is a folder that nodes share.

    `machine` is the node's environment; '' as the kind is what this machine has, None where that is nothing.
    """
    if kind == "apptainer":
        return Apptainer(host, machine, images)
    if kind == "pyxis":
        return Pyxis(step, machine)
    if kind == "podman" and not os.environ.get("AZURE_BATCHAI_CONTAINER_COMMAND"):
        arguments = shlex.split(os.environ.get("AZURE_BATCHAI_CONTAINER_RUN_ARGUMENTS", ""))
        return ContainerRuntime(host, (_ENV, "podman"), arguments)
    return ContainerRuntime.find(host)


class _OneEach:
    """A container for each command: there is nothing to keep, to tell or to remove."""

    holds_processes = False

    def __init__(self, machine: Mapping[str, str]) -> None:
        self._machine = machine
        self._image = ""
        self._mounts: list[str] = []

    async def terminate(self, name: str) -> None:
        pass

    async def remove(self, name: str) -> None:
        pass

    def _note(self, image: str, mounts: Mapping[str, str]) -> None:
        self._image = image
        self._mounts = [f"{folder}:{place}" for place, folder in sorted(mounts.items())]


class Apptainer(_OneEach):
    """See `engine.local.containers.Containers`."""

    def __init__(self, host: Host, machine: Mapping[str, str], images: Path) -> None:
        super().__init__(machine)
        self._host = host
        self._images = images

    async def start(self, name: str, container: Container, mounts: Mapping[str, str], resume: bool) -> None:
        """Have the image in a file that all nodes see. Raises TaskError FailedStartingContainer."""
        reference = f"docker://{container.full_name}"
        file = self._images / f"{hashlib.sha256(reference.encode()).hexdigest()[:16]}.sif"
        self._note(str(file), mounts)
        if file.exists():
            return
        self._images.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.stem}.{secrets.token_hex(4)}.sif")
        environment = dict(self._machine)
        if container.user_name:  # in the environment: a password must not be seen among the arguments
            environment["APPTAINER_DOCKER_USERNAME"] = container.user_name
            environment["APPTAINER_DOCKER_PASSWORD"] = container.password
        argv = (_ENV, "apptainer", "pull", str(part), reference)
        status, said = await self._host.call(argv, PULL_SECONDS, environment)
        if status != 0:
            part.unlink(missing_ok=True)
            raise failed(container, said)
        part.replace(file)

    def inside(
        self, name: str, work: Path, command_line: str, environment: Mapping[str, str]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        argv = [_ENV, "apptainer", "exec", "--cleanenv", "--no-home", "--pwd", str(work)]
        if environment.get("AZ_BATCHAI_NUM_GPUS", "0") != "0":
            argv.append("--nv")
        for mount in self._mounts:
            argv += ["--bind", mount]
        machines, jobs = variables_inside(environment, self._machine)
        handed = {**machines, **{f"APPTAINERENV_{key}": value for key, value in jobs.items()}}
        return (*argv, self._image, "/bin/sh", "-c", SHELL, "sh", command_line), handed


class Pyxis(_OneEach):
    """See `engine.local.containers.Containers`: `srun --container-image`, a plugin of Slurm's."""

    def __init__(self, step: Sequence[str], machine: Mapping[str, str]) -> None:
        super().__init__(machine)
        self._step = tuple(step)

    async def start(self, name: str, container: Container, mounts: Mapping[str, str], resume: bool) -> None:
        """Raises TaskError FailedStartingContainer for a registry that wants a password."""
        if container.user_name:
            raise failed(container, "pyxis takes credentials of registries from ~/.config/enroot/.credentials only.")
        registry, _, rest = container.full_name.partition("/")
        self._note(f"docker://{registry}#{rest}", mounts)

    def inside(
        self, name: str, work: Path, command_line: str, environment: Mapping[str, str]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        argv = [*self._step, "--export=ALL", f"--container-image={self._image}", f"--container-workdir={work}"]
        argv += [f"--container-mounts={','.join(self._mounts)}", "--no-container-mount-home"]
        machines, jobs = variables_inside(environment, self._machine)
        return (*argv, "/bin/sh", "-c", SHELL, "sh", command_line), {**jobs, **machines}

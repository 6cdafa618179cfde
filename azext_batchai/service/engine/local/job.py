"""One job on its local nodes: folders, mounts, environment, job preparation, processes, execution log (wire.md 5)."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from azext_batchai.service.clock import wire_now
from azext_batchai.service.engine.base import Container, JobOutcome, JobPlan, Process, TaskError
from azext_batchai.service.engine.local import mpi, node_ssh
from azext_batchai.service.engine.local.containers import ContainerRuntime, no_runtime
from azext_batchai.service.engine.local.environment import expand, shell
from azext_batchai.service.engine.local.mounts import remove_tree, show_volumes, unmount_below
from azext_batchai.service.engine.local.node import LocalNode, tail
from azext_batchai.service.engine.local.tasks import Command, Launcher, Task, TaskEnd
from azext_batchai.service.engine.local.view import DOCUMENTED_ROOT


@dataclass(frozen=True)
class _Place:
    """Where the job is on one node. `variables` are the service's own, `environment` has the user's too."""

    node: LocalNode
    root: Path
    variables: dict[str, str]
    environment: dict[str, str]
    log: Path
    container: str


class LocalJob:
    """A run of a job; `stop` may come at any time."""

    def __init__(
        self, plan: JobPlan, nodes: Sequence[LocalNode], launcher: Launcher, grace: float, node_key: Path
    ) -> None:
        self._plan = plan
        self._nodes = nodes
        self._launcher = launcher
        self._grace = grace
        self._node_key = node_key
        self._tasks: list[Task] = []
        self._stopping = False
        self._failed: Process | None = None
        self._oom_kills = _oom_kills()
        self._runtime: ContainerRuntime | None = None
        self._killer: asyncio.Task[None] | None = None
        self._unique = plan.output_segment.rsplit("/", 1)[-1]
        self._output = Path()
        self._places: list[_Place] = []

    async def run(self, resume: bool) -> JobOutcome:
        """Run the job to its end. Raises TaskError where it cannot be started."""
        try:
            try:
                await self._set_up()
            except OSError as exc:
                raise TaskError("JobSetUpFailed", "The job's folders could not be made", {"Info": str(exc)}) from None
            outcome = await self._run(resume)
        except TaskError as exc:
            self._note(f"failed: {exc.code}: {exc.message} {exc.details}")
            await self._clean_up()
            raise
        # Not in a `finally`: a run that is cancelled because the service stops leaves the job alone.
        await self._clean_up()
        return outcome

    async def _clean_up(self) -> None:
        if self._killer:
            self._killer.cancel()
        if self._runtime:
            await asyncio.gather(*(self._runtime.remove(place.container) for place in self._places))
        for place in self._places:
            if any(volume.mount_command for volume in self._plan.volumes):
                await asyncio.to_thread(unmount_below, place.root)
            # Out of the way at once, for a job of the same name; removed while the next one runs already.
            waste = place.node.root / "waste" / f"{self._unique}-{self._plan.attempt}"
            if place.root.exists():
                place.root.rename(waste)
                asyncio.get_running_loop().run_in_executor(None, remove_tree, waste)

    async def _run(self, resume: bool) -> JobOutcome:
        plan = self._plan
        if not resume:
            self._note(f"job {plan.name} starts, attempt {plan.attempt}, nodes {', '.join(plan.node_ids)}")
            for note in plan.notes:
                self._note(note)
        if plan.container:
            await self._start_containers(plan.container, resume)
        if plan.preparation:
            failed = await self._prepare(plan.preparation, resume)
            if failed:
                return failed
        end = await self._run_processes(resume)
        self._note(f"the job ended {_describe(end)}")
        error = None
        if end.exit_code != 0:
            error = TaskError("JobFailed", "Job failed with non-zero exit code", self._failure(end))
        return JobOutcome(end.exit_code, error)

    async def stop(self) -> None:
        """End all processes of the job."""
        self._stopping = True
        if self._runtime and not self._killer:
            # What runs in a container is no child of ours: it is told inside, and goes with its container.
            await asyncio.gather(*(self._runtime.terminate(place.container) for place in self._places))
            self._killer = asyncio.get_running_loop().create_task(self._kill_later())
            return
        await asyncio.gather(*(task.stop() for task in self._tasks))

    async def _kill_later(self) -> None:
        await asyncio.sleep(self._grace)
        if self._runtime:
            await asyncio.gather(*(self._runtime.remove(place.container) for place in self._places))
        await asyncio.gather(*(task.stop() for task in self._tasks))

    # Setting up

    async def _set_up(self) -> None:
        plan = self._plan
        many = len(self._nodes) > 1
        relative = Path("jobs") / plan.workspace / plan.experiment / plan.name
        variables: dict[str, str] = {}
        for node in self._nodes:
            root = node.root / relative
            for name in ("wd", "mounts", "temp"):
                (root / name).mkdir(parents=True, exist_ok=True)
            await show_volumes(root / "mounts", plan.volumes)
            variables = self._variables(node, root)
            log_name = f"execution-{node.spec.node_id}.log" if many else "execution.log"
            self._output = Path(variables["AZ_BATCHAI_STDOUTERR_DIR"])
            # Paths are those of the node's own view, but for the folder that all nodes share.
            shared = variables["AZ_BATCHAI_SHARED_JOB_TEMP"]
            variables = {**node.view.variables(variables), "AZ_BATCHAI_SHARED_JOB_TEMP": shared}
            environment = {**variables, **plan.environment}
            self._places.append(
                _Place(node, root, variables, environment, self._output / log_name, self._container_name(node))
            )
        Path(variables["AZ_BATCHAI_SHARED_JOB_TEMP"]).mkdir(parents=True, exist_ok=True)
        self._connect_nodes()

    def _variables(self, node: LocalNode, root: Path) -> dict[str, str]:
        plan = self._plan
        variables = {
            **node.environment,
            "AZ_BATCHAI_JOB_NAME": plan.name,
            "AZ_BATCHAI_JOB_MOUNT_ROOT": str(root / "mounts"),
            "AZ_BATCHAI_JOB_TEMP": str(root / "temp"),
            "AZ_BATCHAI_JOB_TEMP_DIR": str(root.parent),
            "AZ_BATCHAI_SHARED_JOB_TEMP": str(self._nodes[0].root / root.relative_to(node.root) / "shared"),
            "BATCHAI_SSH_CONFIG": str(root / "ssh_config"),
            **mpi.variables(root / "mpi" / "agent", root / "hostfile", plan.addresses),
        }
        output = self._directory(node, plan.output_prefix, variables, "stdOutErrPathPrefix") / plan.output_segment
        variables["AZ_BATCHAI_STDOUTERR_DIR"] = str(output / "stdouterr")
        (output / "stdouterr").mkdir(parents=True, exist_ok=True)
        for identifier, prefix, suffix in plan.directories:
            base = self._directory(node, prefix, variables, f"outputDirectories {identifier}")
            folder = base / plan.output_segment / "outputs" / suffix.lstrip("/")
            if ".." in Path(suffix).parts:
                raise _wrong_path(f"outputDirectories {identifier}", suffix, "it must not contain '..'")
            folder.mkdir(parents=True, exist_ok=True)
            variables[f"AZ_BATCHAI_OUTPUT_{identifier}"] = str(folder)
        for identifier, path in plan.inputs:
            variables[f"AZ_BATCHAI_INPUT_{identifier}"] = node.view.outside(expand(path, variables))
        return variables

    def _directory(self, node: LocalNode, prefix: str, variables: dict[str, str], what: str) -> Path:
        path = Path(node.view.outside(expand(prefix, variables)))
        if not path.is_absolute():
            raise _wrong_path(what, prefix, "it must be an absolute path or start with a mount root variable")
        if not path.is_dir():
            try:
                path.mkdir(parents=True)
            except OSError as exc:
                raise _wrong_path(what, prefix, exc.strerror or str(exc)) from None
        return path

    def _connect_nodes(self) -> None:
        ranks = max((process.world_size for process in self._plan.processes), default=0)
        gpus = int(self._nodes[0].environment["AZ_BATCHAI_NUM_GPUS"])
        slots = max(gpus, -(-ranks // len(self._nodes)), 1)
        own: dict[str, mpi.Station] = {}
        for address, place in zip(self._plan.addresses, self._places):
            variables = {name: value for name, value in place.variables.items() if _is_the_nodes_own(name)}
            enter = () if self._plan.container else place.node.view.enter((), place.root / "wd")
            work = place.node.view.inside(str(place.root / "wd"))
            own[address] = mpi.Station({**variables, "BATCHAI_WORK": work}, enter)
        hosts = {
            address: (node.spec.node_id, node.spec.login.user_name, node.port)
            for address, node in zip(self._plan.addresses, self._nodes)
        }
        for place in self._places:
            node_ssh.write_config(place.root / "ssh_config", self._node_key, hosts)
            mpi.write_host_file(place.root / "hostfile", self._plan.addresses, slots)
            mpi.write_agent(place.root / "mpi", own)

    def _container_name(self, node: LocalNode) -> str:
        return f"batchai-{self._unique}-{self._plan.attempt}-{node.spec.node_id}"

    async def _start_containers(self, container: Container, resume: bool) -> None:
        runtime = ContainerRuntime.find()
        if not runtime:
            raise no_runtime(container)
        self._note(f"container image {container.image}")
        folders = [node.root for node in self._nodes]
        folders += [volume.source for node in self._nodes for volume in (*node.spec.volumes, *self._plan.volumes)]
        same = {str(folder): str(folder) for folder in folders if folder != Path()}
        self._runtime = runtime
        for place in self._places:  # one after the other: the first pulls the image for all
            mounts = {**same, DOCUMENTED_ROOT: str(place.node.root)}
            await runtime.start(place.container, container, mounts, resume)

    # Running

    async def _prepare(self, command_line: str, resume: bool) -> JobOutcome | None:
        """Run the job preparation on every node; the outcome where it failed."""
        self._note("job preparation starts")
        names = (
            ["job_prep"]
            if len(self._places) == 1
            else [f"job_prep-{place.node.spec.node_id}" for place in self._places]
        )
        ends = await asyncio.gather(
            *(
                self._task(
                    f"prep-{index}", place, command_line, {}, (f"stdout-{name}.txt", f"stderr-{name}.txt"), resume
                )
                for index, (place, name) in enumerate(zip(self._places, names))
            )
        )
        for end, place, name in zip(ends, self._places, names):
            self._note(f"job preparation on {place.node.spec.node_id} ended {_describe(end)}")
            if end.exit_code != 0:
                stderr = self._output / f"stderr-{name}.txt"
                details = {"NodeId": place.node.spec.node_id, "StdErr": tail(stderr), "Path": str(stderr)}
                error = TaskError(
                    "JobPreparationFailed", "Job preparation task failed with non-zero exit code", details
                )
                return JobOutcome(end.exit_code, error)
        return None

    async def _run_processes(self, resume: bool) -> TaskEnd:
        """Run all processes; the first that fails ends the others, and it is the one whose end counts."""
        running: dict[asyncio.Future[TaskEnd], Process] = {}
        for index, process in enumerate(self._plan.processes):
            self._note(f"cmd is {process.command_line}")
            running[asyncio.ensure_future(self._start(index, process, resume))] = process
        outcome: TaskEnd | None = None
        try:
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    process, end = running.pop(future), future.result()
                    if outcome is None and end.exit_code != 0 and not process.serves_others:
                        outcome = end
                        self._failed = process
                        if running:
                            self._note(f"a process ended {_describe(end)}: the others are ended too")
                if running and (outcome or all(process.serves_others for process in running.values())):
                    await asyncio.gather(*(task.stop() for task in self._tasks))
        except TaskError:
            await asyncio.gather(*(task.stop() for task in self._tasks))
            await asyncio.gather(*running, return_exceptions=True)
            raise
        return outcome or TaskEnd(0)

    async def _start(self, index: int, process: Process, resume: bool) -> TaskEnd:
        place = self._places[process.node_index]
        files = (process.stdout, process.stderr)
        environment = {name: expand(value, place.environment) for name, value in process.environment.items()}
        name = f"main-{index}"
        return await self._task(name, place, process.command_line, environment, files, resume, process)

    async def _task(
        self,
        name: str,
        place: _Place,
        command_line: str,
        environment: Mapping[str, str],
        files: tuple[str, str],
        resume: bool,
        process: Process | None = None,
    ) -> TaskEnd:
        folder = place.node.root / "tasks" / f"{self._unique}-{self._plan.attempt}" / name
        task = Task(self._launcher, folder, self._grace)
        self._tasks.append(task)
        if self._stopping:
            await task.stop()
        stdout, stderr = (self._output / file for file in files)
        work, variables = place.root / "wd", {**place.environment, **environment}
        command = Command((shell(), "-c", command_line), work, variables, stdout, stderr)
        if process and process.world_size:
            command = mpi.ranks_command(process, command, folder / "ranks", self._output, bool(self._runtime))
        if not self._runtime:
            command = replace(command, argv=place.node.view.enter(command.argv, work))
        else:
            line = command_line if command.argv[0] == shell() else shlex.join(command.argv)
            seen = Path(place.node.view.inside(str(work)))
            argv, handed = self._runtime.inside(place.container, seen, line, variables)
            command = replace(command, argv=argv, environment=handed)
        return await task.run(command, resume)

    def _failure(self, end: TaskEnd) -> dict[str, str]:
        failed = self._failed or self._plan.processes[0]
        details = {"ExitCode": str(end.exit_code), "NodeId": self._places[failed.node_index].node.spec.node_id}
        signal = end.signal or (end.exit_code - 128 if 128 < end.exit_code < 160 else 0)  # as a shell tells it
        if signal:
            details["Signal"] = str(signal)
        if signal == SIGKILL and _oom_kills() > self._oom_kills:
            details["Info"] = "a process of this machine was killed for lack of memory while the job ran"
        details["StdErr"] = tail(self._output / failed.stderr.replace("{rank}", "0"))
        return {name: value for name, value in details.items() if value}

    def _note(self, text: str) -> None:
        """A line of every node's execution log."""
        for place in self._places:
            try:
                with place.log.open("a", encoding="utf-8") as file:
                    file.write(f"{wire_now()} {text}\n")
            except OSError:
                pass  # the share is gone: the job's own fate says so


def _is_the_nodes_own(name: str) -> bool:
    """Variables that differ from node to node of a job."""
    return name.startswith("AZ_BATCHAI_") or name in (
        "HOME",
        "TMPDIR",
        "PATH",
        "OMPI_MCA_plm_rsh_agent",
        "BATCHAI_SSH_CONFIG",
    )


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since the machine started."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _describe(end: TaskEnd) -> str:
    return f"by signal {end.signal}" if end.signal else f"with exit code {end.exit_code}"


def _wrong_path(what: str, path: str, reason: str) -> TaskError:
    return TaskError("InvalidPath", f"The path of {what} cannot be used", {"Path": path, "Info": reason})

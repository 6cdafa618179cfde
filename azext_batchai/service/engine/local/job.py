"""One job on its local nodes: folders, mounts, environment, job preparation, processes, execution log (wire.md 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azext_batchai.service.clock import wire_now
from azext_batchai.service.engine.base import JobOutcome, JobPlan, Process, TaskError
from azext_batchai.service.engine.local.environment import expand, shell
from azext_batchai.service.engine.local.node import LocalNode, link_volumes, remove_tree, tail
from azext_batchai.service.engine.local.tasks import Command, Launcher, Task, TaskEnd


@dataclass(frozen=True)
class _Place:
    """Where the job is on one node."""

    node: LocalNode
    root: Path
    environment: dict[str, str]
    log: Path


class LocalJob:
    """A run of a job; `stop` may come at any time."""

    def __init__(self, plan: JobPlan, nodes: Sequence[LocalNode], launcher: Launcher, grace: float) -> None:
        self._plan = plan
        self._nodes = nodes
        self._launcher = launcher
        self._grace = grace
        self._tasks: list[Task] = []
        self._stopping = False
        self._output = Path()
        self._places: list[_Place] = []

    async def run(self, resume: bool) -> JobOutcome:
        """Run the job to its end. Raises TaskError where it cannot be started."""
        try:
            try:
                self._set_up()
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
        for place in self._places:
            await asyncio.to_thread(remove_tree, place.root)

    async def _run(self, resume: bool) -> JobOutcome:
        plan = self._plan
        if not resume:
            self._note(f"job {plan.name} starts, attempt {plan.attempt}, nodes {', '.join(plan.node_ids)}")
            for note in plan.notes:
                self._note(note)
        if plan.preparation:
            failed = await self._prepare(plan.preparation, resume)
            if failed:
                return failed
        ends = await asyncio.gather(*(self._start(index, process, resume) for index, process in enumerate(plan.processes)))
        end = next((end for end in ends if end.exit_code != 0), ends[0])
        self._note(f"the job ended {_describe(end)}")
        error = None
        if end.exit_code != 0:
            error = TaskError("JobFailed", "Job failed with non-zero exit code", self._failure(end))
        return JobOutcome(end.exit_code, error)

    async def stop(self) -> None:
        """End all processes of the job."""
        self._stopping = True
        await asyncio.gather(*(task.stop() for task in self._tasks))

    # Setting up

    def _set_up(self) -> None:
        plan = self._plan
        many = len(self._nodes) > 1
        relative = Path("jobs") / plan.workspace / plan.experiment / plan.name
        variables: dict[str, str] = {}
        for node in self._nodes:
            root = node.root / relative
            for name in ("wd", "mounts", "temp"):
                (root / name).mkdir(parents=True, exist_ok=True)
            link_volumes(root / "mounts", plan.volumes)
            variables = self._variables(node, root)
            log_name = f"execution-{node.spec.node_id}.log" if many else "execution.log"
            self._output = Path(variables["AZ_BATCHAI_STDOUTERR_DIR"])
            environment = {**variables, **plan.environment}
            self._places.append(_Place(node, root, environment, self._output / log_name))
        self._make_shared(variables)
        self._write_host_files()

    def _variables(self, node: LocalNode, root: Path) -> dict[str, str]:
        plan = self._plan
        variables = {
            **node.environment,
            "AZ_BATCHAI_JOB_NAME": plan.name,
            "AZ_BATCHAI_JOB_MOUNT_ROOT": str(root / "mounts"),
            "AZ_BATCHAI_JOB_TEMP": str(root / "temp"),
            "AZ_BATCHAI_JOB_TEMP_DIR": str(root.parent),
            "AZ_BATCHAI_SHARED_JOB_TEMP": str(self._nodes[0].root / root.relative_to(node.root) / "shared"),
            "AZ_BATCHAI_MPI_HOST_FILE": str(root / "hostfile"),
            "AZ_BATCHAI_MPI_MASTER_NODE": "127.0.0.1",
            "AZ_BATCH_HOST_LIST": ",".join(["127.0.0.1"] * len(self._nodes)),
        }
        output = self._directory(plan.output_prefix, variables, "stdOutErrPathPrefix") / plan.output_segment
        variables["AZ_BATCHAI_STDOUTERR_DIR"] = str(output / "stdouterr")
        (output / "stdouterr").mkdir(parents=True, exist_ok=True)
        for identifier, prefix, suffix in plan.directories:
            base = self._directory(prefix, variables, f"outputDirectories {identifier}")
            folder = base / plan.output_segment / "outputs" / suffix.lstrip("/")
            if ".." in Path(suffix).parts:
                raise _wrong_path(f"outputDirectories {identifier}", suffix, "it must not contain '..'")
            folder.mkdir(parents=True, exist_ok=True)
            variables[f"AZ_BATCHAI_OUTPUT_{identifier}"] = str(folder)
        for identifier, path in plan.inputs:
            variables[f"AZ_BATCHAI_INPUT_{identifier}"] = expand(path, variables)
        return variables

    def _directory(self, prefix: str, variables: dict[str, str], what: str) -> Path:
        path = Path(expand(prefix, variables))
        if not path.is_absolute():
            raise _wrong_path(what, prefix, "it must be an absolute path or start with a mount root variable")
        if not path.is_dir():
            try:
                path.mkdir(parents=True)
            except OSError as exc:
                raise _wrong_path(what, prefix, exc.strerror or str(exc)) from None
        return path

    def _make_shared(self, variables: dict[str, str]) -> None:
        Path(variables["AZ_BATCHAI_SHARED_JOB_TEMP"]).mkdir(parents=True, exist_ok=True)

    def _write_host_files(self) -> None:
        slots = max(int(self._nodes[0].environment["AZ_BATCHAI_NUM_GPUS"]), 1)
        lines = f"127.0.0.1 slots={slots} max-slots={slots}\n" * len(self._nodes)
        for place in self._places:
            (place.root / "hostfile").write_text(lines, encoding="ascii")

    # Running

    async def _prepare(self, command_line: str, resume: bool) -> JobOutcome | None:
        """Run the job preparation on every node; the outcome where it failed."""
        self._note("job preparation starts")
        names = ["job_prep"] if len(self._places) == 1 else [f"job_prep-{place.node.spec.node_id}" for place in self._places]
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
                details = {"NodeId": place.node.spec.node_id, "StdErr": tail(self._output / f"stderr-{name}.txt")}
                error = TaskError(
                    "JobPreparationFailed", "Job preparation task failed with non-zero exit code", details
                )
                return JobOutcome(end.exit_code, error)
        return None

    async def _start(self, index: int, process: Process, resume: bool) -> TaskEnd:
        place = self._places[process.node_index]
        self._note(f"cmd is {process.command_line}")
        files = (process.stdout, process.stderr)
        return await self._task(f"main-{index}", place, process.command_line, process.environment, files, resume)

    async def _task(
        self,
        name: str,
        place: _Place,
        command_line: str,
        environment: Mapping[str, str],
        files: tuple[str, str],
        resume: bool,
    ) -> TaskEnd:
        folder = place.node.root / "tasks" / f"{self._plan.output_segment.rsplit('/', 1)[-1]}-{self._plan.attempt}" / name
        task = Task(self._launcher, folder, self._grace)
        self._tasks.append(task)
        if self._stopping:
            await task.stop()
        stdout, stderr = (self._output / file for file in files)
        command = Command(
            (shell(), "-c", command_line), place.root / "wd", {**place.environment, **environment}, stdout, stderr
        )
        return await task.run(command, resume)

    def _failure(self, end: TaskEnd) -> dict[str, str]:
        details = {"ExitCode": str(end.exit_code), "NodeId": self._places[0].node.spec.node_id}
        if end.signal:
            details["Signal"] = str(end.signal)
        details["StdErr"] = tail(self._output / self._plan.processes[0].stderr)
        return {name: value for name, value in details.items() if value}

    def _note(self, text: str) -> None:
        """A line of every node's execution log."""
        for place in self._places:
            try:
                with place.log.open("a", encoding="utf-8") as file:
                    file.write(f"{wire_now()} {text}\n")
            except OSError:
                pass  # the share is gone: the job's own fate says so


def _describe(end: TaskEnd) -> str:
    return f"by signal {end.signal}" if end.signal else f"with exit code {end.exit_code}"


def _wrong_path(what: str, path: str, reason: str) -> TaskError:
    return TaskError("InvalidPath", f"The path of {what} cannot be used", {"Path": path, "Info": reason})


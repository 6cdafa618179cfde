"""One run of a job by Batch AI's rules, over a site in memory: which end counts, what is ended, what is told."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from azext_batchai.service.engine.base import JobOutcome, JobPlan, NodeFault, Process, TaskError
from azext_batchai.service.engine.job_run import JobRun, Streams
from azext_batchai.service.engine.task import TaskEnd

TERMINATED = TaskEnd(143, 15)


@dataclass
class Site:
    """A job's places. A task goes on until the test ends it, or the site is stopped where it is not `slow`."""

    begun: set[str] = field(default_factory=set)  # by an earlier service, too
    faults: dict[str, Exception] = field(default_factory=dict)  # by what is called
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    slow: bool = False
    stops: int = 0
    ends: dict[str, "asyncio.Future[TaskEnd]"] = field(default_factory=dict)

    async def open(self, resume: bool) -> None:
        self.calls.append(("open", resume))
        self._fail("open")

    def has_started(self, task: str) -> bool:
        return task in self.begun

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
        self.calls.append((task, node, command_line, dict(environment), streams, resume, process))
        assert task not in self.ends, f"{task} is awaited twice at once"
        self._fail(f"again {task}" if resume else task)
        self.begun.add(task)
        if self.stops:
            return TERMINATED
        self.ends[task] = asyncio.get_running_loop().create_future()
        return await self.ends[task]

    def end(self, task: str, end: TaskEnd | Exception) -> None:
        if isinstance(end, TaskEnd):
            self.ends.pop(task).set_result(end)
        else:
            self.ends.pop(task).set_exception(end)

    async def stop(self) -> None:
        self.stops += 1
        for task in () if self.slow else list(self.ends):
            self.end(task, TERMINATED)

    async def close(self) -> None:
        self.calls.append(("close",))
        self._fail("close")

    async def clean_up(self) -> None:
        self.calls.append(("clean up",))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def last_lines(self, file: str) -> str:
        return f"end of {file}"

    def where(self, file: str) -> str:
        return f"/folder/{file}"

    def _fail(self, what: str) -> None:
        fault = self.faults.pop(what, None)
        if fault:
            raise fault

    @property
    def ran(self) -> list[str]:
        """The tasks that were run or taken up, in order."""
        return [str(call[0]) for call in self.calls if call[0] not in ("open", "close", "clean up")]

    @property
    def is_closed(self) -> bool:
        return ("close",) in self.calls


def process(line: str, node: int = 0, **more: Any) -> Process:
    return Process(node, line, f"out-{line}", f"err-{line}", {"LINE": line}, **more)


def plan(*processes: Process, nodes: int = 1, preparation: str | None = None, **more: Any) -> JobPlan:
    ids = tuple(f"n{number}" for number in range(nodes))
    fixed: dict[str, Any] = {"output_prefix": "p", "output_segment": "s", "directories": (), "inputs": ()}
    names = {"job_key": "key", "workspace": "w", "experiment": "e", "name": "a"}
    return JobPlan(
        **names,
        **fixed,
        attempt=3,
        node_ids=ids,
        addresses=ids,
        volumes=(),
        environment={},
        preparation=preparation,
        processes=processes,
        **more,
    )


async def turn() -> None:
    """All that follows without anybody's doing."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(of: JobPlan, site: Site, *ends: tuple[str, TaskEnd | Exception], resume: bool = False) -> JobOutcome:
    """Run the job; its tasks end in this order, as far as they are running then."""

    async def main() -> JobOutcome:
        running = asyncio.ensure_future(JobRun(of, site).run(resume))
        for task, end in ends:
            await turn()
            site.end(task, end)
        await turn()
        assert running.done(), site.calls
        return await running

    return asyncio.run(main())


def test_a_job_that_ends_well() -> None:
    site = Site()
    assert run(plan(process("x"), notes=("a note",)), site, ("main-0", TaskEnd(0))) == JobOutcome(0)
    streams = ("out-x", "err-x")
    assert site.calls == [
        ("open", False),
        ("main-0", 0, "x", {"LINE": "x"}, streams, False, process("x")),
        ("close",),
    ]
    assert site.notes == [
        "job a starts, attempt 3, nodes n0",
        "a note",
        "cmd is x",
        "the job ended with exit code 0",
    ]
    assert site.stops == 0


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (TaskEnd(3), {"ExitCode": "3"}),
        (TaskEnd(128), {"ExitCode": "128"}),
        (TaskEnd(129), {"ExitCode": "129", "Signal": "1"}),
        (TaskEnd(159), {"ExitCode": "159", "Signal": "31"}),
        (TaskEnd(160), {"ExitCode": "160"}),
        (TaskEnd(162, 34), {"ExitCode": "162", "Signal": "34"}),
        (TaskEnd(143, 15, out_of_memory=True), {"ExitCode": "143", "Signal": "15"}),
        (TaskEnd(137, 9), {"ExitCode": "137", "Signal": "9"}),
        (TaskEnd(137, out_of_memory=True), {"ExitCode": "137", "Signal": "9", "Info": "lack of memory"}),
        (TaskEnd(137, 9, out_of_memory=True), {"ExitCode": "137", "Signal": "9", "Info": "lack of memory"}),
    ],
)
def test_a_failure_says_how_and_where(end: TaskEnd, says: dict[str, str]) -> None:
    site = Site()
    found = run(plan(process("x"), process("{rank}", node=1), nodes=2), site, ("main-1", end))
    assert found.error and (found.exit_code, found.error.code) == (end.exit_code, "JobFailed")
    details = dict(found.error.details)
    assert ("lack of memory" in details.pop("Info", "")) is (says.pop("Info", "") != "")
    assert details == {**says, "NodeId": "n1", "StdErr": "end of err-0"}
    how = f"by signal {end.signal}" if end.signal else f"with exit code {end.exit_code}"
    assert site.notes[-2:] == [f"a process ended {how}: the others are ended too", f"the job ended {how}"]


@pytest.mark.parametrize(
    ("stderr", "rank"), [("stderr-1.txt", "1"), ("stderr-wk-0.txt", "wk-0"), ("stderr.txt", None), ("err-1", None)]
)
def test_a_failure_names_the_rank_that_has_a_file_of_its_own(stderr: str, rank: str | None) -> None:
    failing = replace(process("x"), stderr=stderr)
    found = run(plan(failing), Site(), ("main-0", TaskEnd(1)))
    assert found.error and found.error.details.get("Rank") == rank


def test_the_first_failure_ends_the_others_and_is_the_one_that_counts() -> None:
    site = Site()
    processes = (process("x"), process("y"), process("z"))
    found = run(plan(*processes), site, ("main-2", TaskEnd(0)), ("main-1", TaskEnd(7)))
    assert (found.exit_code, site.stops) == (7, 1)
    assert found.error and found.error.details["StdErr"] == "end of err-y"
    assert site.is_closed


def test_one_that_ends_well_leaves_the_others_alone() -> None:
    site = Site()
    found = run(plan(process("x"), process("y")), site, ("main-0", TaskEnd(0)), ("main-1", TaskEnd(4)))
    assert (found.exit_code, site.stops) == (4, 0)
    assert site.notes[-1] == "the job ended with exit code 4"
    assert not any("others" in note for note in site.notes)


def test_those_that_serve_others_end_with_them_and_do_not_count() -> None:
    site = Site()
    server, worker = process("server", serves_others=True), process("worker")
    found = run(plan(server, worker, process("x")), site, ("main-1", TaskEnd(0)), ("main-2", TaskEnd(0)))
    assert (found, site.stops) == (JobOutcome(0), 1)
    site = Site()
    found = run(plan(server, worker), site, ("main-0", TaskEnd(1)), ("main-1", TaskEnd(0)))
    assert (found, site.stops) == (JobOutcome(0), 0)


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_preparation_runs_on_every_node_before_anything_else(nodes: int) -> None:
    site = Site()
    ends = [(f"prep-{node}", TaskEnd(0)) for node in range(nodes)]
    of = plan(process("x"), nodes=nodes, preparation="prepare")
    assert run(of, site, *ends, ("main-0", TaskEnd(0))) == JobOutcome(0)
    names = ["job_prep"] if nodes == 1 else ["job_prep-n0", "job_prep-n1"]
    assert [call[:6] for call in site.calls[1:-1]] == [
        *(
            (f"prep-{node}", node, "prepare", {}, (f"stdout-{name}.txt", f"stderr-{name}.txt"), False)
            for node, name in enumerate(names)
        ),
        ("main-0", 0, "x", {"LINE": "x"}, ("out-x", "err-x"), False),
    ]
    assert site.notes[1:-2] == [
        "job preparation starts",
        *(f"job preparation on n{node} ended with exit code 0" for node in range(nodes)),
    ]


def test_a_preparation_that_fails_is_the_jobs_end() -> None:
    site = Site()
    of = plan(process("x"), nodes=2, preparation="prepare")
    found = run(of, site, ("prep-1", TaskEnd(5)), ("prep-0", TaskEnd(0)))
    assert found.error and (found.exit_code, found.error.code) == (5, "JobPreparationFailed")
    file = "stderr-job_prep-n1.txt"
    assert found.error.details == {"NodeId": "n1", "StdErr": f"end of {file}", "Path": f"/folder/{file}"}
    assert (site.ran, site.is_closed) == (["prep-0", "prep-1"], True)
    assert site.notes[-1] == "job preparation on n1 ended with exit code 5"


def test_a_task_that_cannot_be_started_ends_what_runs_already() -> None:
    site = Site(faults={"main-1": TaskError("TaskStartFailed", "no", {"Info": "why"})})
    with pytest.raises(TaskError, match="no"):
        run(plan(process("x"), process("y"), preparation="p"), site, ("prep-0", TaskEnd(0)))
    assert site.stops >= 1 and site.ends == {} and site.is_closed
    assert site.notes[-1] == "failed: TaskStartFailed: no {'Info': 'why'}"
    # What an earlier service may have started is looked for before it is over.
    assert [(call[0], call[5]) for call in site.calls[-4:-1]] == [("prep-0", True), ("main-0", True), ("main-1", True)]


def test_a_preparation_that_cannot_be_started_ends_the_others() -> None:
    site = Site(faults={"prep-1": TaskError("TaskStartFailed", "no")})
    with pytest.raises(TaskError):
        run(plan(process("x"), nodes=2, preparation="p"), site)
    assert site.stops >= 1 and site.ends == {} and site.is_closed
    assert not any(call[0].startswith("main") and not call[5] for call in site.calls if len(call) > 2)


def test_a_task_that_is_lost_ends_the_others_and_the_job() -> None:
    site = Site()
    with pytest.raises(TaskError, match="gone"):
        run(plan(process("x"), process("y")), site, ("main-0", TaskError("NodeLost", "gone")))
    assert site.stops >= 1 and site.ends == {} and site.is_closed


@pytest.mark.parametrize("phase", ["prep", "main"])
def test_the_first_error_is_told_when_all_the_others_have_ended(phase: str) -> None:
    site = Site(slow=True)
    processes = (process("x"), process("y"), process("z")) if phase == "main" else ()
    of = plan(*processes, nodes=3, preparation="p" if phase == "prep" else None)

    async def main() -> None:
        running = asyncio.ensure_future(JobRun(of, site).run(False))
        await turn()
        for task, end in ((1, TaskError("NodeLost", "first")), (0, TaskError("NodeLost", "second")), (2, TERMINATED)):
            assert not running.done()
            site.end(f"{phase}-{task}", end)
            await turn()
        with pytest.raises(TaskError, match="first"):
            await running

    asyncio.run(main())
    assert site.stops >= 1 and site.is_closed


def test_what_cannot_be_taken_up_at_the_end_does_not_become_the_reason() -> None:
    site = Site(faults={"again main-0": TaskError("NodeLost", "its runner is gone")})
    with pytest.raises(TaskError, match="first"):
        run(plan(process("x"), process("y")), site, ("main-1", TaskError("TaskStartFailed", "first")))
    assert site.ran[-2:] == ["main-0", "main-1"]


def test_a_job_whose_folders_cannot_be_made_starts_nothing() -> None:
    site = Site(faults={"open": OSError(28, "No space left on device")})
    with pytest.raises(TaskError) as caught:
        run(plan(process("x")), site)
    assert (caught.value.code, caught.value.details) == (
        "JobSetUpFailed",
        {"Info": "[Errno 28] No space left on device"},
    )
    assert (site.ran, site.stops, site.is_closed) == ([], 0, True)


def test_a_mistake_is_no_note_of_the_job() -> None:
    site = Site(faults={"open": KeyError("x")})
    with pytest.raises(KeyError):
        run(plan(process("x")), site)
    assert (site.notes, site.is_closed) == ([], True)


# Taken up again


def test_a_job_that_runs_is_taken_up_and_told_of_once() -> None:
    site = Site(begun={"prep-0", "main-0"})
    of = plan(process("x"), preparation="p", notes=("a note",))
    found = run(of, site, ("prep-0", TaskEnd(0)), ("main-0", TaskEnd(0)), resume=True)
    assert found == JobOutcome(0)
    assert [call[:2] if len(call) < 3 else (call[0], call[5]) for call in site.calls] == [
        ("open", True),
        ("prep-0", True),
        ("main-0", True),
        ("close",),
    ]
    assert "cmd is x" not in site.notes and "a note" not in site.notes
    assert site.notes[-1] == "the job ended with exit code 0"


@pytest.mark.parametrize("begun", ["prep-0", "main-1"])
def test_whatever_has_begun_makes_it_a_job_to_take_up(begun: str) -> None:
    site = Site(begun={begun})
    ends = [(task, TaskEnd(0)) for task in ("prep-0", "main-0", "main-1")]
    run(plan(process("x"), process("y"), preparation="p"), site, *ends, resume=True)
    assert site.calls[0] == ("open", True)


def test_a_job_of_which_nothing_has_begun_starts_as_a_new_one() -> None:
    site = Site()
    run(plan(process("x")), site, ("main-0", TaskEnd(0)), resume=True)
    assert (site.calls[0], site.calls[1][5]) == (("open", False), False)
    assert "cmd is x" in site.notes


def test_a_new_attempt_takes_up_nothing() -> None:
    site = Site(begun={"main-0"})
    run(plan(process("x")), site, ("main-0", TaskEnd(0)))
    assert (site.calls[0], site.calls[1][5]) == (("open", False), False)


def test_a_new_attempt_does_not_start_without_its_folders() -> None:
    site = Site(begun={"main-0"}, faults={"open": OSError("busy")})
    with pytest.raises(TaskError, match="folders could not be made"):
        run(plan(process("x")), site)
    assert not any(call[0] == "main-0" and not call[5] for call in site.calls if len(call) > 2)


def test_a_job_of_which_a_part_runs_is_taken_up_whatever_else_fails() -> None:
    site = Site(begun={"main-1"}, faults={"open": OSError("busy")})
    ends = [("main-0", TaskEnd(0)), ("main-1", TaskEnd(3))]
    assert run(plan(process("x"), process("y")), site, *ends, resume=True).exit_code == 3


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (OSError("busy"), "The job's folders could not be made: {'Info': 'busy'}"),
        (TaskError("MountFailed", "no", {"Info": "x"}), "no: {'Info': 'x'}"),
        (KeyError("x"), "KeyError('x')"),
    ],
)
def test_what_runs_is_taken_up_whatever_else_fails(fault: Exception, says: str) -> None:
    site = Site(begun={"main-0"}, faults={"open": fault})
    assert run(plan(process("x")), site, ("main-0", TaskEnd(6)), resume=True).exit_code == 6
    assert site.notes[0] == f"taken up again, although {says}"


def test_what_has_lost_its_folder_is_not_awaited() -> None:
    site = Site(begun={"main-0"}, faults={"open": NodeFault("n0", "NodeLost", "gone")})
    with pytest.raises(NodeFault):
        run(plan(process("x")), site, resume=True)
    assert (site.stops, site.is_closed) == (1, True)
    assert [(call[0], call[5]) for call in site.calls[1:-1]] == [("prep-0", True), ("main-0", True)]


def test_a_job_of_which_only_the_preparation_has_begun_ends_where_it_cannot_go_on() -> None:
    site = Site(begun={"prep-0"}, faults={"open": TaskError("MountFailed", "no")})
    with pytest.raises(TaskError, match="no"):
        run(plan(process("x"), preparation="p"), site, resume=True)
    assert (site.stops, site.is_closed) == (1, True)


# The end


def test_a_service_that_lets_go_leaves_the_job_alone() -> None:
    site = Site()

    async def main() -> None:
        running = asyncio.ensure_future(JobRun(plan(process("x")), site).run(False))
        await turn()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert (site.stops, site.is_closed) == (0, False)


def test_no_error_of_the_end_becomes_the_jobs() -> None:
    site = Site(faults={"close": OSError("busy")})
    assert run(plan(process("x")), site, ("main-0", TaskEnd(0))) == JobOutcome(0)


def test_stop_and_clean_up_are_the_sites() -> None:
    site = Site()

    async def main() -> JobOutcome:
        job = JobRun(plan(process("x")), site)
        running = asyncio.ensure_future(job.run(False))
        await turn()
        await job.stop()
        outcome = await running
        await job.clean_up()
        return outcome

    assert (asyncio.run(main()).exit_code, site.stops) == (143, 1)
    assert site.calls[-2:] == [("close",), ("clean up",)]

"""The output of all ranks of a job at once, by whole lines."""

from __future__ import annotations

# pylint: disable=too-many-positional-arguments,too-many-instance-attributes
import contextlib
import datetime
import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.exit_status import ExitStatus, discard_output
from azext_batchai.command_line.progress import Spinner
from azext_batchai.jobs.ranks import STDERR, STDOUT, file_of, ranks
from azext_batchai.jobs.since import begin_of
from azext_batchai.jobs.state import FINISHED, describe, queue_reason
from azext_batchai.jobs.stream import JobFile, Output, Reader, Sink, is_gone

logger = get_logger(__name__)

# A progress bar ends its lines with a carriage return.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)
_LONGEST_LINE = 1 << 20  # bytes; what is longer is written in pieces
# Seconds between two looks.
_LOCAL_INTERVAL, _REMOTE_INTERVAL = 0.2, 1.0
_FAREWELL = "No longer following the job; it goes on."
_COLOURS = (36, 33, 32, 35, 34, 31)
_TAIL_BLOCK, _USUAL_LINE = 64 * 1024, 256  # bytes


@dataclass(frozen=True)
class Wanted:
    """What to show: `ranks` None for all of them, `tail` None for all lines of each.

    `since`: no line from before that moment, as far as the lines say when they were written.
    One stream goes to stdout, STDOUT and STDERR each to its own. `or_else_fail`: a job without any output is an error.
    """

    streams: tuple[str, ...] = (STDOUT,)
    ranks: list[str] | None = None
    tail: int | None = None
    timestamps: bool = False
    or_else_fail: bool = True
    coloured: bool = False
    since: datetime.datetime | None = None


def show(cli_ctx: Any, client: Any, names: tuple[str, ...], wanted: Wanted) -> None:
    """Write what there is; `names`: of resource group, workspace, experiment and job.

    Raises ResourceNotFoundError where the job has ended without any output. Ends az on Ctrl-C and on a broken pipe.
    """
    with _until_interrupted(cli_ctx) as spinner:
        _logs(cli_ctx, client, names, wanted, spinner).show()


def follow(
    cli_ctx: Any,
    client: Any,
    names: tuple[str, ...],
    wanted: Wanted,
    timeout: int | None = None,
    farewell: str = _FAREWELL,
) -> Any:
    """Write what there is and what comes, until the job has ended; returns the job (SDK) as it is then. See `show`.

    `timeout`: most seconds to follow it, after which az ends; `farewell`: what is said where the job goes on.
    """
    interval = _LOCAL_INTERVAL if clients.is_local(cli_ctx) else _REMOTE_INTERVAL
    with _until_interrupted(cli_ctx, farewell) as spinner:
        return _logs(cli_ctx, client, names, wanted, spinner).follow(interval, timeout)


@contextlib.contextmanager
def _until_interrupted(cli_ctx: Any, farewell: str = _FAREWELL) -> Iterator[Spinner]:
    with Spinner(cli_ctx) as spinner:
        try:
            yield spinner
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("%s", farewell)
            sys.exit(ExitStatus.INTERRUPTED)
        except TimeoutError:
            spinner.clear()
            logger.warning("%s", farewell)
            sys.exit(ExitStatus.TIMED_OUT)
        except BrokenPipeError:
            discard_output()
            sys.exit(ExitStatus.BROKEN_PIPE)


def _logs(cli_ctx: Any, client: Any, names: tuple[str, ...], wanted: Wanted, spinner: Spinner) -> _Logs:
    from azure.mgmt.batchai import models

    def files() -> list[Any]:
        options = models.JobsListOutputFilesOptions(outputdirectoryid="stdouterr")
        return list(client.jobs.list_output_files(*names, options))

    coloured = bool(cli_ctx.enable_color) and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return _Logs(client, files, lambda: client.jobs.get(*names), replace(wanted, coloured=coloured), spinner)


class _Logs:
    """The logs of one job. `files` lists its output folder with fresh URLs, `job` gets the job (SDK models)."""

    def __init__(
        self, client: Any, files: Callable[[], list[Any]], job: Callable[[], Any], wanted: Wanted, spinner: Spinner
    ) -> None:
        self._client, self._files, self._job = client, files, job
        self._wanted, self._spinner = wanted, spinner
        both = len(wanted.streams) > 1
        self._outputs = {
            stream: Output(sys.stderr if both and stream == STDERR else sys.stdout) for stream in wanted.streams
        }
        self._readers: dict[str, Reader] = {}
        self._lines: dict[str, _Lines] = {}
        self._sizes: dict[str, int | None] = {}
        self._looked = False  # what comes from then on was not there when the command began

    def show(self) -> None:
        """Write what there is. Raises ResourceNotFoundError where the job has ended without any output."""
        job = self._job()
        self._copy_news(job, finished=True)
        if not self._readers:
            self._say_nothing_there(job)

    def follow(self, interval: float, timeout: int | None) -> Any:
        """Write what there is and what comes, until the job has ended; returns the job as it is then.

        Raises TimeoutError after that many seconds.
        """
        told = not self._wanted.or_else_fail
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            # Asked before reading: what is read after a final state is all there is.
            job = self._job()
            finished = job.execution_state in FINISHED
            self._copy_news(job, finished)
            if finished:
                self._spinner.clear()
                if not self._readers and self._wanted.or_else_fail:
                    self._say_nothing_there(job)
                return job
            if until is not None and time.monotonic() > until:
                raise TimeoutError
            if not self._readers:
                if not told:
                    logger.warning("Waiting for the job to write ...")
                    told = True
                if self._spinner.visible:
                    reason = queue_reason(self._client, job) if job.execution_state == "queued" else ""
                    self._spinner.show(f"Job {job.name} is {job.execution_state}{': ' + reason if reason else ''}")
            # The first output is waited for more eagerly.
            time.sleep(interval if self._readers else interval / 4)

    def _copy_news(self, job: Any, finished: bool) -> None:
        of_job = ranks(job)
        chosen = [rank for rank in of_job if _is_chosen(rank, self._wanted.ranks)]
        if not chosen:
            _refuse_ranks(job, of_job)
        known = {file.name: file for file in self._listing()}
        for stream, rank in itertools.product(self._wanted.streams, chosen):
            name = file_of(stream, rank)
            file = known.get(name)
            if name not in self._readers:
                if not file or not file.download_url:
                    continue
                self._spinner.clear()
                self._begin(stream, name, file, "" if len(chosen) == 1 else rank, chosen.index(rank))
            size = file.content_length if file else None
            # What has not grown need not be asked for; the end is read in any case.
            if finished or size is None or size != self._sizes.get(name):
                self._sizes[name] = size
                self._readers[name].copy_news(self._lines[name])
            if finished:
                self._lines[name].close()
        self._looked = True

    def _begin(self, stream: str, name: str, file: Any, rank: str, number: int) -> None:
        self._readers[name] = Reader(JobFile(name, self._files, self._job), file.download_url)
        prefix = f"[{rank}] " if rank else ""
        if prefix and self._wanted.coloured:
            prefix = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m[{rank}]\x1b[0m "
        time_of_line = self._time if self._wanted.timestamps else None
        self._lines[name] = _Lines(self._outputs[stream], prefix.encode(), time_of_line)
        if self._looked:
            return
        reader, size = self._readers[name], file.content_length or 0
        first = 0
        if self._wanted.since:
            begin = begin_of(reader, size, file.last_modified, self._wanted.since)
            if begin is None and size:
                logger.warning("The lines of %s begin with no time: all of them are shown.", name)
            first = reader.offset = begin or 0
        if self._wanted.tail is not None:
            _copy_last_lines(reader, size, self._wanted.tail, self._lines[name], first)

    def _time(self) -> bytes:
        """When a line was written stands nowhere: it is known of those that come while one looks."""
        now = datetime.datetime.now(datetime.timezone.utc)
        text = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return (text if self._looked else "-".ljust(len(text))).encode() + b" "

    def _listing(self) -> list[Any]:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self._files()
        except ResourceNotFoundError as error:
            if is_gone(error):
                raise
            return []  # its folder is not there yet

    def _say_nothing_there(self, job: Any) -> None:
        if job.execution_state in FINISHED:
            from azure.cli.core.azclierror import ResourceNotFoundError

            raise ResourceNotFoundError(
                f"Job {job.name} has ended without writing to {self._wanted.streams[0]}.",
                recommendation=f"{describe(job)} `az batchai job file list` shows what it has written.",
            )
        reason = queue_reason(self._client, job) if job.execution_state == "queued" else ""
        state = f"{job.execution_state}{': ' + reason if reason else ''}"
        logger.warning("Job %s has written nothing yet; it is %s.", job.name, state)


class _Lines:
    """Whole lines with what goes before them; without either, bytes go through as they come."""

    def __init__(self, output: Output, prefix: bytes, time_of_line: Callable[[], bytes] | None) -> None:
        self._output, self._prefix, self._time = output, prefix, time_of_line
        self._rest = b""

    def write(self, data: bytes) -> None:
        if not self._prefix and not self._time:
            self._output.write(data)
            return
        data = self._rest + data
        start = 0
        for end in _LINE_END.finditer(data):
            if end[0] != b"\r" or end.start() > start:
                self._write_line(data[start : end.start()])  # noqa: E203
            start = end.end()
        self._rest = data[start:]
        while len(self._rest) > _LONGEST_LINE:
            self._write_line(self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]

    def _write_line(self, line: bytes) -> None:
        self._output.write((self._time() if self._time else b"") + self._prefix + line + b"\n")

    def flush(self) -> None:
        self._output.flush()

    def close(self) -> None:
        if self._rest:
            self._write_line(self._rest.removesuffix(b"\r"))
            self._rest = b""
        self.flush()


class _Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def flush(self) -> None:
        pass


def last_lines(file: JobFile, size: int, count: int, url: str | None = None) -> list[str]:
    """The last `count` lines of a file of this many bytes."""
    kept = _Kept()
    _copy_last_lines(Reader(file, url), size, count, kept)
    return kept.data.decode("utf-8", "replace").splitlines()


def _copy_last_lines(reader: Reader, size: int, count: int, output: Sink, first: int = 0) -> None:
    """Copy the last `count` lines of a file of this many bytes, reading no more of it than about those.

    None of them begins before `first`.
    """
    reader.offset = size
    span = max(_TAIL_BLOCK, count * _USUAL_LINE)
    while count:
        begin = reader.offset = max(first, size - span)
        kept = _Kept()
        reader.copy_news(kept)
        lines = re.findall(rb"[^\n]*\n|[^\n]+", kept.data)
        if begin == first or len(lines) > count:  # the first may be part of a line
            output.write(b"".join(lines[-count:]))
            output.flush()
            return
        span *= 8


def _is_chosen(rank: str, wanted: list[str] | None) -> bool:
    """A number alone means a TensorFlow worker of that number too; a job with one file has rank 0."""
    return wanted is None or any(rank in (name, f"wk-{name}") or (not rank and name == "0") for name in wanted)


def _refuse_ranks(job: Any, there: list[str]) -> None:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    what = f"has the ranks {', '.join(there)}" if there != [""] else "writes all its output into one file"
    raise InvalidArgumentValueError(
        f"Job {job.name} has no such rank.", recommendation=f"It {what}. Leave out --rank to see all."
    )

"""Following a job's output file: through its signed URL, by ranges, until the job has ended and all is read."""

from __future__ import annotations

# pylint: disable=too-few-public-methods
import codecs
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from knack.log import get_logger

from azext_batchai.command_line.progress import Spinner
from azext_batchai.jobs.ranks import instead_of
from azext_batchai.jobs.state import FINISHED, queue_reason
from azext_batchai.transport.errors import error_code
from azext_batchai.transport.http import session as http_session

logger = get_logger(__name__)

_CHUNK = 64 * 1024
_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
# A URL is valid for 60 minutes; it is asked for anew well before.
_URL_SECONDS = 30 * 60
# How long a server that answers with 5xx, or not at all, is given.
_PATIENCE_SECONDS = 60
# 404s that mean the file's folder is not there yet, unlike a job that is not there.
_GONE = {"JobNotFound", "ExperimentNotFound", "WorkspaceNotFound", "ResourceGroupNotFound"}


@dataclass(frozen=True)
class JobFile:
    """One file of a job. `files` lists its folder with fresh URLs; `job` gets the job."""

    name: str
    files: Callable[[], list[Any]]
    job: Callable[[], Any]
    of_toolkit: bool = False  # whether it is in the folder of stdout and stderr

    def url(self) -> str | None:
        """A fresh signed URL; None while the file is not there."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            files = self.files()
        except ResourceNotFoundError as error:
            if is_gone(error):
                raise
            return None
        return next((f.download_url for f in files if f.name == self.name and f.download_url), None)


def is_gone(error: Any) -> bool:
    """Whether a 404 means that there is no such job, not only no such folder yet."""
    return error_code(error) in _GONE


def follow(client: Any, file: JobFile, interval: float, spinner: Spinner) -> None:
    """Copy the file to stdout while it grows; return when the job has ended and the file is at its end.

    Raises ResourceNotFoundError when the job ends without having written the file.
    """
    if not _wait_for_file(client, file, interval, spinner):
        _refuse_missing(file)
    reader, output = Reader(file), Output(sys.stdout)
    while True:
        # Asked before reading: what is read after a final state is all there is.
        finished = file.job().execution_state in FINISHED
        reader.copy_news(output)
        if finished:
            break
        time.sleep(interval)
    output.close()


def _wait_for_file(client: Any, file: JobFile, interval: float, spinner: Spinner) -> bool:
    told = False
    while True:
        finished = (job := file.job()).execution_state in FINISHED
        if file.url():
            spinner.clear()
            return True
        if finished:
            spinner.clear()
            return False
        if not told:
            others = _others(job, file)
            if others:
                logger.warning(
                    "Job %s will not write %s but %s: a file for each rank. `az batchai job logs --follow` shows all.",
                    *(job.name, file.name, ", ".join(others)),
                )
            else:
                logger.warning("Waiting for the job to write %s ...", file.name)
            told = True
        if spinner.visible:
            reason = queue_reason(client, job) if job.execution_state == "queued" else ""
            spinner.show(f"Job {job.name} is {job.execution_state}{': ' + reason if reason else ''}")
        time.sleep(interval)


class Reader:
    """Reads on from `offset`, where it stopped the last time, holding no more than one chunk."""

    def __init__(self, file: JobFile, url: str | None = None) -> None:
        self._file = file
        self.offset = 0
        self._url = url
        self._url_until = time.monotonic() + _URL_SECONDS
        self._session = http_session()

    def copy_news(self, output: Sink) -> None:
        """Copy all that the file has grown by."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.1
        while not self._copy_once(output):
            if time.monotonic() > give_up:
                from azure.cli.core.azclierror import AzureResponseError

                raise AzureResponseError(
                    f"The file {self._file.name} cannot be downloaded: its server does not answer as it should.",
                    recommendation="Run the command again; the job is not affected.",
                )
            time.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _copy_once(self, output: Sink) -> bool:
        """Whether the end of the file, as it is now, was reached."""
        from requests.exceptions import RequestException

        url = self._fresh_url()
        if url is None:
            return False
        try:
            with self._session.get(
                url, headers={"Range": f"bytes={self.offset}-"}, stream=True, timeout=_TIMEOUT
            ) as response:
                return self._take(response, output)
        except RequestException as error:
            # Its text would hold the URL, which is a secret.
            logger.debug("Reading %s failed: %s", self._file.name, type(error).__name__)
            self._url = None  # the service may have come back elsewhere
            return False

    def _take(self, response: Any, output: Sink) -> bool:
        if response.status_code == 416:  # nothing new
            return True
        if response.status_code not in (200, 206):
            self._url = None  # expired
            return False
        # A server that knows no ranges sends the file from its beginning.
        skip = self.offset if response.status_code == 200 else 0
        for chunk in response.iter_content(_CHUNK):
            fresh, skip = chunk[skip:], max(0, skip - len(chunk))
            self.offset += len(fresh)
            output.write(fresh)
        output.flush()
        return True

    def _fresh_url(self) -> str | None:
        if self._url is None or time.monotonic() > self._url_until:
            self._url = self._file.url()
            self._url_until = time.monotonic() + _URL_SECONDS
        return self._url


class Sink(Protocol):
    """What takes the bytes of a file."""

    def write(self, data: bytes) -> None:
        """Take some, in order."""

    def flush(self) -> None:
        """Let all of it be seen."""


class Output:
    """stdout that takes the bytes of a UTF-8 file as they come, also cut in the middle of a character."""

    def __init__(self, stdout: TextIO) -> None:
        self._text = stdout
        encoding = codecs.lookup(getattr(stdout, "encoding", None) or "utf-8").name
        self._bytes = getattr(stdout, "buffer", None) if encoding == "utf-8" else None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        if self._bytes:
            stdout.flush()

    def write(self, data: bytes) -> None:
        if self._bytes:
            self._bytes.write(data)
        else:
            self._write_text(self._decoder.decode(data))

    def flush(self) -> None:
        (self._bytes or self._text).flush()

    def close(self) -> None:
        if not self._bytes:
            self._write_text(self._decoder.decode(b"", final=True))
        self.flush()

    def _write_text(self, text: str) -> None:
        encoding = getattr(self._text, "encoding", None) or "utf-8"
        self._text.write(text.encode(encoding, "replace").decode(encoding))


def _refuse_missing(file: JobFile) -> None:
    from azure.cli.core.azclierror import ResourceNotFoundError

    others = _others(file.job(), file)
    written = f"It wrote {', '.join(others)}: `az batchai job logs` shows them. " if others else ""
    raise ResourceNotFoundError(
        f"The job has ended without writing {file.name}.",
        recommendation=f"{written}`az batchai job file list` shows what it has written.",
    )


def _others(job: Any, file: JobFile) -> list[str]:
    """What the job's toolkit writes in place of the file; [] for a file of the user's own."""
    return instead_of(job, file.name) if file.of_toolkit else []

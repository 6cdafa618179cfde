"""What the processes of a job write, as they write it: followed, read back, searched."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse

from azext_batchai.service import clock
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.engine.base import FileEntry
from azext_batchai.service.model.job_states import ENDED
from azext_batchai.service.service import Service
from azext_batchai.service.storage import content
from azext_batchai.service.store import DamagedRecord, Record
from azext_batchai.service.ui import guard, job_place, log_lines, log_search
from azext_batchai.service.ui.html import Html, element
from azext_batchai.service.ui.job_place import Output
from azext_batchai.service.ui.log_lines import Chunk
from azext_batchai.service.ui.view import Data, View

SCRIPTS = ("logs.js",)
STYLES = ("logs.css",)

_FILE = re.compile(r"(stdout|stderr)(?:-([^/\0]+))?\.txt")
_MOST_FILES = 128  # of one job: 64 ranks
_PAUSE_SECONDS = 0.25  # between two looks at files that grow
_KEEP_ALIVE_SECONDS = 20.0
_FIRST_BYTES = 512 << 10  # of all files together that a reader begins with, at least
_EVENT_BYTES = 256 << 10  # of the files in one event, about


class Readers:
    """Those who follow a log at the moment."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Wanted:
    """Which files; None for all ranks, all streams."""

    rank: str | None = None
    stream: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        return cls(query.get("rank"), query.get("stream") or None)

    def has(self, name: str) -> bool:
        match = _FILE.fullmatch(name)
        if not match:
            return False
        return self.stream in (None, match[1]) and self.rank in (None, match[2] or "")


def section(view: View, record: Record) -> Html:
    """Where logs.js shows the log."""
    address = view.address(record.body["id"])
    link = element("a", "output files", href=f"{address}/files/{job_place.STDOUTERR}")
    without = element("p", "The log is in the job's ", link, ".")
    return element(
        "section",
        element("div", element("h2", "Log"), class_="head"),
        element("div", element("noscript", without), id="log", data_keep=True, data_source=f"{address}/logs"),
        id="logs",
    )


async def events(view: View) -> Response:
    """The log as it grows, as server-sent events: `files`, `lines`, `end`; goes on where an earlier stream ended."""
    record = await job_place.find(view)
    given = view.headers.get("last-event-id") or view.query.get("from", "")
    readers = view.memory.of(Readers)
    stream = _Stream(view.service, record.key, Wanted.of(view.query), _places(given))
    return StreamingResponse(stream.events(readers), 200, guard.page_headers(), "text/event-stream")


async def part(view: View) -> Data:
    """The rows between `from` and `to` of `file`, before `to`, or from `from` on: at most 256 KB."""
    record = await job_place.find(view)
    name = view.query.get("file", "")
    begin, end = (content.number(view.query.get(key, "")) for key in ("from", "to"))
    if not _FILE.fullmatch(name):
        raise bad_request("'file' is no file of the log.", "file")
    if begin is None and end is None:
        raise bad_request("'from' or 'to' is required.", "from")
    output = Output.of(view.service, record, job_place.STDOUTERR)
    file = await output.open(name)
    to_end = record.properties["executionState"] in ENDED

    def read() -> Chunk:
        with file:
            if end is None:
                return log_lines.read_on(file, begin or 0, to_end)
            return log_lines.read_back(file, max(end - log_lines.TAIL, 0) if begin is None else begin, end)

    return Data(_chunk(name, await asyncio.to_thread(read)))


async def search(view: View) -> Data:
    """The first lines with `q`, in upper or lower case; `file` and `from`: where to go on."""
    record = await job_place.find(view)
    needle = view.query.get("q", "").strip()
    if not needle or len(needle) > log_search.LONGEST_NEEDLE:
        raise bad_request(f"'q' is required, with at most {log_search.LONGEST_NEEDLE} characters.", "q")
    output = Output.of(view.service, record, job_place.STDOUTERR)
    names = [entry.name for entry in await _files(output, Wanted.of(view.query))]
    place = content.number(view.query.get("from", "")) or 0
    if view.query.get("file") in names:
        names = names[names.index(view.query["file"]) :]
    until = clock.monotonic() + log_search.SECONDS
    rows: list[dict[str, Any]] = []
    more = None
    for name in names:
        try:
            file = await output.open(name)
        except ArmError:
            continue
        with file:
            most = log_search.MOST - len(rows)
            found = await asyncio.to_thread(log_search.search, file, needle, place, most, until)
        rows += [{"file": name, "at": at, "text": text} for at, text in found.rows]
        place = 0
        if not found.whole:
            more = {"file": name, "from": found.end}
            break
    return Data({"matches": rows, "more": more})


async def _files(output: Output, wanted: Wanted) -> list[FileEntry]:
    """In the order of the ranks, stdout before stderr."""
    return sorted(await output.named("std", wanted.has, _MOST_FILES), key=lambda entry: _order(entry.name))


def _order(name: str) -> tuple[Any, ...]:
    stream, _, rank = name.removesuffix(".txt").partition("-")
    words = re.split(r"(\d+)", rank)
    numbers = [(0, int(word[:18]), "") if word.isdecimal() else (1, 0, word) for word in words]
    return (rank != "" and not rank.startswith("job_prep"), rank == "", numbers, stream == "stderr", name)


def _places(text: str) -> dict[str, int]:
    """Where to go on with each file; {} for what says nothing."""
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(given, dict):
        return {}
    return {name: place for name, place in given.items() if type(place) is int and 0 <= place < 1 << 63}


def _chunk(name: str, chunk: Chunk) -> dict[str, Any]:
    about = {"file": name, "from": chunk.begin, "to": chunk.end, "size": chunk.size, "rows": chunk.rows}
    more = {"unfinished": chunk.unfinished, "cut": chunk.cut, "skipped": chunk.skipped}
    return {**about, **{key: value for key, value in more.items() if value}}


def _about(name: str) -> dict[str, str]:
    match = _FILE.fullmatch(name)
    assert match
    return {"file": name, "stream": match[1], "rank": match[2] or ""}


class _Stream:
    """One reader. While the job waits, or nobody looks, no file is looked at."""

    def __init__(self, service: Service, key: str, wanted: Wanted, places: dict[str, int]) -> None:
        self._service = service
        self._key = key
        self._wanted = wanted
        self._places = places
        self._sizes: dict[str, int] = {}  # as they were when the file was last read
        self._unfinished: dict[str, str] = {}
        self._told: list[str] = []

    async def events(self, readers: Readers) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        said, first = clock.monotonic(), True
        while not readers.closed:
            record, state = self._job()
            ended = not record or state in ENDED
            more = False
            if record and (first or state != "queued"):
                async for event in self._news(record, ended):
                    more = True
                    said = clock.monotonic()
                    yield event
            first = False
            if ended and not more:
                yield "event: end\ndata: {}\n\n"
                return
            if clock.monotonic() - said > _KEEP_ALIVE_SECONDS:
                said = clock.monotonic()
                yield ": nothing new\n\n"
            await asyncio.sleep(0 if more and self._lags() else _PAUSE_SECONDS)

    def _job(self) -> tuple[Record | None, str]:
        try:
            record = self._service.store.get(self._key)
        except DamagedRecord:
            return None, ""
        return record, record.properties["executionState"] if record else ""

    def _lags(self) -> bool:
        return any(self._places.get(name, 0) + log_lines.LONGEST < size for name, size in self._sizes.items())

    async def _news(self, record: Record, ended: bool) -> AsyncIterator[str]:
        """Events for what is new."""
        try:
            output = Output.of(self._service, record, job_place.STDOUTERR)
        except ArmError as exc:
            if not self._told:
                self._told = ["-"]
                yield f"event: hidden\ndata: {json.dumps(exc.message)}\n\n"
            return
        entries = await _files(output, Wanted())
        names = [entry.name for entry in entries]
        if names != self._told:
            self._told = names
            yield f"event: files\ndata: {json.dumps([_about(name) for name in names])}\n\n"
        wanted = [entry for entry in entries if self._wanted.has(entry.name)]
        tail = min(log_lines.TAIL, max(_FIRST_BYTES // max(len(wanted), 1), log_lines.LONGEST))
        chunks: list[dict[str, Any]] = []
        size = 0
        for entry in wanted:
            if self._is_known(entry, ended):
                continue
            chunk = await self._look(output, entry.name, tail, ended)
            if chunk:
                chunks.append(_chunk(entry.name, chunk))
                size += chunk.end - chunk.begin
            if size >= _EVENT_BYTES:
                yield self._event(chunks)
                chunks, size = [], 0
        if chunks:
            yield self._event(chunks)

    def _is_known(self, entry: FileEntry, ended: bool) -> bool:
        place = self._places.get(entry.name)
        if place is None or self._sizes.get(entry.name) != entry.size:
            return False
        return place == entry.size if ended else place + log_lines.LONGEST >= entry.size

    async def _look(self, output: Output, name: str, tail: int, ended: bool) -> Chunk | None:
        """None where there is nothing to tell."""
        try:
            file = await output.open(name)
        except ArmError:
            return None
        place = self._places.get(name)
        with file:
            chunk = await asyncio.to_thread(log_lines.follow, file, place, tail, ended)
        self._places[name] = chunk.end
        self._sizes[name] = chunk.size
        same = chunk.unfinished == self._unfinished.get(name, "")
        self._unfinished[name] = chunk.unfinished
        if chunk.end == place and not chunk.cut and same:
            return None
        return chunk

    def _event(self, chunks: list[dict[str, Any]]) -> str:
        return f"id: {json.dumps(self._places)}\nevent: lines\ndata: {json.dumps(chunks)}\n\n"

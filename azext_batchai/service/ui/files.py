"""What a job has written into its output directories: folders a page of names at a time, files by how they begin."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import unquote

from starlette.responses import Response

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.engine.base import FileEntry
from azext_batchai.service.store import Record
from azext_batchai.service.ui import job_place, parts, preview
from azext_batchai.service.ui.html import Html, element
from azext_batchai.service.ui.job_place import Output
from azext_batchai.service.ui.listing import MOST, Name, listing, quoted
from azext_batchai.service.ui.view import Page, View

_LOOK_SECONDS = 5  # nothing tells of files that change
_REFRESHING = "again.js"


async def page(view: View) -> Page:
    """A folder of an output directory, or a file in it."""
    record = await job_place.find(view)
    directory, path = view.names[4], view.tail.strip("/")
    output = Output.of(view.service, record, directory)
    job = view.address(record.body["id"])
    here = f"{job}/files/{_joined(directory, path)}"
    styles = (preview.STYLE, "storage.css")
    if await output.is_folder(path):
        after = unquote(view.query.get("after", ""), errors="surrogateescape")
        entries = await output.entries(path, after, MOST + 1)
        body, is_folder = listing(here, _names(entries), "There is nothing here yet."), True
        scripts = (_REFRESHING,) if len(entries) <= MOST else ()
    else:
        with await output.open(path) as file:
            head, size = await asyncio.to_thread(lambda: (preview.head_of(file), os.fstat(file.fileno()).st_size))
        body = preview.preview(path, head, size, f"{job}/raw/{_joined(directory, path)}")
        scripts, is_folder = (), False
    title = preview.legible(path.rpartition("/")[2] or directory)
    lines = _lines(view, record, directory, path, is_folder)
    return Page(
        title,
        element(
            "div",
            element("h1", title),
            element("section", body),
            parts.section("In a terminal", lines) if lines else None,
            data_again=_LOOK_SECONDS,
        ),
        (record.key,),
        _trail(view, record, directory, path),
        scripts=scripts,
        styles=styles,
    )


async def raw(view: View) -> Response:
    """The content of a file, or of a range of it."""
    record = await job_place.find(view)
    output = Output.of(view.service, record, view.names[4])
    path = view.tail.strip("/")
    if not path:
        raise ArmError(404, "FileNotFound", "The address names no file.")
    return preview.raw(await output.open(path), path, view.headers)


def _names(entries: list[FileEntry]) -> list[Name]:
    return [Name(one.name, one.name, one.is_directory, one.size, one.modified) for one in entries]


def _joined(directory: str, path: str) -> str:
    return "/".join(map(quoted, (directory, *path.split("/")) if path else (directory,)))


def _trail(view: View, record: Record, directory: str, path: str) -> tuple[tuple[str, str], ...]:
    job = view.address(record.body["id"])
    words = [directory, *path.split("/")] if path else [directory]
    above = (
        (preview.legible(word), f"{job}/files/{_joined(directory, '/'.join(words[1:number]))}")
        for number, word in enumerate(words[:-1], 1)
    )
    return job_place.trail(view, record, (record.name, job), *above)


def _lines(view: View, record: Record, directory: str, path: str, is_folder: bool) -> list[Html]:
    """How az lists and fetches the folder, or shows the file; [] for names that nobody can type."""
    if preview.legible(path) != path:
        return []
    of_job = job_place.options(view, record, "-j")
    of_job += ("-d", directory) if directory != job_place.STDOUTERR else ()
    where = path if is_folder else path.rpartition("/")[0]
    of_job += ("-p", where) if where else ()
    if is_folder:
        return [parts.command("job", "file", verb, *of_job) for verb in ("list", "download")]
    return [parts.command("job", "file", "stream", *of_job, "-f", path.rpartition("/")[2])]

"""What a job has written into its output directories: folders a page of names at a time, files by how they begin."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import quote, unquote

from starlette.responses import Response

from azext_batchai.service import clock
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.engine.base import FileEntry
from azext_batchai.service.store import Record
from azext_batchai.service.ui import job_place, parts, preview
from azext_batchai.service.ui.html import Html, element, joined
from azext_batchai.service.ui.job_place import Output
from azext_batchai.service.ui.view import Page, View

_MOST_ENTRIES = 200
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
        entries = await output.entries(path, after, _MOST_ENTRIES + 1)
        body, is_folder = _listing(here, entries), True
        scripts = (_REFRESHING,) if len(entries) <= _MOST_ENTRIES else ()
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


def _listing(here: str, entries: list[FileEntry]) -> Html:
    if not entries:
        return parts.empty("There is nothing here yet.")
    shown = entries[:_MOST_ENTRIES]
    rows = [
        (
            element("a", element("bdi", preview.legible(entry.name)), href=f"{here}/{_quoted(entry.name)}"),
            "folder" if entry.is_directory else parts.size(entry.size),
            None if entry.is_directory else parts.moment(_changed(entry.modified)),
        )
        for entry in shown
    ]
    more = len(entries) > len(shown)
    caption = f"{len(shown)} names, and there are more" if more else f"{len(shown)} name{'s' * (len(shown) != 1)}"
    # Quoted twice: names may be bytes that are no text.
    following = f"{here}?after={quote(_quoted(shown[-1].name))}"
    return joined(
        parts.table(("Name", "Size", "Changed"), rows, caption, "files"),
        element("p", element("a", "Next page", href=following, rel="next")) if more else None,
    )


def _changed(seconds: float) -> str | None:
    try:
        return clock.wire_from_epoch(seconds)
    except (ValueError, OverflowError, OSError):  # a job can give its files any time
        return None


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _joined(directory: str, path: str) -> str:
    return "/".join(map(_quoted, (directory, *path.split("/")) if path else (directory,)))


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

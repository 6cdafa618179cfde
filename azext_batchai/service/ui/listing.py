"""What is in a folder, a page of names at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from azext_batchai.service import clock
from azext_batchai.service.ui import parts, preview
from azext_batchai.service.ui.html import Html, element, joined

MOST = 200  # names on a page


@dataclass(frozen=True)
class Name:
    """A file or folder. `key` is what a page of names goes on behind."""

    name: str
    key: str
    is_folder: bool
    size: int
    modified: float


def listing(here: str, found: Iterable[Name], nothing: str) -> Html:
    """The first MOST of the names, and the way to the others; `here`: the address of the folder."""
    names = list(found)
    if not names:
        return parts.empty(nothing)
    shown = names[:MOST]
    rows = [
        (
            element("a", element("bdi", preview.legible(entry.name)), href=f"{here}/{quoted(entry.name.rstrip('/'))}"),
            "folder" if entry.is_folder else parts.size(entry.size),
            parts.moment(changed(entry.modified)) if entry.modified else None,
        )
        for entry in shown
    ]
    more = len(names) > len(shown)
    caption = f"{len(shown)} names, and there are more" if more else f"{len(shown)} name{'s' * (len(shown) != 1)}"
    return joined(
        parts.table(("Name", "Size", "Changed"), rows, caption, "files"),
        following(here, shown[-1].key) if more else None,
    )


def following(address: str, after: str) -> Html:
    """The link to what comes behind `after`."""
    # Quoted twice: names may be bytes that are no text.
    return element("p", element("a", "Next page", href=f"{address}?after={quote(quoted(after))}", rel="next"))


def quoted(text: str) -> str:
    """A name as a part of an address, bytes that are no text as they are."""
    return quote(text, safe="", errors="surrogateescape")


def changed(seconds: float) -> str | None:
    """A file's time as the wire has times; None where there is no such date."""
    try:
        return clock.wire_from_epoch(seconds)
    except (ValueError, OverflowError, OSError):  # whoever has a file can give it any time
        return None

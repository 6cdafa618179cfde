"""Files of jobs and of storage on the page: a look at how they begin, and their content for a browser."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response

from azext_batchai.service.storage import content
from azext_batchai.service.ui import guard, parts
from azext_batchai.service.ui.html import Child, Html, element, joined

HEAD = 64 << 10  # bytes that a preview is made of
STYLE = "preview.css"  # for Page.styles

_MOST_ROWS = 200
_MOST_COLUMNS = 50
_MOST_PRETTY = 4 * HEAD  # indenting what is deeply nested makes it much longer
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
# Suffix -> media type and how such a file begins; what says that it is a picture and is none is shown by its bytes.
_PICTURES = {
    ".png": ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ".jpg": ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ".jpeg": ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ".gif": ("image/gif", re.compile(rb"GIF8[79]a")),
    ".webp": ("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ".svg": ("image/svg+xml", re.compile(rb"(\xef\xbb\xbf)?\s*<(\?xml|!--|!DOCTYPE|svg).*", re.DOTALL)),
}
# What a terminal obeys is shown as a picture of it.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {0x7F: 0x2421}
_IN_NAMES = {
    **_CONTROLS,
    **{ord(char): 0x2400 + ord(char) for char in "\t\n\r"},
    # What turns the order around in which the rest is read, and (as surrogates) bytes that are no text.
    **dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), 0xFFFD),
}


def head_of(file: BinaryIO) -> bytes:
    """How a file begins, as far as `preview` needs it; where it is read is left as it was."""
    return os.pread(file.fileno(), HEAD, 0)


def legible(name: str) -> str:
    """The name of a file as it is shown: no character in it hides or turns others."""
    return name.translate(_IN_NAMES)


def preview(name: str, head: bytes, size: int, address: str) -> Html:
    """What a file looks like. `head`: its first HEAD bytes; `size`: its bytes in all; `address`: where `raw` is."""
    links = element(
        "p",
        element("a", "Open the file itself", href=address) if _media_type(name, head) else None,
        element("a", "Download", href=address, download=PurePosixPath(name).name),
        element("span", parts.size(size), class_="about"),
        class_="file-links",
    )
    return joined(links, _shown(name, head, size, address))


def raw(file: BinaryIO, name: str, headers: Mapping[str, str]) -> Response:
    """The content of an open file, which is closed when it is sent; of one range where the request asks for one.

    Pictures and text are shown by a browser, where they can run and load nothing; anything else is saved.
    """
    status = os.fstat(file.fileno())
    media_type = _media_type(name, head_of(file))
    about = {
        **guard.file_headers(),
        **content.identity(status),
        "accept-ranges": "bytes",
        "content-type": media_type or "application/octet-stream",
        "content-disposition": _disposition("inline" if media_type else "attachment", name),
    }
    wanted = headers.get("range")
    if headers.get("if-range", about["etag"]) != about["etag"]:
        wanted = None  # it is another file than the one that the reader has a part of
    found = content.span(wanted, status.st_size)
    if not found:
        file.close()
        return Response(status_code=416, headers={**about, "content-range": f"bytes */{status.st_size}"})
    start, end, is_part = found
    if is_part:
        about["content-range"] = f"bytes {start}-{end - 1}/{status.st_size}"
    return content.answer(file, start, end, 206 if is_part else 200, about)


def _shown(name: str, head: bytes, size: int, address: str) -> Html:
    if not head:
        return parts.empty("The file is empty.")
    if _picture(name, head):
        return element("img", src=address, alt=legible(PurePosixPath(name).name), class_="preview")
    if not _is_text(head):
        first = " ".join(f"{byte:02x}" for byte in head[:16])
        return joined(
            parts.empty("This is neither text nor a picture: download it to look at it."),
            parts.facts((("Size", f"{size} bytes"), ("First bytes", element("code", first)))),
        )
    whole = size <= len(head)
    text = head.decode("utf-8-sig", "replace") if whole else _whole_characters(head)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in (".csv", ".tsv"):
        table = _table(text if whole else text.rpartition("\n")[0], whole)
        if table:
            return table
    if suffix in (".json", ".ipynb") and whole:
        text = _pretty(text)
    return joined(
        None if whole else parts.empty(f"The first {parts.size(len(head))} of {parts.size(size)}:"),
        element(
            "pre",
            # HTML takes a line's end away that stands first.
            "\n" if text.startswith(("\n", "\r")) else None,
            text.translate(_CONTROLS),
            class_="preview",
            tabindex="0",
            role="region",
            aria_label=f"Content of {legible(PurePosixPath(name).name)}",
        ),
    )


def _picture(name: str, head: bytes) -> str | None:
    """The media type of a picture that browsers show."""
    media_type, begins = _PICTURES.get(PurePosixPath(name).suffix.lower(), (None, None))
    return media_type if begins and begins.match(head) else None


def _media_type(name: str, head: bytes) -> str | None:
    """None for what a browser is to save and not to show."""
    return _picture(name, head) or ("text/plain; charset=utf-8" if _is_text(head) else None)


def _is_text(head: bytes) -> bool:
    """Text may have a few bytes that are none, as logs have where two processes write at once; but no NUL."""
    if b"\0" in head:
        return False
    return _whole_characters(head).count("\ufffd") * 20 <= len(head)


def _whole_characters(head: bytes) -> str:
    """The text without a character that its end has cut; U+FFFD for what is no text."""
    return codecs.getincrementaldecoder("utf-8-sig")("replace").decode(head)


def _table(text: str, whole: bool) -> Html | None:
    """The table that a file of comma or tab separated values is; None where it is none."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        reader = csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), delimiter=delimiter)
        rows = [row for row, _ in zip(filter(None, reader), range(_MOST_ROWS + 2))]
    except csv.Error:
        return None
    if not rows:
        return None
    heads, *lines = rows
    if all(_is_number(cell) for cell in heads):
        heads, lines = [f"Column {number}" for number in range(1, len(heads) + 1)], rows
    width = max(map(len, rows))
    columns = min(width, _MOST_COLUMNS)
    more = not whole or len(lines) > _MOST_ROWS
    caption = f"the first {min(len(lines), _MOST_ROWS)} rows" if more else f"{len(lines)} rows"
    if width > columns:
        caption += f", the first {columns} of {width} columns"
    shown: list[list[Child]] = [[number, *_wide(line, columns)] for number, line in enumerate(lines[:_MOST_ROWS], 1)]
    titles = [title or element("span", "no name", class_="hidden") for title in _wide(heads, columns)]
    return parts.table(("Row", *titles), shown, caption[0].upper() + caption[1:], "preview")


def _wide(row: list[str], columns: int) -> list[str]:
    return [cell.translate(_CONTROLS) for cell in row[:columns]] + [""] * (columns - len(row))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _pretty(text: str) -> str:
    """JSON with a line for each value, which stays what it is to the last digit; other text as it is."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines, depth, length, before = [""], 0, 0, ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "]}":
            depth -= 1
        if (before in ("{", "[", ",") and token not in "]}") or (token in "]}" and before not in ("{", "[")):
            length += len(lines[-1])
            lines.append("  " * depth)
        if token in "[{":
            depth += 1
        lines[-1] += ": " if token == ":" else token
        if length > _MOST_PRETTY:
            return text
        before = token
    return "\n".join(lines)


def _disposition(how: str, name: str) -> str:
    """RFC 6266: the name for all readers, and exactly for those who know how."""
    last = PurePosixPath(name).name
    plain = re.sub(r'[^ -~]|["\\%]', "_", last)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='', errors='surrogateescape')}"

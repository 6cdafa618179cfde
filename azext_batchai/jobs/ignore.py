"""Which files of a folder are left out: .gitignore and .batchaiignore, as gitignore(5) has their patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FILES = (".gitignore", ".batchaiignore")  # what the second says comes before what the first does
_ALWAYS = {".git"}


@dataclass(frozen=True)
class Rule:
    """One line; `folder` is where its file is, relative to the whole ("" for its top); `fits` takes a path below it."""

    folder: str
    fits: Callable[[str], object]
    keeps: bool
    folders_only: bool

    def matches(self, path: str, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        prefix = f"{self.folder}/" if self.folder else ""
        return path.startswith(prefix) and bool(self.fits(path[len(prefix) :]))  # noqa: E203


def files_of(top: Path) -> Iterator[str]:
    """The files below a folder that are not left out, relative to it, in order; links to folders are not followed."""
    yield from _walk(top, "", ())


def _walk(top: Path, folder: str, outer: Sequence[Rule]) -> Iterator[str]:
    patterns = [*outer, *_patterns(top, folder)]
    with os.scandir(top / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in _ALWAYS or _is_left_out(patterns, path, is_folder):
            continue
        if is_folder:
            yield from _walk(top, path, patterns)
        elif entry.is_file():  # no pipe, no socket, no link to nothing
            yield path


def _is_left_out(patterns: Sequence[Rule], path: str, is_folder: bool) -> bool:
    last = next((pattern for pattern in reversed(patterns) if pattern.matches(path, is_folder)), None)
    return last is not None and not last.keeps


def _patterns(top: Path, folder: str) -> Iterator[Rule]:
    for name in FILES:
        try:
            lines = (top / folder / name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            continue
        for line in lines:
            pattern = _parsed(folder, line)
            if pattern:
                yield pattern


def _parsed(folder: str, line: str) -> Rule | None:
    text = re.sub(r"(?<!\\) +$", "", line)
    if not text or text.startswith("#"):
        return None
    keeps = text.startswith("!")
    text = text[1:] if keeps else text
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    anchored = "/" in text
    regex = _regex(text.lstrip("/"))
    try:
        compiled = re.compile(regex if anchored else f"(?:.*/)?{regex}", re.DOTALL)
    except re.error:  # [z-a]
        return None
    return Rule(folder, compiled.fullmatch, keeps, folders_only)


def _regex(glob: str) -> str:
    made, index = "", 0
    while index < len(glob):
        rest = glob[index:]
        if rest.startswith("**/") and (index == 0 or glob[index - 1] == "/"):
            made, index = f"{made}(?:.*/)?", index + 3
        elif rest == "**" and made.endswith("/"):
            made, index = f"{made}.+", index + 2
        elif rest[0] == "*":
            made, index = f"{made}[^/]*", index + 1
        elif rest[0] == "?":
            made, index = f"{made}[^/]", index + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            inside = rest[1:end].replace("\\", "\\\\").replace("[", "\\[")
            inside = f"^{inside[1:]}" if inside[0] == "!" else inside
            made, index = f"{made}[{inside}]", index + end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            made, index = made + re.escape(rest[1]), index + 2
        else:
            made, index = made + re.escape(rest[0]), index + 1
    return made

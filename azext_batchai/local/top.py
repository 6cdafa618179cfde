"""The service at a glance as lines of text: what needs attention, the clusters, what runs and what waits."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

# A piece of a line and how it is shown: a key of SGR, or "" for plain.
Piece = tuple[str, str]
Line = list[Piece]

# Styles of terminals (ECMA-48) by name.
SGR = {"title": "1", "soft": "2", "busy": "36", "good": "32", "waits": "33", "bad": "31"}

_STYLES = {
    **dict.fromkeys(("running", "terminating", "resizing", "leaving"), "busy"),
    **dict.fromkeys(("queued", "waiting", "preparing", "allocating"), "waits"),
    **dict.fromkeys(("failed", "unusable", "damaged"), "bad"),
    **dict.fromkeys(("idle", "steady", "succeeded"), "good"),
}
# The letter of a node by its state; those that need attention come first where letters stand for several nodes.
_LETTERS = {"unusable": "U", "running": "R", "preparing": "P", "allocating": "A", "leaving": "L", "idle": "I"}
_MOST_CELL_ROWS = 3
_MOST_TEXT_LINES = 4
_STATE_WIDTH = 10
_LEAST_TEXT = 24  # columns; where fewer are left, a text has lines of its own
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?", re.DOTALL)


def lines(overview: dict[str, Any], width: int, most_attention: int = 12) -> list[Line]:
    """What `GET /_local/overview` answered, in lines of at most `width` columns."""
    shown = [
        *_attention(overview["attention"], width, most_attention),
        *_clusters(overview["clusters"], width),
        *_jobs(overview, width),
    ]
    return [fit(line, width) for line in shown]


def headline(overview: dict[str, Any]) -> Line:
    """The line above all."""
    number = len(overview["attention"])
    attention: Line = [(f", {number} need{'s' * (number == 1)} attention", "bad")] if number else []
    moment = overview["time"].partition("T")[2][:8]
    return [("Batch AI  ", "title"), (_queue(overview), ""), *attention, (f"  {moment} UTC", "soft")]


def fit(line: Line, width: int) -> Line:
    """The line, cut where it is too wide; nothing in it moves the cursor or changes the terminal."""
    cut: Line = []
    left = width
    for text, style in line:
        text = clean(text)
        if columns(text) > left:
            cut.append((_head(text, left - 1) + "…", style))
            return cut
        cut.append((text, style))
        left -= columns(text)
        if left <= 0:
            break
    return cut


def plain(line: Line) -> str:
    return "".join(text for text, _ in line).rstrip()


def coloured(line: Line) -> str:
    return "".join(f"\x1b[{SGR[style]}m{text}\x1b[0m" if style else text for text, style in line)


def clean(text: str) -> str:
    """The text without what a terminal would obey, and without characters that turn or hide others."""
    text = _ESCAPES.sub("", text)
    return "".join(char for char in re.sub(r"\s", " ", text) if not unicodedata.category(char).startswith("C"))


def columns(text: str) -> int:
    """How wide a text is in a terminal."""
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _head(text: str, width: int) -> str:
    """As much of a text as fits."""
    for end, char in enumerate(text):
        width -= _width(char)
        if width < 0:
            return text[:end]
    return text


def _tail(text: str, width: int) -> str:
    """The end of a name, which tells most."""
    if columns(text) <= width:
        return text
    return f"…{_head(text[::-1], width - 1)[::-1]}"


def _name(resource_id: str | None) -> str:
    """`workspace/experiment/job`."""
    if not resource_id:
        return ""
    words = resource_id.split("/")
    kinds = [word.lower() for word in words]
    return "/".join(words[kinds.index("workspaces") + 1 :: 2]) if "workspaces" in kinds else words[-1]  # noqa: E203


def _attention(found: Sequence[dict[str, Any]], width: int, most: int) -> Iterable[Line]:
    if not found:
        return
    yield [("NEEDS ATTENTION", "title")]
    rows = [(one["what"], _name(one["id"]), "", one["text"]) for one in found[:most]]
    yield from _table(rows, width)
    if len(found) > most:
        yield [(f"  and {len(found) - most} more", "soft")]
    yield []


def _clusters(clusters: Sequence[dict[str, Any]], width: int) -> Iterable[Line]:
    yield [("CLUSTERS", "title")]
    if not clusters:
        yield [("  none; make one with `az batchai cluster create`", "soft")]
    for cluster in clusters:
        state = cluster["allocationState"] or "unknown"
        about = [str(cluster["vmSize"]), _scale(cluster["scaleSettings"])]
        if cluster["engine"] != "local":
            about.append(str(cluster["engine"]))
        name = _name(cluster["id"]) or str(cluster["name"])
        pieces = [(name, "title"), (state, _STYLES.get(state, "")), (", ".join(filter(None, about)), "soft")]
        yield from _flow([*pieces, (_queue(cluster), "")], width)
        yield from _cells(cluster["nodes"], width)
    yield []


def _cells(nodes: Sequence[dict[str, Any]], width: int) -> Iterable[Line]:
    """A letter for each node, or for several of the same state where there are too many."""
    counts = Counter(str(node["state"]) for node in nodes)
    states = [str(node["state"]) for node in nodes]
    room = max(width - 4, 1)
    each = -(-len(states) // max(room * _MOST_CELL_ROWS - len(counts), 1))  # rounded up
    if each > 1:
        ordered = sorted(counts, key=lambda state: list(_LETTERS).index(state) if state in _LETTERS else len(_LETTERS))
        states = [state for state in ordered for _ in range(-(-counts[state] // each))]
    for start in range(0, len(states), room):
        row = states[start : start + room]  # noqa: E203
        yield [("    ", ""), *((_LETTERS.get(state, "?"), _STYLES.get(state, "")) for state in row)]
    said = ", ".join(f"{number} {state}" for state, number in counts.items()) or "no nodes"
    for line in _wrapped(f"{said}{f'; a letter is up to {each} nodes' if each > 1 else ''}", room):
        yield [(f"    {line}", "soft")]


def _jobs(overview: dict[str, Any], width: int) -> Iterable[Line]:
    yield [("JOBS", "title"), (f"  {_queue(overview)}", "soft")]
    jobs = overview["jobs"]
    if not jobs:
        yield [("  nothing runs and nothing waits", "soft")]
    rows = [
        (job["executionState"], _name(job["id"]), _since(overview["time"], job["since"]), job["reason"]) for job in jobs
    ]
    yield from _table(rows, width)
    more = overview["jobsRunning"] + overview["jobsQueued"] - len(jobs)
    if jobs and more > 0:
        yield [(f"  and {more} more", "soft")]


def _table(rows: Sequence[tuple[str, str, str, str]], width: int) -> Iterable[Line]:
    """Rows of state, name, age and a text, which is wrapped below itself, or below the rest where that is too wide."""
    most = max(width // 2, 12)
    names = [_tail(clean(row[1]), most) for row in rows]
    widest = max(map(columns, names), default=0)
    age_width = max((len(row[2]) for row in rows), default=0)
    for (state, _, age, text), name in zip(rows, names):
        head: Line = [(f"  {state:{_STATE_WIDTH}}", _STYLES.get(state, "")), (_padded(name, widest), "")]
        if age_width:
            head.append((f"  {age:>{age_width}}", "soft"))
        used = sum(columns(piece) for piece, _ in head) + 2
        beside = width - used >= _LEAST_TEXT
        indent = used if beside else 4
        wrapped = _wrapped(clean(text), width - indent)
        if beside and wrapped:
            head.append((f"  {wrapped.pop(0)}", ""))
        yield head
        for line in wrapped:
            yield [(" " * indent + line, "")]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines, cut where it is long."""
    found: list[str] = []
    left = 0  # columns of the last line
    for word in _head(text, width * (_MOST_TEXT_LINES + 1)).split():
        if columns(word) < left:
            found[-1] += f" {word}"
            left -= 1 + columns(word)
            continue
        while word:
            found.append(_head(word, width) or word[0])
            word = word[len(found[-1]) :]  # noqa: E203
        left = width - columns(found[-1])
    if len(found) > _MOST_TEXT_LINES:
        found[_MOST_TEXT_LINES:] = ["…"]
    return found


def _flow(pieces: Sequence[Piece], width: int) -> Iterable[Line]:
    """Pieces behind each other, on more lines where one does not hold them."""
    line: Line = []
    used = 0
    for text, style in pieces:
        if line and used + 2 + columns(text) > width:
            yield line
            line, used = [("  ", "")], 2
        line = [*line, ("  ", ""), (text, style)]
        used += 2 + columns(text)
    yield line


def _queue(counts: dict[str, Any]) -> str:
    return f"{counts['jobsRunning']} running, {counts['jobsQueued']} queued"


def _scale(settings: dict[str, Any] | None) -> str:
    if not settings:
        return ""
    if "manual" in settings:
        return f"{settings['manual']['targetNodeCount']} nodes"
    return f"{settings['autoScale']['minimumNodeCount']} to {settings['autoScale']['maximumNodeCount']} nodes"


def _since(now: str, then: str) -> str:
    """How long ago by the service's clock: `5 s`, `3 min`, `2 h`, `4 d`."""
    seconds = max((_moment(now) - _moment(then)).total_seconds(), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.partition(".")[0].removesuffix("Z")).replace(tzinfo=timezone.utc)

"""What became of a job and when: from its record, and from the execution log, which tells of each attempt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.model.job_states import ENDED

_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z) (.+)")
_STARTS = re.compile(r"job .* starts, attempt (\d+), nodes (.+)")
_PREPARED = re.compile(r"job preparation on (\S+) ended (.+)")
_ENDED = re.compile(r"the job ended (.+)|failed: (.+)")
_AGAIN = "the job runs again: "


@dataclass(frozen=True)
class Step:
    """`state` is that of the job, or of a node, which looks like it; `end` is None for what goes on."""

    name: str
    state: str
    begin: datetime
    end: datetime | None = None
    text: str = ""


def steps(properties: Mapping[str, Any], requeued: str, logs: Iterable[str]) -> list[Step]:
    """The steps in their order. `requeued`: why the job was queued again last; `logs`: its execution logs."""
    info = properties.get("executionInfo") or {}
    state = properties["executionState"]
    since = clock.parse_wire_time(properties["executionStateTransitionTime"])
    found = [Step("Queued", "queued", clock.parse_wire_time(properties["creationTime"]))]
    for moment, text in _lines(logs):
        _read(found, moment, text)
    ended = info.get("endTime") if state in ENDED else None
    if len(found) == 1 and "startTime" in info and info["startTime"] != ended:  # no log, or none yet
        _go_on(found, Step("Running", "running", clock.parse_wire_time(info["startTime"])))
    if state == "queued" and found[-1].state != "queued":
        _go_on(found, Step("Queued again", "queued", max(since, found[-1].begin), text=requeued))
    elif state == "terminating":
        _go_on(found, Step("Terminating", "terminating", max(since, found[-1].begin)))
    elif ended:
        moment = clock.parse_wire_time(ended)
        found[-1] = replace(found[-1], end=found[-1].end or max(moment, found[-1].begin))
        found.append(Step(state.capitalize(), state, moment, moment))
    return found


def _lines(logs: Iterable[str]) -> list[tuple[datetime, str]]:
    """The lines of all logs by their times; what stands in several of them once."""
    found: dict[tuple[datetime, str], None] = {}
    for log in logs:
        for line in log.splitlines():
            match = _LINE.fullmatch(line)
            if match:
                try:
                    found[clock.parse_wire_time(match[1]), match[2]] = None
                except ValueError:  # a job can write into its log what it likes
                    continue
    return sorted(found, key=lambda one: one[0])


def _read(found: list[Step], moment: datetime, text: str) -> None:
    last = found[-1]
    if match := _STARTS.fullmatch(text):
        number, nodes = int(match[1]), match[2].count(",") + 1
        if last.state != "queued":  # the job was queued again; when is not in the log
            _go_on(found, Step("Queued again", "queued", last.end or moment))
        where = match[2] if nodes == 1 else f"{nodes} nodes"
        again = f"attempt {number} on {where}" if number > 1 else f"on {where}"
        _go_on(found, Step("Starting", "preparing", moment, text=again))
    elif text.startswith(_AGAIN):
        for index in range(len(found) - 1, 0, -1):
            if found[index].state == "queued":
                found[index] = replace(found[index], text=text.removeprefix(_AGAIN))
                break
    elif text == "job preparation starts":
        _go_on(found, Step("Preparation", "preparing", moment))
    elif last.name == "Preparation" and (match := _PREPARED.fullmatch(text)):
        failed = f"on {match[1]} {match[2]}" if match[2] != "with exit code 0" else ""
        found[-1] = replace(last, text=last.text or failed)
    elif text.startswith("cmd is ") and last.name != "Running":
        _go_on(found, Step("Running", "running", moment))
    elif last.state != "queued" and (match := _ENDED.fullmatch(text)):
        found[-1] = replace(last, end=moment, text=last.text or f"ended {match[1]}" if match[1] else match[2])


def _go_on(found: list[Step], step: Step) -> None:
    """The step begins where the one before it ends."""
    if found[-1].end is None:
        found[-1] = replace(found[-1], end=step.begin)
    found.append(step)

"""The metrics of a job: from metrics.json, JSON lines and TensorBoard event files of its output, or from its stdout."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from knack.log import get_logger

from azext_batchai.jobs import event_files
from azext_batchai.jobs.ranks import STDOUT, file_of, ranks
from azext_batchai.jobs.transfer import content_of, files_below

logger = get_logger(__name__)

_LARGEST = 512 << 20  # bytes of a file that is read
_STEPS = ("step", "global_step", "iteration", "epoch")
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
STDOUTERR = "stdouterr"


@dataclass
class Series:
    """One metric: its values by steps, in the order in which they were written."""

    points: list[tuple[float, float]] = field(default_factory=list)

    @property
    def last(self) -> float:
        return self.points[-1][1]

    def best(self, greatest: bool) -> tuple[float, float] | None:
        """Step and value; None where there is no number but NaN."""
        found = [point for point in self.points if not math.isnan(point[1])]
        if not found:
            return None
        return max(found, key=lambda point: point[1]) if greatest else min(found, key=lambda point: point[1])


Metrics = dict[str, Series]


def compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Raises InvalidArgumentValueError for what is no expression or names no metric."""
    if pattern is None:
        return None
    from azure.cli.core.azclierror import InvalidArgumentValueError

    advice = "Write, say, --pattern 'loss (?P<loss>[0-9.]+)'."
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise InvalidArgumentValueError(
            f"--pattern '{pattern}' is no regular expression: {error}.", recommendation=advice
        ) from error
    if not made.groupindex:
        raise InvalidArgumentValueError(f"--pattern '{pattern}' has no named group.", recommendation=advice)
    return made


def of_job(client: Any, names: tuple[str, ...], job: Any, pattern: re.Pattern[str] | None = None) -> Metrics:
    """The metrics of a job (SDK); `names`: of resource group, workspace, experiment and job.

    With a pattern from its stdout, of the first rank, else from its output directories and the folder of stdout.
    """
    found: Metrics = {}
    if pattern:
        name = file_of(STDOUT, ranks(job)[0])
        for data in _contents(client, names, job, STDOUTERR, lambda path: path == name).values():
            _add(found, of_text(data.decode("utf-8", "replace"), pattern))
        return found
    for directory in [STDOUTERR, *(entry.id for entry in job.output_directories or [])]:
        for path, data in _contents(client, names, job, directory, _is_known).items():
            _add(found, of_file(path, data))
    for series in found.values():
        series.points.sort(key=lambda point: point[0])
    return found


def _contents(client: Any, names: tuple[str, ...], job: Any, directory: str, wanted: Any) -> dict[str, bytes]:
    from azure.core.exceptions import HttpResponseError
    from azure.mgmt.batchai import models

    def listing(folder: str) -> list[Any]:
        options = models.JobsListOutputFilesOptions(outputdirectoryid=directory, directory=folder)
        return list(client.jobs.list_output_files(*names, options))

    found = {}
    try:
        for path, entry in files_below(listing):
            if wanted(path):
                data = content_of(listing, lambda: job, path, entry, _LARGEST)
                if data is None:
                    logger.warning("%s of job %s is too large to be read.", path, job.name)
                else:
                    found[path] = data
    except HttpResponseError as error:
        if error.status_code != 400:  # a folder that is on no share or container cannot be listed
            raise
        logger.warning("Output %s of job %s cannot be listed: %s", directory, job.name, error.message)
    return found


def _is_known(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name == "metrics.json" or name.endswith((".jsonl", ".ndjson")) or name.startswith(event_files.NAME)


Point = tuple[str, "float | None", float]


def _add(metrics: Metrics, points: Iterator[Point]) -> None:
    for name, step, value in points:
        series = metrics.setdefault(name, Series())
        series.points.append((len(series.points) if step is None else step, value))


def of_file(path: str, data: bytes) -> Iterator[Point]:
    """Name, step (None: not said) and value of each point of a file; what is no such file has none."""
    name = path.rpartition("/")[2]
    if name.startswith(event_files.NAME):
        yield from event_files.scalars(data)
        return
    text = data.decode("utf-8", "replace")
    if name == "metrics.json":
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None  # it may be lines all the same
        if content is not None:
            yield from _of_json(content)
            return
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue  # blank, or not whole yet
        if isinstance(record, dict):
            yield from _of_record(record)


def _of_json(content: Any) -> Iterator[Point]:
    if isinstance(content, list):
        for record in content:
            if isinstance(record, dict):
                yield from _of_record(record)
    elif isinstance(content, dict):
        for name, value in _flat(content):
            if isinstance(value, list):
                for number in value:
                    if _is_number(number):
                        yield name, None, float(number)
            elif _is_number(value):
                yield name, None, float(value)


def _of_record(record: dict[str, Any]) -> Iterator[Point]:
    step = next((float(record[key]) for key in _STEPS if _is_number(record.get(key))), None)
    for name, value in _flat(record):
        if _is_number(value) and name not in _STEPS:
            yield name, step, float(value)


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def of_text(text: str, pattern: re.Pattern[str]) -> Iterator[Point]:
    """The points of each line that the pattern fits; its groups are the metrics, one of them may be the step."""
    for line in text.splitlines():
        for match in pattern.finditer(line):
            values = {
                name: float(group.replace("_", ""))
                for name, group in match.groupdict().items()
                if group is not None and _NUMBER.fullmatch(group)
            }
            step = next((values[key] for key in _STEPS if key in values), None)
            only_step = not values.keys() - set(_STEPS)
            for name, value in values.items():
                if only_step or name not in _STEPS:
                    yield name, step, value


def named(metrics: Metrics, name: str) -> str | None:
    """The metric that is meant: of that name, or the only one that ends with it, as `eval/accuracy` with accuracy."""
    if name in metrics:
        return name
    lower = name.lower()
    close = [there for there in metrics if there.lower() == lower or there.lower().rpartition("/")[2] == lower]
    return close[0] if len(close) == 1 else None

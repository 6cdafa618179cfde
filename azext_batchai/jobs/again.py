"""A job once more: the body that made it, changed."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from azext_batchai.formats.job_config import config_of

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_COPY = re.compile(r"-(\d+)$")
_AGAIN = re.compile(r"-again(?:-(\d+))?$")


def body_of(job: Any) -> dict[str, Any]:
    """What `job create -f` takes of an SDK Job; keys and secrets are not in it, as the service shows none."""
    return config_of(job.serialize()["properties"])


def changed(body: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """The body with each `KEY.KEY[0].KEY=VALUE` set; a value is JSON, or else text.

    Raises InvalidArgumentValueError.
    """
    made = copy.deepcopy(body)
    for setting in settings:
        path, equals, text = setting.partition("=")
        steps = [int(index) if index else name for name, index in _STEP.findall(path)]
        if not equals or not steps:
            _refuse(f"--set '{setting}' is no KEY=VALUE.")
        _set(made["properties"], steps, _value(text), setting)
    return made


def _set(place: Any, steps: list[Any], value: Any, setting: str) -> None:
    *way, last = steps
    for step, following in zip(way, steps[1:]):
        if isinstance(step, str) and isinstance(place, dict) and isinstance(following, str):
            place.setdefault(step, {})
        place = _inside(place, step, setting)
    if isinstance(last, int):
        _inside(place, last, setting)
    elif not isinstance(place, dict):
        _refuse(f"--set '{setting}': there is no such place in the job.")
    place[last] = value


def _inside(place: Any, step: Any, setting: str) -> Any:
    try:
        return place[step]
    except (KeyError, IndexError, TypeError):
        return _refuse(f"--set '{setting}': there is no such place in the job.")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def with_secrets(body: dict[str, Any], given: list[dict[str, str]]) -> dict[str, Any]:
    """The body with the values of its secrets. Raises RequiredArgumentMissingError for those that are not given."""
    values = {entry["name"]: entry for entry in given}
    there = body["properties"].get("secrets", [])
    missing = [
        entry["name"] for entry in there if not entry.get("valueSecretReference") and entry["name"] not in values
    ]
    if missing:
        from azure.cli.core.azclierror import RequiredArgumentMissingError

        raise RequiredArgumentMissingError(
            f"Nobody is shown the values of the job's secrets: {', '.join(missing)}.",
            recommendation="Give each again: --secret NAME takes it from your environment, NAME=- asks for it.",
        )
    kept = [entry for entry in there if entry["name"] not in values]
    if not kept and not values:
        return body
    return {"properties": {**body["properties"], "secrets": [*kept, *values.values()]}}


def next_name(name: str, is_taken: Any) -> str:
    """`job-2` after `job`, the first that `is_taken` (a function of a name) does not have."""
    stem, number = _COPY.sub("", name), 2
    while is_taken(f"{stem}-{number}"):
        number += 1
    return f"{stem}-{number}"


def last_attempts(jobs: list[Any]) -> dict[str, Any]:
    """Of jobs (SDK) that were submitted again as `NAME-again`, `NAME-again-2`, ... the last, by NAME."""
    last: dict[str, Any] = {}
    for job in sorted(jobs, key=lambda job: _attempt(job.name)):
        last[_AGAIN.sub("", job.name)] = job
    return last


def name_again(name: str, last: str) -> str:
    """The name of the attempt after `last` of the job `name`."""
    attempt = _attempt(last)
    return f"{name}-again" if not attempt else f"{name}-again-{attempt + 1}"


def _attempt(name: str) -> int:
    match = _AGAIN.search(name)
    return int(match[1] or 1) if match else 0


def _refuse(message: str) -> Any:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation="Write, say, --set customToolkitSettings.commandLine=...")

"""Many jobs of one: parameters put into its command line and environment, names, submission in one session."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Sequence
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.jobs.checks import TOOLKITS
from azext_batchai.jobs.parameters import Point
from azext_batchai.jobs.state import MAX_RUNNING, SWEEP

logger = get_logger(__name__)

VARIABLE = "PARAM_"  # before the name of a parameter, in capitals: the variable that has its value
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_]\w*)\}", re.ASCII)
_NOT_OF_A_NAME = re.compile(r"[^-A-Za-z0-9_]+")
_LONGEST_NAME = 64
NUMBER = "number"


def filled(text: str, values: Point) -> str:
    """The text with `{name}` replaced where it names a value; `${name}` is the shell's and stays."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def body_of(properties: dict[str, Any], point: Point, sweep: str, most: int | None) -> dict[str, Any]:
    """The properties of the job that tries this point."""
    made = copy.deepcopy(properties)
    for place in (*TOOLKITS.values(), "jobPreparation"):
        if isinstance(made.get(place), dict):
            made[place] = {
                key: filled(value, point) if isinstance(value, str) else value for key, value in made[place].items()
            }
    own = {f"{VARIABLE}{name.upper()}": value for name, value in point.items()}
    own[SWEEP] = sweep
    if most:
        own[MAX_RUNNING] = str(most)
    kept = [entry for entry in made.get("environmentVariables") or [] if entry.get("name") not in own]
    for entry in kept:
        entry["value"] = filled(str(entry.get("value", "")), point)
    made["environmentVariables"] = [*kept, *({"name": name, "value": value} for name, value in own.items())]
    return made


def unused(properties: dict[str, Any], points: Sequence[Point]) -> list[str]:
    """Parameters that stand nowhere in the job, as `{name}` or as variable."""
    import json

    text = json.dumps(properties)
    return [name for name in points[0] if f"{{{name}}}" not in text and f"{VARIABLE}{name.upper()}" not in text]


def names(pattern: str, points: Sequence[Point]) -> list[str]:
    """A name for each job: the pattern with the values in it, and a number where that is not enough.

    What cannot be in a name becomes `_`. Raises InvalidArgumentValueError for a pattern that makes none.
    """
    width = len(str(len(points)))
    numbers = [f"{index + 1:0{width}}" for index in range(len(points))]
    made = [
        _NOT_OF_A_NAME.sub("_", filled(pattern, {**point, NUMBER: number})) for point, number in zip(points, numbers)
    ]
    if len({name.lower() for name in made}) < len(made):
        made = [f"{name}-{number}" for name, number in zip(made, numbers)]
    wrong = next((name for name in made if not 0 < len(name) <= _LONGEST_NAME), None)
    if wrong is not None:
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(
            f"--name '{pattern}' makes '{wrong}', which has not 1 to {_LONGEST_NAME} characters.",
            recommendation="Give a shorter one, say --name 'lr-{lr}' or --name 'try-{number}'.",
        )
    return made


def parameters_of(job: Any) -> Point:
    """The parameters of an SDK Job by its variables, in lower case."""
    variables = job.environment_variables or []
    return {
        entry.name.removeprefix(VARIABLE).lower(): entry.value for entry in variables if entry.name.startswith(VARIABLE)
    }


def submit(client: Any, place: tuple[str, str, str], bodies: dict[str, Any], spinner: Any) -> None:
    """Create the jobs (name -> SDK JobCreateParameters) in their order.

    Raises what the first that is refused raises, after it is said how many there are. Ends az on Ctrl-C.
    """
    done = 0
    try:
        for name, body in bodies.items():
            spinner.show(f"Submitting job {name} ({done + 1} of {len(bodies)})")
            # A job is there with the answer; looking for its operation would take a request more for each.
            client.jobs.begin_create(*place, name, body, polling=False)
            done += 1
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)
    finally:
        if done < len(bodies):
            spinner.clear()
            logger.warning("%s of %s jobs are submitted.", done, len(bodies))

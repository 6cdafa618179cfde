"""What the page tells of a job's life."""

from typing import Any

import pytest

from azext_batchai.service.ui.job import is_secret, masked_config
from azext_batchai.service.ui.job_timeline import Step, steps

pytestmark = pytest.mark.invented


def at(seconds: int) -> str:
    return f"2026-01-01T00:00:{seconds:02d}Z"


def job(state: str, since: int, **info: Any) -> dict[str, Any]:
    made = {"creationTime": at(0), "executionState": state, "executionStateTransitionTime": at(since)}
    return {**made, **({"executionInfo": info} if info else {})}


def shown(found: list[Step]) -> list[tuple[str, float | None, str]]:
    """Name, seconds, text."""
    return [(step.name, (step.end - step.begin).total_seconds() if step.end else None, step.text) for step in found]


LOG = f"""{at(2)} job j starts, attempt 1, nodes n1, n2
{at(3)} job preparation starts
{at(5)} job preparation on n1 ended with exit code 0
{at(6)} job preparation on n2 ended with exit code 0
{at(7)} cmd is python train.py
{at(7)} cmd is python train.py
"""


def test_a_job_that_waits() -> None:
    assert shown(steps(job("queued", 0), "", [])) == [("Queued", None, "")]


def test_a_job_that_runs_with_preparation() -> None:
    found = steps(job("running", 2, startTime=at(2)), "", [LOG, LOG])
    assert shown(found) == [
        ("Queued", 2, ""),
        ("Starting", 1, "on 2 nodes"),
        ("Preparation", 4, ""),
        ("Running", None, ""),
    ]


def test_a_job_that_ran_on_two_sets_of_nodes() -> None:
    second = f"""{at(30)} job j starts, attempt 2, nodes n3
{at(30)} the job runs again: node n1 was preempted
{at(31)} cmd is python train.py
{at(40)} the job ended with exit code 3
"""
    ended = job("failed", 41, startTime=at(30), endTime=at(41), exitCode=3)
    found = steps(ended, "node n1 was preempted", [second, LOG])
    assert shown(found)[3:] == [
        ("Running", 23, ""),
        ("Queued again", 0, "node n1 was preempted"),
        ("Starting", 1, "attempt 2 on n3"),
        ("Running", 9, "ended with exit code 3"),
        ("Failed", 0, ""),
    ]


def test_a_job_that_is_queued_again_says_why() -> None:
    found = steps(job("queued", 20), "the machine was started anew", [LOG])
    assert shown(found)[3:] == [("Running", 13, ""), ("Queued again", None, "the machine was started anew")]


def test_a_job_without_a_log() -> None:
    done = job("succeeded", 9, startTime=at(4), endTime=at(9), exitCode=0)
    assert shown(steps(done, "", [])) == [("Queued", 4, ""), ("Running", 5, ""), ("Succeeded", 0, "")]
    ended_while_it_waited = job("failed", 9, startTime=at(9), endTime=at(9))
    assert shown(steps(ended_while_it_waited, "", [])) == [("Queued", 9, ""), ("Failed", 0, "")]


@pytest.mark.parametrize(
    "line",
    ["nonsense", f"{at(3)} <script>", "2026-13-77T99:99:99Z cmd is x", f"{at(1)} the job ended well"],
)
def test_what_a_job_writes_into_its_log_breaks_nothing(line: str) -> None:
    found = steps(job("running", 2, startTime=at(2)), "", [f"{line}\n" * 3, LOG])
    assert found[-1].name == "Running"


@pytest.mark.parametrize("name", ["HF_TOKEN", "aws_secret_access_key", "DB_PASSWORD", "API_KEY", "PGPASSWORD", "pwd"])
def test_names_that_look_secret(name: str) -> None:
    assert is_secret(name)
    config = masked_config({"nodeCount": 1, "environmentVariables": [{"name": name, "value": "of-nobody"}], "x": 1})
    assert "of-nobody" not in str(config)
    assert name in str(config)


def test_other_variables_are_in_the_configuration() -> None:
    variables = [{"name": "LEVEL", "value": "info"}]
    given = {"nodeCount": 2, "environmentVariables": variables, "mountVolumes": {}, "executionState": "queued"}
    assert masked_config(given) == {"properties": {"nodeCount": 2, "environmentVariables": variables}}

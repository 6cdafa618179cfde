"""The table of `job list`: that of 2018 off a terminal, and more where there is room or it is asked for."""

import datetime

import pytest

from azext_batchai.jobs import listing
from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, job
from extension.scripted import Answer

pytestmark = pytest.mark.invented
PLAIN = ["Name", "Cluster", "Cluster RG", "Cluster Workspace", "Tool", "Nodes", "State", "Exit code"]
BOOM = [
    {
        "code": "JobFailed",
        "message": "Job failed with non-zero exit code",
        "details": [{"name": "Rank", "value": "1"}, {"name": "StdErr", "value": "Traceback\nValueError: no data\n"}],
    }
]
COUNTS = {f"{state}NodeCount": 0 for state in ("idle", "running", "preparing", "leaving", "unusable")}


@pytest.fixture
def jobs(server):
    def serve(*answers: Answer) -> None:
        server.on("GET", JOB.rpartition("/")[0], Answer(200, {"value": [answer.body for answer in answers]}))

    return serve


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch):
    """`terminal(columns)`: stdout is one."""
    return lambda columns: monkeypatch.setattr("azext_batchai.command_line.report.columns", lambda: columns)


def titles(output: str) -> list[str]:
    return [word.strip() for word in output.splitlines()[0].split("  ") if word.strip()]


def test_off_a_terminal_it_is_what_it_was(az, jobs):
    jobs(job("failed", 1, BOOM), job("queued", path=f"{JOB}2"))
    assert titles(az("batchai", "job", "list", *IN_EXPERIMENT, "-o", "table").output) == PLAIN


def test_wide(az, server, jobs):
    jobs(job("failed", 1, BOOM), job("queued", path=f"{JOB}2"), job("queued", path=f"{JOB}3"))
    cluster = {"id": CLUSTER, "name": "c", "properties": {"nodeStateCounts": COUNTS}}
    server.expect("GET", CLUSTER, Answer(200, cluster))  # once for both
    done = az("batchai", "job", "list", *IN_EXPERIMENT, "-o", "table", "--wide")
    assert titles(done.output) == [*PLAIN, "Started", "Duration", "Why"]
    failed, second, third = done.output.splitlines()[2:]
    assert failed.endswith("1 min 5 s   exit code 1 of rank 1: ValueError: no data")
    for line in (second, third):
        assert "it needs 2 idle nodes, and cluster c has 0 idle" in line


def test_other_output_stays_what_it_was(az, jobs):
    jobs(job("failed", 1, BOOM), job("queued", path=f"{JOB}2"))
    plain = az("batchai", "job", "list", *IN_EXPERIMENT)
    wide = az("batchai", "job", "list", *IN_EXPERIMENT, "--wide")
    assert plain.output == wide.output


def test_a_cluster_that_is_gone(az, server, jobs):
    jobs(job("queued"))
    server.expect("GET", CLUSTER, Answer(404, {"error": {"code": "ClusterNotFound", "message": "gone"}}))
    assert "its cluster is gone" in az("batchai", "job", "list", *IN_EXPERIMENT, "-o", "table", "--wide").output


@pytest.mark.parametrize(("columns", "more"), [(80, False), (149, False), (150, True), (400, True)])
def test_on_a_terminal(az, jobs, terminal, columns, more):
    terminal(columns)
    jobs(job("failed", 1, BOOM))
    output = az("batchai", "job", "list", *IN_EXPERIMENT, "-o", "table").output
    assert ("Why" in output) == more
    if more:
        assert max(map(len, output.splitlines())) <= columns
        assert "exit code 1 of rank 1" in output


def test_nothing_on_a_terminal(az, jobs, terminal):
    terminal(200)
    jobs()
    assert az("batchai", "job", "list", *IN_EXPERIMENT, "-o", "table").code == 0


def test_a_job_that_runs_has_run_until_now():
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2, minutes=5)
    row = listing.table([{}], [{"id": "j", "executionInfo": {"startTime": start.isoformat()}}], {}, None)[0]
    assert row["Duration"] == "2 h 5 min"
    assert row["Why"] == " "


def test_w_still_means_the_workspace(az, jobs):
    jobs(job("running"))
    assert az("batchai", "job", "list", "-g", "g", "--w", "w", "-e", "e").code == 0
    assert az("batchai", "job", "list", "-g", "g", "--w=w", "-e", "e").code == 0

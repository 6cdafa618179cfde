"""az batchai job wait: its exit status and what it tells."""

import os
import signal
import sys

import pytest

from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, JOB_NOT_FOUND, START, WORKSPACE, job
from extension.scripted import Answer
from harness.az import start_process

WAIT = ("batchai", "job", "wait", *IN_EXPERIMENT, "-n", "j")
# wire.md 3.2
TERMINATED = {"code": "JobTerminated", "message": "The specified job has been terminated by the user"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.wait.sleep", lambda *_: None)


@pytest.mark.parametrize(
    ("exit_code", "status"), [(1, 1), (3, 3), (137, 137), (255, 255), (256, 1), (-9, 137), (None, 1)]
)
def test_failure_is_passed_on(az, server, exit_code, status):
    server.expect("GET", JOB, job("running"))
    server.expect("GET", JOB, job("failed", exit_code))
    assert az(*WAIT).code == status


@pytest.mark.recorded
def test_terminated(az, server):
    server.expect("GET", JOB, job("failed", errors=[TERMINATED]))
    done = az(*WAIT)
    assert done.code == 1
    assert f"Job j failed after 1 min 5 s: {TERMINATED['message']}" in done.stderr
    assert f"az batchai job file list {' '.join(IN_EXPERIMENT)} -j j" in done.stderr


def test_success_says_nothing_on_stdout(az, server):
    server.expect("GET", JOB, job("succeeded", 0))
    done = az(*WAIT)
    assert (done.code, done.output) == (0, "")
    assert START[:10] in done.stderr
    assert done.stderr.splitlines()[-1] == "Job j succeeded after 1 min 5 s."  # no warning


def test_only_show_errors(az, server):
    server.expect("GET", JOB, job("succeeded", 0))
    done = az(*WAIT, "--only-show-errors")
    assert (done.code, done.output, done.stderr) == (0, "", "")


def test_job_that_is_not_there(az, server):
    server.expect("GET", JOB, JOB_NOT_FOUND)
    done = az(*WAIT)
    assert done.code == 3
    assert "az batchai job list" in done.stderr


def test_deleted_while_waited_for(az, server):
    server.expect("GET", JOB, job("running"))
    server.expect("GET", JOB, JOB_NOT_FOUND)
    done = az(*WAIT)
    assert done.code == 3
    assert "was deleted while it was waited for" in done.stderr


@pytest.mark.parametrize("codes", [(0, 5), (5, 0)])
def test_several_jobs_fail_when_one_does(az, server, codes):
    paths = [f"{WORKSPACE}/experiments/e/jobs/{name}" for name in ("a", "b")]
    for path, code in zip(paths, codes, strict=True):
        server.on("GET", path, job("failed" if code else "succeeded", code, path=path))
    assert az("batchai", "job", "wait", "--ids", *paths).code == 5


def cluster(scale: dict, counts: dict, errors: list | None = None) -> Answer:
    states = {f"{s}NodeCount": counts.get(s, 0) for s in ("idle", "running", "preparing", "unusable", "leaving")}
    properties = {"scaleSettings": scale, "nodeStateCounts": states, "errors": errors or []}
    return Answer(200, {"id": CLUSTER, "name": "c", "properties": properties})


MANUAL_1 = {"manual": {"targetNodeCount": 1}}
AUTO_4 = {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 4}}
SETUP_FAILED = {"code": "SetupTaskFailed", "message": "It failed.", "details": [{"name": "ExitCode", "value": "1"}]}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (cluster(MANUAL_1, {"idle": 1}), "it needs 2 nodes, and cluster c is set to 1 at most"),
        (cluster(AUTO_4, {"idle": 1, "preparing": 1}), "cluster c has 1 idle, 1 preparing, 0 running"),
        (
            cluster(AUTO_4, {"unusable": 2}, [SETUP_FAILED]),
            "cluster c has 2 unusable nodes: It failed. (ExitCode: 1)",
        ),
        (Answer(404, {"error": {"code": "ClusterNotFound", "message": "m"}}), "its cluster is gone"),
    ],
)
def test_why_a_job_is_queued(az, server, monkeypatch, answer, reason):
    monkeypatch.setattr("azext_batchai._client_factory.is_local", lambda _: True)
    server.expect("GET", JOB, job("queued"))
    server.expect("GET", CLUSTER, answer)
    server.expect("GET", JOB, job("succeeded", 0))
    done = az(*WAIT)
    assert f"Job j is queued: {reason}" in done.stderr.replace("it needs 2 idle nodes, and ", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_interrupted(server):
    server.on("GET", JOB, job("running"))
    process = start_process(*WAIT)
    line = process.stderr.readline()
    while "is running" not in line:
        assert line, "az ended"
        line = process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "WARNING: No longer waiting; the job goes on.\n"
    assert {request.method for request in server.requests} == {"GET"}

"""Why a job failed, in a line."""

import pytest
from azure.mgmt.batchai import models

from azext_batchai.formats.last_words import last_word, own_text
from azext_batchai.jobs.why import Failure

pytestmark = pytest.mark.invented
MPIRUN = """ValueError: no data
--------------------------------------------------------------------------
Primary job  terminated normally, but 1 process returned
a non-zero exit code.
--------------------------------------------------------------------------
mpirun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:

  Process name: [[24974,1],5]
  Exit code:    3
--------------------------------------------------------------------------"""


def failed(exit_code: int | None, code: str = "JobFailed", message: str = "Job failed", **details: str):
    error = models.BatchAIError()
    error.code, error.message = code, message
    error.details = [models.NameValuePair() for _ in details]
    for pair, (name, value) in zip(error.details, details.items(), strict=True):
        pair.name, pair.value = name, value
    job = models.Job()
    job.execution_state = "failed"
    job.execution_info = models.JobPropertiesExecutionInfo()
    job.execution_info.exit_code, job.execution_info.errors = exit_code, [error]
    return job


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (failed(1, Rank="wk-0", NodeId="n", StdErr="a\nboom"), "exit code 1 of rank wk-0: boom"),
        (failed(3, NodeId="n", StdErr=MPIRUN), "exit code 3 of rank 5: ValueError: no data"),
        (failed(137, Signal="9", Info="out of memory"), "signal 9: out of memory"),
        (failed(None, "JobTerminated", "terminated by the user"), "terminated by the user"),
        (failed(2), "exit code 2"),
    ],
)
def test_line(job, line):
    assert Failure.of(job).line == line


def test_the_node_of_mpirun_is_not_that_of_the_rank():
    assert Failure.of(failed(3, NodeId="n", StdErr=MPIRUN)).node == ""
    assert Failure.of(failed(3, NodeId="n", StdErr="x")).node == "n"


def test_a_service_that_says_nothing():
    job = models.Job()
    job.execution_state = "failed"
    assert Failure.of(job).line == "no reason given"
    job.execution_state = "running"
    assert Failure.of(job) is None


def test_mpirun_alone():
    alone = MPIRUN.partition("\n")[2]
    assert own_text(alone) == alone
    assert own_text(MPIRUN) == "ValueError: no data\n"
    assert last_word("") == ""

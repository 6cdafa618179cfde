"""Why a job failed, in the one line of it that the page shows."""

import pytest

from azext_batchai.service.ui import failures

pytestmark = pytest.mark.invented
SAID = "ValueError: no data\n--------------------------\nPrimary job  terminated normally\n--------------------------\n"


def test_what_mpirun_says_behind_the_ranks_is_not_their_last_word() -> None:
    error = {"code": "JobFailed", "message": "Job failed", "details": [{"name": "StdErr", "value": SAID}]}
    assert failures.line({"executionInfo": {"exitCode": 3, "errors": [error]}}) == "exit code 3: ValueError: no data"
    assert failures.brief(error) == "Job failed: ValueError: no data"

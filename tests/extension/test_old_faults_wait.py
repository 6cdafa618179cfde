"""`job wait`: what the module of azure-cli does wrong, proved on it, beside what it does here."""

import pytest

from extension.builtin import OF_JOB
from extension.jobs import END, IN_EXPERIMENT, JOB, START, job
from extension.scripted import Answer

WAIT = ("batchai", "job", "wait", *IN_EXPERIMENT, "-n", "j")
TERMINATED = [{"code": "JobTerminated", "message": "The specified job has been terminated by the user"}]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.wait.sleep", lambda *_: None)


def finished(state: str, **info: str) -> Answer:
    answer = job(state, 0)
    if info:
        answer.body["properties"]["executionInfo"] = info
    else:
        del answer.body["properties"]["executionInfo"]
    return answer


class TestJobWithoutAnExitCode:
    def test_old(self, builtin, server):
        server.on("GET", JOB, job("failed", errors=TERMINATED))
        with pytest.raises(SystemExit) as exit_:
            builtin.code.wait_for_job_completion(builtin.client, *OF_JOB)
        assert not exit_.value.code, "success is what the shell sees"
        assert builtin.log_faults, "and a message that cannot be formatted"

    def test_now(self, az, server):
        server.on("GET", JOB, job("failed", errors=TERMINATED))
        done = az(*WAIT)
        assert done.code == 1
        assert TERMINATED[0]["message"] in done.stderr
        assert "Logging error" not in done.stderr


class TestMissingTimes:
    @pytest.mark.parametrize("info", [{}, {"startTime": START}, {"endTime": END}])
    @pytest.mark.parametrize("state", ["succeeded", "failed"])
    def test_old(self, builtin, server, state, info):
        server.on("GET", JOB, finished(state, **info))
        if state == "failed" and not info:
            with pytest.raises(SystemExit):
                builtin.code.wait_for_job_completion(builtin.client, *OF_JOB)
        else:
            with pytest.raises((AttributeError, TypeError)):
                builtin.code.wait_for_job_completion(builtin.client, *OF_JOB)

    @pytest.mark.parametrize("info", [{}, {"startTime": START}, {"endTime": END}])
    @pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1)])
    def test_now(self, az, server, state, code, info):
        answer = finished(state, **info)
        del answer.body["properties"]["creationTime"]
        server.on("GET", JOB, answer)
        done = az(*WAIT)
        assert done.code == code
        assert f"Job j {state}" in done.stderr


class TestJobThatIsBeingDeleted:
    """The service keeps such a job in its last state until its node lets go of it."""

    @pytest.fixture(autouse=True)
    def deleting(self, server):
        answer = job("running")
        answer.body["properties"]["provisioningState"] = "deleting"
        server.on("GET", JOB, answer)

    def test_old(self, builtin, monkeypatch):
        class Enough(Exception):
            pass

        pauses = iter(range(20))

        def sleep(_: float) -> None:
            if next(pauses, None) is None:
                raise Enough

        monkeypatch.setattr(builtin.code.time, "sleep", sleep)
        with pytest.raises(Enough):
            builtin.code.wait_for_job_completion(builtin.client, *OF_JOB)

    def test_now(self, az, server):
        done = az(*WAIT)
        assert done.code == 3
        assert "was deleted while it was waited for" in done.stderr
        assert len(server.requests) == 1


class TestTimeout:
    def test_job_goes_on(self, az, server):
        server.on("GET", JOB, job("running"))
        done = az(*WAIT, "--timeout", "1")
        assert done.code == 124
        assert done.stderr.splitlines()[-1] == "WARNING: Job j has not ended after 1 s. It goes on."
        assert {request.method for request in server.requests} == {"GET"}

    def test_job_that_ends_in_time(self, az, server):
        server.expect("GET", JOB, job("running"))
        server.expect("GET", JOB, job("failed", 5))
        assert az(*WAIT, "--timeout", "600").code == 5

    def test_never_sleeps_past_its_end(self, az, server, monkeypatch):
        pauses = []
        monkeypatch.setattr("azext_batchai.jobs.wait.sleep", lambda seconds, *_: pauses.append(seconds))
        server.on("GET", JOB, job("running"))
        az(*WAIT, "--timeout", "1", "--interval", "600")
        assert max(pauses) <= 1


def test_exit_codes_are_documented(az):
    text = " ".join(az(*WAIT[:3], "-h").output.split())
    assert all(code in text for code in ("128", "124 when --timeout", "130 after Ctrl-C", "is 3 when"))

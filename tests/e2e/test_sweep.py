"""az batchai job sweep, experiment wait and terminate, job wait --any: many jobs in one session."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness import az
from harness.cluster import ok
from harness.processes import wait_until

pytestmark = pytest.mark.invented


@pytest.fixture(scope="module")
def lab(trainers: str) -> tuple[str, ...]:
    ok(az.run("batchai", "cluster", "resize", "-g", "research", "-w", trainers, "-n", "mycluster", "--target", "3"))
    return ("-g", "research", "-w", trainers)


@pytest.fixture
def there(lab: tuple[str, ...], request: pytest.FixtureRequest) -> tuple[str, ...]:
    """An experiment of the test's own."""
    return (*lab, "-e", request.node.name[:60].replace("[", "-").replace("]", ""))


def sweep(where: tuple[str, ...], *words: str) -> az.Outcome:
    return az.run("batchai", "job", "sweep", *where, "-c", "mycluster", *words)


def of_experiment(verb: str, where: tuple[str, ...], *words: str) -> az.Outcome:
    return az.run("batchai", "experiment", verb, *where[:4], "-n", where[-1], *words)


def jobs(where: tuple[str, ...]) -> dict[str, Any]:
    return {job["name"]: job for job in ok(az.run("batchai", "job", "list", *where))}


def states(where: tuple[str, ...]) -> list[str]:
    return sorted(job["executionState"] for job in jobs(where).values())


def output(where: tuple[str, ...], name: str) -> str:
    return az.run("batchai", "job", "logs", *where, "-n", name).output


def test_a_grid_of_a_command_line(there: tuple[str, ...]) -> None:
    line = "echo {lr} $PARAM_SEED $RATE"
    more = ("--param", "lr=0.1,0.01", "--param", "seed=0..1", "--env", "RATE=r{lr}", "-n", "lr-{lr}", "-o", "table")
    made = sweep(there, *more, "--", line)
    assert made.code == 0, made.stderr
    assert made.output.splitlines()[0].split() == ["Name", "Lr", "Seed", "State"]
    assert "4 jobs are submitted" in made.stderr
    waited = of_experiment("wait", there)
    assert (waited.code, waited.output) == (0, "")
    assert "4 of 4 jobs succeeded." in waited.stderr
    assert [output(there, f"lr-0_01-{number}") for number in "34"] == ["0.01 0 r0.01\n", "0.01 1 r0.01\n"]
    again = sweep(there, *more, "--", line)
    assert again.code == 1
    assert "4 jobs of these names" in again.stderr


def test_a_file_and_parameters_of_a_file(there: tuple[str, ...], tmp_path: Path) -> None:
    body = {"nodeCount": 1, "customToolkitSettings": {"commandLine": "exit {code}"}}
    (tmp_path / "job.yaml").write_text(json.dumps(body))
    (tmp_path / "params.json").write_text('{"code": [0, 3], "size": "1..1"}')
    files = ("-f", str(tmp_path / "job.yaml"), "--param-file", str(tmp_path / "params.json"))
    planned = sweep(there, *files, "--dry-run", "-n", "code-{code}").json()
    assert [job["parameters"] for job in planned] == [{"code": code, "size": "1"} for code in "03"]
    assert jobs_of_nothing(there)
    made = sweep(there, *files, "-n", "code-{code}")
    assert [job["name"] for job in made.json()] == ["code-0", "code-3"]
    assert "parameter size nowhere" in made.stderr
    waited = of_experiment("wait", there)
    assert waited.code == 1
    assert "Job code-3 failed with exit code 3" in waited.stderr
    assert "1 of 2 jobs succeeded." in waited.stderr


def jobs_of_nothing(where: tuple[str, ...]) -> bool:
    return az.run("batchai", "job", "list", *where).code == 3


def test_max_running_is_kept_by_the_service(there: tuple[str, ...], tmp_path: Path) -> None:
    """No command runs while the second half starts: each waits until the test lets it go."""
    line = f"touch {tmp_path}/began-{{n}}; until [ -e {tmp_path}/go-{{n}} ]; do sleep 0.02; done"
    ok(sweep(there, "--param", "n=0..3", "--max-running", "2", "-n", "n{n}", "--", line))

    def began() -> set[str]:
        return {path.name.removeprefix("began-") for path in tmp_path.glob("began-*")}

    wait_until(lambda: len(began()) == 2, "two run")
    assert states(there) == ["queued", "queued", "running", "running"]
    waiting = az.run("batchai", "job", "show", *there, "-n", "n3")
    assert "its sweep runs 2 jobs at once, and 2 are running" in waiting.stderr
    (tmp_path / "go-0").touch()
    wait_until(lambda: began() == {"0", "1", "2"}, "the next has begun")
    assert states(there) == ["queued", "running", "running", "succeeded"]
    ended = of_experiment("terminate", there, "--yes")
    assert (ended.code, ended.output) == (0, ""), ended.stderr
    assert "3 jobs are ended." in ended.stderr
    assert states(there) == ["failed", "failed", "failed", "succeeded"]
    assert began() == {"0", "1", "2"}


def test_wait_any(there: tuple[str, ...], tmp_path: Path) -> None:
    line = f"until [ -e {tmp_path}/go-{{n}} ]; do sleep 0.02; done; exit {{n}}"
    ok(sweep(there, "--param", "n=0,4", "-n", "n{n}", "--", line))
    wait_any = ("batchai", "job", "wait", *there, "--any")
    for number, name in ((0, "n0"), (4, "n4")):
        process = az.start_process(*wait_any)
        assert "Waiting for the end of" in process.stderr.readline()
        (tmp_path / f"go-{number}").touch()
        out, said = process.communicate(timeout=60)
        assert process.returncode == number, said
        assert f"Job {name} " in said
        assert (json.loads(out)["name"] == name) if number == 0 else out == ""
    assert az.run(*wait_any).code == 3
    assert az.run(*wait_any, "-n", "n0").code == 1
    assert az.run(*wait_any[:-1]).stderr == "ERROR: (--name | --ids) are required\n"


def test_a_wait_that_ends_before_the_jobs(there: tuple[str, ...]) -> None:
    ok(sweep(there, "--param", "n=1,2", "--max-running", "1", "--", "sleep 600; echo {n}"))
    late = of_experiment("wait", there, "--timeout", "1")
    assert late.code == 124
    assert "1 queued, 1 running" in late.stderr
    process = az.start_process("batchai", "experiment", "wait", *there[:4], "-n", there[-1], "--debug")
    for line in process.stderr:
        if "listing" in line or "/jobs?" in line:
            break
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert of_experiment("terminate", there, "--yes", "--no-wait").code == 0
    wait_until(lambda: states(there) == ["failed", "failed"], "both have ended")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "needs a parameter"),
        (("--param", "lr"), "says no values"),
        (("--param", "lr=0.1..0.2"), "no end of values"),
        (("--param-file", "/nowhere"), "--param-file"),
        (("--param", "lr=1", "-n", "x" * 70), "has not 1 to 64"),
    ],
)
def test_what_is_no_sweep(lab: tuple[str, ...], words: tuple[str, ...], said: str) -> None:
    refused = sweep((*lab, "-e", "none"), *words, "--", "true")
    assert refused.code == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_points_that_are_drawn_can_be_drawn_again(lab: tuple[str, ...]) -> None:
    words = ("--param", "lr=log:1e-5..1e-1", "--random", "3", "--dry-run")
    first = sweep(lab, *words, "--", "echo {lr}")
    assert len(first.json()) == 3
    seed = first.stderr.partition("--seed ")[2].partition(".")[0]
    again = sweep(lab, *words, "--seed", seed, "--", "echo {lr}")
    assert [job["parameters"] for job in again.json()] == [job["parameters"] for job in first.json()]


def test_failed_jobs_once_more(there: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {
        "nodeCount": 1,
        "customToolkitSettings": {"commandLine": f"[ -e {tmp_path}/go-{{n}} ] && echo $TOKEN"},
        "secrets": [{"name": "TOKEN", "value": "first"}],
    }
    (tmp_path / "job.json").write_text(json.dumps(body))
    (tmp_path / "go-0").touch()
    ok(sweep(there, "--param", "n=0..2", "-n", "n-{n}", "-f", str(tmp_path / "job.json")))
    assert of_experiment("wait", there).code == 1
    refused = of_experiment("resubmit", there, "--failed")
    assert refused.code == 1
    assert "secrets: TOKEN." in refused.stderr
    monkeypatch.setenv("TOKEN", "second")
    again = ("--failed", "--secret", "TOKEN")
    (tmp_path / "go-1").touch()
    made = ok(of_experiment("resubmit", there, *again))
    assert made == [{"name": f"n-{n}-again", "resubmitted": f"n-{n}"} for n in "12"]
    of_experiment("wait", there)
    assert output(there, "n-1-again") == "second\n"
    (tmp_path / "go-2").touch()
    assert ok(of_experiment("resubmit", there, *again)) == [{"name": "n-2-again-2", "resubmitted": "n-2-again"}]
    of_experiment("wait", there)
    assert ok(of_experiment("resubmit", there, *again)) == []
    assert len(ok(of_experiment("resubmit", there, "--secret", "TOKEN"))) == 3


def test_ctrl_c_says_how_many_there_are(there: tuple[str, ...]) -> None:
    words = ("--param", "n=1..500", "--max-running", "1", "--", "sleep 600; echo {n}")
    process = az.start_process("batchai", "job", "sweep", *there, "-c", "mycluster", *words)
    wait_until(lambda: not jobs_of_nothing(there) and jobs(there), "some are submitted", 60)
    os.kill(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    number = int(said.rpartition("WARNING: ")[2].split()[0])
    assert 0 < number < 500
    assert len(jobs(there)) in (number, number + 1), "one may have been on its way"
    assert of_experiment("terminate", there, "--yes").code == 0


def test_a_refused_job_says_how_many_there_are(there: tuple[str, ...]) -> None:
    refused = sweep(there, "--param", f"n=1,{'x' * 40000}", "--", "echo {n}")
    assert refused.code == 1
    assert "1 of 2 jobs are submitted." in refused.stderr
    assert "Traceback" not in refused.stderr
    of_experiment("wait", there)


def test_a_planned_job_can_be_created(there: tuple[str, ...], tmp_path: Path) -> None:
    """What --dry-run prints is a job.json."""
    [planned] = sweep(there, "--param", "n=1", "--dry-run", "--", "echo {n} > $AZ_BATCHAI_OUTPUT_RESULTS/n").json()
    planned["job"]["properties"]["stdOutErrPathPrefix"] = "$AZ_BATCHAI_MOUNT_ROOT/autoafs"
    (tmp_path / "job.json").write_text(json.dumps(planned["job"]))
    assert az.run("batchai", "job", "validate", "-f", str(tmp_path / "job.json")).code == 0

"""az batchai job run: from nothing to a job's exit code."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok

pytestmark = pytest.mark.invented
SCRIPT = """
import os, sys
print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], sys.argv[1:], os.environ.get("LEVEL"))
print("problem", file=sys.stderr)
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture(autouse=True)
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def run(*words: str, **more) -> az.Outcome:
    return az.run_process("batchai", "job", "run", *words, **more)


def test_on_a_fresh_machine() -> None:
    first = run("-n", "one", "--", "echo $AZ_BATCHAI_JOB_NAME in $PWD; echo worse >&2")
    assert (first.code, first.output) == (0, f"one in {os.getcwd()}\n"), first.stderr
    for line in (
        "az batchai workspace create -g batchai -n default",
        "az batchai cluster create -g batchai -w default -n default -s Standard_D1 --min 0 --max 4 --use-auto-storage",
        "az batchai experiment create -g batchai -w default -n default",
    ):
        assert f"WARNING: {line}" in first.stderr
    assert "worse\n" in first.stderr
    second = run("--", "printf", "%s|", "a b", "$HOME", "--nodes")
    assert (second.code, second.output, second.stderr) == (0, "a b|$HOME|--nodes|", "")
    failed = run("-n", "three", "--", "exit 7")
    assert (failed.code, failed.output) == (7, "")
    assert "Job three failed with exit code 7" in failed.stderr
    again = run("-n", "one", "--", "true")
    assert again.code == 1
    assert "exists" in again.stderr


def test_several_ranks_of_a_script() -> None:
    python = (
        "--nodes",
        "2",
        "--processes",
        "4",
        "--env",
        "LEVEL=info",
        "--",
        sys.executable,
        "train.py",
        "--lr",
        "a b",
    )
    done = run(*python)
    assert done.code == 0, done.stderr
    assert sorted(done.output.splitlines()) == [f"[{n}] rank {n} of 4 ['--lr', 'a b'] info" for n in range(4)]
    assert sorted(line for line in done.stderr.splitlines() if "problem" in line) == [
        f"[{n}] problem" for n in range(4)
    ]


def test_job_file_and_detach() -> None:
    job = {"nodeCount": 1, "customToolkitSettings": {"commandLine": "echo from the file"}}
    Path("job.json").write_text(json.dumps(job))
    shown = ok(run("-f", "job.json", "-n", "filed", "--detach"))
    assert shown["name"] == "filed"
    names = ("-g", "batchai", "-w", "default", "-e", "default", "-n", "filed")
    done = az.run("batchai", "job", "logs", *names, "--follow")
    assert (done.code, done.output) == (0, "from the file\n")


def test_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "SESAME")
    words = ("--secret", "TOKEN", "--", "echo ${#TOKEN}")
    dry = run("--dry-run", *words)
    assert dry.json()["properties"]["secrets"] == [{"name": "TOKEN"}]
    assert "SESAME" not in dry.output + dry.stderr
    assert run(*words).output == "6\n"
    wrong = run("--secret", "TOKEN=SESAME", "--", "true")
    assert wrong.code == 1
    assert "SESAME" not in wrong.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, ()),
        (1, ("-f", "job.json", "--", "true")),
        (1, ("-f", "job.json", "--nodes", "2")),
        (1, ("--env", "X", "--", "true")),
        (1, ("--toolkit", "pytorch", "--", "ls")),
        (1, ("--secret", "NOT_THERE", "--", "true")),
    ],
)
def test_wrong_input_makes_nothing(home: Path, code: int, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.code, done.output) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert az.run("batchai", "workspace", "list").json() == []


def test_ctrl_c_leaves_the_job_running() -> None:
    process = az.start_process("batchai", "job", "run", "-n", "long", "--", "echo up; sleep 600")
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    names = ("-g", "batchai", "-w", "default", "-e", "default", "-n", "long")
    assert f"az batchai job logs {' '.join(names)} --follow" in said
    assert ok(az.run("batchai", "job", "show", *names))["executionState"] == "running"
    assert run("-n", "longer", "--timeout", "1", "--", "sleep 600").code == 124

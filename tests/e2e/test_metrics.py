"""az batchai job metrics, experiment compare, job and experiment tensorboard over jobs that ran."""

import contextlib
import json
import os
import pty
import shutil
import signal
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok
from harness.service import Service

pytestmark = pytest.mark.invented
IN_WORKSPACE = ("-g", "research", "-w", "lab")
EVENTS = Path(__file__).parents[1] / "fixtures" / "events.out.tfevents.sample"
SCRIPT = """
import json, os, sys
rate, out = float(sys.argv[1]), os.environ["AZ_BATCHAI_OUTPUT_RESULTS"]
for step in range(3):
    print(f"step {step} loss {rate * (3 - step):.2f}", flush=True)
    with open(out + "/log.jsonl", "a") as file:
        print(json.dumps({"step": step, "eval": {"accuracy": rate - abs(step - 1)}}), file=file)
sys.exit(int(rate > 0.5))
"""
TENSORBOARD = """#!/bin/sh
echo "$@"
for run in "$2"/*; do (cd "$run" && find . -name 'events*' | sed "s|^.|$(basename "$run")|"); done | sort
[ -z "$WAIT" ] || sleep 600
exit 7
"""


@pytest.fixture(scope="module")
def swept(trainers: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """An experiment of three jobs, the last of which failed."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "train.py").write_text(SCRIPT)
    shutil.copy(EVENTS, folder)
    line = f"cp {EVENTS.name} $AZ_BATCHAI_OUTPUT_RESULTS; python3 train.py {{lr}}"
    words = ("--source", str(folder), "--param", "lr=0.1,0.5,0.9", "-n", "lr-{lr}", "--", line)
    ok(az.run("batchai", "job", "sweep", *IN_WORKSPACE, "-e", "swept", "-c", "mycluster", *words))
    assert az.run("batchai", "experiment", "wait", *IN_WORKSPACE, "-n", "swept").code == 1
    return (*IN_WORKSPACE, "-n", "swept")


def compare(swept: tuple[str, ...], *words: str) -> az.Outcome:
    return az.run("batchai", "experiment", "compare", *swept, *words)


def test_compare(swept: tuple[str, ...]) -> None:
    rows = ok(compare(swept, "--metric", "accuracy", "--max", "--sort"))
    assert [row["name"] for row in rows] == ["lr-0_9", "lr-0_5", "lr-0_1"]
    assert [row["metrics"]["accuracy"] for row in rows] == [0.9, 0.5, 0.1]
    assert [row["steps"]["accuracy"] for row in rows] == [1, 1, 1]
    assert [row["parameters"] for row in rows] == [{"lr": lr} for lr in ("0.9", "0.5", "0.1")]
    assert [row["exitCode"] for row in rows] == [1, 0, 0]
    table = compare(swept, "--pattern", "loss (?P<loss>[0-9.]+)", "--min", "-o", "table").output.splitlines()
    assert table[0].split() == ["Name", "Lr", "Loss", "State", "Seconds", "Exit", "code"]
    assert table[2].split()[:4] == ["lr-0_1", "0.1", "0.1", "succeeded"]
    everything = ok(compare(swept))[0]["metrics"]
    assert set(everything) == {"eval/accuracy", "eval/loss", "eval/exact", "train/loss", "before"}


def test_metrics_of_a_job(swept: tuple[str, ...]) -> None:
    metrics = ("batchai", "job", "metrics", *IN_WORKSPACE, "-e", "swept", "-n", "lr-0_5")
    [found] = ok(az.run(*metrics, "--metric", "eval/accuracy"))
    assert found["points"] == [[0, -0.5], [1, 0.5], [2, -0.5]]
    assert (found["count"], found["last"], found["min"], found["max"]) == (3, -0.5, -0.5, 0.5)
    printed = ok(az.run(*metrics, "--pattern", "step (?P<step>[0-9]+) loss (?P<loss>[0-9.]+)"))
    assert printed[0]["points"] == [[0, 1.5], [1, 1], [2, 0.5]]
    table = az.run(*metrics, "-o", "table").output
    assert table.splitlines()[0].split() == ["Metric", "Values", "Last", "Min", "Max"]
    drawn = az.run(*metrics, "--metric", "train/loss", "--plot")
    assert (drawn.code, drawn.output.splitlines()[0]) == (0, "Job lr-0_5")
    assert any("\u2800" < letter <= "\u28ff" for letter in drawn.output)
    assert az.run(*metrics, "--metric", "loss").code == 1, "which of two is not said"
    assert "Traceback" not in az.run(*metrics, "--metric", "nothing").stderr


def test_colours_on_a_terminal(swept: tuple[str, ...]) -> None:
    ours, terminal = pty.openpty()
    words = ("batchai", "experiment", "compare", *swept, "--metric", "train/loss", "--plot")
    process = az.start_process(*words, stdout=terminal, stderr=terminal, env={"AZURE_CORE_NO_COLOR": "no"})
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while chunk := os.read(ours, 4096):
            seen += chunk
    os.close(ours)
    assert process.wait(30) == 0
    assert b"\x1b[36m--\x1b[0m lr-0_1: " in seen


def test_plots_in_files(swept: tuple[str, ...], tmp_path: Path) -> None:
    done = compare(swept, "--metric", "train/loss", "--plot", str(tmp_path / "a.svg"))
    assert len(ok(done)) == 3
    assert "a.svg is written" in done.stderr
    assert (tmp_path / "a.svg").read_text().count("<polyline") == 3
    for wrong in (str(tmp_path / "a.txt"), "/nowhere/a.svg"):
        refused = compare(swept, "--plot", wrong)
        assert refused.code == 1
        assert "Traceback" not in refused.stderr


def test_nothing_to_read(trainers: str, submit) -> None:
    submit("mute", "true")
    az.run("batchai", "job", "wait", *IN_WORKSPACE, "-e", "exp", "-n", "mute")
    metrics = ("batchai", "job", "metrics", *IN_WORKSPACE, "-e", "exp", "-n", "mute")
    nothing = az.run(*metrics)
    assert (ok(nothing), "neither a metrics.json" in nothing.stderr) == ([], True)
    assert "no line on stdout" in az.run(*metrics, "--pattern", "(?P<x>[0-9]+)").stderr
    for words in (("--pattern", "["), ("--max", "--min")):
        refused = az.run("batchai", "experiment", "compare", *IN_WORKSPACE, "-n", "exp", *words)
        assert refused.code == 1
        assert "Traceback" not in refused.stderr


@pytest.fixture
def tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of this name that says what it was given, and which event files it finds."""
    program = tmp_path / "bin" / "tensorboard"
    program.parent.mkdir()
    program.write_text(TENSORBOARD)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("over_the_network", [False, True])
def test_tensorboard(
    swept: tuple[str, ...], service: Service, tensorboard: None, over_the_network: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if over_the_network:
        for name, key in (("ENDPOINT", "endpoint"), ("TOKEN", "token"), ("SUBSCRIPTION", "subscription")):
            monkeypatch.setenv(f"AZURE_BATCHAI_{name}", service.info[key])
    of_all = az.run_process("batchai", "experiment", "tensorboard", *swept, "--port", "6123")
    assert of_all.code == 7, of_all.stderr
    arguments, *found = of_all.output.splitlines()
    assert arguments.endswith("--port 6123")
    assert found == [f"lr-0_{digit}/{EVENTS.name}" for digit in "159"]
    assert not Path(arguments.split()[1]).exists()
    of_one = az.run_process("batchai", "job", "tensorboard", *IN_WORKSPACE, "-e", "swept", "-n", "lr-0_9")
    assert of_one.output.splitlines()[1:] == [f"lr-0_9/{EVENTS.name}"]


def test_tensorboard_is_ended_by_ctrl_c(
    swept: tuple[str, ...], tensorboard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIT", "1")
    process = az.start_process("batchai", "experiment", "tensorboard", *swept, start_new_session=True)
    folder = process.stdout.readline().split()[1]
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode
    assert not Path(folder).exists()


def test_no_tensorboard(swept: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused = az.run("batchai", "experiment", "tensorboard", *swept)
    assert refused.code == 1
    assert "pip install tensorboard" in refused.stderr


def test_tensorboard_without_event_files(trainers: str, submit, tensorboard: None) -> None:
    submit("plain", "true")
    refused = az.run("batchai", "job", "tensorboard", *IN_WORKSPACE, "-e", "exp", "-n", "plain")
    assert refused.code == 3
    assert json.dumps(refused.output) == '""'

"""Whole programs in the shape of the public recipes, unmodified in the local cloud: from group to group."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from harness import az
from harness.service import Service

pytestmark = pytest.mark.slow
PROGRAMS = Path(__file__).parent / "programs"
PRINTED = "sum 6"


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs and their files, and an `az` on the path. Containers there are none here."""
    made = tmp_path / "recipe"
    shutil.copytree(PROGRAMS, made)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "az"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m azure.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("AZURE_BATCHAI_CONTAINERS_ON_HOST", "1")
    monkeypatch.chdir(made)
    return made


def run(*words: str) -> az.Outcome:
    return az.run_process("batchai", "local", "run", "--", *words, timeout=280)


def assert_nothing_is_left(home: Path) -> None:
    service = Service(home)
    status = service.request("GET", "/_local/status")[2]
    assert (status["clusters"], status["nodes"], status["jobsRunning"], status["jobsQueued"]) == (0, 0, 0, 0)
    subscription = service.info["subscription"]
    groups = service.request("GET", f"/subscriptions/{subscription}/resourcegroups?api-version=2021-04-01")[2]
    assert groups["value"] == []
    assert [entry.name for entry in (home / "storage").iterdir()] == []


def test_a_bash_script(home: Path, folder: Path) -> None:
    outcome = run("bash", "recipe.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    assert PRINTED in outcome.output
    assert f"downloaded: {PRINTED}" in outcome.output
    assert outcome.output.splitlines()[-1] == "left: false trained"
    assert len(list((folder / "results").rglob("stdout.txt"))) == 1
    assert_nothing_is_left(home)


@pytest.mark.skipif(not shutil.which("mpirun"), reason="Open MPI is not installed")
def test_distributed_training(home: Path, folder: Path) -> None:
    outcome = run("bash", "distributed.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    lines = outcome.output.splitlines()
    assert {"rank 0 of 2: 3 in 3 epochs", "rank 1 of 2: 3 in 3 epochs", "model 3"} <= set(lines)
    assert lines[-1] == "false"
    assert_nothing_is_left(home)


def test_a_sweep_with_a_file_server(home: Path, folder: Path) -> None:
    outcome = run("bash", "sweep.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    assert outcome.output.splitlines()[-1] == "best run3 30"
    assert_nothing_is_left(home)


def test_a_nightly_run_in_plain_sh(home: Path, folder: Path) -> None:
    outcome = run("sh", "nightly.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    lines = outcome.output.splitlines()
    assert {"night1: epochs 1", "night2: epochs 2", f"night2: {PRINTED}", "night2\tsucceeded\t0"} <= set(lines)
    assert lines[-5:] == ["no such job: 3", "STANDARD_D2", "c1 nightly", "2", "done, left: 0"]
    assert_nothing_is_left(home)


def test_clusters_and_jobs_by_their_ids(home: Path, folder: Path) -> None:
    outcome = run("bash", "fleet.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    lines = outcome.output.splitlines()
    assert {"- c1", "- c2", "bad ended with 7", "sum is done", "failed 20", "done"} <= set(lines)
    assert [line.split() for line in lines if "JobFailed" in line] == [["bad", "JobFailed"]]
    assert lines[-1] == "gone: false"
    assert "more than one exception" not in outcome.stderr
    assert_nothing_is_left(home)


def test_a_script_that_takes_what_is_there(home: Path, folder: Path) -> None:
    outcome = run("bash", "retry.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    lines = ["No such file or directory", "failed:1", "train 0", "once more: 1", "another size: 1", "nfs", "false"]
    assert outcome.output.splitlines() == lines
    assert_nothing_is_left(home)


def test_by_hand_with_what_goes_wrong(home: Path, folder: Path) -> None:
    outcome = run("bash", "terminal.sh")
    assert outcome.code == 0, outcome.stderr + outcome.output
    lines = outcome.output.splitlines()
    assert "job ended with 9" in lines and "wrong" in lines and lines.count("note") == 2
    assert lines[-1] == "gone"
    assert_nothing_is_left(home)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_makefile(home: Path, folder: Path) -> None:
    outcome = run("make", "-s", "all")
    assert outcome.code == 0, outcome.stderr + outcome.output
    assert PRINTED in outcome.output
    assert outcome.output.split()[-4:] == ["lab", "makersstorage", "makers", "0"]
    assert_nothing_is_left(home)


def test_a_wrapper_in_python(home: Path, folder: Path) -> None:
    outcome = run(sys.executable, "wrapper.py")
    assert (outcome.code, outcome.output) == (0, "done\n"), outcome.stderr
    assert_nothing_is_left(home)


def test_a_notebook(home: Path, folder: Path) -> None:
    program = (
        "import nbformat, nbclient; book = nbformat.read('notebook.ipynb', 4);"
        "nbclient.NotebookClient(book, timeout=200, kernel_name='python3').execute();"
        "print(''.join(output.get('text', '') for cell in book.cells for output in cell.outputs))"
    )
    outcome = run(sys.executable, "-c", program)
    assert outcome.code == 0, outcome.stderr
    assert PRINTED in outcome.output
    assert outcome.output.split()[-1].endswith("false")
    assert_nothing_is_left(home)

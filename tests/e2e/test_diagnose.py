"""job diagnose, cluster diagnose, and the tables that say why."""

import json
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok, wait_for_nodes
from harness.processes import wait_until
from harness.service import Service

pytestmark = pytest.mark.invented
IN_WORKSPACE = ("-g", "research", "-w", "ward")
IN_EXPERIMENT = (*IN_WORKSPACE, "-e", "exp")
SCRIPT = "import os, sys, time\nprint('at', os.environ['RANK'])\nsys.stdout.flush()\n"


@pytest.fixture(scope="module")
def ward(service: Service) -> None:
    ok(az.run("batchai", "workspace", "create", "-g", "research", "-n", "ward"))
    ok(az.run("batchai", "experiment", "create", *IN_WORKSPACE, "-n", "exp"))
    common = ("-s", "Standard_D1", "--use-auto-storage", "-u", "alice", "-p", "secretpassword")
    ok(az.run("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "well", "-t", "2", *common))
    setup = ("--setup-task", "echo setting up; echo 'E: no package' >&2; exit 100")
    ok(az.run("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "sick", "-t", "1", *common, *setup))
    wait_for_nodes("ward", "sick", unusable=1)
    wait_for_nodes("ward", "well", idle=2)


def submit(folder: Path, name: str, cluster: str, nodes: int, **settings) -> tuple[str, ...]:
    body = {"nodeCount": nodes, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs", **settings}
    (folder / "job.json").write_text(json.dumps(body))
    file = str(folder / "job.json")
    ok(az.run("batchai", "job", "create", *IN_EXPERIMENT, "-n", name, "-c", cluster, "-f", file))
    return (*IN_EXPERIMENT, "-n", name)


def diagnose(*names: str) -> str:
    done = az.run("batchai", "job", "diagnose", *names)
    assert (done.code, done.stderr) == (0, "")
    return done.output


def typed(output: str) -> list[str]:
    """The commands that a report ends with."""
    return [line.strip().partition("   #")[0] for line in output.partition("Next:\n")[2].splitlines()]


def test_the_rank_that_failed(ward, tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + "os.environ['RANK'] == '1' and sys.exit('boom: bad data')\ntime.sleep(600)\n")
    names = submit(tmp_path, "ranks", "well", 2, pyTorchSettings={"pythonScriptFilePath": str(script)})
    assert az.run("batchai", "job", "wait", *names).code == 1
    output = diagnose(*names)
    assert output.startswith("Job ranks (pytorch, 2 nodes) failed after ")
    assert ": exit code 1 of rank 1: boom: bad data.\n  Rank: 1\n  Node: tvm-" in output
    assert "stderr-1.txt:\n    boom: bad data\n" in output
    assert "stdout-0" not in output
    for command in typed(output)[:1]:
        done = az.run(*command.split()[1:])
        assert (done.code, done.output) == (0, "boom: bad data\n")
    data = ok(az.run("batchai", "job", "diagnose", *names, "-o", "json"))
    assert (data["state"], data["failure"]["rank"], data["failure"]["exitCode"]) == ("failed", "1", 1)
    table = az.run("batchai", "job", "list", *IN_EXPERIMENT, "-o", "table", "--wide").output
    assert "exit code 1 of rank 1: boom: bad data" in table


def test_a_job_that_runs_and_one_that_is_done(ward, tmp_path: Path):
    line = "echo step 1; while [ ! -e $AZ_BATCHAI_MOUNT_ROOT/autoafs/go ]; do sleep 0.1; done"
    names = submit(tmp_path, "runs", "well", 1, customToolkitSettings={"commandLine": line})
    wait_until(lambda: "step 1" in diagnose(*names), "it has written")
    output = diagnose(*names)
    assert "Job runs (custom, 1 node) is running for " in output
    assert "stdout.txt (last written " in output
    assert typed(output)[0].endswith("-n runs --follow")
    az.run("batchai", "job", "terminate", *names, "--yes")
    az.run("batchai", "job", "wait", *names)
    assert "terminated by the user" in diagnose(*names)
    names = submit(tmp_path, "done", "well", 1, customToolkitSettings={"commandLine": "echo fine"})
    az.run("batchai", "job", "wait", *names)
    output = diagnose(*names)
    assert output.startswith("Job done succeeded after ")
    assert az.run(*typed(output)[0].split()[1:]).code == 0


def test_a_job_that_waits_for_more_than_there_is(ward, tmp_path: Path):
    names = submit(tmp_path, "large", "well", 3, customToolkitSettings={"commandLine": "true"})
    output = diagnose(*names)
    assert "it needs 3 nodes, and cluster well is set to 2 at most" in output
    assert typed(output) == ["az batchai cluster resize -g research -w ward -n well --target 3"]


def test_unusable_nodes(ward, tmp_path: Path):
    names = submit(tmp_path, "stuck", "sick", 1, customToolkitSettings={"commandLine": "true"})
    of_job = diagnose(*names)
    done = az.run("batchai", "cluster", "diagnose", *IN_WORKSPACE, "-n", "sick")
    assert (done.code, done.stderr) == (0, "")
    for output in (of_job, done.output):
        assert "The setup task failed with a non-zero exit code (SetupTaskFailed)." in output
        assert "  ExitCode: 100\n" in output
        assert ".txt:\n      E: no package\n" in output
        assert ".txt:\n      setting up\n" in output
    assert any(command.endswith("-n sick --target 0") for command in typed(done.output))
    data = ok(az.run("batchai", "cluster", "diagnose", *IN_WORKSPACE, "-n", "sick", "--query", "problems[0]"))
    assert data["code"] == "SetupTaskFailed"
    table = az.run("batchai", "cluster", "show", *IN_WORKSPACE, "-n", "sick", "-o", "table").output.splitlines()
    assert table[0].split()[-1] == "Why"
    assert table[2].endswith("non-zero exit code: E: no package")
    well = az.run("batchai", "cluster", "show", *IN_WORKSPACE, "-n", "well", "-o", "table").output
    assert "Why" not in well


def test_a_cluster_that_is_well(ward):
    done = az.run("batchai", "cluster", "diagnose", *IN_WORKSPACE, "-n", "well")
    assert done.output.endswith("Nothing is wrong with it.\n")


def test_what_is_not_there(ward):
    assert az.run("batchai", "job", "diagnose", *IN_EXPERIMENT, "-n", "nobody").code == 3
    assert az.run("batchai", "cluster", "diagnose", *IN_WORKSPACE, "-n", "nobody").code == 3

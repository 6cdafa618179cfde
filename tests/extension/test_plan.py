"""What `job validate` says of each rank (test_examples.py holds it against what ranks see)."""

import pytest

from harness.az import run
from harness.cluster import ok

pytestmark = pytest.mark.invented
SCRIPT = {"pythonScriptFilePath": "train.py"}


@pytest.fixture
def ranks(write_json):
    def of(nodes: int = 1, **properties) -> list[dict]:
        body = {"nodeCount": nodes, "stdOutErrPathPrefix": "/tmp", **properties}
        return ok(run("batchai", "job", "validate", "-f", write_json("job.json", body)))["ranks"]

    return of


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"customToolkitSettings": {"commandLine": "ls; pwd"}}, "ls; pwd"),
        ({"caffeSettings": {"configFilePath": "s.prototxt", "commandLineArgs": "-gpu 0"}},
         "caffe train --solver=s.prototxt -gpu 0"),
        ({"cntkSettings": {"languageType": "BrainScript", "configFilePath": "c.cntk"}}, "cntk configFile=c.cntk"),
        ({"cntkSettings": {"languageType": "Python", **SCRIPT}}, "python train.py"),
        ({"tensorFlowSettings": {**SCRIPT, "masterCommandLineArgs": "--m"}}, "python train.py --m"),
    ],
)  # fmt: skip
def test_command_line_of_one(ranks, settings, line):
    [rank] = ranks(**settings)
    assert (rank["commandLine"], rank["node"]) == (line, 0)


def test_roles_of_tensorflow(ranks):
    arguments = {"masterCommandLineArgs": "m", "workerCommandLineArgs": "w", "parameterServerCommandLineArgs": "p"}
    settings = {**SCRIPT, **arguments}
    found = ranks(2, tensorFlowSettings=settings)
    assert [(rank["stdout"], rank["commandLine"].rpartition(" ")[2], rank["node"]) for rank in found] == [
        ("stdout-wk-0.txt", "m", 0),
        ("stdout-wk-1.txt", "w", 1),
        ("stdout-ps-0.txt", "p", 0),
    ]


def test_a_jobs_own_variables_win_and_secrets_are_not_shown(ranks):
    found = ranks(
        2,
        pyTorchSettings=SCRIPT,
        environmentVariables=[{"name": "MASTER_PORT", "value": "1234"}],
        secrets=[{"name": "TOKEN", "value": "SESAME"}],
    )
    assert [rank["variables"]["MASTER_PORT"] for rank in found] == ["1234", "1234"]
    assert [rank["variables"]["RANK"] for rank in found] == ["0", "1"]
    assert "SESAME" not in str(found)
    assert found[0]["variables"]["TOKEN"] == "<secret>"


def test_mpi_ranks_share_their_files(ranks):
    found = ranks(2, customMpiSettings={"commandLine": "hello", "processCount": 3})
    assert [(rank["rank"], rank["node"], rank["stdout"]) for rank in found] == [
        ("0", 0, "stdout.txt"),
        ("1", 0, "stdout.txt"),
        ("2", 1, "stdout.txt"),
    ]

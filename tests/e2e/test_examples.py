"""The jobs of docs/examples run, and `job validate` says of each rank what it then sees."""

import json
import shutil
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok, share, show, wait_for_nodes
from harness.sandbox import CHECKOUT
from harness.service import Service

pytestmark = pytest.mark.invented
EXAMPLES = CHECKOUT / "docs" / "examples"
IN_WORKSPACE = ("-g", "research", "-w", "examples")
NEED_MPI = {"custom-mpi", "horovod", "chainer", "cntk", "caffe"}
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/job.json"))
ADDED_AT_RUN_TIME = {"MASTER_ADDR", "MASTER_PORT", "AZ_BATCHAI_JOB_NAME"}


@pytest.fixture(scope="module", autouse=True)
def cluster(service: Service) -> None:
    ok(az.run("batchai", "workspace", "create", "-g", "research", "-n", "examples"))
    ok(az.run("batchai", "experiment", "create", *IN_WORKSPACE, "-n", "first"))
    common = ("-s", "Standard_D1", "-t", "2", "--use-auto-storage", "-u", "me", "-p", "secretpassword")
    ok(az.run("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "two", *common))
    wait_for_nodes("examples", "two", idle=2)
    account = show("examples", "two")["nodeSetup"]["mountVolumes"]["azureFileShares"][0]["accountName"]
    shutil.copytree(EXAMPLES, share(service.home, account, "batchaishare") / "examples")


def test_there_is_one_for_each_toolkit() -> None:
    from azext_batchai.jobs.checks import TOOLKITS

    keys = {key for name in NAMES for key in json.loads(_file(name).read_text())["properties"]}
    assert set(TOOLKITS.values()) <= keys


@pytest.mark.parametrize("name", NAMES)
def test_example(name: str) -> None:
    if name in NEED_MPI and not shutil.which("mpirun"):
        pytest.skip("there is no Open MPI on this machine")
    plan = ok(az.run("batchai", "job", "validate", "-f", str(_file(name)), *IN_WORKSPACE, "-c", "two"))["ranks"]
    of_job = (*IN_WORKSPACE, "-e", "first", "-n", name)
    ok(az.run("batchai", "job", "create", *of_job, "-c", "two", "-f", str(_file(name))))
    assert az.run("batchai", "job", "wait", *of_job, "--timeout", "240").code == 0
    lines = [line.rpartition("] ")[2] for line in az.run("batchai", "job", "logs", *of_job).output.splitlines()]
    files = ok(az.run("batchai", "job", "file", "list", *IN_WORKSPACE, "-e", "first", "-j", name))
    assert {rank["stdout"] for rank in plan} == {file["name"] for file in files if file["name"].startswith("stdout")}
    if name == "pytorch":
        assert sorted(lines) == [f"rank {rank} of 4: 6" for rank in range(4)]
    elif name == "tensorflow":
        assert sorted(lines) == ["master 0 of 2 workers", "ps 0 of 2 workers", "worker 1 of 2 workers"]
    else:
        _hold(plan, [json.loads(line) for line in lines])


def _hold(plan: list[dict], seen: list[dict]) -> None:
    """Each rank saw what was said of it."""
    by_rank = {place.get("AZ_BATCHAI_TASK_INDEX", "0"): place for place in seen}
    assert set(by_rank) == {rank["rank"] for rank in plan}
    for rank in plan:
        place = by_rank[rank["rank"]]
        assert {name: value for name, value in place.items() if name not in ADDED_AT_RUN_TIME} == {
            name: value for name, value in rank["variables"].items() if name not in ADDED_AT_RUN_TIME
        }
        assert ADDED_AT_RUN_TIME & set(rank["variables"]) <= set(place)


def _file(name: str) -> Path:
    return EXAMPLES / name / "job.json"

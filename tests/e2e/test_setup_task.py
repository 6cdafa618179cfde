"""Setup tasks that surely succeed or surely fail: they run on every node, and what they leave behind is seen."""

import json

import pytest

from harness import az
from harness.cluster import nodes, ok, share, show, wait_for_nodes
from harness.service import Service

RG = "research"


def create(workspace: str, *options: str, target: str = "1") -> None:
    ok(az.run("batchai", "workspace", "create", "-g", RG, "-n", workspace))
    ok(
        az.run(
            *("batchai", "cluster", "create", "-g", RG, "-w", workspace, "-n", "mycluster", "-s", "Standard_NC6"),
            *("-p", "secretpassword", "--target", target, *options),
        )
    )


def storage_account(workspace: str) -> str:
    return show(workspace)["nodeSetup"]["mountVolumes"]["azureFileShares"][0]["accountName"]


@pytest.mark.recorded
def test_output_of_every_node_in_the_given_folder(service: Service) -> None:
    task = "echo ready on $AZ_BATCHAI_MOUNT_ROOT; echo seen >&2"
    output = "$AZ_BATCHAI_MOUNT_ROOT/autoafs/logs"
    create("each", "--use-auto-storage", "--setup-task", task, "--setup-task-output", output, target="2")
    cluster = wait_for_nodes("each", idle=2)
    setup = cluster["nodeSetup"]["setupTask"]
    assert setup["stdOutErrPathPrefix"] == output
    folder = share(service.home, storage_account("each"), "batchaishare") / "logs" / setup["stdOutErrPathSuffix"]
    names = {f"{stream}-{node['nodeId']}.txt" for node in nodes("each") for stream in ("stdout", "stderr")}
    assert {path.name for path in folder.iterdir()} == names
    for node in nodes("each"):
        assert (folder / f"stdout-{node['nodeId']}.txt").read_text().startswith("ready on /")
        assert (folder / f"stderr-{node['nodeId']}.txt").read_text() == "seen\n"


@pytest.mark.documented
def test_output_goes_to_the_first_share_by_default(service: Service) -> None:
    create("default", "--use-auto-storage", "--setup-task", "echo installed")
    setup = wait_for_nodes("default", idle=1)["nodeSetup"]["setupTask"]
    assert setup["stdOutErrPathPrefix"] == "$AZ_BATCHAI_MOUNT_ROOT/autoafs"
    [node] = nodes("default")
    folder = share(service.home, storage_account("default"), "batchaishare") / setup["stdOutErrPathSuffix"]
    assert (folder / f"stdout-{node['nodeId']}.txt").read_text() == "installed\n"


@pytest.mark.documented
def test_without_a_mount_it_still_runs(service: Service) -> None:
    create("bare", "--setup-task", "echo installed")
    wait_for_nodes("bare", idle=1)


@pytest.mark.documented
def test_a_failure_makes_the_node_unusable_and_says_why(service: Service) -> None:
    create("broken", "--use-auto-storage", "--setup-task", "echo no such package >&2; exit 3")
    cluster = wait_for_nodes("broken", unusable=1)
    [error] = cluster["errors"]
    assert error["code"]
    assert "setup task" in error["message"].lower()
    assert "3" in json.dumps(error)
    setup = cluster["nodeSetup"]["setupTask"]
    folder = share(service.home, storage_account("broken"), "batchaishare") / setup["stdOutErrPathSuffix"]
    assert [path.read_text() for path in folder.glob("stderr-*.txt")] == ["no such package\n"]


@pytest.mark.documented
def test_what_it_exports_in_the_mounts_is_there_for_jobs(service: Service, submit) -> None:
    create("prepared", "--use-auto-storage", "--setup-task", "echo data > $AZ_BATCHAI_MOUNT_ROOT/autoafs/prepared.txt")
    ok(az.run("batchai", "experiment", "create", "-g", RG, "-w", "prepared", "-n", "exp"))
    wait_for_nodes("prepared", idle=1)
    submit("reader", "cat $AZ_BATCHAI_MOUNT_ROOT/autoafs/prepared.txt", workspace="prepared")
    of_job = ("-g", RG, "-w", "prepared", "-e", "exp", "-j", "reader")
    assert az.run("batchai", "job", "file", "stream", *of_job, "-f", "stdout.txt").output == "data\n"

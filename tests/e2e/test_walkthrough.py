"""The article's walkthrough, row by row, as printed: a command line, the names filled in, nothing else prepared."""

import getpass
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cluster import nodes, ok, share, show, ssh, typed, wait_for_nodes
from harness.processes import wait_until
from harness.service import Service

pytestmark = pytest.mark.documented

RG = "research"
NODE_ID = r"tvm-\d+_\d+-\d{8}t\d{6}z"


def workspace(name: str) -> dict[str, str]:
    ok(typed("az batchai workspace create --workspace <W> --resource-group <RG>", W=name, RG=RG))
    return {"W": name, "RG": RG, "C": "mycluster"}


@pytest.fixture(scope="module")
def basic(service: Service) -> dict[str, str]:
    """Row 2's cluster."""
    names = workspace("basic")
    line = (
        "az batchai cluster create --name mycluster --workspace <W> --resource-group <RG> "
        "--vm-size Standard_NC6 --target 1 --generate-ssh-keys"
    )
    ok(typed(line, **names))
    return names


@pytest.fixture(scope="module")
def cheap(service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Row 3's cluster, made by a user who has no SSH key yet."""
    names = workspace("cheap")
    line = (
        "az batchai cluster create --name mycluster --workspace <W> --resource-group <RG> --vm-size Standard_NC6 "
        "--vm-priority lowpriority --max 4 --min 0 --use-auto-storage"
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("user")))
        ok(typed(line, **names))
    return names


def test_row_1_a_workspace_first(service: Service) -> None:
    created = ok(typed("az batchai workspace create --workspace first --resource-group research --location eastus"))
    assert created["name"] == "first"
    assert created["location"] == "eastus"
    assert created["provisioningState"] == "succeeded"
    assert created["resourceGroup"] == RG


def test_row_2_basic_cluster(basic: dict[str, str]) -> None:
    cluster = wait_for_nodes(basic["W"], idle=1)
    assert cluster["vmSize"] == "STANDARD_NC6"
    assert cluster["vmPriority"] == "dedicated"
    assert cluster["scaleSettings"]["manual"]["targetNodeCount"] == 1
    assert cluster["currentNodeCount"] == 1
    assert cluster["virtualMachineConfiguration"]["imageReference"]["publisher"]
    account = cluster["userAccountSettings"]
    # The current user, unless that is root: no Azure machine has an administrator of that name.
    assert account["adminUserName"] == (getpass.getuser() if getpass.getuser() != "root" else "azureuser")
    assert account["adminUserSshPublicKey"].strip() == (Path.home() / ".ssh/id_rsa.pub").read_text().strip()
    assert (Path.home() / ".ssh/id_rsa").stat().st_mode & 0o077 == 0


def test_row_3_cheap_cluster_with_auto_storage(cheap: dict[str, str], service: Service) -> None:
    cluster = show(cheap["W"])
    assert cluster["vmPriority"] == "lowpriority"
    scale = cluster["scaleSettings"]["autoScale"]
    assert (scale["minimumNodeCount"], scale["maximumNodeCount"], scale["initialNodeCount"]) == (0, 4, 0)
    volumes = cluster["nodeSetup"]["mountVolumes"]
    [files], [blobs] = volumes["azureFileShares"], volumes["azureBlobFileSystems"]
    assert re.fullmatch(r"bai[a-z0-9]{12}", files["accountName"])
    assert files["azureFileUrl"].endswith("/batchaishare")
    assert files["relativeMountPath"] == "autoafs"
    assert blobs["accountName"] == files["accountName"]
    assert blobs["containerName"] == "batchaicontainer"
    assert blobs["relativeMountPath"] == "autobfs"
    assert share(service.home, files["accountName"], "batchaishare").is_dir()
    assert share(service.home, files["accountName"], "batchaicontainer", "blobs").is_dir()
    assert cluster["currentNodeCount"] == 0


def test_row_4_custom_cluster(
    service: Service, ssh_client: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "id_rsa"], check=True)
    config = {
        "properties": {
            "scaleSettings": {"manual": {"targetNodeCount": 1}},
            "nodeSetup": {
                "setupTask": {
                    "environmentVariables": [{"name": "DEBIAN_FRONTEND", "value": "noninteractive"}],
                    "commandLine": "true",
                }
            },
        }
    }
    Path("cluster.json").write_text(json.dumps(config), encoding="utf-8")
    names = workspace("custom")
    ok(
        typed(
            "az batchai file-server create --name nfsmount --workspace <W> --resource-group <RG> "
            "--vm-size Standard_D1 --disk-count 1 --disk-size 10 --storage-sku Standard_LRS "
            "--user-name adminuser --password secretpassword",
            **names,
        )
    )
    line = (
        "az batchai cluster create --name mycluster --workspace <W> --resource-group <RG> --vm-size Standard_NC6 "
        "--image UbuntuDSVM --config-file cluster.json --setup-task 'apt install unzip -y' --storage-account-name <A> "
        "--nfs-name nfsmount --afs-name afsmount --bfs-name bfsmount --user-name adminuser --ssh-key id_rsa.pub "
        "--password secretpassword"
    )
    ok(typed(line, **names, A="articlestore"))

    def settled() -> bool:
        counts = show("custom")["nodeStateCounts"]
        return counts["idleNodeCount"] + counts["unusableNodeCount"] == 1

    wait_until(settled, "the setup task has ended", 120)
    cluster = show("custom")
    assert cluster["virtualMachineConfiguration"]["imageReference"]["offer"] == "linux-data-science-vm-ubuntu"
    volumes = cluster["nodeSetup"]["mountVolumes"]
    assert volumes["azureFileShares"][0]["relativeMountPath"] == "afs"
    assert volumes["azureBlobFileSystems"][0]["relativeMountPath"] == "bfs"
    assert volumes["fileServers"][0]["relativeMountPath"] == "nfs"
    assert volumes["fileServers"][0]["fileServer"]["id"].endswith("/nfsmount")
    assert share(service.home, "articlestore", "afsmount").is_dir()
    assert cluster["userAccountSettings"]["adminUserPassword"] is None

    # The setup task really ran; the machine decides whether it may install a package. What is said must fit.
    task = cluster["nodeSetup"]["setupTask"]
    assert task["commandLine"] == "apt install unzip -y"
    assert task["stdOutErrPathPrefix"] == "$AZ_BATCHAI_MOUNT_ROOT/afs"
    logs = share(service.home, "articlestore", "afsmount") / task["stdOutErrPathSuffix"]
    [node] = nodes("custom")
    said = "".join((logs / f"{stream}-{node['nodeId']}.txt").read_text() for stream in ("stdout", "stderr"))
    if cluster["nodeStateCounts"]["idleNodeCount"]:
        assert shutil.which("unzip")
        assert "unzip" in said
        assert not cluster.get("errors")
    else:
        assert said
        assert "setup task" in json.dumps(cluster["errors"]).lower()

    for way in ({"key": tmp_path / "id_rsa"}, {"password": "secretpassword"}):
        done = ssh("adminuser", node, "ls", "$AZ_BATCHAI_MOUNT_ROOT", folder=tmp_path, **way)
        assert (done.returncode, done.stdout.split()) == (0, ["afs", "bfs", "nfs"]), done.stderr
    refused = ssh("adminuser", node, "true", folder=tmp_path, password="wrong")
    assert refused.returncode == 255


def test_row_5_list_clusters(basic: dict[str, str]) -> None:
    clusters = ok(typed("az batchai cluster list --workspace <W> --resource-group <RG>", **basic))
    assert [cluster["name"] for cluster in clusters] == ["mycluster"]


def test_row_6_show_as_table(basic: dict[str, str]) -> None:
    wait_for_nodes(basic["W"], idle=1)
    outcome = typed("az batchai cluster show --name <C> --workspace <W> --resource-group <RG> --output table", **basic)
    assert outcome.code == 0, outcome.stderr
    heading, rule, row = outcome.output.rstrip("\n").split("\n")
    assert heading.split()[0] == "Name"
    assert set(rule) == {"-", " "}
    assert {"mycluster", RG, "STANDARD_NC6"} <= set(row.split())


def test_row_7_the_auto_storage_account(cheap: dict[str, str]) -> None:
    line = (
        "az batchai cluster show --name <C> --workspace <W> --resource-group <RG> --query "
        '"nodeSetup.mountVolumes.azureFileShares[0].{storageAccountName:accountName}"'
    )
    found = ok(typed(line, **cheap))
    assert list(found) == ["storageAccountName"]
    assert found["storageAccountName"].startswith("bai")


def test_row_8_list_nodes(basic: dict[str, str]) -> None:
    wait_for_nodes(basic["W"], idle=1)
    [node] = ok(typed("az batchai cluster node list --name <C> --workspace <W> --resource-group <RG>", **basic))
    assert re.fullmatch(NODE_ID, node["nodeId"])
    assert node["ipAddress"] == "127.0.0.1"
    assert 0 < node["port"] < 65536


def test_row_9_ssh_in(basic: dict[str, str], ssh_client: None, tmp_path: Path) -> None:
    wait_for_nodes(basic["W"], idle=1)
    [node] = nodes(basic["W"])
    user, key = show(basic["W"])["userAccountSettings"]["adminUserName"], Path.home() / ".ssh/id_rsa"
    done = ssh(user, node, "echo", "$AZ_BATCHAI_MOUNT_ROOT", folder=tmp_path, key=key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("/")
    assert ssh(user, node, "exit", "7", folder=tmp_path, key=key).returncode == 7


def test_row_10_submit_and_monitor_jobs(service: Service, tmp_path: Path) -> None:
    names = workspace("jobs") | {"E": "exp", "J": "hello", "F": str(tmp_path / "job.json")}
    job_of = "--experiment <E> --workspace <W> --resource-group <RG>"
    job = {
        "properties": {
            "nodeCount": 1,
            "customToolkitSettings": {
                "commandLine": "echo hello from $AZ_BATCHAI_MOUNT_ROOT; echo oops >&2; echo 42 > $AZ_BATCHAI_OUTPUT_R/a"
            },
            "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs",
            "outputDirectories": [{"id": "R", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autobfs", "pathSuffix": "r"}],
        }
    }
    Path(names["F"]).write_text(json.dumps(job), encoding="utf-8")
    ok(
        typed(
            "az batchai cluster create --name mycluster --workspace <W> --resource-group <RG> "
            "--vm-size Standard_NC6 --min 0 --max 1 --use-auto-storage",
            **names,
        )
    )
    ok(typed("az batchai experiment create --name <E> --workspace <W> --resource-group <RG>", **names))
    created = ok(typed(f"az batchai job create --name <J> --cluster <C> --config-file <F> {job_of}", **names))
    assert created["executionState"] in ("queued", "running", "succeeded")
    assert created["toolType"] == "custom"

    streamed = typed(f"az batchai job file stream --job <J> --file-name stdout.txt {job_of}", **names)
    assert streamed.code == 0, streamed.stderr
    assert re.match(r"hello from /\S+\n", streamed.output)
    waited = typed(f"az batchai job wait --name <J> {job_of}", **names)
    assert waited.code == 0, waited.stderr

    shown = ok(typed(f"az batchai job show --name <J> {job_of}", **names))
    assert shown["executionState"] == "succeeded"
    assert shown["executionInfo"]["exitCode"] == 0
    assert [job["name"] for job in ok(typed(f"az batchai job list {job_of}", **names))] == ["hello"]
    files = ok(typed(f"az batchai job file list --job <J> {job_of}", **names))
    assert [file["name"] for file in files] == ["execution.log", "stderr.txt", "stdout.txt"]
    files = ok(typed(f"az batchai job file list --job <J> --output-directory-id R {job_of}", **names))
    assert [(file["name"], file["contentLength"]) for file in files] == [("a", 3)]

    ok(typed(f"az batchai job terminate --name <J> --yes {job_of}", **names))  # of a finished job: nothing happens
    assert ok(typed(f"az batchai job show --name <J> {job_of}", **names))["executionState"] == "succeeded"
    assert typed(f"az batchai job delete --name <J> --yes {job_of}", **names).code == 0
    assert typed(f"az batchai job show --name <J> {job_of}", **names).code == 3


def test_row_11_scale_down_keeps_the_configuration(service: Service) -> None:
    names = workspace("resized")
    ok(
        typed(
            "az batchai cluster create --name mycluster --workspace <W> --resource-group <RG> "
            "--vm-size Standard_NC6 --target 1 --password secretpassword",
            **names,
        )
    )
    wait_for_nodes("resized", idle=1)
    ok(typed("az batchai cluster resize --name <C> --resource-group <RG> --workspace <W> --target 0", **names))
    cluster = wait_for_nodes("resized")
    assert cluster["currentNodeCount"] == 0
    assert cluster["vmSize"] == "STANDARD_NC6"
    assert nodes("resized") == []


def test_row_12_delete(service: Service) -> None:
    names = workspace("deleted")
    ok(
        typed(
            "az batchai cluster create --name mycluster --workspace <W> --resource-group <RG> "
            "--vm-size Standard_NC6 --target 1 --password secretpassword",
            **names,
        )
    )
    line = "az batchai cluster delete --name <C> --resource-group <RG> --workspace <W>"
    asked = typed(line, **names)  # no terminal to ask on: nothing is deleted
    assert asked.code == 1
    assert show("deleted")["name"] == "mycluster"
    assert typed(line + " --yes", **names).code == 0
    assert typed("az batchai cluster show --name <C> --resource-group <RG> --workspace <W>", **names).code == 3
    assert ok(typed("az batchai cluster list --resource-group <RG> --workspace <W>", **names)) == []

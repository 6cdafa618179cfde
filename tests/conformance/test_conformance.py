"""The same story and the same assertions for every client that speaks to the service."""

import contextlib
import re
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from conformance.clients import AzClient, ClientError, Unsupported
from conformance.conftest import SUBSCRIPTION
from harness.processes import wait_until
from harness.service import Service

GROUP = "Conformance"
USER = {"adminUserName": "demo", "adminUserPassword": "Secret-of-the-cluster"}
JOB_OUTPUT = "$AZ_BATCHAI_MOUNT_ROOT/afs"


@dataclass
class Lab:
    """One client, a workspace of its own with an experiment, and a mounted share."""

    client: Any
    workspace: str
    account: str

    def __call__(self, method: str, *names: Any) -> Any:
        """A call of the client below the workspace."""
        return self.client.call(method, GROUP, self.workspace, *names)

    def cluster(self, nodes: int) -> dict[str, Any]:
        share = {
            "accountName": self.account,
            "azureFileUrl": f"https://{self.account}.file.core.windows.net/share",
            "credentials": {"accountKey": "c2VjcmV0LWtleQ=="},
            "relativeMountPath": "afs",
        }
        settings = {
            "vmSize": "Standard_D1",
            "scaleSettings": {"manual": {"targetNodeCount": nodes}},
            "userAccountSettings": USER,
            "nodeSetup": {"mountVolumes": {"azureFileShares": [share]}},
        }
        return {"properties": settings}

    def job(self, command: str) -> dict[str, Any]:
        cluster = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.BatchAI"
        settings = {
            "cluster": {"id": f"{cluster}/workspaces/{self.workspace}/clusters/c"},
            "nodeCount": 1,
            "customToolkitSettings": {"commandLine": command},
            "stdOutErrPathPrefix": JOB_OUTPUT,
            "outputDirectories": [{"id": "OUT", "pathPrefix": JOB_OUTPUT, "pathSuffix": "out"}],
            "environmentVariables": [{"name": "GREETING", "value": "hello"}],
            "secrets": [{"name": "SECRET", "value": "world"}],
        }
        return {"properties": settings}

    def wait_for_nodes(self, **counts: int) -> Any:
        wanted = {f"{state}NodeCount": count for state, count in counts.items()}

        def reached() -> Any:
            found = self("get_cluster", "c")
            there = {state: count for state, count in found["nodeStateCounts"].items() if count}
            return found if there == wanted and found["allocationState"] == "steady" else None

        return wait_until(reached, f"the cluster has {counts}")

    def wait_for_job(self, name: str, *states: str) -> Any:
        def reached() -> Any:
            found = self("get_job", "exp", name)
            return found if found["executionState"] in states else None

        return wait_until(reached, f"job {name} is {states}")


@pytest.fixture
def lab(client: Any, service: Service) -> Lab:
    workspace = f"ws-{uuid.uuid4().hex[:8]}"
    account = f"acct{uuid.uuid4().hex[:10]}"
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    storage = f"{group}/providers/Microsoft.Storage/storageAccounts/{account}"
    for path in ("", "/fileServices/default/shares/share"):
        status = service.request("PUT", f"{storage}{path}?api-version=2023-01-01", {"location": "eastus"})[0]
        assert status in (200, 201)
    client.call("create_workspace", GROUP, workspace, "eastus")
    made = Lab(client, workspace, account)
    made("create_experiment", "exp")
    return made


@pytest.mark.recorded
def test_workspaces_and_experiments(lab: Lab) -> None:
    found = lab("get_workspace")
    assert (found["name"], found["location"], found["provisioningState"]) == (lab.workspace, "eastus", "succeeded")
    tail = f"/resourceGroups/{GROUP.lower()}/providers/Microsoft.BatchAI/workspaces/{lab.workspace}"
    assert found["id"].endswith(tail)
    assert lab.workspace in [item["name"] for item in lab.client.call("list_workspaces", GROUP)]
    for name in ("exp2", "exp3"):
        assert lab("create_experiment", name)["type"] == "Microsoft.BatchAI/workspaces/experiments"
    assert [item["name"] for item in lab("list_experiments")] == ["exp", "exp2", "exp3"]
    assert lab("get_experiment", "exp2")["provisioningState"] == "succeeded"
    assert not lab("delete_experiment", "exp2")
    assert [item["name"] for item in lab("list_experiments")] == ["exp", "exp3"]
    assert not lab("delete_workspace")
    assert lab.workspace not in [item["name"] for item in lab.client.call("list_workspaces", GROUP)]


@pytest.mark.recorded
def test_a_cluster_is_made_scaled_and_deleted(lab: Lab) -> None:
    made = lab("create_cluster", "c", lab.cluster(nodes=1))
    assert (made["name"], made["provisioningState"], made["vmSize"]) == ("c", "succeeded", "STANDARD_D1")
    assert made["scaleSettings"] == {"manual": {"targetNodeCount": 1, "nodeDeallocationOption": "requeue"}}
    assert made["userAccountSettings"] == {"adminUserName": "demo"}  # the password is never shown
    [share] = made["nodeSetup"]["mountVolumes"]["azureFileShares"]
    assert (share["fileMode"], share["relativeMountPath"], share["credentials"]) == ("0777", "afs", {})
    assert lab.wait_for_nodes(idle=1)["currentNodeCount"] == 1
    [node] = lab("list_nodes", "c")
    assert re.fullmatch(r"tvm-\d+_1-\d{8}t\d{6}z", node["nodeId"])
    assert (node["ipAddress"], node["port"] > 0) == ("127.0.0.1", True)
    resized = lab("resize_cluster", "c", 2)
    assert resized["scaleSettings"]["manual"]["targetNodeCount"] == 2
    lab.wait_for_nodes(idle=2)
    assert len({node["nodeId"] for node in lab("list_nodes", "c")}) == 2
    lab("resize_cluster", "c", 0)
    lab.wait_for_nodes()
    assert lab("list_nodes", "c") == []
    assert [cluster["name"] for cluster in lab("list_clusters")] == ["c"]
    assert not lab("delete_cluster", "c")
    assert lab("list_clusters") == []


@pytest.mark.recorded
def test_a_job_runs_and_its_output_is_downloaded(lab: Lab) -> None:
    lab("create_cluster", "c", lab.cluster(nodes=1))
    command = 'echo "$GREETING $SECRET"; echo result > $AZ_BATCHAI_OUTPUT_OUT/result.txt'
    made = lab("create_job", "exp", "j", lab.job(command))
    assert (made["name"], made["toolType"]) == ("j", "custom")
    assert made["secrets"] == [{"name": "SECRET"}]
    assert made["cluster"]["id"].endswith("/clusters/c")
    done = lab.wait_for_job("j", "succeeded", "failed")
    assert (done["executionState"], done["executionInfo"]["exitCode"]) == ("succeeded", 0)
    assert [job["name"] for job in lab("list_jobs", "exp")] == ["j"]
    files = {item["name"]: item for item in lab("list_files", "exp", "j", "stdouterr")}
    assert sorted(files) == ["execution.log", "stderr.txt", "stdout.txt"]
    assert {item["fileType"] for item in files.values()} == {"file"}
    assert download(files["stdout.txt"]) == b"hello world\n"
    [result] = lab("list_files", "exp", "j", "OUT")
    assert (result["name"], download(result)) == ("result.txt", b"result\n")


def download(item: dict[str, Any]) -> bytes:
    with urllib.request.urlopen(item["downloadUrl"], timeout=10) as response:
        content: bytes = response.read()
        return content


@pytest.mark.documented
def test_az_waits_for_a_job_and_follows_its_output(lab: Lab) -> None:
    if not isinstance(lab.client, AzClient):
        pytest.skip("a command of az")
    lab("create_cluster", "c", lab.cluster(nodes=1))
    where = ("-g", GROUP, "-w", lab.workspace, "-e", "exp")
    for name, command, code in (("good", "echo said", 0), ("bad", "echo said; exit 4", 4)):
        lab("create_job", "exp", name, lab.job(command))
        lab.wait_for_job(name, "succeeded", "failed")
        assert lab.client.run("batchai", "job", "wait", *where, "-n", name).code == code
        followed = lab.client.run("batchai", "job", "file", "stream", *where, "-j", name, "-f", "stdout.txt")
        assert (followed.code, followed.output.strip()) == (0, "said")


@pytest.mark.recorded
def test_failed_terminated_and_deleted_jobs(lab: Lab) -> None:
    lab("create_cluster", "c", lab.cluster(nodes=1))
    lab("create_job", "exp", "fails", lab.job("exit 3"))
    failed = lab.wait_for_job("fails", "succeeded", "failed")
    assert (failed["executionState"], failed["executionInfo"]["exitCode"]) == ("failed", 3)
    assert failed["executionInfo"]["errors"][0]["code"] == "JobFailed"
    for name in ("runs", "waits"):
        lab("create_job", "exp", name, lab.job("sleep 1000"))
    lab.wait_for_job("runs", "running")
    [node] = lab("list_job_nodes", "exp", "runs")
    assert node["nodeId"] == lab("list_nodes", "c")[0]["nodeId"]
    assert not lab("terminate_job", "exp", "waits")
    assert not lab("terminate_job", "exp", "runs")
    for name in ("waits", "runs"):
        ended = lab("get_job", "exp", name)
        assert ended["executionState"] == "failed"
        assert ended["executionInfo"]["errors"][0]["code"] == "JobTerminated"
        assert "exitCode" not in ended["executionInfo"]
    assert not lab("terminate_job", "exp", "fails")  # one that has ended already
    lab("create_job", "exp", "again", lab.job("sleep 1000"))
    lab.wait_for_job("again", "running")
    for name in ("again", "fails"):
        assert not lab("delete_job", "exp", name)
    assert sorted(job["name"] for job in lab("list_jobs", "exp")) == ["runs", "waits"]


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("method", "names", "code", "message"),
    [
        ("get_cluster", ["gone"], "ClusterNotFound", "The specified cluster gone is not found"),
        ("get_experiment", ["gone"], "ExperimentNotFound", "The specified experiment gone is not found"),
        ("get_job", ["exp", "gone"], "JobNotFound", "The specified job gone is not found"),
        ("get_job", ["gone", "j"], "ExperimentNotFound", "The specified experiment gone is not found"),
    ],
)
def test_what_is_not_there(lab: Lab, method: str, names: list[str], code: str, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        lab(method, *names)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.invented
def test_a_file_server_that_is_not_there(lab: Lab) -> None:
    with pytest.raises((ClientError, Unsupported)) as caught:
        lab("get_file_server", "gone")
    if isinstance(caught.value, Unsupported):
        pytest.skip(f"this client has no {caught.value}")
    assert caught.value.code == "FileServerNotFound"


@pytest.mark.recorded
def test_a_workspace_that_is_not_there(lab: Lab) -> None:
    for method, names in (("get_workspace", []), ("list_clusters", []), ("get_job", ["exp", "j"])):
        with pytest.raises(ClientError) as caught:
            lab.client.call(method, GROUP, "gone", *names)
        assert caught.value.code == "WorkspaceNotFound"


@pytest.mark.invented
def test_a_wrong_request_names_the_property(lab: Lab) -> None:
    body = lab.cluster(nodes=1)
    body["properties"]["vmSize"] = "no such/size"
    with pytest.raises(ClientError) as caught:
        lab("create_cluster", "c", body)
    assert caught.value.code == "InvalidRequestContent"
    assert "properties.vmSize" in caught.value.message


@pytest.mark.recorded
def test_file_servers(lab: Lab) -> None:
    assert lab("list_file_servers") == []
    settings = {
        "vmSize": "STANDARD_D1",
        "sshConfiguration": {"userAccountSettings": USER},
        "dataDisks": {"diskSizeInGB": 10, "cachingType": "none", "diskCount": 2, "storageAccountType": "Standard_LRS"},
    }
    try:
        made = lab("create_file_server", "nfs", {"properties": settings})
    except Unsupported as missing:
        pytest.skip(f"this client has no working {missing}")
    assert (made["provisioningState"], made["mountSettings"]["mountPoint"]) == ("succeeded", "/data")
    assert (made["dataDisks"]["diskCount"], made["dataDisks"]["storageAccountType"]) == (2, "Standard_LRS")
    assert [server["name"] for server in lab("list_file_servers")] == ["nfs"]
    with contextlib.suppress(Unsupported):
        assert lab("get_file_server", "nfs") == made
        assert not lab("delete_file_server", "nfs")
        assert lab("list_file_servers") == []


@pytest.mark.recorded
def test_usages(client: Any) -> None:
    usages = client.call("list_usages", "eastus")
    assert len(usages) == 17
    assert (usages[0]["unit"], usages[0]["name"]["value"]) == ("Count", "Clusters")
    assert usages[9]["name"]["localizedValue"] == "Total Cluster Low Priority Regional vCPUs"


@pytest.mark.swagger
def test_operations(client: Any) -> None:
    try:
        operations = client.call("list_operations")
    except Unsupported as missing:
        pytest.skip(f"this client has no {missing}")
    assert {"Microsoft.BatchAI/workspaces/read"} < {operation["name"] for operation in operations}

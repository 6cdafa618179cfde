"""Creating, replaying, reading and deleting resources: wire.md 1 to 4."""

from typing import Any

import pytest

from harness.processes import wait_until
from wire.api import GROUP, SUBSCRIPTION, USER, Api


@pytest.mark.recorded
@pytest.mark.operation("Workspaces_Create")
def test_a_second_put_of_a_workspace_gives_the_first(api: Api) -> None:
    first = api.call("GET", api.workspace)[2]
    assert api.call("PUT", api.workspace, {"location": "eastus"})[2] == first
    assert api.call("PUT", f"{api.workspace}/experiments/exp")[0] == 200


@pytest.mark.recorded
@pytest.mark.operation("Workspaces_Get")
def test_group_names_come_back_in_lower_case_and_are_compared_without_case(api: Api) -> None:
    body = api.call("GET", api.workspace.replace("/Lab/", "/LAB/").replace("resourceGroups", "resourcegroups"))[2]
    assert "/resourceGroups/lab/" in body["id"]
    assert api.call("GET", api.workspace.upper().replace("/SUBSCRIPTIONS/", "/subscriptions/"))[2] == body


@pytest.mark.invented
@pytest.mark.operation("Workspaces_Create")
def test_a_workspace_does_not_move(api: Api) -> None:
    status, _, body = api.call("PUT", api.workspace, {"location": "westus"})
    assert (status, body["error"]["code"]) == (409, "InvalidResourceLocation")


@pytest.mark.swagger
@pytest.mark.operation("Workspaces_Update")
def test_tags_are_patched(api: Api) -> None:
    status, _, body = api.call("PATCH", api.workspace, {"tags": {"team": "vision"}})
    assert (status, body["tags"]) == (200, {"team": "vision"})
    assert list(api.call("GET", api.workspace)[2]) == ["id", "name", "type", "location", "tags", "properties"]


@pytest.mark.recorded
@pytest.mark.operation("Workspaces_ListByResourceGroup", "Workspaces_List")
def test_workspaces_are_listed_by_group_and_by_subscription(api: Api) -> None:
    mine = api.call("GET", api.workspace)[2]
    provider = "providers/Microsoft.BatchAI/workspaces"
    assert mine in api.call("GET", f"{GROUP}/{provider}")[2]["value"]
    assert mine in api.call("GET", f"/subscriptions/{SUBSCRIPTION}/{provider}")[2]["value"]
    assert api.call("GET", f"{GROUP}-other/{provider}")[2] == {"value": []}


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/clusters/c", "ClusterNotFound", "The specified cluster c is not found"),
        ("/experiments/e", "ExperimentNotFound", "The specified experiment e is not found"),
        ("/experiments/exp/jobs/j", "JobNotFound", "The specified job j is not found"),
        ("/experiments/e/jobs/j", "ExperimentNotFound", "The specified experiment e is not found"),
    ],
)
@pytest.mark.operation("Clusters_Get", "Experiments_Get", "Jobs_Get")
def test_what_is_not_there(api: Api, path: str, code: str, message: str) -> None:
    status, headers, body = api.call("GET", api.workspace + path)
    assert (status, body) == (404, {"error": {"code": code, "message": message}})
    assert headers["request-id"]


@pytest.mark.invented
@pytest.mark.operation("FileServers_Get")
def test_a_file_server_that_is_not_there(api: Api) -> None:
    error = {"code": "FileServerNotFound", "message": "The specified file server f is not found"}
    assert api.call("GET", f"{api.workspace}/fileServers/f")[::2] == (404, {"error": error})


@pytest.mark.invented
@pytest.mark.parametrize("child", ["/clusters/c", "/experiments/e", "/experiments/e/jobs/j", "/fileServers/f"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_below_a_workspace_that_is_not_there(api: Api, child: str, method: str) -> None:
    status, _, body = api.call(method, f"{api.workspace}-gone{child}", {} if method == "PUT" else None)
    assert (status, body["error"]["code"]) == (404, "WorkspaceNotFound")


@pytest.mark.swagger
@pytest.mark.parametrize("child", ["/clusters/c", "/experiments/e", "/experiments/exp/jobs/j", "/fileServers/f"])
@pytest.mark.operation("Clusters_Delete", "Experiments_Delete", "Jobs_Delete", "FileServers_Delete")
def test_deleting_what_is_not_there_is_no_content(api: Api, child: str) -> None:
    assert api.call("DELETE", api.workspace + child)[0] == 204


@pytest.mark.recorded
@pytest.mark.operation("Clusters_Create", "Clusters_Get")
def test_a_cluster_is_filled_stripped_and_ordered(api: Api) -> None:
    api.create_cluster(nodes=0)
    found = api.properties(f"{api.workspace}/clusters/cluster")
    assert found["vmSize"] == "STANDARD_D1"
    assert found["vmPriority"] == "dedicated"
    assert found["scaleSettings"] == {"manual": {"targetNodeCount": 0, "nodeDeallocationOption": "requeue"}}
    assert found["userAccountSettings"] == {"adminUserName": "demo"}
    [share] = found["nodeSetup"]["mountVolumes"]["azureFileShares"]
    assert (share["credentials"], share["fileMode"], share["directoryMode"]) == ({}, "0777", "0777")


@pytest.mark.recorded
@pytest.mark.operation("Clusters_Create")
def test_the_same_put_of_a_cluster_is_200_and_another_is_409(api: Api) -> None:
    api.create_cluster()
    url = f"{api.workspace}/clusters/cluster"
    before = api.wait_for_cluster(idle=1)
    status, headers, body = api.call("PUT", url, api.cluster_body())
    assert (status, body["properties"]) == (200, before)
    assert "azure-asyncoperation" not in headers
    status, _, body = api.call("PUT", url, api.cluster_body(nodes=2))
    assert (status, body["error"]["code"]) == (409, "Conflict")
    other = {**USER, "adminUserPassword": "another one"}
    assert api.call("PUT", url, api.cluster_body(userAccountSettings=other))[0] == 409
    assert api.wait_for_cluster(idle=1)["scaleSettings"]["manual"]["targetNodeCount"] == 1


@pytest.mark.recorded
@pytest.mark.operation("Jobs_Create")
def test_a_replayed_job_is_shown_as_it_was_created(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "exit 0")
    done = api.wait_for_job("job")
    assert (done["executionState"], done["executionInfo"]["exitCode"]) == ("succeeded", 0)
    status, _, body = api.call("PUT", api.job("job"), api.job_body("exit 0"))
    assert (status, body["properties"]["executionState"]) == (200, "queued")
    assert "executionInfo" not in body["properties"]
    assert api.properties(api.job("job")) == done  # and it did not run again
    assert api.call("PUT", api.job("job"), api.job_body("exit 1"))[0] == 409


@pytest.mark.recorded
@pytest.mark.operation("Clusters_Update")
def test_patch_answers_with_the_new_settings_and_the_old_state(api: Api) -> None:
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    auto = {"scaleSettings": {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 10}}}
    status, _, body = api.call("PATCH", f"{api.workspace}/clusters/cluster", {"properties": auto})
    assert status == 200
    assert body["properties"]["scaleSettings"] == {
        "autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 10, "initialNodeCount": 0}
    }
    assert body["properties"]["allocationState"] == "steady"


@pytest.mark.recorded
@pytest.mark.operation("Clusters_Delete", "Clusters_ListByWorkspace")
def test_deleting_a_cluster_leaves_its_jobs(api: Api) -> None:
    api.create_cluster()
    api.create_job("job")
    api.wait_for_job("job")
    status, headers, _ = api.call("DELETE", f"{api.workspace}/clusters/cluster")
    assert status == 202
    assert api.finish(headers)["status"] == "Succeeded"
    assert api.call("GET", f"{api.workspace}/clusters")[2] == {"value": []}
    assert api.properties(api.job("job"))["executionState"] == "succeeded"


@pytest.mark.invented
@pytest.mark.operation("Clusters_Delete")
def test_deleting_a_cluster_ends_its_running_jobs(api: Api) -> None:
    api.create_cluster()
    api.create_job("running", "sleep 1000")
    api.create_job("waiting", "true")
    api.wait_for_job("running", "running")
    api.finish(api.call("DELETE", f"{api.workspace}/clusters/cluster")[1])
    assert api.properties(api.job("running"))["executionInfo"]["errors"][0]["code"] == "JobTerminated"
    assert api.properties(api.job("waiting"))["executionState"] == "queued"
    assert api.finish(api.call("DELETE", api.job("waiting"))[1])["status"] == "Succeeded"


@pytest.mark.recorded
@pytest.mark.operation("Workspaces_Delete")
def test_deleting_a_workspace_takes_everything_along(api: Api) -> None:
    api.create_cluster()
    api.create_job("running", "sleep 1000")
    api.wait_for_job("running", "running")
    status, headers, _ = api.call("DELETE", api.workspace)
    assert (status, api.finish(headers)["status"]) == (202, "Succeeded")
    assert api.call("GET", api.job("running"))[2]["error"]["code"] == "WorkspaceNotFound"
    assert api.call("PUT", api.workspace, {"location": "westus"})[0] == 200
    assert api.call("GET", f"{api.workspace}/clusters")[2] == {"value": []}


@pytest.mark.documented
def test_deleting_a_group_takes_everything_along(api: Api) -> None:
    """Walkthrough row 13: `az group delete`, beside another group whose name begins alike."""
    group, other = f"{GROUP}-{api.account}", f"{GROUP}-{api.account}-2"
    for place in (group, other):
        assert api.call("PUT", f"{place}/providers/Microsoft.BatchAI/workspaces/w", {"location": "eastus"})[0] == 200
    cluster = f"{group}/providers/Microsoft.BatchAI/workspaces/w/clusters/c"
    settings = {"vmSize": "s", "userAccountSettings": USER, "scaleSettings": {"manual": {"targetNodeCount": 1}}}
    assert api.call("PUT", cluster, {"properties": settings})[0] == 202
    wait_until(lambda: api.properties(cluster)["currentNodeCount"] == 1, "the cluster has a node")
    [node] = api.call("POST", f"{cluster}/listRemoteLoginInformation")[2]["value"]
    assert api.call("DELETE", group)[0] == 202
    path = f"{group}/providers/Microsoft.BatchAI/workspaces"
    wait_until(lambda: api.call("GET", path)[2] == {"value": []}, "the group is empty")
    wait_until(lambda: api.call("GET", group)[0] == 404, "the group is gone")
    assert not (api.service.home / "nodes" / node["nodeId"]).exists()
    assert len(api.call("GET", f"{other}/providers/Microsoft.BatchAI/workspaces")[2]["value"]) == 1


@pytest.mark.swagger
@pytest.mark.operation("Experiments_ListByWorkspace")
def test_a_list_longer_than_maxresults_is_linked_on(api: Api) -> None:
    names = [f"e{number}" for number in range(5)]
    for name in names:
        api.call("PUT", f"{api.workspace}/experiments/{name}")
    found: list[Any] = []
    status, _, body = api.call("GET", f"{api.workspace}/experiments", query="&maxresults=2")
    while True:
        assert status == 200 and len(body["value"]) <= 2
        found += [item["name"] for item in body["value"]]
        if "nextLink" not in body:
            break
        status, _, body = api.service.request("GET", body["nextLink"][len(api.service.info["endpoint"]) :])
    assert found == ["exp", *names]
    assert "nextLink" not in api.call("GET", f"{api.workspace}/experiments", query="&maxresults=6")[2]


@pytest.mark.recorded
@pytest.mark.operation("FileServers_Create", "FileServers_Get", "FileServers_ListByWorkspace", "FileServers_Delete")
def test_file_servers(api: Api) -> None:
    url = f"{api.workspace}/fileServers/nfs"
    body = {
        "properties": {
            "vmSize": "STANDARD_D1",
            "sshConfiguration": {"userAccountSettings": USER},
            "dataDisks": {
                "diskSizeInGB": 10,
                "cachingType": "none",
                "diskCount": 2,
                "storageAccountType": "Standard_LRS",
            },
        }
    }
    status, headers, _ = api.call("PUT", url, body)
    assert (status, api.finish(headers)["status"]) == (202, "Succeeded")
    _, _, found = api.call("GET", url)
    assert "/fileservers/nfs" in found["id"]
    assert found["type"] == "Microsoft.BatchAI/workspaces/fileservers"
    assert list(found["properties"]) == [
        "provisioningState",
        "creationTime",
        "provisioningStateTransitionTime",
        "vmSize",
        "sshConfiguration",
        "dataDisks",
        "subnet",
        "mountSettings",
    ]
    assert found["properties"]["mountSettings"]["mountPoint"] == "/data"
    assert found["properties"]["sshConfiguration"] == {"userAccountSettings": {"adminUserName": "demo"}}
    assert api.call("GET", f"{api.workspace}/fileServers")[2] == {"value": [found]}
    assert api.call("PUT", url, body)[0] == 200
    api.finish(api.call("DELETE", url)[1])
    assert api.call("GET", f"{api.workspace}/fileServers")[2] == {"value": []}


@pytest.mark.recorded
@pytest.mark.operation("Clusters_Create")
def test_a_cluster_is_in_the_subnet_of_the_file_server_it_mounts(api: Api) -> None:
    disks = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
    server = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": disks}
    api.finish(api.call("PUT", f"{api.workspace}/fileServers/nfs", {"properties": server})[1])
    reference = {"fileServer": {"id": f"{api.workspace}/fileServers/nfs"}, "relativeMountPath": "nfs"}
    api.create_cluster(nodeSetup={"mountVolumes": {"fileServers": [reference]}})
    cluster = api.wait_for_cluster(idle=1)
    found = api.properties(f"{api.workspace}/fileServers/nfs")
    assert cluster["subnet"] == found["subnet"]
    assert list(cluster)[-1] == "subnet"
    api.create_job(
        "job", "echo kept > $AZ_BATCHAI_MOUNT_ROOT/nfs/kept.txt", stdOutErrPathPrefix="$AZ_BATCHAI_MOUNT_ROOT/nfs"
    )
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    from pathlib import Path

    assert (Path(found["mountSettings"]["localPath"]) / "kept.txt").read_text() == "kept\n"

"""Tables: of one resource, of several, and of resources that lack something."""

import pytest

from azext_batchai import _format
from extension.scripted import SUBSCRIPTION, Answer

WORKSPACE_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w"


def cluster(**changes) -> dict:
    states = ("idle", "running", "preparing", "leaving", "unusable")
    return {
        "id": f"{WORKSPACE_ID}/clusters/c",
        "name": "c",
        "resourceGroup": "g",
        "vmSize": "S",
        "provisioningState": "succeeded",
        "allocationState": "steady",
        "nodeStateCounts": {f"{state}NodeCount": n for n, state in enumerate(states)},
        **changes,
    }


def job(**changes) -> dict:
    return {
        "name": "j",
        "cluster": {"id": f"{WORKSPACE_ID.replace('/g/', '/other/')}/clusters/c"},
        "toolType": "custom",
        "nodeCount": 2,
        "provisioningState": "succeeded",
        "executionState": "running",
        "executionInfo": None,
        **changes,
    }


def test_cluster():
    row = _format.clusters(cluster())
    assert list(row) == [
        *("Name", "Resource Group", "Workspace", "VM Size", "State"),
        *("Idle", "Running", "Preparing", "Leaving", "Unusable"),
    ]
    assert list(row.values()) == ["c", "g", "w", "S", "steady", "0", "1", "2", "3", "4"]
    assert _format.clusters([cluster(), cluster(provisioningState="deleting")])[1]["State"] == "deleting"


@pytest.mark.parametrize(("info", "shown"), [(None, ""), ({"exitCode": None}, ""), ({"exitCode": 0}, "0")])
def test_exit_code_of_a_job(info, shown):
    row = _format.jobs(job(executionInfo=info))
    assert row["Exit code"] == shown
    assert (row["Cluster"], row["Cluster RG"], row["Cluster Workspace"]) == ("c", "other", "w")


def test_job_being_deleted():
    assert _format.jobs(job(provisioningState="deleting"))["State"] == "deleting"


def test_files():
    file = {"name": "f", "fileType": "file", "contentLength": 0, "lastModified": "2026-01-01T00:00:00+00:00"}
    folder = {"name": "d", "fileType": "directory", "contentLength": None, "lastModified": None}
    rows = _format.files([file, folder])
    assert [row["Size"] for row in rows] == ["0", ""]
    assert rows[1]["Modified"] == " "


def test_file_server_that_is_being_made():
    server = {"name": "f", "resourceGroup": "g", "vmSize": "S", "dataDisks": None, "mountSettings": None}
    row = _format.file_servers(server)
    assert (row["Disks"], row["Public IP"]) == ("", "")


def test_usage_of_nothing():
    row = _format.usages({"name": {"localizedValue": "Clusters"}, "currentValue": 0, "limit": 20})
    assert list(row.values()) == ["Clusters", "0", "20"]


def test_nodes():
    row = _format.nodes([{"nodeId": "n", "ipAddress": "127.0.0.1", "port": 50000.0}])[0]
    assert list(row.values()) == ["n", "127.0.0.1", 50000]


def test_table_of_ids(az, server):
    group = WORKSPACE_ID.replace("/s/", f"/{SUBSCRIPTION}/").rpartition("/")[0]
    ids = [f"{group}/a", f"{group}/b"]
    for id_ in ids:
        name = id_.rpartition("/")[2]
        body = {"id": id_, "name": name, "location": "l", "properties": {"provisioningState": "succeeded"}}
        server.on("GET", id_, Answer(200, body))
    done = az("batchai", "workspace", "show", "--ids", *ids, "-o", "table")
    assert sorted(line.split()[0] for line in done.output.splitlines()[2:]) == ["a", "b"]

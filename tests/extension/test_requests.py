"""Requests that no recording covers: experiments, terminate, auto-scale, file servers."""

import pytest

from extension.jobs import IN_EXPERIMENT, JOB, WORKSPACE
from extension.scripted import SUBSCRIPTION, Answer

IN_WORKSPACE = ("-g", "g", "-w", "w")
API = {"api-version": "2018-05-01"}
FILE_SERVER = f"{WORKSPACE}/fileServers/f"
OPERATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/l/operationresults/1"
CREATE_FILE_SERVER = ("batchai", "file-server", "create", *IN_WORKSPACE, "-n", "f", "-u", "demoUser", "-p", "pw")
# wire.md 1.5
FILE_SERVER_BODY = {
    "properties": {
        "vmSize": "STANDARD_D1",
        "sshConfiguration": {"userAccountSettings": {"adminUserName": "demoUser", "adminUserPassword": "pw"}},
        "dataDisks": {
            "diskSizeInGB": 10,
            "cachingType": "none",
            "diskCount": 2,
            "storageAccountType": "Standard_LRS",
        },
    }
}
FILE_SERVER_GET = {
    "id": FILE_SERVER,
    "name": "f",
    "type": "Microsoft.BatchAI/workspaces/fileservers",
    "properties": {
        "provisioningState": "succeeded",
        "vmSize": "STANDARD_D1",
        "dataDisks": {"diskSizeInGB": 10, "diskCount": 2, "storageAccountType": "Standard_LRS"},
        "mountSettings": {
            "mountPoint": "/data",
            "fileServerPublicIP": "40.127.207.55",
            "fileServerInternalIP": "10.0.0.4",
        },
    },
}


@pytest.fixture
def operation(server):
    """A long-running operation that is found finished."""
    server.on("GET", OPERATION, Answer(200, {"status": "Succeeded"}))
    url = f"{server.url}{OPERATION}?api-version=2018-05-01"
    return Answer(202, None, {"Azure-AsyncOperation": url, "retry-after-ms": "1"})


@pytest.mark.swagger
@pytest.mark.parametrize("noun", ["workspace", "experiment"])
def test_delete(az, server, operation, noun):
    path = WORKSPACE if noun == "workspace" else f"{WORKSPACE}/experiments/e"
    names = ("-g", "g", "-n", "w") if noun == "workspace" else (*IN_WORKSPACE, "-n", "e")
    server.expect("DELETE", path, operation, query=API, body=None)
    done = az("batchai", noun, "delete", *names, "--yes")
    assert (done.code, done.output, done.stderr) == (0, "", "")


@pytest.mark.recorded
@pytest.mark.parametrize("finished", [True, False])
def test_terminate(az, server, operation, finished):
    """wire.md 1.4: 202 for a job that is not finished, 200 and no body for one that is."""
    server.expect("POST", f"{JOB}/terminate", Answer(200) if finished else operation, query=API, body=None)
    done = az("batchai", "job", "terminate", *IN_EXPERIMENT, "-n", "j", "-y")
    assert (done.code, done.output, done.stderr) == (0, "", "")


@pytest.mark.recorded
def test_auto_scale(az, server):
    scale = {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 10, "initialNodeCount": 0}}
    server.expect(
        *("PATCH", f"{WORKSPACE}/clusters/c", Answer(200, {"id": "i", "name": "c"})),
        query=API,
        body={"properties": {"scaleSettings": scale}},
    )
    assert az("batchai", "cluster", "auto-scale", *IN_WORKSPACE, "-n", "c", "--min", "0", "--max", "10").code == 0


@pytest.mark.recorded
def test_file_server_create(az, server, operation):
    not_found = Answer(404, {"error": {"code": "FileServerNotFound", "message": "m"}})
    server.expect("GET", FILE_SERVER, not_found, query=API)
    server.expect("PUT", FILE_SERVER, operation, query=API, body=FILE_SERVER_BODY)
    server.expect("GET", FILE_SERVER, Answer(200, FILE_SERVER_GET))
    done = az(
        *(*CREATE_FILE_SERVER, "-s", "STANDARD_D1", "--disk-count", "2", "--disk-size", "10"),
        *("--storage-sku", "Standard_LRS", "--caching-type", "none"),
    )
    assert done.code == 0, done.stderr
    assert done.result["mountSettings"]["fileServerPublicIp"] == "40.127.207.55"


@pytest.mark.documented
def test_file_server_from_a_file(az, server, write_json):
    content = {**FILE_SERVER_BODY["properties"], "vmSize": "overwritten"}
    server.expect("GET", FILE_SERVER, Answer(404, {"error": {"code": "FileServerNotFound", "message": "m"}}))
    server.expect("PUT", FILE_SERVER, Answer(200, FILE_SERVER_GET), body=FILE_SERVER_BODY)
    done = az(*CREATE_FILE_SERVER, "-f", write_json("nfs.json", content), "-s", "STANDARD_D1", "--no-wait")
    assert (done.code, done.output) == (0, "")


@pytest.mark.swagger
def test_file_server_show(az, server):
    """The SDK cannot get a file server; the request goes through its pipeline."""
    server.expect("GET", FILE_SERVER, Answer(200, FILE_SERVER_GET), query=API)
    done = az("batchai", "file-server", "show", *IN_WORKSPACE, "-n", "f", "-o", "table")
    row = done.output.splitlines()[2].split()
    assert row == ["f", "g", "STANDARD_D1", "2", "x", "10", "Gb", "40.127.207.55", "10.0.0.4", "/data"]


@pytest.mark.swagger
def test_file_server_delete(az, server, operation):
    server.expect("DELETE", FILE_SERVER, operation, query=API, body=None)
    done = az("batchai", "file-server", "delete", *IN_WORKSPACE, "-n", "f", "-y")
    assert (done.code, done.output, done.stderr) == (0, "", "")


@pytest.mark.documented
def test_job_on_a_cluster_of_another_workspace(az, server, write_json):
    cluster = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/h/providers/Microsoft.BatchAI/workspaces/v/clusters/c"
    server.expect("GET", JOB, Answer(404, {"error": {"code": "JobNotFound", "message": "m"}}))
    server.expect("GET", cluster, Answer(200, {"id": cluster, "name": "c"}))
    job = {"nodeCount": 1, "stdOutErrPathPrefix": "/o"}
    server.expect(
        *("PUT", JOB, Answer(200, {"id": JOB, "name": "j"})), body={"properties": {"cluster": {"id": cluster}, **job}}
    )
    done = az("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j", "-c", cluster, "-f", write_json("j.json", job))
    assert done.code == 0, done.stderr

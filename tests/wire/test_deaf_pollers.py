"""JavaScript's clients poll every 30 seconds: what ends soon is answered when it has ended."""

import json
import urllib.request
from typing import Any

import pytest

from harness.processes import wait_until
from wire.api import USER, VERSION, Api

AGENT = "@azure/arm-batchai/2.2.1 ms-rest-azure-js/1.4.0 ms-rest-js/1.11.2 Node/v20.20.2 OS/(x64-Linux)"


def call(api: Api, method: str, path: str, body: Any = None, agent: str = AGENT) -> tuple[int, Any, Any]:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{api.service.info['endpoint']}{path}?{VERSION}", data, method=method)
    request.add_header("Authorization", f"Bearer {api.service.info['token']}")
    request.add_header("User-Agent", agent)
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read()
        return response.status, response.headers, json.loads(text) if text else None


@pytest.mark.swagger
def test_what_ends_soon_is_answered_with_its_end(api: Api) -> None:
    cluster, job, server = f"{api.workspace}/clusters/cluster", api.job("job"), f"{api.workspace}/fileServers/nfs"
    disks = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
    nfs = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": disks}
    line = "touch $AZ_BATCHAI_MOUNT_ROOT/afs/begun; sleep 60"
    for path, body in ((cluster, api.cluster_body()), (job, api.job_body(line)), (server, {"properties": nfs})):
        status, headers, made = call(api, "PUT", path, body)
        assert (status, made["id"].lower()) == (200, path.lower())
        assert made["properties"]["provisioningState"] == "succeeded"
        assert not {"azure-asyncoperation", "location"} & {name.lower() for name in headers}
    share = api.service.home / "storage" / api.account / "files" / "share"
    wait_until((share / "begun").exists, "the job runs")
    assert call(api, "POST", f"{job}/terminate")[0] == 200
    assert api.properties(job)["executionInfo"]["errors"][0]["code"] == "JobTerminated"
    for path in (job, server, cluster, api.workspace):
        status, headers, _ = call(api, "DELETE", path)
        assert status == 200 and "azure-asyncoperation" not in headers
        assert api.call("GET", path)[0] == 404


@pytest.mark.recorded
def test_others_get_202_as_ever(api: Api) -> None:
    for agent in ("azsdk-python-mgmt-batchai/7.0.0b1 Python/3.11", "python/3.7 msrest/0.6.6 azure-mgmt-batchai/2.0.0"):
        status, headers, body = call(api, "PUT", f"{api.workspace}/clusters/{agent[:6]}", api.cluster_body(0), agent)
        assert (status, body) == (202, None) and "operationresults" in headers["azure-asyncoperation"]

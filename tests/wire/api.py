"""Short forms for tests that talk to the service over HTTP."""

import time
import urllib.request
from typing import Any

from harness.processes import wait_until
from harness.service import Service

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/Lab"
VERSION = "api-version=2018-05-01"
USER = {"adminUserName": "demo", "adminUserPassword": "Secret-of-the-cluster"}


class Api:
    """A workspace with an experiment, a storage account with a share, and calls below it."""

    def __init__(self, service: Service, workspace: str) -> None:
        self.service = service
        self.workspace = f"{GROUP}/providers/Microsoft.BatchAI/workspaces/{workspace}"
        self.account = "acct" + str(time.time_ns())[-12:]
        self.storage = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{self.account}"
        assert self.call("PUT", self.workspace, {"location": "eastus"})[0] == 200
        assert self.call("PUT", f"{self.workspace}/experiments/exp")[0] == 200
        assert self.call("PUT", self.storage, {"location": "eastus"})[0] == 200
        assert self.call("PUT", f"{self.storage}/fileServices/default/shares/share", {})[0] == 201

    def call(self, method: str, path: str, body: Any = None, query: str = "") -> tuple[int, Any, Any]:
        return self.service.request(method, f"{path}?{VERSION}{query}", body)

    def mounts(self, share: str = "share") -> dict[str, Any]:
        volume = {
            "accountName": self.account,
            "azureFileUrl": f"https://{self.account}.file.core.windows.net/{share}",
            "credentials": {"accountKey": "c2VjcmV0LWtleQ=="},
            "relativeMountPath": "afs",
        }
        return {"azureFileShares": [volume]}

    def cluster_body(self, nodes: int = 1, **more: Any) -> dict[str, Any]:
        return {
            "properties": {
                "vmSize": "Standard_D1",
                "scaleSettings": {"manual": {"targetNodeCount": nodes}},
                "userAccountSettings": USER,
                "nodeSetup": {"mountVolumes": self.mounts()},
                **more,
            }
        }

    def create_cluster(self, name: str = "cluster", nodes: int = 1, **more: Any) -> None:
        status, headers, body = self.call("PUT", f"{self.workspace}/clusters/{name}", self.cluster_body(nodes, **more))
        assert status == 202, body
        assert self.finish(headers)["status"] == "Succeeded"

    def job_body(self, command: str = "true", cluster: str = "cluster", **more: Any) -> dict[str, Any]:
        return {
            "properties": {
                "cluster": {"id": f"{self.workspace}/clusters/{cluster}"},
                "nodeCount": 1,
                "customToolkitSettings": {"commandLine": command},
                "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
                **more,
            }
        }

    def job(self, name: str) -> str:
        return f"{self.workspace}/experiments/exp/jobs/{name}"

    def create_job(self, name: str, command: str = "true", **more: Any) -> None:
        status, _, body = self.call("PUT", self.job(name), self.job_body(command, **more))
        assert status == 202, body

    def properties(self, path: str) -> dict[str, Any]:
        status, _, body = self.call("GET", path)
        assert status == 200, body
        return body["properties"]

    def wait_for_job(self, name: str, *states: str, seconds: float = 20) -> dict[str, Any]:
        def reached() -> Any:
            found = self.properties(self.job(name))
            return found if found["executionState"] in (states or ("succeeded", "failed")) else None

        return wait_until(reached, f"job {name} is {states or 'at its end'}", seconds, every=0.01)

    def wait_for_cluster(self, name: str = "cluster", **counts: int) -> dict[str, Any]:
        wanted = {f"{state}NodeCount": count for state, count in counts.items()}

        def reached() -> Any:
            found = self.properties(f"{self.workspace}/clusters/{name}")
            there = {state: count for state, count in found["nodeStateCounts"].items() if count}
            return found if there == wanted and found["allocationState"] == "steady" else None

        return wait_until(reached, f"cluster {name} has {counts or 'no nodes'}", every=0.01)

    def finish(self, headers: Any) -> dict[str, Any]:
        """Follow a long-running operation to its end."""
        url = headers["azure-asyncoperation"]
        path = url[len(self.service.info["endpoint"]) :]

        def ended() -> Any:
            body = self.service.request("GET", path)[2]
            return body if body["status"] != "InProgress" else None

        return wait_until(ended, "the operation has ended")

    def output(self, job: str, name: str = "stdout.txt", directory: str = "stdouterr") -> bytes:
        _, _, body = self.call("POST", f"{self.job(job)}/listOutputFiles", query=f"&outputdirectoryid={directory}")
        [url] = [item["downloadUrl"] for item in body["value"] if item["name"] == name]
        with urllib.request.urlopen(url, timeout=10) as response:
            content: bytes = response.read()
            return content

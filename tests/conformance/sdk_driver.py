"""Drives one release of azure-mgmt-batchai on request. Runs in that release's own environment, without the test suite.

python sdk_driver.py {7.0.0|7.0.0-aio|2.0.0} ENDPOINT TOKEN SUBSCRIPTION

One request a line on stdin, `[method, arguments]`; one answer a line on stdout: `{"value": ...}` with resources as they
stand on the wire, or `{"error": {"status", "code", "message"}}`.
"""

import asyncio
import inspect
import json
import sys
from typing import Any


class Driver:
    """The calls of the conformance suite on an SDK client; releases differ in a few signatures."""

    def __init__(self, release: str, endpoint: str, token: str, subscription: str) -> None:
        from azure.mgmt.batchai import models

        self.models = models
        self.old = release == "2.0.0"
        if self.old:
            from azure.mgmt.batchai import BatchAIManagementClient
            from msrest.authentication import BasicTokenAuthentication

            self.client: Any = BatchAIManagementClient(
                BasicTokenAuthentication({"access_token": token}), subscription, base_url=endpoint
            )
            return
        from azure.core.credentials import AzureKeyCredential
        from azure.core.pipeline.policies import AzureKeyCredentialPolicy

        if release.endswith("-aio"):
            from azure.mgmt.batchai.aio import BatchAI
        else:
            from azure.mgmt.batchai import BatchAI
        key = AzureKeyCredential(token)
        policy = AzureKeyCredentialPolicy(key, "Authorization", prefix="Bearer")
        self.client = BatchAI(key, subscription, base_url=endpoint, authentication_policy=policy)

    async def begin(self, operations: Any, name: str, *args: Any) -> Any:
        """A long-running operation to its end, with the polling that the release has by default."""
        poller = await _awaited(getattr(operations, name if self.old else f"begin_{name}")(*args))
        return _wire(await _awaited(poller.result()))

    async def create_workspace(self, group: str, workspace: str, location: str) -> Any:
        given = location if self.old else self.models.WorkspaceCreateParameters(location=location)
        return await self.begin(self.client.workspaces, "create", group, workspace, given)

    async def get_workspace(self, group: str, workspace: str) -> Any:
        return _wire(await _awaited(self.client.workspaces.get(group, workspace)))

    async def list_workspaces(self, group: str) -> Any:
        return await _listed(self.client.workspaces.list_by_resource_group(group))

    async def delete_workspace(self, group: str, workspace: str) -> Any:
        return await self.begin(self.client.workspaces, "delete", group, workspace)

    async def create_cluster(self, group: str, workspace: str, cluster: str, body: Any) -> Any:
        given = self.models.ClusterCreateParameters.deserialize(body)
        return await self.begin(self.client.clusters, "create", group, workspace, cluster, given)

    async def get_cluster(self, *names: str) -> Any:
        return _wire(await _awaited(self.client.clusters.get(*names)))

    async def list_clusters(self, group: str, workspace: str) -> Any:
        return await _listed(self.client.clusters.list_by_workspace(group, workspace))

    async def resize_cluster(self, group: str, workspace: str, cluster: str, target: int) -> Any:
        manual = self.models.ManualScaleSettings(target_node_count=target)
        settings = self.models.ScaleSettings(manual=manual)
        given = settings if self.old else self.models.ClusterUpdateParameters(scale_settings=settings)
        return _wire(await _awaited(self.client.clusters.update(group, workspace, cluster, given)))

    async def list_nodes(self, *names: str) -> Any:
        return await _listed(self.client.clusters.list_remote_login_information(*names))

    async def delete_cluster(self, *names: str) -> Any:
        return await self.begin(self.client.clusters, "delete", *names)

    async def create_experiment(self, *names: str) -> Any:
        return await self.begin(self.client.experiments, "create", *names)

    async def get_experiment(self, *names: str) -> Any:
        return _wire(await _awaited(self.client.experiments.get(*names)))

    async def list_experiments(self, group: str, workspace: str) -> Any:
        """In pages of one, so that the client has to follow links."""
        options = self.models.ExperimentsListByWorkspaceOptions(max_results=1)
        return await _listed(self.client.experiments.list_by_workspace(group, workspace, options))

    async def delete_experiment(self, *names: str) -> Any:
        return await self.begin(self.client.experiments, "delete", *names)

    async def create_job(self, group: str, workspace: str, experiment: str, job: str, body: Any) -> Any:
        given = self.models.JobCreateParameters.deserialize(body)
        return await self.begin(self.client.jobs, "create", group, workspace, experiment, job, given)

    async def get_job(self, *names: str) -> Any:
        return _wire(await _awaited(self.client.jobs.get(*names)))

    async def list_jobs(self, *names: str) -> Any:
        return await _listed(self.client.jobs.list_by_experiment(*names))

    async def list_job_nodes(self, *names: str) -> Any:
        return await _listed(self.client.jobs.list_remote_login_information(*names))

    async def list_files(self, group: str, workspace: str, experiment: str, job: str, directory: str) -> Any:
        options = self.models.JobsListOutputFilesOptions(outputdirectoryid=directory)
        return await _listed(self.client.jobs.list_output_files(group, workspace, experiment, job, options))

    async def terminate_job(self, *names: str) -> Any:
        return await self.begin(self.client.jobs, "terminate", *names)

    async def delete_job(self, *names: str) -> Any:
        return await self.begin(self.client.jobs, "delete", *names)

    async def create_file_server(self, group: str, workspace: str, server: str, body: Any) -> Any:
        given = self.models.FileServerCreateParameters.deserialize(body)
        return await self.begin(self.client.file_servers, "create", group, workspace, server, given)

    async def list_file_servers(self, group: str, workspace: str) -> Any:
        return await _listed(self.client.file_servers.list_by_workspace(group, workspace))

    async def get_file_server(self, *names: str) -> Any:
        return _wire(await _awaited(self.client.file_servers.get(*names)))

    async def delete_file_server(self, *names: str) -> Any:
        return await self.begin(self.client.file_servers, "delete", *names)

    async def list_usages(self, location: str) -> Any:
        return await _listed(self.client.usages.list(location))

    async def list_operations(self) -> Any:
        return await _listed(self.client.operations.list())


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _listed(pages: Any) -> list[Any]:
    if hasattr(pages, "__iter__"):  # the pages of msrest have __aiter__ too, and refuse it
        return [_wire(item) for item in pages]
    return [_wire(item) async for item in pages]


def _wire(model: Any) -> Any:
    return model.serialize(keep_readonly=True) if hasattr(model, "serialize") else model


def _error(exc: Exception) -> dict[str, Any]:
    """What a user of the SDK finds in the exception: CloudError of msrestazure or HttpResponseError of azure-core."""
    error: Any = getattr(exc, "error", None)
    if not error or not hasattr(exc, "status_code"):
        raise exc
    code = error.code if hasattr(error, "code") else error.error
    return {"status": exc.status_code, "code": code, "message": error.message}


async def main() -> None:
    driver = Driver(*sys.argv[1:])
    for line in sys.stdin:
        method, args = json.loads(line)
        try:
            answer = {"value": await getattr(driver, method)(*args)}
        except Exception as exc:
            answer = {"error": _error(exc)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    await _awaited(getattr(driver.client, "close", lambda: None)())


if __name__ == "__main__":
    asyncio.run(main())

"""ARM requests the Batch AI SDK has no operation for, sent through the SDK client's own pipeline.

Resource groups and storage accounts are plain ARM, so the same requests serve Azure and the embedded service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

BATCHAI_API = "2018-05-01"
RESOURCES_API = "2021-04-01"
STORAGE_API = "2023-01-01"
_SUBSCRIPTIONS_API = "2022-12-01"

Json = dict[str, Any]


class Arm:
    """Requests below /subscriptions/ID with the endpoint, the credential and the policies of an SDK client."""

    def __init__(self, client: Any) -> None:
        # A client and each of its operation groups carry both.
        self._pipeline_client = client._client  # pylint: disable=protected-access
        self._subscription = client._config.subscription_id  # pylint: disable=protected-access

    def get(self, path: str, api_version: str) -> Json:
        return _body(self.send("GET", path, api_version))

    def find(self, path: str, api_version: str) -> Json | None:
        """The resource, or None where there is none."""
        from azure.core.exceptions import HttpResponseError

        try:
            return self.get(path, api_version)
        except HttpResponseError as error:
            if error.status_code == 404:
                return None
            raise

    def exists(self, path: str, api_version: str) -> bool:
        """Ask with HEAD."""
        from azure.core.exceptions import HttpResponseError

        try:
            self.send("HEAD", path, api_version)
        except HttpResponseError as error:
            if error.status_code == 404:
                return False
            raise
        return True

    def list(self, path: str, api_version: str) -> Iterator[Json]:
        """The resources of all pages."""
        return self._pages(self.get(path, api_version))

    def subscriptions(self) -> Iterator[Json]:
        """The subscriptions that the credential reaches."""
        url = self._pipeline_client.format_url("/subscriptions")
        return self._pages(_body(self._run("GET", f"{url}?api-version={_SUBSCRIPTIONS_API}", None)))

    def _pages(self, page: Json) -> Iterator[Json]:
        yield from page.get("value", [])
        while page.get("nextLink"):
            page = _body(self._run("GET", page["nextLink"], None))
            yield from page.get("value", [])

    def post(self, path: str, api_version: str) -> Json:
        return _body(self.send("POST", path, api_version))

    def put(self, path: str, api_version: str, body: Json) -> Json:
        """Create or update a resource and wait until that is done."""
        response = self.send("PUT", path, api_version, body)
        if response.http_response.status_code == 202:
            return self.poller(response, _body).result()
        # 200 and 201 of these resources are final; the SDK's polling would read a 201 as unfinished.
        return _body(response)

    def send(self, method: str, path: str, api_version: str, body: Json | None = None) -> Any:
        """Send one request; returns the pipeline's response, raises HttpResponseError for anything but 2xx.

        `path` starts behind the subscription; its parts must be quoted (see `url_path`).
        """
        url = self._pipeline_client.format_url(f"/subscriptions/{self._subscription}{path}")
        return self._run(method, f"{url}?api-version={api_version}", body)

    def poller(self, first_response: Any, deserialize: Any, no_wait: bool = False) -> Any:
        """The long-running operation that `first_response` began (or has already finished)."""
        from azure.core.polling import LROPoller, NoPolling
        from azure.mgmt.core.polling.arm_polling import ARMPolling

        interval = self._pipeline_client._config.polling_interval  # pylint: disable=protected-access
        polling = NoPolling() if no_wait else ARMPolling(interval)
        return LROPoller(self._pipeline_client, first_response, deserialize, polling)

    def _run(self, method: str, url: str, body: Json | None) -> Any:
        from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
        from azure.core.pipeline.transport import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        request = HttpRequest(method, url, headers={"Accept": "application/json"})
        if body is not None:
            request.set_json_body(body)
        response = self._pipeline_client._pipeline.run(request, stream=False)  # pylint: disable=protected-access
        status = response.http_response.status_code
        if not 200 <= status < 300:
            kind = ResourceNotFoundError if status == 404 else HttpResponseError
            raise kind(response=response.http_response, error_format=ARMErrorFormat)
        return response


def url_path(*segments: str) -> str:
    """An URL path of these names."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def resource_group(name: str) -> str:
    return url_path("resourceGroups", name)


def locate(name_or_id: str, resource_group_name: str, workspace_name: str) -> tuple[str, str, str]:
    """Resource group, workspace and name of the resource in a workspace that `name_or_id` means."""
    if not name_or_id.startswith("/"):
        return resource_group_name, workspace_name, name_or_id
    from azure.mgmt.core.tools import parse_resource_id

    parts = parse_resource_id(name_or_id)
    return parts["resource_group"], parts["name"], parts["resource_name"]


def _body(response: Any) -> Json:
    text = response.http_response.text()
    return json.loads(text) if text else {}

"""The page reads and changes things by the handlers that answer requests on the wire: there is no second truth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from azext_batchai.service import app
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.ids import parse_path
from azext_batchai.service.service import Service


class Wire:
    """Requests of one subscription without HTTP. `base_url` is how the client names the service."""

    def __init__(self, service: Service, subscription: str, base_url: str) -> None:
        self._service = service
        self._base_url = base_url
        self.subscription = subscription

    def path(self, *segments: str) -> str:
        """The path of what is in the subscription: `("resourceGroups", group, ...)`."""
        return "/".join(("/subscriptions", self.subscription, *(quote(segment, safe="") for segment in segments)))

    def batchai(self, group: str, *segments: str) -> str:
        """The path of a resource of Batch AI: `(group, "workspaces", name, "clusters", name)`."""
        return self.path("resourceGroups", group, "providers", "Microsoft.BatchAI", *segments)

    async def get(self, path: str, **query: str) -> Any:
        """The body of the answer. Raises ArmError, also for what the wire does not have."""
        return await self.send("GET", path, **query)

    async def send(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Ask for a change, or by POST for what is read so; the body of the answer. Raises ArmError."""
        arm_path = parse_path(path)
        handler = app.ROUTES.get((method, arm_path.pattern)) if arm_path else None
        if not handler or not arm_path:
            raise ArmError(404, "ResourceNotFound", f"There is nothing at {path}.")
        reply = await handler(self._service, Call(method, arm_path, path, query, body, self._base_url))
        return reply.body

    async def items(self, path: str, method: str = "GET", **query: str) -> AsyncIterator[dict[str, Any]]:
        """All items of a list, over its pages. Raises ArmError."""
        while True:
            body = await self.send(method, path, None, **query)
            for item in body["value"]:
                yield item
            if not body.get("nextLink"):
                return
            query = dict(parse_qsl(urlsplit(body["nextLink"]).query))
            query = {name.lower(): value for name, value in query.items()}

    async def all(self, path: str, method: str = "GET", **query: str) -> list[dict[str, Any]]:
        return [item async for item in self.items(path, method, **query)]

"""What clusters, experiments and file servers have in common: they live in a workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azext_batchai.service.arm import operations, paging, replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import not_found
from azext_batchai.service.arm.ids import batchai_id, key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.resources import workspaces
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

Projection = Callable[[Service, Record], dict[str, Any]]


def stored_body(_: Service, record: Record) -> dict[str, Any]:
    return record.body


@dataclass(frozen=True)
class Nested:
    """`kind` is what records are stored as, `collection` their place in an id, `project` what the wire shows."""

    kind: str
    collection: str
    project: Projection = stored_body

    def id(self, call: Call, workspace: str, name: str) -> str:
        return batchai_id(call.subscription, call.group, "workspaces", workspace, self.collection, name)

    def look_up(self, service: Service, call: Call) -> Record | None:
        return service.store.get(key_of(self.id(call, call.names[0], call.names[1])))

    def find(self, service: Service, call: Call) -> Record:
        """The one that the path names. Raises ArmError 404, for a missing workspace too."""
        workspaces.find(service, call)
        return self.find_below(service, call)

    def find_below(self, service: Service, call: Call) -> Record:
        """The one that the path names, whose workspace is there. Raises ArmError 404."""
        record = self.look_up(service, call)
        if not record:
            raise not_found(self.kind, call.names[1])
        return record

    async def get(self, service: Service, call: Call) -> Reply:
        record = self.find(service, call)
        return replies.resource(record, self.project(service, record))

    async def list_by_workspace(self, service: Service, call: Call) -> Reply:
        parent = workspaces.find(service, call).key
        return paging.record_page(
            call,
            lambda after, limit: service.store.children(parent, self.kind, after, limit),
            lambda record: self.project(service, record),
        )

    async def delete(self, service: Service, call: Call) -> Reply:
        """202, and 204 where there is nothing; what hangs below goes with it (wire.md 3.4)."""
        workspace = workspaces.find(service, call)
        record = self.look_up(service, call)
        if not record:
            return replies.empty(204)
        resource_id = f"{call.subscription}${call.group}${workspace.name}${record.name}"
        operation = service.deletions.begin(record, resource_id)
        return operations.accepted(call.base_url, call.subscription, workspace.body["location"], operation)

"""What the provider can do (Operations_List): never recorded, so the wording is ours, the shape the OpenAPI file's."""

from __future__ import annotations

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.ids import PROVIDER
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.service import Service

_VERBS = {"read": "Gets or lists", "write": "Creates or updates", "delete": "Deletes"}
_ACTIONS = {
    "terminate": "Terminates a job",
    "listOutputFiles": "Lists the output files of a job",
    "listRemoteLoginInformation": "Lists the remote login information of nodes",
}
# Resource type, its name in the plural, and what can be done with it besides reading, writing and deleting.
_RESOURCES = (
    ("workspaces", "Workspaces", ()),
    ("workspaces/clusters", "Clusters", ("listRemoteLoginInformation",)),
    ("workspaces/experiments", "Experiments", ()),
    ("workspaces/experiments/jobs", "Jobs", ("terminate", "listOutputFiles", "listRemoteLoginInformation")),
    ("workspaces/fileservers", "File Servers", ()),
)


async def list_operations(service: Service, call: Call) -> Reply:
    value = []
    for kind, plural, actions in _RESOURCES:
        for verb, text in _VERBS.items():
            value.append(_operation(f"{kind}/{verb}", plural, f"{text} {plural.lower()}"))
        for action in actions:
            value.append(_operation(f"{kind}/{action}/action", plural, _ACTIONS[action]))
    value.append(_operation("locations/usages/read", "Usages", "Lists usages and limits of a location"))
    return paging.item_page(call, value)


def _operation(name: str, resource: str, description: str) -> dict[str, object]:
    return {
        "name": f"{PROVIDER}/{name}",
        "display": {
            "provider": "Microsoft Batch AI",
            "resource": resource,
            "operation": description,
            "description": description,
        },
    }

"""ARM resource ids and request paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from azext_batchai.service.arm.errors import bad_request

PROVIDER = "Microsoft.BatchAI"
NAME_PATTERN = re.compile(r"[-\w]+", re.ASCII)
GROUP_PATTERN = re.compile(r"[-\w.()]+")
BATCHAI_GROUP_PATTERN = re.compile(r"[-\w.]+", re.ASCII)  # narrower than ARM's own
LOCATION_PATTERN = re.compile(r"[-\w.]+", re.ASCII)
# Collections of Batch AI as the paths have them, and what the OpenAPI file calls a member.
_NOUNS = {
    "workspaces": "workspace",
    "clusters": "cluster",
    "experiments": "experiment",
    "jobs": "job",
    "fileservers": "fileServer",
}
SUBSCRIPTION_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class ArmPath:
    """A request path: `pattern` has `{}` for each name and is lower-case, `names` holds the names in order."""

    subscription: str
    group: str
    pattern: str
    names: tuple[str, ...]

    @property
    def workspace(self) -> str:
        return batchai_id(self.subscription, self.group, "workspaces", self.names[0])


def parse_path(path: str) -> ArmPath | None:
    """Split a request path, not yet decoded, into scope, provider pattern and names; None when it is not an ARM path.

    Literal segments are compared without case, as ARM does. Raises ArmError for a bad subscription or group.
    """
    parts = [unquote(part) for part in path.split("/") if part]
    subscription = group = ""
    literals: list[str] = []
    if len(parts) >= 2 and parts[0].lower() == "subscriptions":
        subscription = parts[1].lower()
        if not SUBSCRIPTION_PATTERN.fullmatch(subscription):
            raise bad_request(
                f"The provided subscription identifier '{parts[1]}' is malformed or invalid.",
                code="InvalidSubscriptionId",
            )
        literals += ["subscriptions", "{}"]
        parts = parts[2:]
        if len(parts) >= 2 and parts[0].lower() == "resourcegroups":
            group = parts[1].lower()
            if not GROUP_PATTERN.fullmatch(group) or len(group) > 90:
                raise bad_request(f"The resource group name '{parts[1]}' is invalid.", code="InvalidResourceGroup")
            literals += ["resourcegroups", "{}"]
            parts = parts[2:]
    names: list[str] = []
    if parts and parts[0].lower() == "providers" and len(parts) >= 2:
        literals += ["providers", parts[1].lower()]
        rest = parts[2:]
        for index, part in enumerate(rest):
            if index % 2 == 0:
                literals.append(part.lower())
            else:
                literals.append("{}")
                names.append(part)
    else:
        literals += [part.lower() for part in parts]
    return ArmPath(subscription, group, "/".join(literals), tuple(names)) if literals else None


def batchai_id(subscription: str, group: str, *segments: str) -> str:
    """The wire id of a Batch AI resource; the group is lower-cased (wire.md 1.0)."""
    return f"/subscriptions/{subscription}/resourceGroups/{group.lower()}/providers/{PROVIDER}/{'/'.join(segments)}"


def key_of(resource_id: str) -> str:
    """What a resource is stored under: names are compared without case."""
    return resource_id.lower().rstrip("/")


def check_names(path: ArmPath) -> None:
    """Raises ArmError 400 unless every name of a Batch AI path is as the OpenAPI file wants it (wire.md 7)."""
    if path.group and not BATCHAI_GROUP_PATTERN.fullmatch(path.group):
        raise bad_request(
            f"The resource group name '{path.group}' is invalid: it has letters, digits, '-', '.' and '_'.",
            target="resourceGroupName",
            code="InvalidResourceGroup",
        )
    literals = path.pattern.partition("providers/")[2].split("/")[1:]
    for collection, name in zip(literals[::2], path.names):
        if collection == "locations" and not LOCATION_PATTERN.fullmatch(name):
            raise bad_request(f"The location '{name}' is invalid.", target="location", code="InvalidLocation")
        if collection in _NOUNS:
            check_name(_NOUNS[collection], name)


def check_name(noun: str, name: str) -> None:
    """Raises ArmError unless `name` is 1-64 letters, digits, hyphens and underscores (wire.md 7)."""
    if not NAME_PATTERN.fullmatch(name) or len(name) > 64:
        raise bad_request(
            f"The {noun} name '{name}' is invalid: a name has 1 to 64 letters, digits, hyphens and underscores.",
            target=f"{noun}Name",
            code="InvalidResourceName",
        )

"""Which request around Batch AI goes to which handler, and what is said of all that is not served."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError, not_supported
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.azure import providers, resource_lists, roles, subscriptions
from azext_batchai.service.service import Service

Handler = Callable[[Service, Call], Awaitable[Reply]]

_SUBSCRIPTION = "subscriptions/{}"
_ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "subscriptions"): subscriptions.list_subscriptions,
    ("GET", _SUBSCRIPTION): subscriptions.get,
    ("GET", f"{_SUBSCRIPTION}/locations"): subscriptions.list_locations,
    ("GET", "tenants"): subscriptions.list_tenants,
    ("GET", f"{_SUBSCRIPTION}/providers"): providers.list_providers,
    ("GET", f"{_SUBSCRIPTION}/resources"): resource_lists.list_by_subscription,
    ("GET", f"{_SUBSCRIPTION}/resourcegroups/{{}}/resources"): resource_lists.list_by_group,
}
_PROVIDER = re.compile(r"subscriptions/\{\}/providers/[^/]+(?:/(register|unregister))?")
_PROVIDER_ACTIONS: dict[tuple[str, str], Handler] = {
    ("GET", ""): providers.get,
    ("POST", "register"): providers.register,
    ("POST", "unregister"): providers.unregister,
}
# Method, kind, whether one is named.
_ROLES: dict[tuple[str, str, bool], Handler] = {
    ("GET", "roledefinitions", False): roles.list_definitions,
    ("GET", "roledefinitions", True): roles.get_definition,
    ("GET", "roleassignments", False): roles.list_assignments,
    ("PUT", "roleassignments", True): roles.create_assignment,
    ("DELETE", "roleassignments", True): roles.delete_assignment,
}
_SERVED = ("microsoft.batchai", "microsoft.storage", "microsoft.authorization", "microsoft.resources")
_TYPE = re.compile(r"providers/([^/]+)(?:/([^/{}]+))?")


def find(method: str, pattern: str, raw_path: str) -> Handler | None:
    """`pattern` is the path in lower case with `{}` for names (arm.ids)."""
    handler = _ROUTES.get((method, pattern))
    if handler:
        return handler
    role = roles.PATH.fullmatch(raw_path)
    if role:
        return _ROLES.get((method, role["kind"].lower(), bool(role["name"])))
    provider = _PROVIDER.fullmatch(pattern)
    return _PROVIDER_ACTIONS.get((method, provider[1] or "")) if provider else None


def unserved(method: str, pattern: str) -> ArmError | None:
    """What is said of a resource type of Azure that the local cloud has not; None where that is not the matter."""
    match = _TYPE.search(pattern)
    if not match or match[1] in _SERVED:
        return None
    kind = "/".join(part for part in match.groups() if part)
    text = f"{kind} is not served by the local cloud: it has resource groups, storage accounts and Batch AI."
    return ArmError(404, "ResourceNotFound", text) if method in ("GET", "HEAD") else not_supported(text)

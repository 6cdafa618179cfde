"""From a resource as `show` prints it to a configuration file that makes one like it."""

from __future__ import annotations

from typing import Any

from azext_batchai.command_line import durations

# What the service says of a job; none of it can be asked for.
_OF_THE_SERVICE = {
    *("id", "name", "type", "resourceGroup", "toolType", "jobOutputDirectoryPathSegment", "creationTime"),
    *("provisioningState", "provisioningStateTransitionTime"),
    *("executionState", "executionStateTransitionTime", "executionInfo"),
}


def as_sent(shown: dict[str, Any]) -> dict[str, Any]:
    """The keys that `job create -f` takes of a job as az prints it (or of its SDK model as a dictionary)."""
    content = {key: _without_nulls(value) for key, value in shown.items() if key not in _OF_THE_SERVICE}
    content = {key: value for key, value in content.items() if value not in (None, [], {})}
    constraints = content.get("constraints")
    if isinstance(constraints, dict) and isinstance(constraints.get("maxWallClockTime"), str):
        given = constraints["maxWallClockTime"]
        constraints["maxWallClockTime"] = durations.of_shown(given) or given
    return content


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value

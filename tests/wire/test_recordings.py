"""The recorded traffic of the real service, replayed against ours: same status, same shape, same order of states."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from facts import recordings
from harness.service import Service

pytestmark = pytest.mark.recorded

GROUP = f"/subscriptions/{recordings.SUBSCRIPTION}/resourceGroups/{recordings.GROUP}"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{recordings.ACCOUNT}"
STATES = {
    "allocationState": ("resizing", "steady"),
    "executionState": ("queued", "running", "succeeded"),
    "status": ("InProgress", "Succeeded"),
}
# Properties that a later state brings along: not compared where ours was quicker than the recorded one.
BROUGHT = {"executionState": ("executionInfo",), "status": ("endTime", "properties")}
# Values that are each service's own.
OWN = {
    "id",
    "jobOutputDirectoryPathSegment",
    "stdOutErrPathSuffix",
    "resourceId",
    "downloadUrl",
    "contentLength",
    "lastModified",
    "currentNodeCount",
    "currentValue",
    "limit",
    "startTime",
    "endTime",
}


@pytest.fixture
def replay_service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("AZURE_BATCHAI_CONTAINERS_ON_HOST", "1")  # the recorded jobs ask for an image
    monkeypatch.setenv("AZURE_BATCHAI_NODE_IDLE_SECONDS", "0.2")
    service = Service(home)
    assert service.start()["status"] == "ready"
    _done(service.request("PUT", f"{ACCOUNT}?api-version=2023-01-01", {"location": "northeurope"}))
    for child in (
        "fileServices/default/shares/share",
        "fileServices/default/shares/batchaishare",
        "blobServices/default/containers/container",
        "blobServices/default/containers/batchaicontainer",
    ):
        _done(service.request("PUT", f"{ACCOUNT}/{child}?api-version=2023-01-01", {}))
    return service


def _done(answer: tuple[int, Any, Any]) -> None:
    assert answer[0] in (200, 201), answer


@pytest.mark.parametrize("name", [story for story in recordings.STORIES if story != "usages"])
def test_replay(name: str, replay_service: Service) -> None:
    interactions = recordings.load(name)
    operations: dict[str, str] = {}
    seen: list[str] = []
    for interaction in interactions:
        answer = _ask(replay_service, interaction, operations)
        where = f"{name}#{interaction['n']} {interaction['method']} {interaction['path']}"
        _compare_headers(interaction, answer, operations, where)
        _compare(interaction["response_body"], answer[2], where)
        seen.append(where)
    assert len(seen) == len(interactions)


def _ask(service: Service, interaction: dict[str, Any], operations: dict[str, str]) -> tuple[int, Any, Any]:
    """Send the recorded request, again while our resource is in an earlier state than the recorded one."""
    path, query = interaction["path"], urlencode(interaction["query"])
    for recorded, ours in operations.items():
        path = path.replace(recorded, ours)
    deadline = time.monotonic() + 15
    while True:
        answer = service.request(interaction["method"], f"{path}?{query}", interaction["request_body"])
        if not _earlier(answer[2], interaction["response_body"]) or time.monotonic() > deadline:
            return answer
        time.sleep(0.02)


def _earlier(ours: Any, recorded: Any) -> bool:
    for state, order in STATES.items():
        mine, theirs = _state(ours, state), _state(recorded, state)
        if mine in order and theirs in order and order.index(mine) < order.index(theirs):
            return True
        # A cluster comes to rest more than once: `steady` with other node counts may be the rest before.
        if state == "allocationState" and mine == theirs == "steady" and _counts(ours) != _counts(recorded):
            return True
    return False


def _state(body: Any, name: str) -> Any:
    if not isinstance(body, dict):
        return None
    return body.get(name) or body.get("properties", {}).get(name)


def _counts(body: Any) -> Any:
    return body["properties"]["currentNodeCount"]


def _compare_headers(
    interaction: dict[str, Any], answer: tuple[int, Any, Any], operations: dict[str, str], where: str
) -> None:
    status, headers, _ = answer
    assert status == interaction["status"], f"{where}: {answer[2]}"
    recorded = interaction["response_headers"]
    for name in ("azure-asyncoperation", "location", "etag", "last-modified", "request-id"):
        assert (name in headers) == (name in recorded), f"{where}: header {name}"
    if recorded.get("content-type"):
        assert headers["content-type"] == recorded["content-type"], where
    if "azure-asyncoperation" in recorded:
        for name, kind in (("azure-asyncoperation", "operationresults"), ("location", "operationstatuses")):
            prefix = f"/providers/Microsoft.BatchAI/locations/northeurope/{kind}/"
            assert prefix in recorded[name], where
            assert prefix in headers[name], where
        operations[_guid(recorded["azure-asyncoperation"])] = _guid(headers["azure-asyncoperation"])


def _guid(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _compare(recorded: Any, ours: Any, where: str) -> None:
    if isinstance(recorded, dict):
        assert isinstance(ours, dict), where
        for state, brought in BROUGHT.items():
            if state in recorded and recorded[state] != ours[state]:
                recorded = {name: value for name, value in recorded.items() if name not in brought}
                ours = {name: value for name, value in ours.items() if name not in brought}
        assert list(ours) == list(recorded), where  # the same properties in the same order
        for name, value in recorded.items():
            _compare_value(name, value, ours[name], recorded, f"{where} {name}")
    elif isinstance(recorded, list):
        assert isinstance(ours, list) and len(ours) == len(recorded), where
        for index, (theirs, mine) in enumerate(zip(recorded, ours)):
            _compare(theirs, mine, f"{where}[{index}]")
    else:
        assert ours == recorded, where


def _compare_value(name: str, recorded: Any, ours: Any, parent: dict[str, Any], where: str) -> None:
    if name in STATES:
        order = STATES[name]
        assert order.index(ours) >= order.index(recorded), where
    elif name == "nodeStateCounts":
        assert list(ours) == list(recorded), where
    elif name == "id" and str(recorded).startswith("/"):
        assert ours == recorded, where
    elif name in OWN or name.endswith(("creationTime", "TransitionTime")) or (name == "name" and "status" in parent):
        assert type(ours) is type(recorded), where
        if isinstance(ours, str):
            assert ours, where
    else:
        _compare(recorded, ours, where)


@pytest.mark.operation("Usages_List")
def test_usages(replay_service: Service) -> None:
    """The recorded 17 entries in the recorded order; only the numbers are ours."""
    [interaction, *_] = recordings.load("usages")
    status, _, body = replay_service.request("GET", f"{interaction['path']}?{urlencode(interaction['query'])}")
    assert status == 200
    _compare(interaction["response_body"], body, "usages")

"""Requests that are refused: what is answered, and that nothing comes of them."""

import copy
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from wire.api import SUBSCRIPTION, Api

pytestmark = pytest.mark.invented  # no 400 was ever recorded (wire.md 4)


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`body` with the property at `a.b.c` set, or taken out where `value` is None."""
    body = copy.deepcopy(body)
    *parents, last = path.split(".")
    place = body
    for name in parents:
        place = place[name] if isinstance(place, dict) else place[int(name)]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("properties", None, "properties"),
        ("properties.vmSize", None, "properties.vmSize"),
        ("properties.vmSize", "a/b", "properties.vmSize"),
        ("properties.vmPriority", "spot", "properties.vmPriority"),
        ("properties.userAccountSettings", None, "properties.userAccountSettings"),
        ("properties.userAccountSettings", {"adminUserName": "a"}, "adminUserSshPublicKey"),
        ("properties.scaleSettings", {}, "manual, autoScale"),
        ("properties.scaleSettings.autoScale", {"minimumNodeCount": 0, "maximumNodeCount": 1}, "exactly one"),
        ("properties.scaleSettings.manual.targetNodeCount", -1, "targetNodeCount"),
        ("properties.scaleSettings", {"autoScale": {"minimumNodeCount": 3, "maximumNodeCount": 1}}, "minimumNodeCount"),
        ("properties.nodeSetup.mountVolumes.azureFileShares.0.azureFileUrl", None, "azureFileUrl"),
        ("properties.nodeSetup.mountVolumes.azureFileShares.0.credentials", {}, "accountKey"),
        ("properties.nodeSetup.mountVolumes.azureFileShares.0.relativeMountPath", "../up", "relativeMountPath"),
        ("properties.nodeSetup.mountVolumes.azureFileShares.0.relativeMountPath", "/abs", "relativeMountPath"),
        ("properties.nodeSetup.setupTask", {"stdOutErrPathPrefix": "/tmp"}, "commandLine"),
    ],
)
def test_clusters(api: Api, path: str, value: Any, named: str) -> None:
    body = changed(api.cluster_body(), path, value)
    status, _, answer = api.call("PUT", f"{api.workspace}/clusters/c", body)
    assert status == 400, answer
    assert named in answer["error"]["message"]
    assert api.call("GET", f"{api.workspace}/clusters")[2] == {"value": []}


@pytest.mark.parametrize(
    ("path", "value", "status", "named"),
    [
        ("properties.cluster", None, 400, "properties.cluster"),
        ("properties.nodeCount", 0, 400, "properties.nodeCount"),
        ("properties.nodeCount", "1", 400, "properties.nodeCount"),
        ("properties.customToolkitSettings", None, 400, "exactly one of"),
        ("properties.customToolkitSettings", {}, 400, "commandLine"),
        ("properties.horovodSettings", {"pythonScriptFilePath": "a.py"}, 400, "exactly one of"),
        ("properties.customToolkitSettings", None, 400, "there is none"),
        ("properties.stdOutErrPathPrefix", None, 400, "stdOutErrPathPrefix"),
        ("properties.environmentVariables", [{"name": "A=B", "value": "1"}], 400, "name"),
        ("properties.secrets", [{"name": "A"}], 400, "value"),
        ("properties.constraints", {"maxWallClockTime": "1 week"}, 400, "maxWallClockTime"),
        ("properties.outputDirectories", [{"id": "stdouterr", "pathPrefix": "/x"}], 400, "outputDirectories"),
        ("properties.cluster", {"id": "/subscriptions/s/other"}, 404, "other"),
    ],
)
def test_jobs(api: Api, path: str, value: Any, status: int, named: str) -> None:
    api.create_cluster(nodes=0)
    answered, _, answer = api.call("PUT", api.job("j"), changed(api.job_body(), path, value))
    assert (answered, named in answer["error"]["message"]) == (status, True), answer
    assert api.call("GET", f"{api.workspace}/experiments/exp/jobs")[2] == {"value": []}


def test_what_is_not_supported_says_so(api: Api) -> None:
    api.create_cluster(nodes=0)
    vault = {"sourceVault": {"id": "/subscriptions/s/vault"}, "secretUrl": "https://vault/secrets/a"}
    body = api.job_body(secrets=[{"name": "A", "valueSecretReference": vault}])
    status, _, answer = api.call("PUT", api.job("j"), body)
    assert (status, answer["error"]["code"]) == (501, "NotSupported")
    assert "Key Vault" in answer["error"]["message"]


def test_what_is_accepted_but_not_done_is_told(api: Api) -> None:
    insights = {"component": {"id": "/subscriptions/s/insights"}, "instrumentationKey": "k"}
    setup = {"performanceCountersSettings": {"appInsightsReference": insights}}
    status, headers, _ = api.call("PUT", f"{api.workspace}/clusters/c", api.cluster_body(0, nodeSetup=setup))
    assert status == 202
    assert "performance counters are not reported" in headers["Warning"]


def test_a_registry_password_in_a_key_vault_is_refused(api: Api) -> None:
    api.create_cluster(nodes=0)
    vault = {"sourceVault": {"id": "/subscriptions/s/vault"}, "secretUrl": "https://vault/secrets/a"}
    source = {"image": "a", "credentials": {"username": "u", "passwordSecretReference": vault}}
    body = api.job_body(containerSettings={"imageSourceRegistry": source})
    status, _, answer = api.call("PUT", api.job("j"), body)
    assert (status, answer["error"]["code"]) == (501, "NotSupported")


@pytest.mark.parametrize("name", ["a b", "ä", "x" * 65, "a.b", "a%2Fb"])
@pytest.mark.parametrize("noun", ["workspace", "cluster", "experiment", "job"])
def test_names(api: Api, noun: str, name: str) -> None:
    name = urllib.request.quote(name, safe="%")
    path, body = {
        "workspace": (f"{api.workspace}{name}", {"location": "eastus"}),
        "cluster": (f"{api.workspace}/clusters/{name}", api.cluster_body()),
        "experiment": (f"{api.workspace}/experiments/{name}", None),
        "job": (api.job(name), api.job_body()),
    }[noun]
    status, _, answer = api.call("PUT", path, body)
    assert status in (400, 404), answer  # 404: an encoded slash makes another path
    if status == 400:
        assert answer["error"]["code"] == "InvalidResourceName"


def raw(api: Api, method: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(api.service.info["endpoint"] + path, data=data, method=method)
    request.add_header("Authorization", f"Bearer {api.service.info['token']}")
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, json.loads(exc.read())


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[1,", b"nonsense"])
def test_bodies_that_are_no_json(api: Api, data: bytes) -> None:
    status, answer = raw(api, "PUT", f"{api.workspace}/clusters/c?api-version=2018-05-01", data)
    assert (status, answer["error"]["code"]) == (400, "InvalidRequestContent")


def test_a_body_without_end_is_cut_off(api: Api) -> None:
    status, answer = raw(api, "PUT", f"{api.workspace}/clusters/c?api-version=2018-05-01", b" " * (9 << 20))
    assert (status, answer["error"]["code"]) == (413, "RequestEntityTooLarge")


def test_the_api_version_is_required_and_checked(api: Api) -> None:
    assert raw(api, "GET", api.workspace)[1]["error"]["code"] == "MissingApiVersionParameter"
    status, answer = raw(api, "GET", f"{api.workspace}?api-version=2017-09-01-preview")
    assert (status, answer["error"]["code"]) == (400, "InvalidApiVersionParameter")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic abc"])
def test_the_token_is_required(api: Api, header: str) -> None:
    status, answer = raw(api, "GET", f"{api.workspace}?api-version=2018-05-01", Authorization=header)
    assert (status, answer["error"]["code"]) == (401, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/subscriptions/not-a-guid/providers/Microsoft.BatchAI/workspaces", 400),
        ("GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/disks", 404),
        ("POST", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces", 405),
        ("GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/x/operationresults/y", 404),
        ("GET", "/_local/nothing", 404),
    ],
)
def test_paths(api: Api, method: str, path: str, status: int) -> None:
    answered, answer = raw(api, method, f"{path}?api-version=2018-05-01")
    assert answered == status
    assert answer["error"]["code"] and answer["error"]["message"]


@pytest.mark.parametrize("query", ["&maxresults=0", "&maxresults=1001", "&maxresults=x"])
def test_maxresults(api: Api, query: str) -> None:
    status, _, answer = api.call("GET", f"{api.workspace}/experiments", query=query)
    assert (status, answer["error"]["target"]) == (400, "maxresults")

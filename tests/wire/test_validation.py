"""Every constraint of the published OpenAPI file and of wire.md 7, violated one at a time: 400 that names the culprit.

The cases are made from the file: for each request body, samples that together have every property; for each property,
what it must not be.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from harness.service import Service
from wire import openapi
from wire.api import SUBSCRIPTION, Api

pytestmark = pytest.mark.swagger
DOCUMENT = openapi.load()
OPERATIONS = {entry[2]["operationId"]: entry for entry in openapi.operations(DOCUMENT)}  # method, path, description

# Properties of which exactly one may be given, by definition: the file says so in prose only.
ALTERNATIVES: dict[str, tuple[str, ...]] = {
    "ScaleSettings": ("manual", "autoScale"),
    "AzureStorageCredentialsInfo": ("accountKey", "accountKeySecretReference"),
    "EnvironmentVariableWithSecretValue": ("value", "valueSecretReference"),
    "PrivateRegistryCredentials": ("password", "passwordSecretReference"),
    "AppInsightsReference": ("instrumentationKey", "instrumentationKeySecretReference"),
    "JobBaseProperties": openapi.TOOLKITS,
    "CNTKsettings": ("configFilePath", "pythonScriptFilePath"),
    "CaffeSettings": ("configFilePath", "pythonScriptFilePath"),
}
# Values that are as the service wants them where the file only says "string" or "integer".
VALUES: dict[str, Any] = {
    "vmSize": "Standard_D1",
    "adminUserSshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAyV7LQ8ZkZ3gkq1mXAgTfX9UWrgJxJcQx1nTzj7jzq9 test",
    "fileMode": "0777",
    "directoryMode": "0777",
    "maxWallClockTime": "P1D",
    "communicationBackend": "Gloo",
    "minimumNodeCount": 0,
    "maximumNodeCount": 0,
    "initialNodeCount": 0,
    "targetNodeCount": 0,
    "commandLine": "true",
    "mountCommand": "true",
    "tags": {"team": "vision"},
}
VARIANTS = len(openapi.TOOLKITS)
BODIES = (
    "Workspaces_Create",
    "Workspaces_Update",
    "Clusters_Create",
    "Clusters_Update",
    "FileServers_Create",
    "Jobs_Create",
)
Path = tuple[Any, ...]  # names and indexes from the body to a value in it


class Case(NamedTuple):
    operation: str
    what: str
    named: str
    body: Any


def definition(schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return (name, DOCUMENT["definitions"][name]) if name else ("", schema)


def sample(schema: dict[str, Any], variant: int, name: str = "") -> Any:
    """A valid value with every property that goes with this variant's alternatives."""
    title, schema = definition(schema)
    if name in VALUES:
        return copy.deepcopy(VALUES[name])
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "array":
        return [sample(schema["items"], variant, name)]
    if kind != "object":
        return {"string": f"{name}{variant}", "integer": 1}[kind]
    alternatives = ALTERNATIVES.get(title, ())
    chosen = alternatives[variant % len(alternatives)] if alternatives else ""
    value = {}
    for child, entry in schema.get("properties", {}).items():
        if not entry.get("readOnly") and (child not in alternatives or child == chosen):
            value[child] = sample(entry, variant, child)
    if title in ("CNTKsettings", "CaffeSettings"):
        if title == "CNTKsettings":
            value["languageType"] = "BrainScript" if chosen == "configFilePath" else "Python"
        if chosen == "configFilePath":
            del value["pythonInterpreterPath"]
    return value


def body_schema(operation: str) -> dict[str, Any]:
    [parameter] = [entry for entry in OPERATIONS[operation][2]["parameters"] if entry.get("in") == "body"]
    schema: dict[str, Any] = parameter["schema"]
    return schema


def complete(operation: str, variant: int) -> Any:
    """The sample body of an operation: mounts at places of their own, a job for the cluster that is there."""
    body = sample(body_schema(operation), variant)
    properties = body.get("properties", {})
    for volumes in (properties.get("mountVolumes", {}), properties.get("nodeSetup", {}).get("mountVolumes", {})):
        for kind, entries in volumes.items():
            entries[0]["relativeMountPath"] = kind
    return body


def violations(schema: dict[str, Any], value: Any, path: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """Path, what is wrong, and the wrong value (None: the property is missing) for everything below `value`."""
    _, schema = definition(schema)
    kind = schema.get("type", "object")
    if kind == "array":
        yield from violations(schema["items"], value[0], (*path, 0))
        return
    for name, entry in schema.get("properties", {}).items():
        if name not in value:
            continue
        here = (*path, name)
        if name in schema.get("required", ()):
            yield here, "missing", None
        _, resolved = definition(entry)
        kind = resolved.get("type", "object")
        yield here, f"no {kind}", {"string": 5, "integer": "one", "array": {"a": 1}, "object": "text"}[kind]
        if "enum" in resolved:
            yield here, "not of the enum", "nonsense"
        if kind == "integer":
            yield here, "a fraction", 1.5
            yield here, "a truth value", True
            yield here, "too large for int32", 2**31
            yield here, "negative", -1
        if resolved.get("format") == "duration":
            yield here, "no duration", "1 week"
        if kind in ("object", "array"):
            yield from violations(entry, value[name], here)


def changed(body: Any, path: Path, value: Any) -> Any:
    body = copy.deepcopy(body)
    place = at(body, path[:-1])
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return body


def body_cases() -> Iterator[Any]:
    seen = set()
    for operation in BODIES:
        for variant in range(VARIANTS):
            body = complete(operation, variant)
            for path, what, wrong in violations(body_schema(operation), body):
                said = ".".join(str(step) for step in path)
                if (operation, said, what) not in seen:
                    seen.add((operation, said, what))
                    case = Case(operation, what, str(path[-1]), changed(body, path, wrong))
                    yield pytest.param(case, id=f"{operation}: {said} {what}")


def alternative_cases() -> Iterator[Any]:
    """None and two of each group of alternatives, wherever its definition stands in a body."""
    seen = set()
    for operation in BODIES:
        for variant in range(VARIANTS):
            body = complete(operation, variant)
            for title, path in places(body_schema(operation), body):
                said = ".".join(str(step) for step in path)
                if (operation, said) in seen:
                    continue
                seen.add((operation, said))
                names = ALTERNATIVES[title]
                none, two = copy.deepcopy(body), copy.deepcopy(body)
                for name in names:
                    at(none, path).pop(name, None)
                for name in names[:2]:
                    at(two, path)[name] = sample(DOCUMENT["definitions"][title]["properties"][name], variant, name)
                for what, wrong in (("none", none), ("two", two)):
                    case = Case(operation, what, names[0], wrong)
                    yield pytest.param(case, id=f"{operation}: {said} {what} of {', '.join(names)}")


def places(schema: dict[str, Any], value: Any, path: Path = ()) -> Iterator[tuple[str, Path]]:
    """Where in `value` a definition with alternatives stands."""
    title, schema = definition(schema)
    if title in ALTERNATIVES:
        yield title, path
    if isinstance(value, list):
        yield from places(schema["items"], value[0], (*path, 0))
    elif isinstance(value, dict):
        for name, entry in schema.get("properties", {}).items():
            if name in value:
                yield from places(entry, value[name], (*path, name))


def at(body: Any, path: Path) -> Any:
    for name in path:
        body = body[name]
    return body


class Target(NamedTuple):
    api: Api
    urls: dict[str, str]

    def send(self, operation: str, body: Any = None, query: str = "") -> tuple[int, Any]:
        method, _, _ = OPERATIONS[operation]
        if isinstance(body, dict) and operation == "Jobs_Create":
            cluster = body.get("properties", {}).get("cluster") if isinstance(body.get("properties"), dict) else None
            if isinstance(cluster, dict) and isinstance(cluster.get("id"), str):
                cluster["id"] = f"{self.api.workspace}/clusters/there"
        status, _, answer = self.api.call(method, self.urls[operation], body, query)
        return status, answer


@pytest.fixture(scope="module")
def target(service: Service) -> Target:
    """A workspace with one of everything, and URLs below it: of what is there to read and of new names to create."""
    api = Api(service, "validation")
    assert api.call("PUT", f"{api.workspace}/clusters/there", api.cluster_body(nodes=0))[0] == 202
    assert api.call("PUT", api.job("there"), api.job_body(cluster="there"))[0] == 202
    names = {
        "subscriptionId": SUBSCRIPTION,
        "resourceGroupName": "Lab",
        "workspaceName": "validation",
        "experimentName": "exp",
        "clusterName": "there",
        "jobName": "there",
        "fileServerName": "there",
        "location": "eastus",
    }
    urls = {}
    for operation, (_, path, _) in OPERATIONS.items():
        given = names if not operation.endswith("_Create") else {**names, re.findall(r"{(\w+)}", path)[-1]: "new"}
        urls[operation] = re.sub(r"{(\w+)}", lambda match, given=given: given[match[1]], path)  # type: ignore[misc]
    return Target(api, urls)


def refused(answer: tuple[int, Any], named: str) -> None:
    status, body = answer
    assert status == 400, body
    error = body["error"]
    assert error["code"]
    assert re.search(rf"\b{named}\b", error["message"]), error


@pytest.mark.parametrize("case", list(body_cases()))
def test_a_violated_constraint_is_named(target: Target, case: Case) -> None:
    refused(target.send(case.operation, case.body), case.named)


@pytest.mark.parametrize("case", list(alternative_cases()))
def test_exactly_one_of_the_alternatives(target: Target, case: Case) -> None:
    refused(target.send(case.operation, case.body), case.named)


@pytest.mark.parametrize("operation", BODIES)
@pytest.mark.parametrize("variant", range(VARIANTS))
def test_the_samples_are_taken(target: Target, operation: str, variant: int) -> None:
    """So that what is refused above is refused for its violation alone: 501 comes after all checks."""
    status, answer = target.send(operation, complete(operation, variant))
    assert status in (200, 202, 501), answer
    if operation.endswith("_Create") and status != 501:
        assert target.api.finish(target.api.call("DELETE", target.urls[operation])[1])["status"] == "Succeeded"


def query_cases() -> Iterator[Any]:
    for operation, (_, _, description) in OPERATIONS.items():
        for parameter in description["parameters"]:
            name = parameter["name"]
            if parameter["in"] != "query" or name == "api-version":
                continue
            if parameter.get("required"):
                yield pytest.param(operation, name, "", id=f"{operation}: {name} missing")
            if parameter["type"] == "integer":
                for wrong in (parameter["minimum"] - 1, parameter["maximum"] + 1, "x", "1.5", ""):
                    yield pytest.param(operation, name, f"&{name}={wrong}", id=f"{operation}: {name}={wrong}")


@pytest.mark.parametrize(("operation", "name", "query"), list(query_cases()))
def test_query_parameters(target: Target, operation: str, name: str, query: str) -> None:
    if operation == "Jobs_ListOutputFiles" and name != "outputdirectoryid":
        query += "&outputdirectoryid=stdouterr"
    refused(target.send(operation, query=query), name)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_api_version_is_required(target: Target, operation: str) -> None:
    method, _, _ = OPERATIONS[operation]
    status, _, answer = target.api.service.request(method, target.urls[operation])
    assert (status, answer["error"]["code"]) == (400, "MissingApiVersionParameter")


def path_cases() -> Iterator[Any]:
    for operation, (_, path, _) in OPERATIONS.items():
        for name in re.findall(r"{(\w+)}", path):
            wrong = ["a b", "ä", "a/b"] + (["x" * 65] if name.endswith("Name") and name != "resourceGroupName" else [])
            for value in wrong if name != "subscriptionId" else ["no-guid"]:
                yield pytest.param(operation, name, value, id=f"{operation}: {name}={value}")


@pytest.mark.parametrize(("operation", "name", "value"), list(path_cases()))
def test_path_parameters(target: Target, operation: str, name: str, value: str) -> None:
    method, path, _ = OPERATIONS[operation]
    given = {"subscriptionId": SUBSCRIPTION, name: quote(value, safe="")}
    url = re.sub(r"{(\w+)}", lambda match: given.get(match[1], "there"), path)
    status, _, answer = target.api.call(method, url)
    assert (status, answer["error"]["code"][:7]) == (400, "Invalid"), answer
    words = {"subscriptionId": "subscription", "resourceGroupName": "resource group"}
    assert words.get(name, name.removesuffix("Name")) in answer["error"]["message"]


@pytest.mark.parametrize(
    ("operation", "path", "value", "named"),
    [
        ("Clusters_Create", ("properties", "vmSize"), "", "vmSize"),
        ("Clusters_Create", ("properties", "vmSize"), "x" * 65, "vmSize"),
        ("Clusters_Create", ("properties", "vmSize"), "Standard D1", "vmSize"),
        ("Clusters_Create", ("properties", "userAccountSettings"), {"adminUserName": "a"}, "adminUserSshPublicKey"),
        ("Clusters_Create", ("properties", "userAccountSettings", "adminUserName"), "a b", "adminUserName"),
        ("Clusters_Create", ("properties", "scaleSettings", "manual", "targetNodeCount"), 1001, "targetNodeCount"),
        ("Clusters_Update", ("properties", "scaleSettings", "manual", "targetNodeCount"), 1001, "targetNodeCount"),
        ("FileServers_Create", ("properties", "dataDisks", "diskCount"), 0, "diskCount"),
        ("FileServers_Create", ("properties", "dataDisks", "diskSizeInGB"), 0, "diskSizeInGB"),
        ("FileServers_Create", ("properties", "sshConfiguration", "publicIPsToAllow"), ["*"] * 401, "publicIPsToAllow"),
        ("Jobs_Create", ("properties", "nodeCount"), 0, "nodeCount"),
        ("Jobs_Create", ("properties", "outputDirectories", 0, "id"), "a-b", "id"),
        ("Jobs_Create", ("properties", "environmentVariables", 0, "name"), "A=B", "name"),
        ("Jobs_Create", ("properties", "jobPreparation", "commandLine"), "", "commandLine"),
        ("Jobs_Create", ("properties", "stdOutErrPathPrefix"), "a\0b", "stdOutErrPathPrefix"),
        ("Jobs_Create", ("properties", "mountVolumes", "azureFileShares", 0, "fileMode"), "rwx", "fileMode"),
        ("Jobs_Create", ("properties", "inputDirectories", 0, "id"), "", "id"),
        ("Workspaces_Create", ("location",), "", "location"),
        ("Workspaces_Create", ("tags",), {"team": 5}, "tags"),
    ],
)
def test_what_only_the_text_says(target: Target, operation: str, path: Path, value: Any, named: str) -> None:
    """Constraints of wire.md 7 and of descriptions in the file, and what no node could do anything with."""
    refused(target.send(operation, changed(complete(operation, 0), path, value)), named)


@pytest.mark.parametrize(
    ("settings", "wrong", "named"),
    [
        ("cntkSettings", {"languageType": "Perl", "configFilePath": "a"}, "languageType"),
        ("cntkSettings", {"languageType": "BrainScript", "pythonScriptFilePath": "a"}, "configFilePath"),
        ("cntkSettings", {"languageType": "Python", "configFilePath": "a"}, "pythonScriptFilePath"),
        ("caffeSettings", {"configFilePath": "a", "pythonInterpreterPath": "b"}, "pythonInterpreterPath"),
        ("pyTorchSettings", {"pythonScriptFilePath": "a", "communicationBackend": "pigeon"}, "communicationBackend"),
        ("tensorFlowSettings", {"pythonScriptFilePath": "a", "parameterServerCount": 2}, "parameterServerCount"),
        ("horovodSettings", {"pythonScriptFilePath": "a", "processCount": 0}, "processCount"),
        ("customToolkitSettings", {"commandLine": ""}, "commandLine"),
    ],
)
def test_toolkits(target: Target, settings: str, wrong: dict[str, Any], named: str) -> None:
    body = complete("Jobs_Create", openapi.TOOLKITS.index(settings))
    body["properties"][settings] = wrong
    refused(target.send("Jobs_Create", body), named)


def test_nothing_came_of_it(target: Target) -> None:
    workspace = target.api.workspace
    for path, names in ((f"{workspace}/clusters", ["there"]), (f"{workspace}/fileServers", [])):
        assert [item["name"] for item in target.api.call("GET", path)[2]["value"]] == names
    jobs = target.api.call("GET", f"{workspace}/experiments/exp/jobs")[2]["value"]
    assert [job["name"] for job in jobs] == ["there"]

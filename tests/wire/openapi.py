"""What the published OpenAPI file says, as the tests use it, and what keeps generated requests harmless."""

import copy
import re
import zlib
from collections.abc import Iterator
from typing import Any

from facts import swagger

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = "fuzz"
MOUNT = "$AZ_BATCHAI_MOUNT_ROOT/afs"
_ONLY = {"subscriptionId": SUBSCRIPTION, "api-version": "2018-05-01"}


def load() -> dict[str, Any]:
    """The document made of the table of facts, ready for a generator of requests.

    Changed: a subscription is a GUID; the toolkit that the file's own text lists and its enum forgets is in the enum.
    The error body that 27 operations have is there for the other two as well.
    """
    document = swagger.load()
    for _, _, operation in operations(document):
        for parameter in operation["parameters"]:
            if parameter["name"] in _ONLY:
                parameter["enum"] = [_ONLY[parameter["name"]]]
        for answer in operation["responses"].values():
            answer["description"] = "required by the format"
    document["definitions"]["ToolType"]["enum"].append("pytorch")
    document["info"] = {"title": "Batch AI", "version": _ONLY["api-version"]}
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def link(document: dict[str, Any]) -> None:
    """Say what the file leaves unsaid: a resource that was made can be used by every operation below its path."""
    everything = list(operations(document))
    for method, path, operation in everything:
        if method != "PUT":
            continue
        links = {}
        for _, other, target in everything:
            if other == path or other.startswith(f"{path}/"):
                names = re.findall(r"{(\w+)}", path)
                parameters = {f"path.{name}": f"$request.path.{name}" for name in names}
                links[target["operationId"]] = {"operationId": target["operationId"], "parameters": parameters}
        for status in ("200", "202"):
            operation["responses"][status]["x-links"] = copy.deepcopy(links)


def plausible(value: Any, cluster: str) -> Any:
    """The body with most values as a service would take them, so that requests get past its checks."""
    if isinstance(value, list):
        return [plausible(item, cluster) for item in value]
    if not isinstance(value, dict):
        return value or "x" if isinstance(value, str) else value
    value = {name: plausible(item, cluster) for name, item in value.items()}
    for name, likely in _LIKELY.items():
        if type(value.get(name)) is type(likely):
            value[name] = likely
    for name in ("environmentVariables", "secrets", "inputDirectories", "outputDirectories"):
        for number, entry in enumerate(_objects(value.get(name))):
            entry[_KEYS[name]] = f"NAME_{number}"
    for number, volume in enumerate(volume for name in _VOLUMES for volume in _objects(value.get(name))):
        volume["relativeMountPath"] = f"mount{number}"
    if "cluster" in value:
        value["cluster"] = {"id": cluster}
    if "adminUserName" in value:
        value["adminUserPassword"] = "Secret-of-the-cluster"
    value.pop("languageType", None)
    for names in (*_ONE_OF, TOOLKITS):
        given = [name for name in names if name in value]
        kept = dice(value) % len(given) if given else 0
        for name in given[:kept] + given[kept + 1 :]:
            del value[name]
    if "nodeCount" in value and not any(name in value for name in TOOLKITS):
        value["customToolkitSettings"] = {"commandLine": "true"}
    for name, empty in (("scaleSettings", {}), ("credentials", {})):
        if value.get(name) == empty:
            value[name] = {"manual": {"targetNodeCount": 0}} if name == "scaleSettings" else {"accountKey": "a2V5"}
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


TOOLKITS = (
    "cntkSettings",
    "pyTorchSettings",
    "tensorFlowSettings",
    "caffeSettings",
    "caffe2Settings",
    "chainerSettings",
    "customToolkitSettings",
    "customMpiSettings",
    "horovodSettings",
)
_KEYS = {"environmentVariables": "name", "secrets": "name", "inputDirectories": "id", "outputDirectories": "id"}
_VOLUMES = ("azureFileShares", "azureBlobFileSystems", "fileServers", "unmanagedFileSystems")
_LIKELY: dict[str, Any] = {
    "vmSize": "Standard_D1",
    "adminUserName": "demo",
    "adminUserSshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAyV7LQ8ZkZ3gkq1mXAgTfX9UWrgJxJcQx1nTzj7jzq9 fuzz",
    "fileMode": "0777",
    "directoryMode": "0777",
    "maxWallClockTime": "PT10M",
    "location": "eastus",
    "minimumNodeCount": 0,
    "initialNodeCount": 0,
    "maximumNodeCount": 1,
    "targetNodeCount": 1,
    "nodeCount": 1,
    "processCount": 1,
    "workerCount": 1,
    "parameterServerCount": 1,
    "diskCount": 1,
    "diskSizeInGB": 1,
    "communicationBackend": "gloo",
}
_ONE_OF = (
    ("manual", "autoScale"),
    ("accountKey", "accountKeySecretReference"),
    ("password", "passwordSecretReference"),
    ("value", "valueSecretReference"),
    ("instrumentationKey", "instrumentationKeySecretReference"),
    ("configFilePath", "pythonScriptFilePath"),
)

# What a node would execute or write to: never a generated text.
_COMMANDS = re.compile(r"commandLine|\w*[cC]ommandLineArgs|mountCommand|python\w+Path|configFilePath")
_PLACES = re.compile(r"stdOutErrPathPrefix|pathPrefix")
_COUNTS = re.compile(r"\w*(?:Node|process|worker|parameterServer|node)Count")


def harmless(value: Any) -> Any:
    """The same body with nothing in it that could do harm on this machine.

    A command line becomes `true`, an output path the mounted share, a count of nodes or processes that the service may
    accept 1 at most. A value of a wrong type stays: it is refused.
    """
    if isinstance(value, list):
        return [harmless(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, item in value.items():
        if isinstance(item, str) and _COMMANDS.fullmatch(name):
            item = "true"
        elif isinstance(item, str) and _PLACES.fullmatch(name):
            item = MOUNT
        elif isinstance(item, (int, float)) and not isinstance(item, bool) and _COUNTS.fullmatch(name):
            item = 1 if 1 < item <= 100_000 else item
        result[name] = harmless(item)
    return result


def has_null(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(has_null(child) for child in children)


def dice(*values: object) -> int:
    """A number that depends on the generated values alone, so that a failure can be repeated."""
    return zlib.crc32(repr(values).encode())

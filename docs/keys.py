"""Writes what is known of the keys of configuration files: JSON Schemas, and the tables of docs/*.md.

Types, defaults and what is required come from the published OpenAPI file (tests/facts/swagger.json), the words from
KEYS below. The schemas go into the extension and, the same, into docs/schemas.

python docs/keys.py            write the files
python docs/keys.py --check    fail where they are not up to date
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- python docs/keys.py -->\n", "<!-- end -->\n"
FILES = {
    "job": ("JobBaseProperties", "A job of `az batchai job create -f`."),
    "cluster": ("ClusterBaseProperties", "A cluster of `az batchai cluster create -f`."),
    "file-server": ("FileServerBaseProperties", "A file server of `az batchai file-server create -f`."),
}
PAGES = {"job": ROOT / "docs" / "job.md", "cluster": ROOT / "docs" / "cluster.md"}
# Required on the wire; in a file they may be left to the command line, which fills them in.
FILLED_IN = {
    *("cluster", "credentials", "accountName", "azureFileUrl", "vmSize", "userAccountSettings", "adminUserName"),
    "SetupTask.stdOutErrPathPrefix",
}
# What the service fills in where the OpenAPI file says otherwise (wire.md 2).
DEFAULTS = {"maxWallClockTime": "P150D"}
# `Type.key` comes before `key`.
KEYS = {
    "schedulingPriority": "Which job of the cluster's queue starts first.",
    "cluster": "The cluster to run on; `--cluster` comes before it.",
    "ResourceId.id": "An ARM ID: /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/...",
    "mountVolumes": "What is mounted while the job (or the cluster) is there.",
    "NodeSetup.mountVolumes": "What is mounted on every node, below $AZ_BATCHAI_MOUNT_ROOT.",
    "JobBaseProperties.mountVolumes": "What is mounted while the job runs, below $AZ_BATCHAI_JOB_MOUNT_ROOT.",
    "nodeCount": "How many nodes the job gets, all at once.",
    "containerSettings": "The image to run in. By default the job runs on the node itself.",
    "cntkSettings": "CNTK: a script or a configuration under MPI.",
    "pyTorchSettings": "PyTorch: processes that know their rank and how to find each other.",
    "tensorFlowSettings": "TensorFlow: a master, workers and parameter servers.",
    "caffeSettings": "Caffe: a solver configuration or a script.",
    "caffe2Settings": "Caffe2: the script once on every node.",
    "chainerSettings": "Chainer: the script in every process of an MPI world.",
    "customToolkitSettings": "Any command line, run once on the first node.",
    "customMpiSettings": "Any command line, run in every process of an MPI world.",
    "horovodSettings": "Horovod: the script in every process of an MPI world.",
    "jobPreparation": "A command line that each node runs before the job.",
    "stdOutErrPathPrefix": "Folder that the output goes below, on a mounted volume.",
    "stdOutErrPathSuffix": "Where the output is, below the prefix.",
    "inputDirectories": "Folders that the job reads: $AZ_BATCHAI_INPUT_ID is the path.",
    "outputDirectories": "Folders that the job writes: $AZ_BATCHAI_OUTPUT_ID is the path.",
    "environmentVariables": "Variables of the processes.",
    "secrets": "Variables whose values nobody is shown again.",
    "constraints": "Limits of the job.",
    "maxWallClockTime": "How long the job may run: an ISO 8601 duration such as PT1H or P7D.",
    "languageType": "`BrainScript` or `Python`.",
    "configFilePath": "Path of the configuration file.",
    "pythonScriptFilePath": "Path of the script on the node.",
    "pythonInterpreterPath": "The Python to run it with; by default `python` of the node's PATH.",
    "commandLineArgs": "Arguments of the script. Variables in them are replaced.",
    "processCount": "How many processes, over all nodes; by default one for each node.",
    "communicationBackend": "`tcp`, `gloo` or `mpi`.",
    "masterCommandLineArgs": "Arguments of the script in the master.",
    "workerCommandLineArgs": "Arguments of the script in the other workers.",
    "parameterServerCommandLineArgs": "Arguments of the script in parameter servers.",
    "workerCount": "How many workers, the master included; by default one for each node.",
    "parameterServerCount": "How many parameter servers; by default 1 in a distributed job.",
    "commandLine": "The command line, run by a shell.",
    "imageSourceRegistry": "Where the image is.",
    "shmSize": "Size of /dev/shm in the container, such as 2g.",
    "serverUrl": "The registry; by default Docker Hub.",
    "image": "Name of the image, such as tensorflow/tensorflow:1.10.0.",
    "PrivateRegistryCredentials.username": "Name to log in to the registry with.",
    "password": "Password of the registry.",
    "passwordSecretReference": "The password in a key vault.",
    "ImageSourceRegistry.credentials": "Login of a registry that is not public.",
    "credentials": "Key of the storage account; looked up where it is left out.",
    "accountKey": "The key; `<AZURE_BATCHAI_STORAGE_KEY>` stands for the configured one.",
    "accountKeySecretReference": "The key in a key vault.",
    "sourceVault": "The key vault.",
    "secretUrl": "URL of the secret in it.",
    "valueSecretReference": "The value in a key vault.",
    "InputDirectory.id": "Name of the directory in $AZ_BATCHAI_INPUT_ID.",
    "OutputDirectory.id": "Name of the directory in $AZ_BATCHAI_OUTPUT_ID and of `job file list -d`.",
    "path": "Path on the node, usually below a mount root.",
    "pathPrefix": "Folder that the job's own one is made below, on a mounted volume.",
    "pathSuffix": "Path within the job's own folder.",
    "name": "Name of the variable.",
    "value": "Its value.",
    "azureFileShares": "Azure file shares.",
    "azureBlobFileSystems": "Azure blob containers.",
    "fileServers": "File servers of Batch AI.",
    "unmanagedFileSystems": "Anything else that a mount command mounts.",
    "accountName": "The storage account; `<AZURE_BATCHAI_STORAGE_ACCOUNT>` stands for the configured one.",
    "azureFileUrl": "https://ACCOUNT.file.core.windows.net/SHARE",
    "containerName": "Name of the container.",
    "relativeMountPath": "Where it is mounted, relative to the mount root.",
    "fileMode": "Mode of files.",
    "directoryMode": "Mode of folders.",
    "mountOptions": "Options of the mount.",
    "fileServer": "The file server.",
    "sourceDirectory": "The folder of it to mount; by default all.",
    "mountCommand": "The command, to which the folder is added.",
    "vmSize": "VM size, such as Standard_NC6; `--vm-size` comes before it.",
    "vmPriority": "Low-priority nodes cost less and may be taken away.",
    "scaleSettings": "How many nodes there are.",
    "manual": "A number of nodes that you set.",
    "autoScale": "A number of nodes that follows the queue.",
    "targetNodeCount": "How many nodes.",
    "nodeDeallocationOption": "What becomes of jobs on nodes that go.",
    "minimumNodeCount": "Fewest nodes.",
    "maximumNodeCount": "Most nodes.",
    "initialNodeCount": "Nodes to begin with.",
    "virtualMachineConfiguration": "The machines of the nodes.",
    "imageReference": "Their image; by default the service chooses.",
    "publisher": "Publisher of the image.",
    "offer": "Offer of the image.",
    "sku": "SKU of the image.",
    "version": "Version of the image.",
    "virtualMachineImageId": "ARM ID of an image of your own.",
    "nodeSetup": "What nodes do before they take jobs.",
    "setupTask": "A command line that each node runs when it is allocated.",
    "performanceCountersSettings": "Where performance counters go.",
    "appInsightsReference": "Application Insights.",
    "component": "Its component.",
    "instrumentationKey": "Its key.",
    "instrumentationKeySecretReference": "Its key in a key vault.",
    "userAccountSettings": "The administrator of the nodes.",
    "adminUserName": "Name; by default your own.",
    "adminUserSshPublicKey": "SSH public key to log in with.",
    "adminUserPassword": "Password to log in with.",
    "subnet": "Subnet of the nodes.",
    "sshConfiguration": "Who may log in.",
    "publicIPsToAllow": "Addresses to allow; by default all.",
    "dataDisks": "The disks.",
    "diskSizeInGB": "Size of each disk in GB.",
    "cachingType": "Caching of the disks.",
    "diskCount": "How many disks.",
    "storageAccountType": "Kind of the disks.",
}


def types() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "tests" / "facts" / "swagger.json").read_text(encoding="utf-8"))["types"]
    return found


def words(of_type: str, key: str) -> str:
    return KEYS.get(f"{of_type}.{key}") or KEYS[key]


def schema(noun: str) -> dict[str, Any]:
    """JSON Schema of a configuration file: the body of the request, or its `properties` alone."""
    name, title = FILES[noun]
    known = types()
    needed = [name]
    definitions: dict[str, Any] = {}
    while needed:
        current = needed.pop()
        if current not in definitions:
            definitions[current] = _object(current, known[current], known, needed)
    definitions[name]["properties"] = {"$schema": {"type": "string"}, **definitions[name]["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "if": {"required": ["properties"]},
        "then": {
            "properties": {"$schema": {"type": "string"}, "properties": {"$ref": f"#/$defs/{name}"}},
            "additionalProperties": False,
        },
        "else": {"$ref": f"#/$defs/{name}"},
        "$defs": dict(sorted(definitions.items())),
    }


def _object(name: str, keys: dict[str, Any], known: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    properties, required = {}, []
    for key, of_key in keys.items():
        if isinstance(of_key, dict):
            entry = _object(name, of_key, known, needed)
        else:
            kind, _, rest = of_key.partition(" ")
            if "ro" in rest.split():
                continue
            if kind.endswith("!") and not FILLED_IN & {key, f"{name}.{key}"}:
                required.append(key)
            entry = _kind(kind.rstrip("!"), known, needed)
            default = _default(key, rest)
            if default:
                entry["default"] = int(default) if entry.get("type") == "integer" else default
        properties[key] = {"description": words(name, key), **entry}
    made = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {key: value for key, value in made.items() if value != []}


def _default(key: str, rest: str) -> str:
    return DEFAULTS.get(key) or rest.partition("= ")[2]


def _kind(kind: str, known: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    if kind.startswith("["):
        return {"type": "array", "items": _kind(kind[1:-1], known, needed)}
    if isinstance(known.get(kind), dict):
        needed.append(kind)
        return {"$ref": f"#/$defs/{kind}"}
    kind = str(known.get(kind, kind)).partition(" ")[0]
    if "|" in kind:
        return {"type": "string", "enum": kind.split("|")}
    if kind == "duration":
        return {"type": "string", "pattern": r"^P(?!$)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$"}
    return {"type": {"string": "string", "int32": "integer"}[kind]}


def table(noun: str) -> str:
    """The keys as Markdown: one table for the file, one for each object in it."""
    made = schema(noun)
    of_file = FILES[noun][0]
    parts = [_rows(made["$defs"][of_file])]
    for name, entry in made["$defs"].items():
        if name != of_file:
            users = ", ".join(f"`{key}`" for key in sorted(_users(made, name)))
            parts.append(f"### {name}\n\nOf {users}.\n\n{_rows(entry)}")
    return "\n".join(parts)


def _users(made: dict[str, Any], name: str) -> set[str]:
    reference = {"$ref": f"#/$defs/{name}"}
    return {
        key
        for entry in made["$defs"].values()
        for key, value in entry["properties"].items()
        if reference.items() <= value.items() or value.get("items") == reference
    }


def _rows(entry: dict[str, Any], above: str = "") -> str:
    lines = [] if above else ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, value in entry["properties"].items():
        if key == "$schema":
            continue
        default = (
            "required" if key in entry.get("required", ()) else f"`{value['default']}`" if "default" in value else ""
        )
        lines.append(f"| `{above}{key}` | {_type(value)} | {default} | {value['description']} |")
        if "properties" in value:
            lines.append(_rows(value, f"{above}{key}.").rstrip())
    return "\n".join(lines) + "\n"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in value:
        return " or ".join(f"`{word}`" for word in value["enum"])
    if value["type"] == "array":
        return f"list of {_type(value['items'])}"
    return {"integer": "whole number", "string": "duration" if "pattern" in value else "text"}.get(
        value["type"], "object"
    )


def files() -> dict[Path, str]:
    made = {}
    for noun in FILES:
        text = json.dumps(schema(noun), indent=2) + "\n"
        made[ROOT / "azext_batchai" / "schemas" / f"{noun}.json"] = text
        made[ROOT / "docs" / "schemas" / f"{noun}.json"] = text
    for noun, page in PAGES.items():
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        made[page] = f"{before}{BEGIN}{table(noun)}{END}{rest.partition(END)[2]}"
    return made


def main() -> int:
    made = files()
    if "--check" in sys.argv:
        old = [
            str(path.relative_to(ROOT)) for path, text in made.items() if not path.is_file() or path.read_text() != text
        ]
        if old:
            sys.stdout.write(f"not up to date, run python docs/keys.py: {', '.join(old)}\n")
        return 1 if old else 0
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

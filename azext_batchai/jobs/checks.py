"""What can be said of a job before it is sent: what it lacks, and what its cluster cannot give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from azext_batchai.jobs.state import most_nodes

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
_CLUSTER_ROOT = "$AZ_BATCHAI_MOUNT_ROOT/"
# The keys of which a job has exactly one.
TOOLKITS = {
    "custom": "customToolkitSettings",
    "custommpi": "customMpiSettings",
    "pytorch": "pyTorchSettings",
    "tensorflow": "tensorFlowSettings",
    "horovod": "horovodSettings",
    "chainer": "chainerSettings",
    "cntk": "cntkSettings",
    "caffe": "caffeSettings",
    "caffe2": "caffe2Settings",
}


def schema(noun: str) -> dict[str, Any]:
    """The JSON Schema of the configuration files of `az batchai NOUN create`."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{noun}.json").read_text(encoding="utf-8"))
    return found


def problems(properties: dict[str, Any], cluster: Any = None) -> list[str]:
    """What is wrong with the properties of a job, whose keys and types are right; `cluster`: SDK Cluster, if known."""
    found = [f"'{path}' is required." for path in _missing(schema("job"), properties)]
    given = [name for name in TOOLKITS.values() if properties.get(name) is not None]
    if len(given) != 1:
        what = f"there are {', '.join(given)}" if given else f"there is none of {', '.join(TOOLKITS.values())}"
        found.append(f"A job has exactly one toolkit; {what}.")
    count = properties.get("nodeCount")
    if count is not None and count < 1:
        found.append("'nodeCount' is less than 1.")
    for index, secret in enumerate(properties.get("secrets") or []):
        if secret.get("value") is None and secret.get("valueSecretReference") is None:
            name = secret.get("name")
            found.append(f"'secrets[{index}].value' is required: nobody is shown the value of {name} again.")
    if cluster is not None:
        found += problems_of_cluster(properties, cluster)
    return found


def _missing(of_file: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    definitions = of_file["$defs"]

    def walk(entry: dict[str, Any], value: Any, path: str) -> list[str]:
        entry = definitions[entry["$ref"].rpartition("/")[2]] if "$ref" in entry else entry
        if isinstance(value, list):
            return [line for index, item in enumerate(value) for line in walk(entry["items"], item, f"{path}[{index}]")]
        if not isinstance(value, dict):
            return []
        prefix = f"{path}." if path else ""
        lines = [f"{prefix}{key}" for key in entry.get("required", ()) if value.get(key) is None]
        for key, item in value.items():
            if key in entry.get("properties", {}):
                lines += walk(entry["properties"][key], item, f"{prefix}{key}")
        return lines

    return walk(of_file["else"], properties, "")


def problems_of_cluster(properties: dict[str, Any], cluster: Any) -> list[str]:
    """What this cluster (SDK) cannot give, as it is now."""
    found = []
    needed, most = properties.get("nodeCount") or 1, most_nodes(cluster.scale_settings)
    if most is not None and needed > most:
        found.append(f"'nodeCount' is {needed}, and cluster {cluster.name} is set to {most} at most.")
    mounted = _mounted(cluster)
    for where, path in _paths(properties):
        rest = path.removeprefix(_CLUSTER_ROOT)
        if rest != path and not any(rest == place or rest.startswith(f"{place}/") for place in mounted):
            there = ", ".join(f"{_CLUSTER_ROOT}{place}" for place in mounted) or "nothing"
            found.append(f"'{where}' is {path}, and cluster {cluster.name} mounts {there}.")
    return found


def _mounted(cluster: Any) -> list[str]:
    volumes = cluster.node_setup.mount_volumes if cluster.node_setup else None
    kinds = ("azure_file_shares", "azure_blob_file_systems", "file_servers", "unmanaged_file_systems")
    return [volume.relative_mount_path.strip("/") for kind in kinds for volume in getattr(volumes, kind, None) or []]


def _paths(properties: dict[str, Any]) -> list[tuple[str, str]]:
    paths = [("stdOutErrPathPrefix", properties.get("stdOutErrPathPrefix") or "")]
    for kind, key in (("inputDirectories", "path"), ("outputDirectories", "pathPrefix")):
        for index, entry in enumerate(properties.get(kind) or []):
            paths.append((f"{kind}[{index}].{key}", entry.get(key) or ""))
    return [(where, path.replace("${AZ_BATCHAI_MOUNT_ROOT}", "$AZ_BATCHAI_MOUNT_ROOT")) for where, path in paths]

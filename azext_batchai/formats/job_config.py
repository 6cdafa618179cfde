"""The configuration that makes a job like one that there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# JobBaseProperties of the API version 2018-05-01: what a job is created with.
NAMES = (
    "schedulingPriority",
    "cluster",
    "mountVolumes",
    "nodeCount",
    "containerSettings",
    "cntkSettings",
    "pyTorchSettings",
    "tensorFlowSettings",
    "caffeSettings",
    "caffe2Settings",
    "chainerSettings",
    "customToolkitSettings",
    "customMpiSettings",
    "horovodSettings",
    "jobPreparation",
    "stdOutErrPathPrefix",
    "inputDirectories",
    "outputDirectories",
    "environmentVariables",
    "secrets",
    "constraints",
)


def config_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What `job create -f` takes, from a job's properties (JSON); keys and secrets are not in those."""
    kept = {key: value for key, value in properties.items() if key in NAMES and value not in (None, [], {})}
    return {"properties": kept}

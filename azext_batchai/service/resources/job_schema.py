"""The body of a job (JobBaseProperties of tests/facts/swagger.json), in the order of the wire (wire.md 1.4)."""

from __future__ import annotations

from azext_batchai.service import toolkits
from azext_batchai.service.arm.schema import Array, Duration, Enum, Field, Integer, Object, String
from azext_batchai.service.resources import clusters, volumes

_TEXT = Field(String(minimum=1), required=True)
_ID = Field(String(r"[A-Za-z0-9_]+", minimum=1), required=True)

_REGISTRY = Object(
    {
        "serverUrl": Field(String(minimum=1)),
        "image": _TEXT,
        "credentials": Field(
            Object(
                {
                    "username": _TEXT,
                    "password": Field(String(), secret=True),
                    "passwordSecretReference": Field(volumes.KEY_VAULT_SECRET),
                },
                one_of=("password", "passwordSecretReference"),
            )
        ),
    }
)
JOB = Object(
    {
        "schedulingPriority": Field(Enum(("low", "normal", "high")), default="normal"),
        "cluster": Field(volumes.RESOURCE_ID, required=True),
        "nodeCount": Field(Integer(1, clusters.MAX_NODES), required=True),
        "containerSettings": Field(
            Object({"imageSourceRegistry": Field(_REGISTRY, required=True), "shmSize": Field(String(minimum=1))})
        ),
        "mountVolumes": Field(volumes.MOUNT_VOLUMES),
        **{name: Field(toolkit.SCHEMA) for name, toolkit in toolkits.BY_SETTINGS.items()},
        "jobPreparation": Field(Object({"commandLine": _TEXT})),
        "stdOutErrPathPrefix": _TEXT,
        "inputDirectories": Field(Array(Object({"id": _ID, "path": _TEXT}))),
        "outputDirectories": Field(Array(Object({"id": _ID, "pathPrefix": _TEXT, "pathSuffix": Field(String())}))),
        "environmentVariables": Field(clusters.ENVIRONMENT),
        "secrets": Field(clusters.SECRETS),
        "constraints": Field(
            Object({"maxWallClockTime": Field(Duration(), default="P150D")}), default={"maxWallClockTime": "P150D"}
        ),
    },
    one_of=tuple(toolkits.BY_SETTINGS),
)

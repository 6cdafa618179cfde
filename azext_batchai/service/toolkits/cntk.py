"""CNTK: a BrainScript configuration or a Python script, under MPI where there are several processes (wire.md 5.5)."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.schema import Enum, Field, Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import (
    SCRIPT_OR_CONFIGURATION,
    ToolkitJob,
    check_interpreter,
    one_port,
    ranks,
    script_or_configuration,
)

SETTINGS, TOOL_TYPE = "cntkSettings", "cntk"


def _check(settings: dict[str, Any], path: str) -> None:
    """BrainScript goes with a configuration, Python with a script and an interpreter (wire.md 7)."""
    language = settings.get("languageType")
    if language == "BrainScript" and "pythonScriptFilePath" in settings:
        raise bad_request(f"'{path}': languageType BrainScript goes with configFilePath.", path)
    if language == "Python" and "configFilePath" in settings:
        raise bad_request(f"'{path}': languageType Python goes with pythonScriptFilePath.", path)
    check_interpreter(settings, path)


SCHEMA = Object(
    {
        "languageType": Field(Enum(("BrainScript", "Python"))),
        **SCRIPT_OR_CONFIGURATION,
    },
    one_of=("configFilePath", "pythonScriptFilePath"),
    check=_check,
)
ports_needed = one_port


def launch_plan(job: ToolkitJob) -> list[Process]:
    return ranks(job, script_or_configuration(job, "cntk configFile="), least=2)

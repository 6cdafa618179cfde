"""CNTK: a BrainScript configuration or a Python script, under MPI where there are several processes (wire.md 5.5)."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.schema import Enum, Field, Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import ARGUMENTS, PROCESS_COUNT, TEXT, ToolkitJob, python_command

SETTINGS, TOOL_TYPE = "cntkSettings", "cntk"


def _check(settings: dict[str, Any], path: str) -> None:
    """BrainScript goes with a configuration, Python with a script and an interpreter (wire.md 7)."""
    language = settings.get("languageType")
    if language == "BrainScript" and "pythonScriptFilePath" in settings:
        raise bad_request(f"'{path}': languageType BrainScript goes with configFilePath.", path)
    if language == "Python" and "configFilePath" in settings:
        raise bad_request(f"'{path}': languageType Python goes with pythonScriptFilePath.", path)
    if "pythonInterpreterPath" in settings and "pythonScriptFilePath" not in settings:
        raise bad_request(f"'{path}': pythonInterpreterPath goes with pythonScriptFilePath.", path)


SCHEMA = Object(
    {
        "languageType": Field(Enum(("BrainScript", "Python"))),
        "configFilePath": TEXT,
        "pythonScriptFilePath": TEXT,
        "pythonInterpreterPath": TEXT,
        "commandLineArgs": ARGUMENTS,
        "processCount": PROCESS_COUNT,
    },
    one_of=("configFilePath", "pythonScriptFilePath"),
    check=_check,
)


def launch_plan(job: ToolkitJob) -> list[Process]:
    settings, count = job.settings, job.settings["processCount"]
    if "configFilePath" in settings:
        command_line = f"cntk configFile={settings['configFilePath']} {settings.get('commandLineArgs', '')}".strip()
    else:
        command_line = python_command(settings)
    return [Process(0, command_line, "stdout.txt", "stderr.txt", world_size=count if count > 1 else 0)]

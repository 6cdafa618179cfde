"""Caffe: a solver configuration or a Python script, under MPI where there are several processes (wire.md 5.5)."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.schema import Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import ARGUMENTS, PROCESS_COUNT, TEXT, ToolkitJob, python_command

SETTINGS, TOOL_TYPE = "caffeSettings", "caffe"


def _check(settings: dict[str, Any], path: str) -> None:
    if "pythonInterpreterPath" in settings and "pythonScriptFilePath" not in settings:
        raise bad_request(f"'{path}': pythonInterpreterPath goes with pythonScriptFilePath.", path)


SCHEMA = Object(
    {
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
        command_line = (
            f"caffe train --solver={settings['configFilePath']} {settings.get('commandLineArgs', '')}".strip()
        )
    else:
        command_line = python_command(settings)
    return [Process(0, command_line, "stdout.txt", "stderr.txt", world_size=count if count > 1 else 0)]

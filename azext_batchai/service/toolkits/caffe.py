"""Caffe: a solver configuration or a Python script, under MPI where there are several processes (wire.md 5.5)."""

from __future__ import annotations

from azext_batchai.service.arm.schema import Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import (
    SCRIPT_OR_CONFIGURATION,
    ToolkitJob,
    check_interpreter,
    one_port,
    ranks,
    script_or_configuration,
)

SETTINGS, TOOL_TYPE = "caffeSettings", "caffe"
SCHEMA = Object(SCRIPT_OR_CONFIGURATION, one_of=("configFilePath", "pythonScriptFilePath"), check=check_interpreter)
ports_needed = one_port


def launch_plan(job: ToolkitJob) -> list[Process]:
    return ranks(job, script_or_configuration(job, "caffe train --solver="), least=2)

"""Horovod: the script runs in every process of an MPI world (wire.md 5.5)."""

from __future__ import annotations

from azext_batchai.service.arm.schema import Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import (
    PROCESS_COUNT,
    PYTHON_SCRIPT,
    ToolkitJob,
    one_port,
    python_command,
    ranks,
)

SETTINGS, TOOL_TYPE = "horovodSettings", "horovod"
SCHEMA = Object({**PYTHON_SCRIPT, "processCount": PROCESS_COUNT})
ports_needed = one_port


def launch_plan(job: ToolkitJob) -> list[Process]:
    return ranks(job, python_command(job.settings))

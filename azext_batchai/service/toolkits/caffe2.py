"""Caffe2: one process a node, each told its index (wire.md 5.4, 5.5)."""

from __future__ import annotations

from azext_batchai.service.arm.schema import Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import PYTHON_SCRIPT, ToolkitJob, python_command

SETTINGS, TOOL_TYPE = "caffe2Settings", "caffe2"
SCHEMA = Object(PYTHON_SCRIPT)


def launch_plan(job: ToolkitJob) -> list[Process]:
    command_line = python_command(job.settings)
    return [
        Process(node, command_line, f"stdout-{node}.txt", f"stderr-{node}.txt", {"AZ_BATCHAI_TASK_INDEX": str(node)})
        for node in range(job.node_count)
    ]

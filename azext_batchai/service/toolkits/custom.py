"""The custom toolkit: the command line runs once, on the master node (wire.md 5.5)."""

from __future__ import annotations

from azext_batchai.service.arm.schema import Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import REQUIRED_TEXT, ToolkitJob

SETTINGS, TOOL_TYPE = "customToolkitSettings", "custom"
SCHEMA = Object({"commandLine": REQUIRED_TEXT})


def launch_plan(job: ToolkitJob) -> list[Process]:
    return [Process(0, job.settings["commandLine"], "stdout.txt", "stderr.txt")]

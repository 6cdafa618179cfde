"""The custom MPI toolkit: the command line runs in every process of an MPI world (wire.md 5.5)."""

from __future__ import annotations

from azext_batchai.service.arm.schema import Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import PROCESS_COUNT, REQUIRED_TEXT, ToolkitJob, one_port, ranks

SETTINGS, TOOL_TYPE = "customMpiSettings", "custommpi"
SCHEMA = Object({"commandLine": REQUIRED_TEXT, "processCount": PROCESS_COUNT})
ports_needed = one_port


def launch_plan(job: ToolkitJob) -> list[Process]:
    return ranks(job, job.settings["commandLine"])

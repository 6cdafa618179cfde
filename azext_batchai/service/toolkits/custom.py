"""The custom toolkit: the command line runs once, on the master node (wire.md 5.5)."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.engine.base import Process


def launch_plan(job_properties: dict[str, Any]) -> list[Process]:
    command_line = job_properties["customToolkitSettings"]["commandLine"]
    return [Process(0, command_line, "stdout.txt", "stderr.txt")]

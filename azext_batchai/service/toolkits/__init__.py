"""Toolkits: from a job's settings to the processes that make it up. One module per toolkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits import custom

_PLANS: dict[str, Callable[[dict[str, Any]], list[Process]]] = {"custom": custom.launch_plan}


def launch_plan(job_properties: dict[str, Any]) -> list[Process]:
    """The processes of a job; pure, nothing is started."""
    return _PLANS[job_properties["toolType"]](job_properties)

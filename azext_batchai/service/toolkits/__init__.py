"""Toolkits: from a job's settings to the processes that make it up. One module per toolkit; all of it is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits import (
    caffe,
    caffe2,
    chainer,
    cntk,
    custom,
    custom_mpi,
    horovod,
    pytorch,
    rendezvous,
    tensorflow,
)
from azext_batchai.service.toolkits.common import ToolkitJob

# By the name of the settings object, in the order of the wire.
BY_SETTINGS: dict[str, ModuleType] = {
    module.SETTINGS: module
    for module in (cntk, pytorch, tensorflow, caffe, caffe2, chainer, custom, custom_mpi, horovod)
}
_BY_TOOL_TYPE = {module.TOOL_TYPE: module for module in BY_SETTINGS.values()}


def settings_of(job_properties: Mapping[str, Any]) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = job_properties[_BY_TOOL_TYPE[job_properties["toolType"]].SETTINGS]
    return settings


def fill(job_properties: dict[str, Any]) -> None:
    """Fill what depends on the node count. Raises ArmError 400 for counts that cannot be (wire.md 5.5)."""
    nodes = job_properties["nodeCount"]
    for name, toolkit in BY_SETTINGS.items():
        settings = job_properties.get(name)
        if settings is not None and "processCount" in toolkit.SCHEMA.fields:
            settings.setdefault("processCount", nodes)
        if settings is not None and settings.get("parameterServerCount", 1) > nodes:
            path = f"properties.{name}.parameterServerCount"
            raise bad_request(f"'{path}' is larger than nodeCount {nodes}.", path)


def ports_needed(job_properties: Mapping[str, Any]) -> int:
    """How many ports the job's processes must be given to find each other."""
    needed = getattr(_BY_TOOL_TYPE[job_properties["toolType"]], "ports_needed", None)
    return needed(settings_of(job_properties), job_properties["nodeCount"]) if needed else 0


def launch_plan(job_properties: Mapping[str, Any], addresses: list[str], ports: list[int]) -> list[Process]:
    """The processes of a job; pure, nothing is started."""
    job = ToolkitJob(settings_of(job_properties), addresses, ports)
    processes: list[Process] = _BY_TOOL_TYPE[job_properties["toolType"]].launch_plan(job)
    return [
        replace(process, environment=rendezvous.without_users_own(process.environment, job_properties))
        for process in processes
    ]

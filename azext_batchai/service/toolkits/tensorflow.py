"""TensorFlow: a master (worker 0), workers and parameter servers that know each other (wire.md 5.4, 5.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azext_batchai.service.arm.schema import Field, Integer, Object
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits.common import (
    ARGUMENTS,
    MAX_PROCESSES,
    REQUIRED_TEXT,
    TEXT,
    ToolkitJob,
    python_command,
)

SETTINGS, TOOL_TYPE = "tensorFlowSettings", "tensorflow"
SCHEMA = Object(
    {
        "pythonScriptFilePath": REQUIRED_TEXT,
        "pythonInterpreterPath": TEXT,
        "masterCommandLineArgs": ARGUMENTS,
        "workerCommandLineArgs": ARGUMENTS,
        "parameterServerCommandLineArgs": ARGUMENTS,
        "workerCount": Field(Integer(1, MAX_PROCESSES)),
        "parameterServerCount": Field(Integer(1, MAX_PROCESSES)),
    }
)
_DISTRIBUTED = ("workerCommandLineArgs", "parameterServerCommandLineArgs", "workerCount", "parameterServerCount")


def is_distributed(settings: Mapping[str, Any], node_count: int) -> bool:
    return node_count > 1 or any(name in settings for name in _DISTRIBUTED)


def counts(settings: Mapping[str, Any], node_count: int) -> tuple[int, int]:
    """Workers (the master is one of them) and parameter servers; 1 and 0 for a single process."""
    if not is_distributed(settings, node_count):
        return 1, 0
    return settings.get("workerCount", node_count), settings.get("parameterServerCount", 1)


def launch_plan(job: ToolkitJob) -> list[Process]:
    settings = job.settings
    workers, servers = counts(settings, job.node_count)
    if not servers:
        command_line = python_command(settings, settings.get("masterCommandLineArgs", ""))
        return [Process(0, command_line, "stdout-wk-0.txt", "stderr-wk-0.txt", {"AZ_BATCHAI_TASK_INDEX": "0"})]
    worker_nodes = [job.node_of(index, workers) for index in range(workers)]
    server_nodes = [index % job.node_count for index in range(servers)]
    worker_hosts = [f"{job.addresses[node]}:{port}" for node, port in zip(worker_nodes, job.ports)]
    server_hosts = [f"{job.addresses[node]}:{port}" for node, port in zip(server_nodes, job.ports[workers:])]

    def process(role: str, index: int, node: int, short: str, arguments: str) -> Process:
        task = {"type": role, "index": index}
        cluster = {"cluster": {"ps": server_hosts, "worker": worker_hosts}, "task": task, "environment": "cloud"}
        return Process(
            node,
            python_command(settings, settings.get(arguments, "")),
            f"stdout-{short}-{index}.txt",
            f"stderr-{short}-{index}.txt",
            {
                "AZ_BATCHAI_TASK_INDEX": str(index),
                "AZ_BATCHAI_PS_HOSTS": ",".join(server_hosts),
                "AZ_BATCHAI_WORKER_HOSTS": ",".join(worker_hosts),
                "TF_CONFIG": json.dumps(cluster),
            },
            # A parameter server serves for ever: it goes when the workers have ended.
            serves_others=role == "ps",
        )

    processes = [process("master", 0, worker_nodes[0], "wk", "masterCommandLineArgs")]
    for index in range(1, workers):
        processes.append(process("worker", index, worker_nodes[index], "wk", "workerCommandLineArgs"))
    for index, node in enumerate(server_nodes):
        processes.append(process("ps", index, node, "ps", "parameterServerCommandLineArgs"))
    return processes


def ports_needed(settings: Mapping[str, Any], node_count: int) -> int:
    workers, servers = counts(settings, node_count)
    return workers + servers if servers else 0

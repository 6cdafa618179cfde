"""What the toolkits share: the job as they see it, and how a script becomes a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.schema import Field, Integer, String
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits import rendezvous

MAX_PROCESSES = 10000
TEXT = Field(String(minimum=1))
REQUIRED_TEXT = Field(String(minimum=1), required=True)
ARGUMENTS = Field(String())
PROCESS_COUNT = Field(Integer(1, MAX_PROCESSES))
SCRIPT_OR_CONFIGURATION = {
    "configFilePath": TEXT,
    "pythonScriptFilePath": TEXT,
    "pythonInterpreterPath": TEXT,
    "commandLineArgs": ARGUMENTS,
    "processCount": PROCESS_COUNT,
}
PYTHON_SCRIPT = {
    "pythonScriptFilePath": REQUIRED_TEXT,
    "pythonInterpreterPath": TEXT,
    "commandLineArgs": ARGUMENTS,
}


@dataclass(frozen=True)
class ToolkitJob:
    """`addresses` are the nodes' in order, the master's first; `ports` are free on all of them, `ports_needed` many."""

    settings: Mapping[str, Any]
    addresses: Sequence[str]
    ports: Sequence[int]

    @property
    def node_count(self) -> int:
        return len(self.addresses)

    def node_of(self, index: int, count: int) -> int:
        """The node of process `index` of `count`: equal blocks of neighbours, as MPI places its ranks."""
        return index * self.node_count // count


def python_command(settings: Mapping[str, Any], arguments: str | None = None) -> str:
    """`python script arguments`; left to the shell, which knows the variables in it."""
    if arguments is None:
        arguments = settings.get("commandLineArgs", "")
    words = (settings.get("pythonInterpreterPath", "python"), settings["pythonScriptFilePath"], arguments)
    return " ".join(word for word in words if word)


def ranks(job: ToolkitJob, command_line: str, least: int = 1) -> list[Process]:
    """The command line in processCount processes of an MPI world; fewer than `least` need no MPI."""
    count = job.settings["processCount"]
    if count < least:
        return [Process(0, command_line, "stdout.txt", "stderr.txt")]
    environment = rendezvous.of_world(job.addresses, job.ports)
    return [Process(0, command_line, "stdout.txt", "stderr.txt", environment, world_size=count)]


def one_port(settings: Mapping[str, Any], node_count: int) -> int:
    """For `ports_needed`: where the ranks meet."""
    return 1


def check_interpreter(settings: dict[str, Any], path: str) -> None:
    """Raises ArmError for an interpreter without a script to interpret (wire.md 7)."""
    if "pythonInterpreterPath" in settings and "pythonScriptFilePath" not in settings:
        raise bad_request(f"'{path}': pythonInterpreterPath goes with pythonScriptFilePath.", path)


def script_or_configuration(job: ToolkitJob, configured: str) -> str:
    """The command line of a toolkit that takes a script, or a configuration that `configured` is put before."""
    settings = job.settings
    if "configFilePath" not in settings:
        return python_command(settings)
    return f"{configured}{settings['configFilePath']} {settings.get('commandLineArgs', '')}".strip()

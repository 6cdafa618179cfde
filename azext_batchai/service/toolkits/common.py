"""What the toolkits share: the job as they see it, and how a script becomes a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azext_batchai.service.arm.schema import Field, Integer, String

MAX_PROCESSES = 10000
TEXT = Field(String(minimum=1))
REQUIRED_TEXT = Field(String(minimum=1), required=True)
ARGUMENTS = Field(String())
PROCESS_COUNT = Field(Integer(1, MAX_PROCESSES))
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

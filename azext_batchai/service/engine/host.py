"""Where the tasks of a node run: what `engine.task` needs of a machine, here or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class NotStarted(Exception):
    """No runner came of a fork: the task may be started again, once it is certain that it did not start."""


@dataclass(frozen=True)
class Handle:
    """A runner that has a task: `pid` on its machine."""

    pid: int


class Host(Protocol):
    """One machine, and the folders that it shares with the service."""

    async def start(self, request: Mapping[str, Any]) -> Handle | None:
        """Have a runner run a task (runner.py has the request); None where it has ended already.

        Raises NotStarted where the machine did not answer, OSError where it refused.
        """

    async def find(self, claim: Mapping[str, Any], cookie: str) -> Handle | None:
        """The runner that made this claim; None where it has ended (P3: boot, pid, start time and cookie)."""

    def has_restarted(self, claim: Mapping[str, Any]) -> bool:
        """Whether the machine was started anew since this claim was made."""

    async def ended(self, handle: Handle) -> Mapping[str, Any] | None:
        """Wait until a runner has no task any more, then forget it; what exit.json says, where the host was told."""

    def stop(self, handle: Handle) -> None:
        """TERM to a runner, which ends its task: TERM, then KILL after the grace time."""

    async def call(
        self, argv: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Run a program that belongs to no task; its exit status and what it said on stderr."""

    async def kill_marked(self, variable: str, value: str) -> None:
        """Kill every process with this variable in its environment: what nobody supervises any more."""

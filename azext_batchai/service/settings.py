"""What the person who starts the service may choose."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.0.0b1"
API_VERSION = "2018-05-01"


class SettingError(Exception):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Settings of one service.

    `node_idle_seconds`: how long an auto-scale cluster keeps an idle node.
    `kill_grace_seconds`: from TERM to KILL when a job is ended.
    `containers_on_host`: run a job that asks for a container directly on the node, and say so in its execution.log.
    """

    home: Path
    port: int = 0
    node_idle_seconds: float = 60.0
    kill_grace_seconds: float = 5.0
    containers_on_host: bool = False

    @classmethod
    def from_environment(cls, home: Path, port: int = 0) -> Settings:
        """Raises SettingError when a variable holds no usable value."""
        return cls(
            home=home,
            port=port,
            node_idle_seconds=_seconds("AZURE_BATCHAI_NODE_IDLE_SECONDS", cls.node_idle_seconds),
            kill_grace_seconds=_seconds("AZURE_BATCHAI_KILL_GRACE_SECONDS", cls.kill_grace_seconds),
            containers_on_host=_flag("AZURE_BATCHAI_CONTAINERS_ON_HOST"),
        )


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise SettingError(f"{name} is {text!r}: it must be a number of seconds, 0 or more.")
    return value


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")

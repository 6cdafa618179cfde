"""What the person who starts the service may choose."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

API_VERSION = "2018-05-01"


class SettingError(Exception):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Settings of one service.

    `node_idle_seconds`: how long an auto-scale cluster keeps an idle node.
    `kill_grace_seconds`: from TERM to KILL when a job is ended.
    `low_priority_seconds`: after how long a job on low-priority nodes is preempted.
    `cluster_quota`, `vcpu_quota`: how many clusters a location may have, and vCPUs of each priority.
    `requeue_on_reboot`: queue a job again that was lost because the machine was started anew, unless it says otherwise.
    `engine`: that of clusters whose creation names none. `engines_file`: profiles of engines beside this machine.
    `containers_on_host`: run a job that asks for a container directly on the node, and say so in its execution.log.
    """

    home: Path
    port: int = 0
    node_idle_seconds: float = 60.0
    kill_grace_seconds: float = 5.0
    low_priority_seconds: float = 24 * 3600.0
    cluster_quota: int = 200
    vcpu_quota: int = 10000
    requeue_on_reboot: bool = False
    containers_on_host: bool = False
    engine: str = "local"
    engines_file: Path | None = None

    @property
    def profiles_file(self) -> Path:
        """Where the profiles of engines are: in the state folder, unless another file is named."""
        return self.engines_file or self.home / "engines.json"

    @classmethod
    def from_environment(cls, home: Path, port: int = 0) -> Settings:
        """Raises SettingError when a variable holds no usable value."""
        engines_file = os.environ.get("AZURE_BATCHAI_ENGINES", "").strip()
        return cls(
            home=home,
            port=port,
            node_idle_seconds=_number("AZURE_BATCHAI_NODE_IDLE_SECONDS", cls.node_idle_seconds),
            kill_grace_seconds=_number("AZURE_BATCHAI_KILL_GRACE_SECONDS", cls.kill_grace_seconds),
            low_priority_seconds=_number("AZURE_BATCHAI_LOW_PRIORITY_SECONDS", cls.low_priority_seconds),
            cluster_quota=int(_number("AZURE_BATCHAI_CLUSTER_QUOTA", cls.cluster_quota)),
            vcpu_quota=int(_number("AZURE_BATCHAI_VCPU_QUOTA", cls.vcpu_quota)),
            requeue_on_reboot=_flag("AZURE_BATCHAI_REQUEUE_ON_REBOOT"),
            containers_on_host=_flag("AZURE_BATCHAI_CONTAINERS_ON_HOST"),
            engine=os.environ.get("AZURE_BATCHAI_ENGINE", "").strip() or cls.engine,
            engines_file=Path(engines_file).expanduser() if engines_file else None,
        )


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise SettingError(f"{name} is {text!r}: it must be a number, 0 or more.")
    return value


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")

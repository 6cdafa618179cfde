"""The environment of nodes and jobs (wire.md 5.4) on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

# What a node takes over from the shell that started the service: how to find programs, not who the user is.
_TAKEN = re.compile(
    r"PATH|LANG|LANGUAGE|LC_\w+|TZ|USER|LOGNAME|LD_LIBRARY_PATH|CUDA_(?!VISIBLE)\w+|NVIDIA_(?!VISIBLE)\w+|CONDA_\w+|VIRTUAL_ENV|PYENV_\w+"
    r"|(?:https?|HTTPS?|ftp|FTP|all|ALL|no|NO)_(?:proxy|PROXY)|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE"
    r"|PIP_(?:INDEX_URL|EXTRA_INDEX_URL|CONFIG_FILE|CERT|TRUSTED_HOST)"
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def node_environment(
    root: Path, node_id: str, gpus: Sequence[int] = (), machine: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables of everything that runs on a node; `root` is the node's folder, `gpus` are its own.

    `machine` is the environment that the node's machine gives.
    """
    taken = {name: value for name, value in machine.items() if _TAKEN.fullmatch(name)}
    real_home = Path.home()
    # The node's home is its own, so that nothing is written into the user's; what the user has installed stays in view.
    if (real_home / ".local").is_dir():
        taken["PYTHONUSERBASE"] = str(real_home / ".local")
    for config in (real_home / ".config/pip/pip.conf", real_home / ".pip/pip.conf"):
        if "PIP_CONFIG_FILE" not in taken and config.is_file():
            taken["PIP_CONFIG_FILE"] = str(config)
    return {
        **taken,
        "PATH": f"{root / 'bin'}:{taken.get('PATH', os.defpath)}",
        "HOME": str(root / "home"),
        "SHELL": shell(),
        "TMPDIR": str(root / "tmp"),
        "AZ_BATCHAI_MOUNT_ROOT": str(root / "mounts"),
        "AZ_BATCHAI_NODE_ID": node_id,
        "AZ_BATCHAI_NODE_LOG_DIR": str(root / "logs"),
        "AZ_BATCHAI_NUM_GPUS": str(len(gpus)),
        # Said also where there is none: a node must not take another's.
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
        "NVIDIA_VISIBLE_DEVICES": ",".join(map(str, gpus)) or "none",
    }


def shell() -> str:
    """The shell that runs command lines: bash, as the service had it, else sh."""
    return _shell(os.environ.get("PATH", os.defpath))


@lru_cache(None)
def _shell(path: str) -> str:
    return shutil.which("bash", path=path) or "/bin/sh"


def find_gpus() -> list[int]:
    """Numbers of this machine's NVIDIA GPUs, by their device files."""
    try:
        names = os.listdir("/dev")
    except OSError:
        return []
    return sorted(int(match.group(1)) for match in (re.fullmatch(r"nvidia(\d+)", name) for name in names) if match)


def expand(path: str, variables: Mapping[str, str]) -> str:
    """Replace `$NAME` and `${NAME}` where NAME is known; anything else stays as it is."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match.group(1) or match.group(2), match.group(0))

    return _VARIABLE.sub(value, path)

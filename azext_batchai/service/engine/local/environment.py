"""The environment of nodes and jobs (wire.md 5.4) on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

# What a node takes over from the shell that started the service: how to find programs, not who the user is.
_TAKEN = re.compile(
    r"PATH|LANG|LANGUAGE|LC_\w+|TZ|USER|LOGNAME|LD_LIBRARY_PATH|CUDA_\w+|NVIDIA_\w+|CONDA_\w+|VIRTUAL_ENV|PYENV_\w+"
    r"|(?:https?|HTTPS?|ftp|FTP|all|ALL|no|NO)_(?:proxy|PROXY)|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE"
    r"|PIP_(?:INDEX_URL|EXTRA_INDEX_URL|CONFIG_FILE|CERT|TRUSTED_HOST)"
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def node_environment(root: Path, node_id: str) -> dict[str, str]:
    """The variables of everything that runs on a node; `root` is the node's folder."""
    taken = {name: value for name, value in os.environ.items() if _TAKEN.fullmatch(name)}
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
        "AZ_BATCHAI_NUM_GPUS": str(count_gpus()),
    }


def shell() -> str:
    """The shell that runs command lines: bash, as the service had it, else sh."""
    return shutil.which("bash") or "/bin/sh"


def count_gpus() -> int:
    """GPUs of this machine, by their device files."""
    try:
        return sum(bool(re.fullmatch(r"nvidia\d+", name)) for name in os.listdir("/dev"))
    except OSError:
        return 0


def expand(path: str, variables: Mapping[str, str]) -> str:
    """Replace `$NAME` and `${NAME}` where NAME is known; anything else stays as it is."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match.group(1) or match.group(2), match.group(0))

    return _VARIABLE.sub(value, path)

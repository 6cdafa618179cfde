"""Which file of params/ has the options of a command. Only that one is loaded, as start-up is paid by every command.

Each command's options stand in the scope of that command alone: azure-cli's built-in `batchai` group has scopes such as
`batchai job` too, and where both are loaded, a scope of one replaces that of the other as a whole.
"""

from __future__ import annotations

import importlib
from typing import Any

# Commands, or the beginning of their names -> file. The first that fits counts.
_FILES = {
    "workspace": "workspace",
    "list-usages": "workspace",
    "cluster node": "node",
    "job node": "node",
    "cluster file": "file",
    "job file": "file",
    "cluster": "cluster",
    "experiment compare": "results",
    "experiment tensorboard": "results",
    "experiment": "experiment",
    "job metrics": "results",
    "job tensorboard": "results",
    "job run": "job_run",
    "job sweep": "job_run",
    "job": "job",
    "file-server": "file_server",
    "local": "local",
}


def load_arguments(self: Any, command: str) -> None:
    """Load the options of `batchai NOUN VERB`, or of all commands where it is empty."""
    words = f"{command} "
    found = [file for name, file in _FILES.items() if words.startswith(f"batchai {name} ")][:1]
    for file in found or dict.fromkeys(_FILES.values()):
        importlib.import_module(f"azext_batchai.params.{file}").load_arguments(self)

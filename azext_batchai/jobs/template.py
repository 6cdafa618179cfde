"""A first job.json for each toolkit."""

from __future__ import annotations

from typing import Any

from azext_batchai.jobs.checks import TOOLKITS
from azext_batchai.storage.auto_storage import SHARE_MOUNT_PATH

OUTPUT = f"$AZ_BATCHAI_MOUNT_ROOT/{SHARE_MOUNT_PATH}"
_COMMAND_LINES = {
    "custom": "echo hello from $(hostname)",
    "custommpi": "echo hello from rank $RANK of $WORLD_SIZE",
}


def job(toolkit: str, nodes: int = 1, processes: int | None = None, script: str = "train.py") -> dict[str, Any]:
    """The properties of a job whose script is in the share of --use-auto-storage, where its output goes too."""
    settings: dict[str, Any] = {}
    if toolkit in _COMMAND_LINES:
        settings["commandLine"] = _COMMAND_LINES[toolkit]
    else:
        settings["pythonScriptFilePath"] = f"{OUTPUT}/{script}"
    if toolkit == "cntk":
        settings["languageType"] = "Python"
    if processes and toolkit not in ("custom", "caffe2", "tensorflow"):
        settings["processCount"] = processes
    if processes and toolkit == "tensorflow":
        settings["workerCount"] = processes
    return {"nodeCount": nodes, TOOLKITS[toolkit]: settings, "stdOutErrPathPrefix": OUTPUT}

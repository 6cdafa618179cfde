"""How the processes of a job will run: a command line, files and variables for each rank, as the service makes them.

The service alone decides; `tests/e2e/test_examples.py` holds this against what ranks see.
"""

from __future__ import annotations

from typing import Any

from azext_batchai.jobs import ranks

# By Open MPI, one command for all ranks, whose output is one file each.
_MPI = ("custommpi", "horovod", "chainer")
_MPI_FOR_SEVERAL = ("cntk", "caffe")
_CONFIGURED = {"cntk": "cntk configFile=", "caffe": "caffe train --solver="}
_FIRST_NODE, _FREE_PORT, _SECRET = "<address of the first node>", "<a free port>", "<secret>"


def processes(job: Any, toolkit: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry for each process of an SDK job; `settings`: those of its toolkit, as the wire has them."""
    names = ranks.world(job)
    files = dict(zip(names, ranks.ranks(job))) if len(ranks.ranks(job)) == len(names) else {}
    nodes = [ranks.node_index(job, name) or 0 for name in names]
    own = _own(job)
    return [
        {
            "rank": name,
            "node": nodes[index],
            "commandLine": _command_line(toolkit, settings, name),
            "stdout": ranks.file_of(ranks.STDOUT, files.get(name, "")),
            "stderr": ranks.file_of(ranks.STDERR, files.get(name, "")),
            "variables": {**_variables(toolkit, index, nodes, name), **own},
        }
        for index, name in enumerate(names)
    ]


def _command_line(toolkit: str, settings: dict[str, Any], name: str) -> str:
    if "commandLine" in settings:
        return str(settings["commandLine"])
    if toolkit in _CONFIGURED and "configFilePath" in settings:
        words = (f"{_CONFIGURED[toolkit]}{settings['configFilePath']}", settings.get("commandLineArgs"))
        return " ".join(word for word in words if word)
    arguments = "commandLineArgs"
    if toolkit == "tensorflow":
        role = "parameterServer" if name.startswith("ps-") else "master" if name in ("wk-0", "") else "worker"
        arguments = f"{role}CommandLineArgs"
    words = (
        settings.get("pythonInterpreterPath", "python"),
        settings.get("pythonScriptFilePath"),
        settings.get(arguments),
    )
    return " ".join(word for word in words if word)


def _variables(toolkit: str, index: int, nodes: list[int], name: str) -> dict[str, str]:
    if toolkit in ("tensorflow", "caffe2"):
        return {"AZ_BATCHAI_TASK_INDEX": name.rpartition("-")[2]}
    meets = toolkit == "pytorch" or toolkit in _MPI or (toolkit in _MPI_FOR_SEVERAL and len(nodes) > 1)
    if not meets:
        return {}
    node = nodes[index]
    return {
        "RANK": str(index),
        "WORLD_SIZE": str(len(nodes)),
        "LOCAL_RANK": str(nodes[:index].count(node)),
        "LOCAL_WORLD_SIZE": str(nodes.count(node)),
        "NODE_RANK": str(node),
        "AZ_BATCHAI_TASK_INDEX": str(index),
        "MASTER_ADDR": _FIRST_NODE,
        "MASTER_PORT": _FREE_PORT,
    }


def _own(job: Any) -> dict[str, str]:
    """The variables that the job itself sets: its values win."""
    plain = {variable.name: str(variable.value) for variable in job.environment_variables or []}
    return {**plain, **{secret.name: _SECRET for secret in job.secrets or []}}

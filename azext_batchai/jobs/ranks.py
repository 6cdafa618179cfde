"""Which files the processes of a job write their output into (wire.md 5.5)."""

from __future__ import annotations

import re
from typing import Any

STDOUT, STDERR = "stdout", "stderr"
_OUTPUT = re.compile(r"(stdout|stderr)(?:-(?!job_prep)(.+))?\.txt")


def ranks(job: Any) -> list[str]:
    """The ranks of an SDK Job as its files are named by: "0", "1"; "wk-0", "ps-0" of TensorFlow.

    [""] where all its processes write into one file.
    """
    nodes = job.node_count or 1
    if job.tool_type == "caffe2":
        return [str(index) for index in range(nodes)]
    if job.tool_type == "pytorch":
        settings = job.py_torch_settings
        return [str(index) for index in range((settings and settings.process_count) or nodes)]
    if job.tool_type == "tensorflow":
        return _tensorflow(job.tensor_flow_settings, nodes)
    return [""]


def world(job: Any) -> list[str]:
    """The processes of an SDK Job by name, also where all write into one file: "0" to "3" of an MPI job."""
    named = ranks(job)
    if named != [""]:
        return named
    kinds = ("custom_mpi", "horovod", "chainer", "cntk", "caffe")
    settings = next(filter(None, (getattr(job, f"{kind}_settings", None) for kind in kinds)), None)
    count = (settings.process_count or job.node_count or 1) if settings else 1
    return [str(index) for index in range(count)]


def node_index(job: Any, rank: str) -> int | None:
    """Which of the job's nodes the rank runs on, None where there is no such: equal blocks of neighbours share one.

    Parameter servers are dealt out one by one.
    """
    there = world(job)
    if rank not in there:
        rank = f"wk-{rank}"
    if rank not in there:
        return None
    kind = rank.rpartition("-")[0]
    alike = [name for name in there if name.rpartition("-")[0] == kind]
    nodes, index = job.node_count or 1, alike.index(rank)
    return index % nodes if kind == "ps" else index * nodes // len(alike)


def _tensorflow(settings: Any, nodes: int) -> list[str]:
    workers, servers = 1, 0
    distributed = (
        settings.worker_count,
        settings.parameter_server_count,
        settings.worker_command_line_args,
        settings.parameter_server_command_line_args,
    )
    if nodes > 1 or any(value is not None for value in distributed):
        workers, servers = settings.worker_count or nodes, settings.parameter_server_count or 1
    return [f"wk-{index}" for index in range(workers)] + [f"ps-{index}" for index in range(servers)]


def file_of(stream: str, rank: str) -> str:
    return f"{stream}-{rank}.txt" if rank else f"{stream}.txt"


def is_output(name: str) -> bool:
    """Whether a file of this name could be the output of a job's processes."""
    return bool(_OUTPUT.fullmatch(name))


def instead_of(job: Any, name: str) -> list[str]:
    """The files that the job writes in place of one that it never will; [] for any other name."""
    match = _OUTPUT.fullmatch(name)
    if not match:
        return []
    files = [file_of(match[1], rank) for rank in ranks(job)]
    return [] if name in files else files

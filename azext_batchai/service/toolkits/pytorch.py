"""PyTorch: processCount processes, each with its rank and the way to find the others (wire.md 5.4, 5.5).

With the MPI back end the MPI runtime starts the ranks; with the others each rank is a process of its own.
"""

from __future__ import annotations

from azext_batchai.service.arm.schema import Field, Object, String
from azext_batchai.service.engine.base import Process
from azext_batchai.service.toolkits import rendezvous
from azext_batchai.service.toolkits.common import PROCESS_COUNT, PYTHON_SCRIPT, ToolkitJob, one_port, python_command

SETTINGS, TOOL_TYPE = "pyTorchSettings", "pytorch"
SCHEMA = Object(
    {
        **PYTHON_SCRIPT,
        "processCount": PROCESS_COUNT,
        # Echoed as given: a recipe sends `gloo` (wire.md 7).
        "communicationBackend": Field(String(r"(?i:tcp|gloo|mpi)")),
    }
)


ports_needed = one_port


def launch_plan(job: ToolkitJob) -> list[Process]:
    settings, count = job.settings, job.settings["processCount"]
    command_line = python_command(settings)
    backend = settings.get("communicationBackend", "")
    environment = rendezvous.of_world(job.addresses, job.ports)
    if backend:
        environment["AZ_BATCHAI_PYTORCH_BACKEND"] = backend
    if backend.lower() == "mpi":
        # The rank is known to the process alone: it picks its own output files.
        return [Process(0, command_line, "stdout-{rank}.txt", "stderr-{rank}.txt", environment, world_size=count)]
    if backend.lower() == "gloo":
        environment["AZ_BATCHAI_PYTORCH_INIT_METHOD"] = "file://$AZ_BATCHAI_SHARED_JOB_TEMP/pytorch-init"
    elif backend:
        environment["AZ_BATCHAI_PYTORCH_INIT_METHOD"] = f"tcp://{job.addresses[0]}:{job.ports[0]}"
    nodes = [job.node_of(rank, count) for rank in range(count)]
    return [
        Process(
            nodes[rank],
            command_line,
            f"stdout-{rank}.txt",
            f"stderr-{rank}.txt",
            {**environment, **rendezvous.of_rank(rank, nodes), "AZ_BATCHAI_TASK_INDEX": str(rank)},
        )
        for rank in range(count)
    ]

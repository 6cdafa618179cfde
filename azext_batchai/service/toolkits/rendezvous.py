"""How the ranks of a job find each other by the names that scripts of today read.

`torch.distributed`, Lightning, accelerate and DeepSpeed read RANK and the like; torchrun takes PET_* for the options
that it is not given, and so works as the command line of each process. Batch AI set none of them (wire.md 5.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OF_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "PET_NNODES", "PET_NODE_RANK")
OF_WORLD = ("MASTER_ADDR", "MASTER_PORT", "PET_MASTER_ADDR", "PET_MASTER_PORT")


def of_world(addresses: Sequence[str], ports: Sequence[int]) -> dict[str, str]:
    """What all ranks share: where the first of them listens."""
    address, port = addresses[0], str(ports[0])
    return {"MASTER_ADDR": address, "MASTER_PORT": port, "PET_MASTER_ADDR": address, "PET_MASTER_PORT": port}


def of_rank(rank: int, nodes: Sequence[int]) -> dict[str, str]:
    """What is one rank's own; `nodes` has the node of every rank. A torchrun counts each rank as a node of its own."""
    node = nodes[rank]
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(nodes)),
        "LOCAL_RANK": str(nodes[:rank].count(node)),
        "LOCAL_WORLD_SIZE": str(nodes.count(node)),
        "NODE_RANK": str(node),
        "PET_NNODES": str(len(nodes)),
        "PET_NODE_RANK": str(rank),
    }


def without_users_own(environment: Mapping[str, str], job_properties: Mapping[str, Any]) -> dict[str, str]:
    """`environment` without the names above that the job sets itself: its own values win."""
    given = {entry["name"] for kind in ("environmentVariables", "secrets") for entry in job_properties.get(kind, ())}
    return {
        name: value for name, value in environment.items() if name not in given or name not in (*OF_RANK, *OF_WORLD)
    }

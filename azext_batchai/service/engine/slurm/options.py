"""From a profile and a wanted node to the options of sbatch."""

from __future__ import annotations

from azext_batchai.service.engine.base import NodeSpec
from azext_batchai.service.engine.slurm.profile import Profile


def options_of(profile: Profile, spec: NodeSpec) -> list[str]:
    """The options of sbatch for a node like this."""
    placement = profile.low_priority if spec.low_priority and profile.low_priority else profile.placement
    size = profile.vm_sizes.get(spec.vm_size.upper())
    gres = size.gres if size else f"gpu:{spec.gpus}" if spec.gpus else ""
    constraint = "&".join(filter(None, (placement.constraint, size.constraint if size else "")))
    options = ["--ntasks-per-node=1", "--no-requeue", "--no-kill", "--open-mode=append", "--export=ALL", "--chdir=/"]
    options += ["--exclusive"] if profile.exclusive else []
    for name, value in (
        ("partition", placement.partition),
        ("account", placement.account),
        ("qos", placement.qos),
        ("constraint", constraint),
        ("gres", gres),
        ("time", profile.walltime),
    ):
        if value:
            options.append(f"--{name}={value}")
    return [*options, *profile.extra]

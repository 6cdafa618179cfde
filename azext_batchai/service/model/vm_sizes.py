"""A small catalogue of VM sizes: family, vCPUs and GPUs, for usages, quotas and GPU nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Families in the order in which usages list them (wire.md 6).
FAMILIES = ("D", "Dv2", "NC", "NCv2", "NCv3", "ND", "NV")

_D_CPUS = {1: 1, 2: 2, 3: 4, 4: 8, 11: 2, 12: 4, 13: 8, 14: 16, 5: 16, 15: 20}

# Of the N series, by vCPUs: a GPU for each six of them.
_GPUS = {6: 1, 12: 2, 24: 4}


@dataclass(frozen=True)
class VmSize:
    family: str
    vcpus: int
    gpus: int = 0


@lru_cache(1000)
def look_up(name: str) -> VmSize | None:
    """Family, vCPUs and GPUs of a size as the wire writes it (`STANDARD_NC6`); None for one not in the catalogue."""
    match = re.fullmatch(r"STANDARD_(D|NC|ND|NV)(\d+)(R?)S?(?:_V(\d))?(?:_PROMO)?", name.upper())
    if not match:
        return None
    letters, number, _, version = match.groups()
    size = int(number)
    if letters == "D":
        family = "Dv2" if version == "2" else "D"
        return VmSize(family, _D_CPUS[size]) if version in (None, "2") and size in _D_CPUS else None
    family = f"{letters}v{version}" if version else letters
    return VmSize(family, size, _GPUS[size]) if family in FAMILIES and size in _GPUS else None


def vcpus_of(name: str) -> int:
    """vCPUs that a node counts for; a size that is not in the catalogue counts as one."""
    size = look_up(name)
    return size.vcpus if size else 1

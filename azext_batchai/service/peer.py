"""Who is at the other end of a loopback connection: what needs no credential is for the service's own user alone."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

_TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}


def is_own_user(peer: tuple[str, int], here: tuple[str, int]) -> bool:
    """Whether this user (or root) opened the connection that comes from `peer` to `here` on this machine."""
    return _owner(peer, here) in (os.getuid(), 0)


def _owner(peer: tuple[str, int], here: tuple[str, int]) -> int | None:
    """The uid that owns the socket at `peer`; None where the machine knows none."""
    ends = [f"{_address(host)}:{port:04X}" for host, port in (peer, here)]
    table = _TABLES[ipaddress.ip_address(peer[0]).version]
    with table.open(encoding="ascii") as lines:
        for line in lines:
            fields = line.split()
            if fields[1:3] == ends:
                return int(fields[7])
    return None


def _address(host: str) -> str:
    """As the kernel prints it: 32-bit words in the machine's byte order."""
    packed = ipaddress.ip_address(host).packed
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)

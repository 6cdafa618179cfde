"""Requests that are too long for srun, in files that only the one who has the key can read. Standard library only.

What srun hands to a step in more than one piece of 1 kB waits 40 ms for the acknowledgement of each (Nagle's algorithm
against delayed acknowledgements); a job's environment is that long, and may hold secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Json = dict[str, Any]


def write(path: Path, request: Mapping[str, Any]) -> Json:
    """{"sealed", "key"}: where the request is now, and what opens it. Raises OSError."""
    key = os.urandom(32)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(_mix(json.dumps(request).encode(), key))
    return {"sealed": str(path), "key": key.hex()}


def take(path: str, key: str) -> Json:
    """The request, whose file goes. Raises OSError."""
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    request: Json = json.loads(_mix(data, bytes.fromhex(key)).decode())
    return request


def _mix(data: bytes, key: bytes) -> bytes:
    """Both ways; each key is used once."""
    stream = hashlib.shake_256(key).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")

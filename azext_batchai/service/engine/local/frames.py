"""Messages on the channel between the service and a runner: a 4-byte length and JSON.

Part of the runner, too: standard library only, for Python 3.8 or newer.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def frame(message: Mapping[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


class Frames:
    """What has been received, until it is whole."""

    def __init__(self) -> None:
        self._received = b""

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are whole with this."""
        self._received += data
        while len(self._received) >= 4:
            end = 4 + struct.unpack("!I", self._received[:4])[0]
            if len(self._received) < end:
                return
            body, self._received = self._received[4:end], self._received[end:]
            yield json.loads(body)

"""The relay: a step that connects the service (its stdin and stdout) with the agent of a node. Standard library only.

relay.py SOCKET                  exit status 3 where no agent listens there
relay.py --kill VARIABLE=VALUE   kill what an agent has left behind that was killed itself
"""

from __future__ import annotations

import os
import select
import socket
import sys

NO_AGENT = 3


def main(argument: str) -> int:
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.connect(argument)
    except OSError as exc:
        sys.stderr.write(f"{argument}: {exc.strerror}\n")
        return NO_AGENT
    while True:
        ready, _, _ = select.select([0, channel.fileno()], [], [])
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                return 0
            channel.sendall(data)
        if channel.fileno() in ready:
            data = channel.recv(1 << 16)
            if not data:
                return 0
            while data:
                data = data[os.write(1, data) :]


if __name__ == "__main__":
    if sys.argv[1] == "--kill":
        from agent import kill_marked  # type: ignore[import-not-found,unused-ignore]

        kill_marked(sys.argv[2].encode())
    else:
        sys.exit(main(sys.argv[1]))

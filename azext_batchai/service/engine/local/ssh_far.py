"""What an SSH connection wants of a node that is another machine is done there, by a program that is started there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PIECE = 1 << 16


@dataclass(frozen=True)
class FarNode:
    """`reach` are the words that run a command on the node; `session` makes those of a command here whose streams,
    signals and status are those of one there ({"argv", "cwd", "terminal"}), or of a connection there ({"connect"}).
    `sftp_server` is the node's own program, '' where it has none."""

    reach: tuple[str, ...]
    session: Callable[[Mapping[str, Any]], Sequence[str]]
    sftp_server: str = ""

    def run(self, argv: Sequence[str], folder: Path, terminal: bool) -> Sequence[str]:
        """The command that runs `argv` there, on a terminal of its own where it has one here."""
        return self.session({"argv": list(argv), "cwd": str(folder), "terminal": terminal})

    def connect(self, *address: str) -> Callable[[Any, Any], Awaitable[None]]:
        """A handler for asyncssh: it joins the client's channel with a host and port, or with the path of a socket."""

        async def join(reader: Any, writer: Any) -> None:
            await _join(self.session({"connect": list(address)}), reader, writer)

        return join


async def _join(argv: Sequence[str], reader: Any, writer: Any) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    sending = asyncio.ensure_future(_copy(reader, process.stdin))
    try:
        await _copy(process.stdout, writer)
    finally:
        sending.cancel()
        writer.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _copy(source: Any, target: Any) -> None:
    """Until the source ends, which the target is told, or the target is gone."""
    try:
        while data := await source.read(_PIECE):
            target.write(data)
            await target.drain()
        target.write_eof()
    except (OSError, asyncio.IncompleteReadError):
        pass

"""Forwarding of local ports and UNIX sockets to what a node reaches: the -L of `cluster node exec`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from knack.log import get_logger

logger = get_logger(__name__)

LOOPBACK = "127.0.0.1"
_ANYWHERE = ("", "*")
_CHUNK = 64 * 1024
_SYNTAX = (
    "Give PORT, [BIND:]PORT:HOST:HOSTPORT, [BIND:]PORT:/NODE/SOCKET, /LOCAL/SOCKET:HOST:HOSTPORT or "
    "/LOCAL/SOCKET:/NODE/SOCKET, for example -L 8080:localhost:8080. Several are separated by spaces."
)
# A field is an address in brackets or anything without a colon.
_FIELD = re.compile(r"\[([^\]]*)\]|([^:\[\]]*)")


@dataclass(frozen=True)
class Endpoint:
    """A TCP address (port 0: any free one) or, where `path` is set, a UNIX socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return self.path or f"{host}:{self.port}"


@dataclass(frozen=True)
class Forward:
    """Connections to `local` on this machine go to `remote` as the node sees it; `text` is what the user wrote."""

    local: Endpoint
    remote: Endpoint
    text: str


def parse(addresses: Any) -> list[Forward]:
    """Read the values of --address/-L: a string or lists of strings, each with one or more forwards.

    Raises InvalidArgumentValueError.
    """
    return [_parse_one(text) for value in _strings(addresses) for text in value.split()]


@contextlib.asynccontextmanager
async def serving(connection: Any, forwards: Iterable[Forward]) -> AsyncIterator[None]:
    """Listen for all forwards of an SSH connection while the context lasts. Raises InvalidArgumentValueError."""
    async with contextlib.AsyncExitStack() as stack:
        for forward in forwards:
            await stack.enter_async_context(_Tunnel(connection, forward).listening())
        yield


class _Tunnel:  # pylint: disable=too-few-public-methods
    """One forward and its open connections."""

    def __init__(self, connection: Any, forward: Forward) -> None:
        self._connection = connection
        self._forward = forward
        self._carriers: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        local = self._forward.local
        server = await self._listen(local)
        if not local.path and not local.port:
            local = Endpoint(local.host, server.sockets[0].getsockname()[1])
        logger.warning("Forwarding %s to %s of the node.", local, self._forward.remote)
        try:
            yield
        finally:
            server.close()
            for carrier in self._carriers:
                carrier.cancel()
            if local.path:
                with contextlib.suppress(OSError):  # Python removes it itself since 3.13
                    os.unlink(local.path)

    async def _listen(self, local: Endpoint) -> Any:
        from azure.cli.core.azclierror import InvalidArgumentValueError

        try:
            if not local.path:
                return await asyncio.start_server(self._accept, local.host or None, local.port)
            if not hasattr(asyncio, "start_unix_server"):
                raise OSError("Python has no UNIX sockets on this system")
            if os.path.lexists(local.path):  # asyncio would replace it, even in use
                raise FileExistsError("it exists already")
            return await asyncio.start_unix_server(self._accept, local.path)
        except (OSError, OverflowError) as exc:
            another = "remove it or choose another path" if local.path else "choose another port (0: any free one)"
            raise InvalidArgumentValueError(
                f"--address/-L {self._forward.text}: cannot listen on {local}: {_reason(exc)}.",
                recommendation=f"If it is in use, {another}.",
            ) from exc

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrier = asyncio.current_task()
        assert carrier
        self._carriers.add(carrier)
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:  # the command has ended; asyncio would log it
            pass
        finally:
            self._carriers.discard(carrier)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import asyncssh

        remote = self._forward.remote
        try:
            if remote.path:
                far_reader, far_writer = await self._connection.open_unix_connection(remote.path)
            else:
                far_reader, far_writer = await self._connection.open_connection(remote.host, remote.port)
        except (asyncssh.Error, OSError) as exc:
            logger.warning("The node cannot connect to %s: %s", remote, getattr(exc, "reason", "") or exc)
            return
        ways = [asyncio.ensure_future(_copy(reader, far_writer)), asyncio.ensure_future(_copy(far_reader, writer))]
        try:
            await asyncio.gather(*ways)
        except (asyncssh.Error, OSError):  # one side has broken the connection off
            pass
        finally:
            for way in ways:
                way.cancel()
            far_writer.close()


async def _copy(reader: Any, writer: Any) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None) or 0  # negative in the errors of name resolution
    return os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)


def _strings(addresses: Any) -> list[str]:
    if addresses is None:
        return []
    if isinstance(addresses, str):
        return [addresses]
    return [text for item in addresses for text in _strings(item)]


def _parse_one(text: str) -> Forward:
    if text.isascii() and text.isdigit():  # the same port on both sides
        port = _port(text, text, "local")
        return Forward(Endpoint(LOOPBACK, port), Endpoint("localhost", port), text)
    fields = _fields(text)
    if fields is None:
        raise _wrong(text, "it is not a list of fields separated by colons")
    if _is_path(fields[-1]):
        remote, rest = Endpoint(path=fields[-1]), fields[:-1]
    elif len(fields) >= 3:
        if not fields[-2]:
            raise _wrong(text, "the host is missing")
        remote, rest = Endpoint(fields[-2], _port(text, fields[-1], "host's")), fields[:-2]
    else:
        raise _wrong(text, "where to forward to is missing")
    if len(rest) == 1 and _is_path(rest[0]):
        return Forward(Endpoint(path=rest[0]), remote, text)
    if len(rest) == 1:
        return Forward(Endpoint(LOOPBACK, _port(text, rest[0], "local", least=0)), remote, text)
    if len(rest) == 2:
        host = "" if rest[0] in _ANYWHERE else rest[0]
        return Forward(Endpoint(host, _port(text, rest[1], "local", least=0)), remote, text)
    raise _wrong(text, "it has too many fields" if rest else "the local port is missing")


def _fields(text: str) -> list[str] | None:
    fields, position = [], 0
    while True:
        found = _FIELD.match(text, position)
        assert found  # it matches nothing, too
        fields.append(found[1] if found[1] is not None else found[2])
        position = found.end()
        if position == len(text):
            return fields
        if text[position] != ":":
            return None
        position += 1


def _is_path(field: str) -> bool:
    return "/" in field


def _port(text: str, field: str, whose: str, least: int = 1) -> int:
    if not (field.isascii() and field.isdigit() and least <= int(field) <= 65535):
        raise _wrong(text, f"the {whose} port '{field}' is not a number from {least} to 65535")
    return int(field)


def _wrong(text: str, reason: str) -> Exception:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    error: Exception = InvalidArgumentValueError(f"--address/-L '{text}': {reason}.", recommendation=_SYNTAX)
    return error

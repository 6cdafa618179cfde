"""An HTTP proxy for TLS (CONNECT) that brings the local cloud's names to the service.

Everything else it passes on untouched: to where it goes, or to the proxy that the user had before this one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from azext_batchai.service.hosts import is_ours
from azext_batchai.service.peer import is_own_user

log = logging.getLogger(__name__)

_CHUNK = 256 << 10
_HEAD_BYTES = 32 << 10
_PATIENCE_SECONDS = 60.0
_CONNECT = re.compile(rb"CONNECT (\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):([0-9]{1,5}) HTTP/1\.[01]\r\n")


class _Refusal(Exception):
    """What the client is told instead of a tunnel."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.answer = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text.encode())}\r\n"
            f"Connection: close\r\n\r\n{text}"
        ).encode()


@dataclass(frozen=True)
class Upstream:
    """The proxy that the user has for TLS, '' for none, and the hosts that do without it (as in NO_PROXY)."""

    url: str = ""
    exceptions: str = ""

    def serves(self, host: str) -> bool:
        return bool(self.url) and not any(
            entry == "*" or host == entry or host.endswith(f".{entry}")
            for entry in (part.strip().lower().lstrip(".") for part in self.exceptions.split(","))
            if entry
        )


class Proxy:
    """One listener; `service` is the address at which the service speaks TLS."""

    def __init__(self, service: tuple[str, int]) -> None:
        self._service = service
        self.upstream = Upstream()
        self._tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client; what `asyncio.start_server` calls."""
        task = asyncio.current_task()
        assert task
        self._tunnels.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as exc:
            log.debug("a tunnel ended: %r", exc)
        except asyncio.CancelledError:
            pass  # the service stops
        finally:
            self._tunnels.discard(task)
            writer.close()

    def close(self) -> None:
        for task in self._tunnels:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(_head(reader), _PATIENCE_SECONDS)
            there = await asyncio.wait_for(self._reach(head, writer), _PATIENCE_SECONDS)
        except asyncio.TimeoutError:
            writer.write(_Refusal("504 Gateway Timeout", "Nobody answered in time.\n").answer)
            await writer.drain()
            return
        except _Refusal as refusal:
            writer.write(refusal.answer)
            await writer.drain()
            return
        far_reader, far_writer, answer = there
        try:
            writer.write(answer)
            await _both(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()

    async def _reach(
        self, head: bytes, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        match = _CONNECT.match(head)
        if not match:
            raise _Refusal("405 Method Not Allowed", "This proxy is for TLS alone: it answers CONNECT.\n")
        if not is_own_user(writer.get_extra_info("peername"), writer.get_extra_info("sockname")):
            raise _Refusal("403 Forbidden", "This proxy serves the user who started it.\n")
        host, port = match[1].decode("latin-1").strip("[]").lower(), int(match[2])
        established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        if is_ours(host):
            return (*await _open(self._service[0], self._service[1]), established)
        if self.upstream.serves(host):
            return await _through(self.upstream.url, match[1].decode("latin-1"), port)
        return (*await _open(host, port), established)


async def _through(url: str, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A tunnel through another proxy; its answer is handed on as it is."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Refusal("502 Bad Gateway", f"The proxy of your environment speaks {parts.scheme}: only HTTP is known.\n")
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port_there = parts.port or (443 if secure else 80)
    reader, writer = await _open(parts.hostname, port_there, secure)
    login = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n".encode())
    try:
        return reader, writer, await _head(reader)
    except BaseException:
        writer.close()
        raise


async def _open(
    host: str, port: int, secure: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(host, port, limit=_CHUNK, ssl=secure)
    except (OSError, UnicodeError, OverflowError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise _Refusal("502 Bad Gateway", f"{host}:{port} cannot be reached: {reason}.\n") from None


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        head = b""
    if not head or len(head) > _HEAD_BYTES:
        raise _Refusal("431 Request Header Fields Too Large", "The head of the request is too long.\n")
    return head


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


async def _both(*pumps: Awaitable[None]) -> None:
    """Until both directions have ended, or one is broken."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()

"""Requests that never end, and clients that come and say nothing."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from azext_batchai.service import connections
from azext_batchai.service.ports import listen
from azext_batchai.service.server import _Server

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body, when it has come; with 401 at once where the path says so."""
    size = 0
    if scope["path"] == "/refused":
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    text = str(size).encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def serve(client: Client, limit: int = 10, **config: Any) -> connections.Connections:
    async def run() -> connections.Connections:
        settings = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, **config)
        listener = listen(0)
        server = _Server(settings, listener, limit)
        serving = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await client(reader, writer)
        writer.close()
        server.stop_requested.set()
        await serving
        return server.server_state

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_SECONDS", "HEAD_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(connections, name, 0.3)


def test_headers_that_trickle_in_end_with_408() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        sending = asyncio.create_task(trickle(writer, b"X-A: b\r\n"))
        assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        sending.cancel()

    serve(client)


def test_a_second_request_has_no_more_time_than_the_first() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 408" in answer

    serve(client)


@pytest.mark.parametrize("path", ["/", "/refused"])
def test_a_body_that_trickles_in_ends(path: str) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
        sending = asyncio.create_task(trickle(writer, b"x"))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 401" if path == "/refused" else b"HTTP/1.1 408")
        sending.cancel()

    assert not serve(client).connections


def test_a_body_that_takes_long_but_comes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_BYTES", 10)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(20):
            writer.write(b"x" * 100)
            await asyncio.sleep(0.05)  # a second in all
        assert (await reader.read()).endswith(b"2000")

    serve(client)


def test_who_says_nothing_is_let_go_without_a_word() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    serve(client)


def test_between_requests_the_idle_time_of_uvicorn_counts() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)  # longer than any of the others
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")

    serve(client, timeout_keep_alive=1)


def test_the_longest_idle_connection_makes_room(caplog: pytest.LogCaptureFixture) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        others = []
        for _ in range(5):
            other = await asyncio.open_connection(*address)
            other[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await other[0].readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            others.append(other)
        assert await reader.read() == b""  # the first
        assert await others[0][0].read() == b"" and await others[1][0].read() == b""
        for _, other_writer in others:
            other_writer.close()

    with caplog.at_level(logging.WARNING):
        serve(client, limit=3)
    assert len([record for record in caplog.records if "3 connections" in record.message]) == 1


def test_a_port_that_is_taken_stays_with_who_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Exception, match="cannot be used"):
            listen(taken.getsockname()[1])


async def trickle(writer: asyncio.StreamWriter, data: bytes) -> None:
    while not writer.is_closing():
        writer.write(data)
        await asyncio.sleep(0.05)

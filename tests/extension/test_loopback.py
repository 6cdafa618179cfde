"""The SDK over Python's own HTTP client: answers, connections, faults, and what is not imported for it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError, ServiceResponseTimeoutError
from azure.core.pipeline.transport import HttpRequest

from azext_batchai.transport.loopback import LoopbackTransport
from harness.sandbox import CHECKOUT

OK = b"HTTP/1.1 200 Fine\r\nContent-Type: application/json\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\n{}"


def answer(connection: socket.socket, heard: list[bytes], times: int = 1) -> None:
    for _ in range(times):
        text = connection.recv(65536)
        while b"Content-Length" in text and not text.endswith(b"}"):
            text += connection.recv(65536)
        heard.append(text)
        connection.sendall(OK)


PLAYS: dict[str, Callable[[socket.socket, list[bytes]], None]] = {
    "one": answer,
    "two": lambda connection, heard: answer(connection, heard, 2),
    "nothing": lambda connection, heard: heard.append(connection.recv(65536)),
    "noise": lambda connection, _: connection.sendall(b"what?\r\n\r\n") if connection.recv(65536) else None,
}


class Peer:
    """A server that treats each connection as the next of `plays` says, and hears what comes."""

    def __init__(self, *plays: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/path?a=b"
        self.heard: list[bytes] = []
        self._plays = plays
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for play in self._plays:
            connection, _ = self._listener.accept()
            with connection:
                PLAYS[play](connection, self.heard)

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def transport() -> Iterator[LoopbackTransport]:
    with LoopbackTransport(5) as transport:
        yield transport


def test_an_answer_and_the_connection_kept(transport: LoopbackTransport) -> None:
    peer = Peer("two")
    request = HttpRequest("PUT", peer.url, {"X-B": "c"}, data=b'{"d": 1}')
    answers = [transport.send(request, stream=False) for _ in range(2)]
    peer.close()
    assert [(one.status_code, one.reason, one.text()) for one in answers] == [(200, "Fine", "{}")] * 2
    assert (answers[0].headers["x-a"], answers[0].content_type) == ("1, 2", "application/json")
    assert b"".join(answers[0].stream_download(None)) == b"{}"
    for text in peer.heard:
        assert text.startswith(b"PUT /path?a=b HTTP/1.1\r\n") and b"\r\nX-B: c\r\n" in text and b'{"d": 1}' in text


def test_a_connection_that_was_closed_meanwhile_is_made_anew(transport: LoopbackTransport) -> None:
    peer = Peer("one", "one")
    for _ in range(2):
        assert transport.send(HttpRequest("GET", peer.url)).status_code == 200
    peer.close()


def test_nobody_is_there(transport: LoopbackTransport) -> None:
    peer = Peer()
    peer.close()
    with pytest.raises(ServiceRequestError):
        transport.send(HttpRequest("GET", peer.url))


@pytest.mark.parametrize("play", ["nothing", "noise"])
def test_no_answer(transport: LoopbackTransport, play: str) -> None:
    peer = Peer(play)
    with pytest.raises(ServiceResponseError):
        transport.send(HttpRequest("GET", peer.url))
    peer.close()


def test_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, LoopbackTransport(0.1) as transport:
        request = HttpRequest("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        with pytest.raises(ServiceResponseTimeoutError):
            transport.send(request)


def test_the_rest_of_msrest_comes_when_it_is_asked_for() -> None:
    code = """
import sys
from azext_batchai.transport.sdk import batchai
sdk = batchai()
from msrest import Deserializer, Serializer
models = {name: kind for name, kind in vars(sdk.models).items() if isinstance(kind, type)}
read = Deserializer(models)
assert read("Job", {"name": "j"}).name == "j"
assert "requests" not in sys.modules and "msrest.service_client" not in sys.modules
assert read("Job", '{"name": "k"}', "application/json").name == "k"
from msrest import ServiceClient
import msrest
assert msrest.serialization.Serializer is Serializer and msrest.__version__
try:
    msrest.nothing
except AttributeError:
    print("good")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT)
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr


def test_each_thread_has_its_own_connection(transport: LoopbackTransport) -> None:
    """Pollers of several operations send at once: one that waits for its answer keeps nobody else from asking."""
    waits, first = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        connection.recv(65536)
        first.set()
        waits.wait(10)
        connection.sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def serve() -> None:
            with listener.accept()[0] as one:
                reply = threading.Thread(target=slow, args=(one,))
                reply.start()
                with listener.accept()[0] as other:
                    answer(other, [])
                reply.join(10)

        server = threading.Thread(target=serve)
        server.start()
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(transport.send(HttpRequest("GET", url)).status_code))
        asking.start()
        assert first.wait(10)
        assert transport.send(HttpRequest("GET", url)).status_code == 200
        waits.set()
        asking.join(10)
        server.join(10)
        assert answers == [200]

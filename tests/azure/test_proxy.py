"""The proxy brings our names to the service, and everything else to where it goes, untouched."""

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from harness import ssh_node
from harness.service import Service

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture(scope="module")
def facts(service: Service) -> dict[str, str]:
    return service.request("POST", "/_local/front", {})[2]


def behind(service: Service, **wishes: str) -> tuple[str, int]:
    """The proxy's address, once it knows of the user's own proxy."""
    host, _, port = service.request("POST", "/_local/front", wishes)[2]["proxy"].removeprefix("http://").partition(":")
    return host, int(port)


def tunnel(proxy: tuple[str, int], target: str) -> tuple[socket.socket, bytes]:
    """Ask for a tunnel; return the connection and the answer's first line."""
    client = socket.create_connection(proxy, 10)
    client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        data = client.recv(1)
        if not data:
            break
        answer += data
    return client, answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "name", ["management.batchai.localhost", "acct1.file.core.localhost", "ACCT1.Blob.core.localhost"]
)
def test_our_names_lead_to_the_service(service: Service, facts: dict[str, str], name: str) -> None:
    client, answer = tunnel(behind(service), f"{name}:443")
    assert answer == b"HTTP/1.1 200 Connection established"
    context = ssl.create_default_context(cafile=facts["certificate"])
    with context.wrap_socket(client, server_hostname=name) as secure:
        secure.sendall(f"GET /_local/status HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        assert secure.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 403")


def test_other_names_are_passed_on_untouched(service: Service) -> None:
    with ssh_node.shouting() as (host, port):
        client, answer = tunnel(behind(service), f"localhost:{port}")
        with client:
            assert answer == b"HTTP/1.1 200 Connection established"
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"HELLO"


def test_a_large_answer_is_whole(service: Service) -> None:
    content = os.urandom(8 << 20)
    with ssh_node.shouting() as (host, port):
        client, _ = tunnel(behind(service), f"{host}:{port}")
        with client:
            sender = threading.Thread(target=lambda: (client.sendall(content), client.shutdown(socket.SHUT_WR)))
            sender.start()
            assert client.makefile("rb").read() == content.upper()
            sender.join()


def test_what_cannot_be_reached_is_said(service: Service) -> None:
    client, answer = tunnel(behind(service), f"localhost:{ssh_node.free_port()}")
    client.close()
    assert answer == b"HTTP/1.1 502 Bad Gateway"


def test_it_is_no_proxy_for_plain_http(service: Service) -> None:
    with socket.create_connection(behind(service), 10) as client:
        client.sendall(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 405"


@pytest.mark.parametrize("head", [b"\r\n\r\n", b"CONNECT x HTTP/1.1\r\n\r\n", b"CONNECT a:b:1 HTTP/1.1\r\n\r\n"])
def test_nonsense_is_refused(service: Service, head: bytes) -> None:
    with socket.create_connection(behind(service), 10) as client:
        client.sendall(head)
        assert client.recv(12) == b"HTTP/1.1 405"


def test_a_head_without_end_is_refused(service: Service) -> None:
    with socket.create_connection(behind(service), 10) as client:
        client.sendall(b"CONNECT a:1 HTTP/1.1\r\n" + b"X: " + b"x" * 100_000)
        with contextlib.suppress(ConnectionResetError):  # it need not read the rest
            assert client.recv(12) == b"HTTP/1.1 431"


@contextlib.contextmanager
def users_own_proxy(target: tuple[str, int]) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that leads everywhere to `target`; yields its port and the heads it was sent."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        head = b""
                        while not head.endswith(b"\r\n\r\n"):
                            head += client.recv(1)
                        heads.append(head)
                        client.sendall(b"HTTP/1.1 200 Through the other\r\n\r\n" + ssh_node.shout(target, b"via"))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heads
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_users_own_proxy_is_used_with_its_login(service: Service) -> None:
    with ssh_node.shouting() as target, users_own_proxy(target) as (port, heads):
        proxy = behind(service, proxy=f"http://me:p%40ss@127.0.0.1:{port}", noProxy="intern.example, .lab.example")
        client, answer = tunnel(proxy, "www.example.com:443")
        with client:
            assert answer == b"HTTP/1.1 200 Through the other"
            assert client.recv(3) == b"VIA"
    [head] = heads
    assert head.startswith(b"CONNECT www.example.com:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:p@ss") in head


@pytest.mark.parametrize("exceptions", ["localhost", "other,LOCALHOST", "*", ".localhost"])
def test_exceptions_of_the_users_own_proxy_hold(service: Service, exceptions: str) -> None:
    with ssh_node.shouting() as target, users_own_proxy(target) as (port, heads):
        proxy = behind(service, proxy=f"127.0.0.1:{port}", noProxy=exceptions)
        client, answer = tunnel(proxy, f"localhost:{target[1]}")
        client.close()
        assert answer == b"HTTP/1.1 200 Connection established"
    assert heads == []


def test_our_names_never_go_through_the_users_own_proxy(service: Service) -> None:
    with ssh_node.shouting() as target, users_own_proxy(target) as (port, heads):
        client, answer = tunnel(behind(service, proxy=f"http://127.0.0.1:{port}"), "login.batchai.localhost:443")
        client.close()
        assert answer == b"HTTP/1.1 200 Connection established"
    assert heads == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_gets_no_tunnel(service: Service) -> None:
    host, port = behind(service)
    program = (
        f"exec 3<>/dev/tcp/{host}/{port};"
        r"printf 'CONNECT login.batchai.localhost:443 HTTP/1.1\r\n\r\n' >&3; head -c 12 <&3"
    )
    for user, answer in ((os.getuid(), "HTTP/1.1 200"), (65534, "HTTP/1.1 403")):
        done = subprocess.run(
            ["/bin/bash", "-c", program], user=user, cwd="/", capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == answer, done.stderr

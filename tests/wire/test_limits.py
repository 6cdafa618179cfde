"""More clients than there is room for, held against a service that may open few files."""

import contextlib
import json
import os
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import ssh
from harness.processes import wait_until
from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.invented


@pytest.fixture
def sockets() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def connect(service: Service, sockets: contextlib.ExitStack) -> socket.socket:
    host, port = service.info["endpoint"].removeprefix("http://").split(":")
    return sockets.enter_context(socket.create_connection((host, int(port)), timeout=20))


def descriptors(service: Service) -> int:
    return len(os.listdir(f"/proc/{service.info['pid']}/fd"))


def half_a_request(service: Service, size: int = 10, expect: str = "") -> bytes:
    """A PUT that is authenticated and whose body does not come."""
    return (
        "PUT /subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.BatchAI/"
        "workspaces/w?api-version=2018-05-01 HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {service.info['token']}\r\nContent-Length: {size}\r\n{expect}\r\n"
    ).encode()


def answer(connection: socket.socket) -> tuple[int, Any]:
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_idle_connections_do_not_keep_others_out(home: Path, sockets: contextlib.ExitStack) -> None:
    service = Service(home)
    assert service.start(open_files=256)["status"] == "ready"
    api = Api(service, "lab")
    idle = [connect(service, sockets) for _ in range(600)]
    for connection in idle[::2]:
        with contextlib.suppress(ConnectionError):  # it may have made room already
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost:")
    api.create_cluster()
    api.create_job("job")
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert descriptors(service) < 256
    assert len(service.log()) < 5000 and "Traceback" not in service.log()


def test_where_all_connections_are_at_work_one_more_is_told(home: Path, sockets: contextlib.ExitStack) -> None:
    service = Service(home)
    assert service.start(open_files=64)["status"] == "ready"
    at_work = []
    for _ in range(32):  # one after the other: one that was still idle would make room for the next
        at_work.append(connect(service, sockets))
        at_work[-1].sendall(half_a_request(service, 2, "Expect: 100-continue\r\n"))
        assert at_work[-1].recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    refused = []

    def full() -> bool:
        one = connect(service, sockets)
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        refused.append(answer(one))
        return refused[-1][0] == 503

    wait_until(full, "one is refused")
    assert refused[-1][1]["error"]["code"] == "ServiceUnavailable"
    at_work[0].close()
    wait_until(lambda: not full(), "there is room again")
    at_work[1].sendall(b"{}")
    assert at_work[1].recv(100).startswith(b"HTTP/1.1 400")
    assert len(service.log()) < 5000


def test_without_descriptors_it_says_so_sleeps_and_goes_on(home: Path, sockets: contextlib.ExitStack) -> None:
    service = Service(home)
    assert service.start()["status"] == "ready"
    api = Api(service, "lab")
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    pid = service.info["pid"]
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 4
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, usual[1]))
    for _ in range(300):
        connect(service, sockets)
    [login] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    for _ in range(10):  # the node's SSH server finds no descriptor either
        with contextlib.suppress(OSError):
            sockets.enter_context(socket.create_connection((login["ipAddress"], login["port"]), timeout=5))
    assert api.call("GET", api.workspace)[0] == 200
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert api.call("GET", api.workspace)[0] == 200
    assert len(service.log()) < 20000


def test_jobs_have_the_limit_that_the_service_was_given(home: Path) -> None:
    service = Service(home)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(soft, 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        assert service.start()["status"] == "ready"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(service.info["pid"], resource.RLIMIT_NOFILE)[0] == hard
    api = Api(service, "lab")
    api.create_cluster()
    api.create_job("job", "ulimit -Sn")
    api.wait_for_job("job")
    assert int(api.output("job")) == few


@pytest.mark.skipif(not shutil.which("ssh"), reason="there is no OpenSSH client on this machine")
def test_ssh_sessions_and_jobs_have_the_usual_number_of_descriptors(home: Path, tmp_path: Path) -> None:
    """The service takes as many as it may; some programs close all that they might have, one by one."""
    service = Service(home)
    assert service.start(open_files=(300, 600))["status"] == "ready"
    assert resource.prlimit(service.info["pid"], resource.RLIMIT_NOFILE) == (600, 600)
    api = Api(service, "lab")
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    [login] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    for remote in (["ulimit -Sn; ulimit -Hn"], ["-tt", "ulimit -Sn; ulimit -Hn"]):
        options = [word for word in remote if word.startswith("-")]
        done = ssh("demo", login, *options, remote[-1], folder=tmp_path, password="Secret-of-the-cluster")
        assert done.stdout.split() == ["300", "600"], done.stderr
    api.create_job("job", "ulimit -Sn; ulimit -Hn")
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert api.output("job").split() == [b"300", b"600"]

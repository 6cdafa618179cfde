"""What a node's SSH endpoint is before anybody has logged in: its host key, its algorithms and its limits."""

import asyncio
import base64
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import asyncssh
import paramiko
import pytest
from asyncssh.connection import SSHClientConnection

from azext_batchai.service.engine.local import ssh_connection, ssh_server
from azext_batchai.service.engine.local.ssh_server import HostKeyError
from harness import processes, ssh_node
from harness.ssh_node import PASSWORD, USER, SshNode, connected, in_loop

WEAK = (
    "sha1",
    "md5",
    "umac-64",
    "group1-",
    "group14",
    "-exchange-",
    "nistp",
    "ssh-rsa",
    "dss",
    "cbc",
    "3des",
    "arcfour",
)
# What ssh-audit would rather not see, and what for it is there.
JUSTIFIED = {
    "curve25519-sha256": "the clients from before the post-quantum hybrids",
    "curve25519-sha256@libssh.org": "its old name",
    "kexguess2@matt.ucc.asn.au": "not an algorithm but the rule for guesses, which dropbear's client needs",
    "hmac-sha2-256": "dropbear and libssh2 before 1.11, which have no -etm",
    "hmac-sha2-512": "the same",
}


@pytest.fixture(scope="module")
def node() -> Iterator[SshNode]:
    with ssh_node.node() as made:
        yield made


def _flip_private_half(key: bytes) -> bytes:
    """Change one bit of the secret in OpenSSH's format, which has no check of its own."""
    first, *middle, last = key.strip().splitlines()
    body = bytearray(base64.b64decode(b"".join(middle)))
    body[170] ^= 1
    return b"\n".join([first, base64.b64encode(body), last, b""])


class TestHostKey:
    def test_is_private_and_stays(self) -> None:
        with ssh_node.node() as node:
            key = node.host_key.read_bytes()
            assert node.host_key.stat().st_mode & 0o777 == 0o600
            node.close()
            node.start()
            assert node.host_key.read_bytes() == key
            assert sorted(path.name for path in node.folder.iterdir() if "host" in path.name) == ["host_key"]

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda key: b"", id="emptied"),
            pytest.param(lambda key: key[: len(key) // 2], id="cut off"),
            pytest.param(lambda key: key[:60], id="cut off after its first line"),
            pytest.param(lambda key: bytes(len(key)), id="zeros"),
            pytest.param(lambda key: b"\xff\xfe" + key[2:], id="other bytes"),
            pytest.param(lambda key: key.replace(b"OPENSSH PRIVATE", b"OPENSSH( PRIVATE"), id="header"),
            pytest.param(_flip_private_half, id="one bit of the secret"),
            pytest.param(lambda key: asyncssh.import_private_key(key).export_public_key(), id="the public half"),
            pytest.param(
                lambda key: asyncssh.import_private_key(key).export_private_key("pkcs8-pem", "secret"), id="encrypted"
            ),
        ],
    )
    def test_a_damaged_one_is_refused_with_its_path_and_kept(self, damage: Any) -> None:
        with ssh_node.node() as node:
            node.close()
            key = node.host_key.read_bytes()
            damaged = damage(key)
            node.host_key.write_bytes(damaged)
            with pytest.raises(HostKeyError, match=r"The SSH host key is damaged .* delete it") as raised:
                node.start()
            assert str(node.host_key) in str(raised.value)
            assert node.host_key.read_bytes() == damaged
            assert not ssh_node.listens(("127.0.0.1", node.port))
            node.host_key.write_bytes(key)
            node.start()

    def test_one_that_cannot_be_read_is_an_error_of_the_system(self) -> None:
        with ssh_node.node() as node:
            node.close()
            node.host_key.unlink()
            node.host_key.mkdir()
            with pytest.raises(IsADirectoryError):
                node.start()


def offered(port: int) -> list[list[str]]:
    """The ten name lists of the server's KEXINIT, in the order of RFC 4253, section 7.1."""
    with socket.create_connection(("127.0.0.1", port), 10) as client, client.makefile("rb") as stream:
        client.sendall(b"SSH-2.0-reader\r\n")
        assert stream.readline().startswith(b"SSH-2.0-")
        packet = stream.read(int.from_bytes(stream.read(4), "big"))
    assert packet[1] == 20  # KEXINIT
    lists, at = [], 18
    for _ in range(10):
        length = int.from_bytes(packet[at : at + 4], "big")
        lists.append(packet[at + 4 : at + 4 + length].decode().split(","))
        at += 4 + length
    return lists


class TestAlgorithms:
    def test_none_that_is_weak_is_offered(self, node: SshNode) -> None:
        lists = offered(node.port)
        exchanges, host_keys, to_server, to_client, macs_to_server, macs_to_client, *_ = lists
        assert [name for names in lists for name in names if any(weak in name for weak in WEAK)] == []
        assert {"curve25519-sha256", "kex-strict-s-v00@openssh.com"} <= set(exchanges)
        assert host_keys == ["ssh-ed25519"]
        assert to_server == to_client == list(ssh_connection.CIPHERS)
        assert macs_to_server == macs_to_client == list(ssh_connection.MACS)

    def test_ssh_audit_has_nothing_else_to_say(self, node: SshNode) -> None:
        pytest.importorskip("ssh_audit", reason="ssh-audit is not installed")
        words = ["--batch", "--no-colors", "--skip-rate-test", "--level", "warn", "-p", str(node.port), "127.0.0.1"]
        command = [sys.executable, "-W", "ignore", "-c", "from ssh_audit.ssh_audit import main; main()", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        findings = [line for line in done.stdout.splitlines() if "[fail]" in line or "[warn]" in line]
        assert {line.split()[1] for line in findings} == set(JUSTIFIED), done.stdout + done.stderr

    @ssh_node.needs("ssh")
    @pytest.mark.parametrize(
        "option",
        [
            "KexAlgorithms=diffie-hellman-group14-sha256",
            "KexAlgorithms=ecdh-sha2-nistp256",
            "Ciphers=3des-cbc",
            "MACs=hmac-sha1,umac-64@openssh.com,umac-64-etm@openssh.com",
        ],
    )
    def test_a_client_that_has_only_weak_ones_is_told(self, node: SshNode, option: str) -> None:
        cipher = ["-o", "Ciphers=aes128-ctr"] if option.startswith("MACs") else []
        done = node.ssh("-v", "-o", option, *cipher, "true")
        assert done.returncode == 255 and b"no matching" in done.stderr

    def test_a_signature_with_sha1_is_refused(self, node: SshNode, monkeypatch: pytest.MonkeyPatch) -> None:
        def choose(connection: Any, pair: Any) -> bool:
            pair.set_sig_algorithm(algorithm)
            return True

        async def work() -> str:
            async with connected(node, client_keys=[str(node.key("rsa"))]) as connection:
                return str((await connection.run("echo in")).stdout)

        monkeypatch.setattr(SSHClientConnection, "_choose_signature_alg", choose)
        algorithm = b"rsa-sha2-256"
        assert in_loop(work()) == "in\n"
        algorithm = b"ssh-rsa"
        with pytest.raises(asyncssh.PermissionDenied):
            in_loop(work())


class TestRepairsOfAsyncssh:
    """What NodeConnection is there for. Where one of these fails, asyncssh has changed: the repair may go."""

    @pytest.fixture
    def stock(self, node: SshNode) -> Iterator[int]:
        """The port of asyncssh's own server, which lets nobody in."""

        class Refusing(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return True

        async def listen() -> asyncssh.SSHAcceptor:
            key = asyncssh.generate_private_key("ssh-ed25519")
            return await asyncssh.listen("127.0.0.1", 0, server_factory=Refusing, server_host_keys=[key])

        acceptor = node.run(listen())
        yield acceptor.get_port()
        node.call(acceptor.close)
        node.run(acceptor.wait_closed())

    @staticmethod
    def second_attempt(port: int) -> type[Exception]:
        """What becomes of a second attempt to log in, for which paramiko asks for the service a second time."""
        transport = paramiko.Transport(("127.0.0.1", port))
        try:
            transport.start_client()
            with pytest.raises(paramiko.BadAuthenticationType):
                transport.auth_none(USER)
            with pytest.raises(paramiko.SSHException) as raised:
                transport.auth_none(USER)
            return raised.type
        finally:
            transport.close()

    def test_a_second_service_request(self, node: SshNode, stock: int) -> None:
        assert self.second_attempt(node.port) is paramiko.BadAuthenticationType
        assert self.second_attempt(stock) is not paramiko.BadAuthenticationType

    def test_a_service_that_there_is_not(self, node: SshNode) -> None:
        transport = paramiko.Transport(("127.0.0.1", node.port))
        try:
            transport.start_client()
            with pytest.raises(paramiko.BadAuthenticationType):
                transport.auth_none(USER)
            message = paramiko.Message()
            message.add_byte(bytes([5]))
            message.add_string("ssh-nothing")
            transport._send_message(message)
            processes.wait_until(lambda: not transport.is_active(), "the node has disconnected")
        finally:
            transport.close()

    def test_the_rule_for_guesses(self, node: SshNode, stock: int) -> None:
        name = "kexguess2@matt.ucc.asn.au"
        assert name in offered(node.port)[0] and name not in offered(stock)[0]


def _open(sockets: list[socket.socket]) -> list[socket.socket]:
    """Those that the other side has not closed."""
    still = []
    for each in sockets:
        each.setblocking(False)
        try:
            while each.recv(4096):
                pass
        except BlockingIOError:
            still.append(each)
        except ConnectionResetError:
            pass
    return still


class TestLimits:
    def test_idle_connections_lock_nobody_out(self) -> None:
        async def work(node: SshNode) -> list[str]:
            answers = []
            async with connected(node) as before:
                for _ in range(400):
                    idle.append(socket.create_connection(("127.0.0.1", node.port), 10))
                async with connected(node) as meanwhile:
                    for connection in (before, meanwhile):
                        answers.append(str((await connection.run("echo in")).stdout))
            return answers

        idle: list[socket.socket] = []
        with ssh_node.node() as node:
            try:
                assert in_loop(work(node)) == ["in\n", "in\n"]
                left = processes.wait_until(
                    lambda: (
                        len(open_) <= ssh_connection.WAITING_CONNECTIONS and open_ if (open_ := _open(idle)) else []
                    ),
                    "most idle connections are closed",
                )
                assert left == idle[-len(left) :]  # the oldest have gone
            finally:
                for each in idle:
                    each.close()

    def test_who_does_not_log_in_is_let_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def work(node: SshNode) -> str:
            async with connected(node) as connection:
                with socket.create_connection(("127.0.0.1", node.port), 20) as idle:
                    while await asyncio.to_thread(idle.recv, 4096):
                        pass
                return str((await connection.run("echo in")).stdout)

        monkeypatch.setattr(ssh_server, "LOGIN_SECONDS", 0.5)
        with ssh_node.node() as node:
            assert in_loop(work(node)) == "in\n"

    def test_passwords_sent_without_waiting_count_as_well(self) -> None:
        tried: list[str] = []

        def verify(password: str) -> bool:
            tried.append(password)
            return password == PASSWORD

        with ssh_node.node(verify_password=verify) as node:
            transport = paramiko.Transport(("127.0.0.1", node.port))
            try:
                transport.start_client()
                with pytest.raises(paramiko.BadAuthenticationType):
                    transport.auth_none(USER)
                for number in range(20):
                    message = paramiko.Message()
                    message.add_byte(bytes([50]))  # USERAUTH_REQUEST
                    for word in (USER, "ssh-connection", "password"):
                        message.add_string(word)
                    message.add_boolean(False)
                    message.add_string(PASSWORD if number == 19 else "wrong")
                    transport._send_message(message)
                with contextlib.suppress(AssertionError):
                    processes.wait_until(lambda: not transport.is_active(), "the node has disconnected", seconds=3)
            finally:
                transport.close()
        # asyncssh before 2.24 verifies the newest alone and drops the others: no more are tried than are counted.
        assert 1 <= len(tried) <= 6


class TestEndpoint:
    def test_port_is_kept_and_a_taken_one_refused(self, node: SshNode) -> None:
        with pytest.raises(OSError, match=r"in use"), ssh_node.node(port=node.port):
            pass

    def test_idle_shells_end_with_the_endpoint_at_once(self) -> None:
        async def work(node: SshNode) -> float:
            async with connected(node) as connection:
                shell = await connection.create_process(term_type="xterm")
                shell.stdin.write("echo re''ady; sleep 100\n")
                while "ready" not in await shell.stdout.readline():
                    pass
                started = time.monotonic()
                await asyncio.get_running_loop().run_in_executor(None, node.close)
                return time.monotonic() - started

        with ssh_node.node() as node:
            assert in_loop(work(node)) < 0.9

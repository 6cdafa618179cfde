"""`cluster node exec` against a real SSH endpoint: the command's bytes and exit status, forwards, host keys."""

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.cli.core.azclierror import (
    AzureConnectionError,
    FileOperationError,
    InvalidArgumentValueError,
    RequiredArgumentMissingError,
    ResourceNotFoundError,
    UnauthorizedError,
)

from azext_batchai.custom.node import exec_on_node, list_nodes
from azext_batchai.ssh import forward as ssh_forward
from harness import processes, ssh_node
from harness.sandbox import CHECKOUT
from harness.ssh_node import PASSWORD, USER, SshNode, shout, shouting

CLUSTER_ID = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/research/providers/Microsoft.BatchAI"
    "/workspaces/vision/clusters/mycluster"
)
GONE = SimpleNamespace(node_id="tvm-gone", ip_address="127.0.0.1", port=1.0)


@pytest.fixture(scope="module")
def node() -> Iterator[SshNode]:
    with ssh_node.node() as made:
        yield made


@dataclass
class Cluster:
    """A client of the service that knows one cluster, and the command on it."""

    node: SshNode
    config_dir: Path
    nodes: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = [SimpleNamespace(node_id="tvm-1", ip_address="127.0.0.1", port=float(self.node.port)), GONE]

    def list_remote_login_information(self, group: str, workspace: str, cluster: str) -> Iterator[Any]:
        assert (group, workspace, cluster) == ("research", "vision", "mycluster")
        return iter(self.nodes)

    def get(self, group: str, workspace: str, cluster: str) -> Any:
        account = SimpleNamespace(admin_user_name=USER)
        return SimpleNamespace(id=CLUSTER_ID, user_account_settings=account)

    def exec(self, command: str | None = None, **options: Any) -> int:
        """Run the command function; return the exit status of az."""
        cmd = SimpleNamespace(cli_ctx=SimpleNamespace(config=SimpleNamespace(config_dir=str(self.config_dir))))
        options = {"ssh_private_key": str(self.node.key()), **options}
        try:
            exec_on_node(cmd, self, "research", "vision", "mycluster", exec_command=command, **options)
        except SystemExit as exc:
            return int(exc.code)  # type: ignore[arg-type]
        return 0

    @property
    def known_hosts(self) -> Path:
        (file,) = (self.config_dir / "batchai" / "known_hosts").iterdir()
        return file


@pytest.fixture
def cluster(node: SshNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Cluster(node, tmp_path)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The messages that the extension logs (az keeps its loggers from the root, where caplog listens)."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("cli").addHandler(handler)
    yield messages
    logging.getLogger("cli").removeHandler(handler)


def advice(raised: Any) -> str:
    return " ".join(raised.value.recommendations)


def test_list_nodes(cluster: Cluster) -> None:
    assert [item.node_id for item in list_nodes(None, cluster, "research", "vision", "mycluster")] == [
        "tvm-1",
        GONE.node_id,
    ]


class TestCommand:
    def test_output_errors_and_exit_status_are_exact(self, cluster: Cluster, capfdbinary: Any) -> None:
        assert cluster.exec("printf 'o\\0\\377ut'; printf 'err\\n' >&2; exit 7") == 7
        out, err = capfdbinary.readouterr()
        assert out == b"o\0\xffut" and err.endswith(b"err\n")

    @pytest.mark.parametrize(
        ("command", "answer"),
        [
            ("echo $AZ_BATCHAI_NODE", "n-1"),
            ("echo '$HOME `id`'", "$HOME `id`"),
            ('echo "it\'s" "a \\"b\\"" \'c "d"\'', 'it\'s a "b" c "d"'),
            ("echo $(echo sub) `echo tick`", "sub tick"),
            ("for i in 1 2; do echo -n $((i * 2)); done; echo \\\\", "24\\"),
            ("echo a;\necho 'b\nc' # d", "a\nb\nc"),
            ("awk 'BEGIN { print \"ü\" }'", "ü"),
        ],
    )
    def test_nothing_in_it_is_mangled(self, cluster: Cluster, capfdbinary: Any, command: str, answer: str) -> None:
        assert cluster.exec(command) == 0
        assert capfdbinary.readouterr().out.decode() == answer + "\n"

    def test_the_last_byte_of_much_output_arrives(self, cluster: Cluster, capfdbinary: Any) -> None:
        data = os.urandom(20_000_000)
        (cluster.node.home / "big").write_bytes(data)
        assert cluster.exec("cat big; exit 3") == 3
        assert hashlib.sha256(capfdbinary.readouterr().out).digest() == hashlib.sha256(data).digest()

    def test_ended_by_a_signal(self, cluster: Cluster) -> None:
        assert cluster.exec("kill -TERM $$") == 128 + 15

    def test_on_a_given_node(self, cluster: Cluster, capfdbinary: Any) -> None:
        cluster.nodes.reverse()
        assert cluster.exec("echo here", node_id="tvm-1") == 0
        assert capfdbinary.readouterr().out == b"here\n"

    def test_node_that_is_taken_away(self, cluster: Cluster) -> None:
        with ssh_node.node() as doomed:
            cluster.nodes[0].port = doomed.port
            end = threading.Timer(0.3, doomed.close)
            end.start()
            assert cluster.exec("sleep 100", ssh_private_key=str(doomed.key())) == 128 + 15
            end.join()

    def test_connection_that_breaks(self, cluster: Cluster) -> None:
        def break_all() -> None:
            for connection in list(cluster.node.endpoint._access.connections):
                connection.abort()

        breaker = threading.Timer(0.3, lambda: cluster.node.call(break_all))
        breaker.start()
        with pytest.raises(AzureConnectionError, match="connection to node 'tvm-1' was lost: Connection lost"):
            cluster.exec("sleep 100")
        breaker.join()


class TestLogin:
    def test_password(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        assert cluster.exec("exit 4", ssh_private_key=None, password=PASSWORD) == 4
        monkeypatch.setenv("AZURE_BATCHAI_NODE_PASSWORD", PASSWORD)
        assert cluster.exec("exit 5", ssh_private_key=None) == 5

    def test_default_key(self, cluster: Cluster, tmp_path: Path) -> None:
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "id_rsa").write_bytes(cluster.node.key("rsa").read_bytes())
        assert cluster.exec("exit 6", ssh_private_key=None) == 6

    def test_refused(self, cluster: Cluster) -> None:
        for options in ({"ssh_private_key": str(cluster.node.host_key)}, {"ssh_private_key": None, "password": "x"}):
            with pytest.raises(UnauthorizedError, match=rf"User '{USER}' cannot log in to node 'tvm-1'") as raised:
                cluster.exec("true", **options)
            assert "--ssh-private-key/-k" in advice(raised) and "AZURE_BATCHAI_NODE_PASSWORD" in advice(raised)

    def test_key_file_absent(self, cluster: Cluster) -> None:
        with pytest.raises(FileOperationError, match="-k: cannot read '/absent': No such file"):
            cluster.exec("true", ssh_private_key="/absent")

    def test_key_file_of_something_else(self, cluster: Cluster) -> None:
        with pytest.raises(InvalidArgumentValueError, match=r"-k: .*\.pub' cannot be used") as raised:
            cluster.exec("true", ssh_private_key=str(cluster.node.key().with_suffix(".pub")))
        assert "ssh-add" in advice(raised)

    def test_key_file_with_a_passphrase(
        self, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import asyncssh

        key = asyncssh.read_private_key(cluster.node.key("rsa"))
        key.write_private_key(tmp_path / "locked", "pkcs8-pem", "open sesame")
        monkeypatch.setattr("knack.prompting.prompt_pass", lambda text: "open sesame")
        assert cluster.exec("exit 8", ssh_private_key=str(tmp_path / "locked")) == 8
        monkeypatch.setattr("knack.prompting.prompt_pass", lambda text: "wrong")
        with pytest.raises(InvalidArgumentValueError, match="locked' cannot be used"):
            cluster.exec("true", ssh_private_key=str(tmp_path / "locked"))


class TestWrongUse:
    def test_nothing_to_do(self, cluster: Cluster) -> None:
        with pytest.raises(RequiredArgumentMissingError, match="neither --exec nor --address/-L"):
            cluster.exec()

    def test_no_nodes(self, cluster: Cluster) -> None:
        cluster.nodes.clear()
        with pytest.raises(ResourceNotFoundError, match="'mycluster' has no nodes now") as raised:
            cluster.exec("true")
        assert "az batchai cluster resize -g research -w vision -n mycluster --target 1" in advice(raised)

    def test_unknown_node(self, cluster: Cluster) -> None:
        with pytest.raises(ResourceNotFoundError, match="no node 'tvm-9'") as raised:
            cluster.exec("true", node_id="tvm-9")
        assert "tvm-1, tvm-gone" in advice(raised)

    def test_node_that_does_not_answer(self, cluster: Cluster) -> None:
        with pytest.raises(AzureConnectionError, match=r"'tvm-gone' \(127.0.0.1:1\): Connection refused\.$") as raised:
            cluster.exec("true", node_id="tvm-gone")
        assert "az batchai cluster node list" in advice(raised)


class TestHostKey:
    def test_first_one_is_said_and_kept(self, cluster: Cluster, said: list[str]) -> None:
        cluster.exec("true")
        cluster.exec("true")
        (message,) = said
        assert message.startswith("Trusting node 'tvm-1' from now on by its host key SHA256:")
        (line,) = cluster.known_hosts.read_text().splitlines()
        assert line.split()[:2] == ["tvm-1", "ssh-ed25519"]
        assert cluster.known_hosts.name.startswith("vision-mycluster-")

    def test_is_in_the_format_of_openssh(self, cluster: Cluster) -> None:
        cluster.exec("true")
        hosts = ["-o", f"UserKnownHostsFile={cluster.known_hosts}", "-o", "HostKeyAlias=tvm-1"]
        options = [*hosts, "-o", "StrictHostKeyChecking=yes", *cluster.node.options(), "-p", str(cluster.node.port)]
        done = subprocess.run(["ssh", *options, f"{USER}@127.0.0.1", "exit 9"], capture_output=True)
        assert done.returncode == 9, done.stderr

    def test_another_one_is_refused(self, cluster: Cluster) -> None:
        cluster.exec("true")
        mark = cluster.node.home / "reached"
        with ssh_node.node() as impostor:
            cluster.nodes[0].port = impostor.port
            with pytest.raises(AzureConnectionError, match="host key of node 'tvm-1' .* has changed") as raised:
                cluster.exec(f"touch {mark}", ssh_private_key=str(impostor.key()))
        assert not mark.exists()
        assert f"remove the line of tvm-1 from {cluster.known_hosts}" in advice(raised)

    def test_belongs_to_the_node_not_to_its_address(self, cluster: Cluster) -> None:
        cluster.exec("true")
        with ssh_node.node() as successor:
            cluster.nodes[:] = [SimpleNamespace(node_id="tvm-2", ip_address="127.0.0.1", port=successor.port)]
            assert cluster.exec("exit 2", ssh_private_key=str(successor.key())) == 2


class TestForward:
    """The command on the node is `cat fifo`: it ends when the test writes to it."""

    def while_forwarding(self, cluster: Cluster, address: Any, check: Callable[[], Any]) -> Any:
        fifo = cluster.node.home / "fifo"
        os.mkfifo(fifo)
        results: list[Any] = []

        def visit() -> None:
            try:
                with fifo.open("w"):  # opens once the command runs, so the forwards are there
                    results.append(check())
            except Exception as exc:
                results.append(exc)

        visitor = threading.Thread(target=visit)
        visitor.start()
        try:
            assert cluster.exec("cat fifo", address=address) == 0
        finally:
            os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))  # releases the visitor if the command never ran
            visitor.join(20)
            fifo.unlink()
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]

    def test_all_forms_at_once(self, cluster: Cluster) -> None:
        ports = [ssh_node.free_port() for _ in range(3)]
        mine = [cluster.node.folder / f"mine{i}" for i in range(2)]
        theirs = cluster.node.folder / "theirs"
        big = os.urandom(300_000).hex().encode()
        with shouting() as (host, port), shouting(theirs):
            address = [
                f"{ports[0]}:{host}:{port} {ports[1]}:{theirs}",
                f"127.0.0.2:{ports[2]}:{host}:{port}",
                f"{mine[0]}:{host}:{port}",
                f"{mine[1]}:{theirs}",
            ]
            addresses = [("127.0.0.1", ports[0]), ("127.0.0.1", ports[1]), ("127.0.0.2", ports[2]), *map(str, mine)]
            answers = self.while_forwarding(cluster, address, lambda: [shout(at, big) for at in addresses])
        assert answers == [big.upper()] * 5
        assert not any(path.exists() for path in mine)
        assert not any(ssh_node.listens(at) for at in addresses[:3])

    def test_listens_on_loopback_only(self, cluster: Cluster) -> None:
        port = ssh_node.free_port()

        def elsewhere() -> bool:
            return ssh_node.listens(("127.0.0.3", port))

        assert self.while_forwarding(cluster, f"{port}:localhost:9", elsewhere) is False
        assert self.while_forwarding(cluster, f"*:{port}:localhost:9", elsewhere) is True

    def test_target_that_refuses_is_said(self, cluster: Cluster, said: list[str]) -> None:
        port, closed = ssh_node.free_port(), ssh_node.free_port()
        address = f"{port}:127.0.0.1:{closed}"
        assert self.while_forwarding(cluster, address, lambda: shout(("127.0.0.1", port))) == b""
        assert f"Forwarding 127.0.0.1:{port} to 127.0.0.1:{closed} of the node." in said
        assert [text for text in said if text.startswith(f"The node cannot connect to 127.0.0.1:{closed}: ")]

    def test_taken_port(self, cluster: Cluster) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(InvalidArgumentValueError, match=rf"listen on 127.0.0.1:{port}: Address .*in use"):
                cluster.exec("true", address=[f"{port}:localhost:80"])

    def test_taken_socket(self, cluster: Cluster, tmp_path: Path) -> None:
        (tmp_path / "s").touch()
        with pytest.raises(InvalidArgumentValueError, match="cannot listen on .*/s: it exists already"):
            cluster.exec("true", address=[f"{tmp_path}/s:localhost:80"])
        assert (tmp_path / "s").exists()

    @pytest.mark.parametrize(
        ("text", "local", "remote"),
        [
            ("8080:localhost:80", "127.0.0.1:8080", "localhost:80"),
            ("[::1]:8080:[fe80::1]:80", "[::1]:8080", "[fe80::1]:80"),
            ("*:0:h:2", "*:0", "h:2"),
            (":1:h:2", "*:1", "h:2"),
            ("box:1:/run/s", "box:1", "/run/s"),
            ("/a.sock:h:1", "/a.sock", "h:1"),
        ],
    )
    def test_syntax(self, text: str, local: str, remote: str) -> None:
        (forward,) = ssh_forward.parse(text)
        assert (str(forward.local), str(forward.remote)) == (local, remote)

    @pytest.mark.parametrize("text", ["x", "80:h", "a:b:c:d:80", "99999:h:1", "1:h:x", "1:h:0", "1::2", "[x:1"])
    def test_wrong_syntax(self, text: str) -> None:
        with pytest.raises(InvalidArgumentValueError, match="--address/-L '") as raised:
            ssh_forward.parse([text])
        assert "-L 8080:localhost:8080" in advice(raised)


class TestProcess:
    """What needs a process of its own: its standard input, Ctrl-C, a reader that goes away."""

    def start(self, cluster: Cluster, command: str | None, **streams: Any) -> "subprocess.Popen[bytes]":
        address = f"0:localhost:{cluster.node.port}" if command is None else None
        port, key, known_hosts = cluster.node.port, str(cluster.node.key()), str(cluster.config_dir / "known")
        code = (
            "import sys\n"
            "from pathlib import Path\n"
            "from azext_batchai.ssh import connection, forward\n"
            f"node = connection.Node('tvm-1', '127.0.0.1', {port}, {USER!r}, Path({known_hosts!r}))\n"
            f"login = connection.Credentials({key!r})\n"
            f"sys.exit(connection.run(node, login, {command!r}, forward.parse({address!r})))\n"
        )
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, **streams)

    def test_input_is_forwarded(self, cluster: Cluster) -> None:
        data = os.urandom(3_000_000)
        process = self.start(cluster, "cat; exit 3", stdin=subprocess.PIPE)
        assert process.communicate(data, timeout=20)[0] == data
        assert process.returncode == 3

    def test_input_that_never_ends_does_not_keep_the_command(self, cluster: Cluster) -> None:
        process = self.start(cluster, "head -c 1; exit 4", stdin=subprocess.PIPE)
        assert process.stdin
        process.stdin.write(b"xyz")
        process.stdin.flush()
        assert process.wait(20) == 4
        process.communicate()

    def test_ctrl_c_ends_the_command(self, cluster: Cluster) -> None:
        command = "trap 'echo caught; exit 1' INT; echo ready; while :; do sleep 0.02; done"
        process = self.start(cluster, command)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, b"Traceback" in err) == (130, b"caught\n", False)
        processes.wait_until(lambda: not processes.of_home(cluster.node.home), "the command has ended")

    def test_ctrl_c_ends_forwarding(self, cluster: Cluster) -> None:
        process = self.start(cluster, None)
        processes.wait_until(lambda: _listening(process.pid), "the client listens")
        process.send_signal(signal.SIGINT)
        assert (process.wait(20), b"Traceback" in process.communicate()[1]) == (0, False)

    def test_reader_that_goes_away(self, cluster: Cluster) -> None:
        process = self.start(cluster, "yes")
        assert process.stdout and process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 128 + 13
        assert process.stderr and b"Traceback" not in process.stderr.read()
        process.stderr.close()


def _listening(pid: int) -> bool:
    """Whether a process has a listening TCP socket."""
    sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.exists() or link.is_symlink()}
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[3] == "0A" and f"socket:[{row[9]}]" in sockets for row in rows)

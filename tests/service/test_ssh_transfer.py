"""Files copied to and from a node, and connections forwarded through it, by the stock OpenSSH clients."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from harness import processes, ssh_node
from harness.ssh_node import USER, SshNode, shout, shouting

ODD_NAMES = [
    pytest.param("blü 日本 😀".encode(), id="unicode"),
    pytest.param(b"latin-\xe9", id="not utf-8"),
    pytest.param(b"a 'b' \"c\" $d `e` *?[x];&|", id="for a shell"),
    pytest.param(b"-rf", id="an option"),
    pytest.param(b"~", id="tilde"),
]


@pytest.fixture(scope="module")
def shared_node() -> Iterator[SshNode]:
    with ssh_node.node() as made:
        yield made


@pytest.fixture
def node(shared_node: SshNode) -> SshNode:
    shared_node.clear_home()
    return shared_node


@ssh_node.needs("scp")
class TestFiles:
    @pytest.mark.parametrize("protocol", [[], ["-O"]], ids=["sftp", "scp"])
    def test_scp(self, node: SshNode, tmp_path: Path, protocol: list[str]) -> None:
        data = os.urandom(3_000_000)
        (tmp_path / "tree" / "deep").mkdir(parents=True)
        (tmp_path / "tree" / "deep" / "file").write_bytes(data)
        scp = ["scp", *protocol, *node.options(), "-q", "-P", str(node.port)]
        host = f"{USER}@127.0.0.1"

        def run(*words: str) -> int:
            return subprocess.run([*scp, *words], capture_output=True, timeout=30).returncode

        assert run("-rp", str(tmp_path / "tree"), f"{host}:copy") == 0
        assert (node.home / "copy" / "deep" / "file").read_bytes() == data
        assert run("-r", f"{host}:~/copy", str(tmp_path / "back")) == 0
        assert (tmp_path / "back" / "deep" / "file").read_bytes() == data
        (tmp_path / "many").mkdir()
        assert run(f"{host}:copy/deep/f*", str(tmp_path / "many")) == 0
        assert [path.name for path in (tmp_path / "many").iterdir()] == ["file"]
        assert run(f"{host}:absent", str(tmp_path)) == 1

    @ssh_node.needs("sftp")
    def test_sftp_starts_at_home(self, node: SshNode, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        batch = f"pwd\nmkdir d\ncd d\nput {tmp_path / 'file'}\nrename file other\nln -s other link\nls -1\n"
        words = ["sftp", "-q", *node.options(), "-P", str(node.port), "-b", "-", f"{USER}@127.0.0.1"]
        done = subprocess.run(words, input=batch.encode(), capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert f"directory: {node.home}".encode() in done.stdout
        assert done.stdout.split()[-2:] == [b"link", b"other"]
        assert os.readlink(node.home / "d" / "link") == "other"

    @pytest.mark.parametrize("protocol", [[], ["-O"]], ids=["sftp", "scp"])
    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_scp_of_odd_names(self, node: SshNode, tmp_path: Path, protocol: list[str], name: bytes) -> None:
        scp = ["scp", *protocol, *node.options(), "-q", "-P", str(node.port)]
        host = f"{USER}@127.0.0.1"
        source = os.fsencode(tmp_path / "tree")
        os.mkdir(source)
        with open(os.path.join(source, name), "wb") as file:
            file.write(name)
        subprocess.run([*scp, "-r", source, f"{host}:there"], check=True, timeout=30)
        assert os.listdir(os.fsencode(node.home / "there")) == [name]
        subprocess.run([*scp, "-r", f"{host}:there", tmp_path / "back"], check=True, timeout=30)
        with open(os.path.join(os.fsencode(tmp_path / "back"), name), "rb") as file:
            assert file.read() == name


class TestSftp:
    """The operations of the protocol, which clients use behind their commands."""

    @pytest.fixture
    def sftp(self, node: SshNode) -> Iterator[paramiko.SFTPClient]:
        with paramiko.Transport(("127.0.0.1", node.port)) as transport:
            transport.start_client()
            transport.auth_publickey(USER, paramiko.Ed25519Key.from_private_key_file(str(node.key())))
            sftp = paramiko.SFTPClient.from_transport(transport)
            assert sftp
            with sftp:
                yield sftp

    def test_realpath(self, node: SshNode, sftp: paramiko.SFTPClient) -> None:
        (node.home / "d").mkdir()
        (node.home / "link").symlink_to("d")
        home = str(node.home)
        for asked in (".", "", "d/.."):
            assert sftp.normalize(asked) == home
        for asked in ("d/../x", "absent", "~", "~/d"):  # a tilde is for a shell to know
            assert sftp.normalize(asked) == f"{home}/{asked.rpartition('../')[2]}"
        for asked in ("./d/./", "link", f"{home}/link/../d"):
            assert sftp.normalize(asked) == f"{home}/d"
        for asked in ("/", "/.."):
            assert sftp.normalize(asked) == "/"

    def test_rename_replaces_only_where_asked_to(self, node: SshNode, sftp: paramiko.SFTPClient) -> None:
        for name in ("a", "b"):
            (node.home / name).write_text(name)
        with pytest.raises(OSError):
            sftp.rename("a", "b")
        assert (node.home / "b").read_text() == "b"
        sftp.posix_rename("a", "b")
        assert [path.name for path in node.home.iterdir()] == ["b"] and (node.home / "b").read_text() == "a"
        sftp.rename("b", "c")
        assert [path.name for path in node.home.iterdir()] == ["c"]
        with pytest.raises(FileNotFoundError):
            sftp.rename("absent", "d")

    def test_links_keep_their_targets(self, node: SshNode, sftp: paramiko.SFTPClient) -> None:
        (node.home / "file").write_text("x")
        for name, target in {"l1": "file", "l2": "/etc/hostname", "l3": "../absent", "l4": "~/x"}.items():
            (node.home / name).symlink_to(target)
            assert sftp.readlink(name) == target
        sftp.symlink("file", "made")
        assert os.readlink(node.home / "made") == "file"
        assert sftp.lstat("l3").st_mode and sftp.stat("made").st_size == 1
        with pytest.raises(FileNotFoundError):
            sftp.stat("l3")
        with pytest.raises(OSError):
            sftp.readlink("file")

    @pytest.mark.parametrize("name", [*ODD_NAMES, pytest.param(b"a\\b", id="backslash")])
    def test_odd_names(self, node: SshNode, sftp: paramiko.SFTPClient, name: bytes) -> None:
        with sftp.open(name, "wb") as remote:  # type: ignore[arg-type]
            remote.write(b"x" * 100_000)
        assert os.listdir(os.fsencode(node.home)) == [name]
        sftp.mkdir(b"d-" + name)  # type: ignore[arg-type]
        sftp.rename(name, b"d-" + name + b"/" + name)  # type: ignore[arg-type]
        sftp.remove(b"d-" + name + b"/" + name)  # type: ignore[arg-type]
        sftp.rmdir(b"d-" + name)  # type: ignore[arg-type]
        assert os.listdir(node.home) == []

    def test_attributes_and_errors(self, node: SshNode, sftp: paramiko.SFTPClient) -> None:
        sftp.open("file", "w").close()
        sftp.chmod("file", 0o640)
        sftp.truncate("file", 10)
        sftp.utime("file", (1, 2))
        found = (node.home / "file").stat()
        assert (found.st_mode & 0o777, found.st_size, found.st_atime, found.st_mtime) == (0o640, 10, 1, 2)
        with sftp.open("file", "ab") as remote:
            remote.write(b"end")
        assert (node.home / "file").read_bytes() == bytes(10) + b"end"
        with pytest.raises(FileNotFoundError):
            sftp.open("absent")
        for wrong in (lambda: sftp.mkdir("file"), lambda: sftp.rmdir("file"), lambda: sftp.listdir("file")):
            with pytest.raises(OSError):
                wrong()


@ssh_node.needs("ssh")
class TestForwarding:
    @contextlib.contextmanager
    def forwarding(self, node: SshNode, *options: str) -> Iterator[Any]:
        words = node.ssh_command("-N", "-o", "ExitOnForwardFailure=yes", *options)
        client = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            yield client
        finally:
            client.kill()  # on TERM this client may sleep on: it has a race between its check and its poll
            client.communicate(timeout=10)

    def test_local_port_and_socket(self, node: SshNode) -> None:
        ports = ssh_node.free_port(), ssh_node.free_port()
        mine, theirs = node.folder / "mine.sock", node.folder / "theirs.sock"
        with shouting() as (host, port), shouting(theirs):
            options = ["-L", f"{ports[0]}:{host}:{port}", "-L", f"{ports[1]}:{theirs}", "-L", f"{mine}:{host}:{port}"]
            with self.forwarding(node, *options):
                for address in (("127.0.0.1", ports[0]), ("127.0.0.1", ports[1]), str(mine)):
                    processes.wait_until(lambda at=address: ssh_node.listens(at), f"{address} listens")
                    big = os.urandom(300_000).hex().encode()
                    assert shout(address, big) == big.upper()

    def test_remote_port_and_socket(self, node: SshNode) -> None:
        theirs = node.folder / "remote.sock"
        with shouting() as (host, port):
            with self.forwarding(node, "-R", f"0:{host}:{port}", "-R", f"{theirs}:{host}:{port}", "-v") as client:
                for line in client.stderr:
                    if found := re.search(r"Allocated port (\d+) for remote forward", line):
                        break
                assert shout(("127.0.0.1", int(found[1]))) == b"HELLO"
                processes.wait_until(lambda: ssh_node.listens(str(theirs)), "the node listens on the socket")
                assert shout(str(theirs)) == b"HELLO"
            processes.wait_until(lambda: not theirs.exists(), "the socket is removed")

    def test_no_listening_for_other_machines(self, node: SshNode) -> None:
        with self.forwarding(node, "-R", "*:0:127.0.0.1:9") as client:
            assert client.wait(10) == 255

    def test_standard_streams(self, node: SshNode) -> None:
        with shouting() as (host, port):
            assert node.ssh("-W", f"{host}:{port}", input=b"hello").stdout == b"HELLO"

    def test_agent(self, node: SshNode) -> None:
        socket_path = node.folder / "agent"
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_path)], stdout=subprocess.DEVNULL)
        try:
            processes.wait_until(lambda: ssh_node.listens(str(socket_path)), "the agent listens")
            env = {**os.environ, "SSH_AUTH_SOCK": str(socket_path)}
            subprocess.run(["ssh-add", "-q", str(node.key("rsa"))], env=env, check=True)
            assert b"(RSA)" in node.ssh("-A", "ssh-add -l", env=env).stdout
        finally:
            agent.terminate()
            agent.wait()

"""Logins to a node by the clients that people have: OpenSSH, paramiko (today's and 2.12), libssh2 and dropbear."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from harness import processes, ssh_node
from harness.ssh_node import PASSWORD, USER, SshNode

COMMAND = "echo in"
SECONDS = 60  # for a client, so that one that hangs is a failure
SYSTEM_PYTHON = "/usr/bin/python3"  # of Debian, whose package of paramiko may be another than ours


@dataclass(frozen=True)
class Login:
    """What a client has: private keys, an agent's socket, and passwords to be tried one after the other."""

    keys: list[Path] = field(default_factory=list)
    agent: Path | None = None
    passwords: list[str] = field(default_factory=list)
    interactive: bool = False  # the passwords are answers of keyboard-interactive

    def environment(self, node: SshNode) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
        return {**env, "HOME": str(node.folder), **({"SSH_AUTH_SOCK": str(self.agent)} if self.agent else {})}


Done = subprocess.CompletedProcess[bytes]
Client = Callable[[SshNode, Login], Done]


def openssh(node: SshNode, login: Login) -> Done:
    keys = [word for key in login.keys for word in ("-i", str(key))]
    kinds = "publickey," + ("keyboard-interactive" if login.interactive else "password")
    words = ["-o", f"PreferredAuthentications={kinds}", "-o", f"NumberOfPasswordPrompts={len(login.passwords) or 1}"]
    hosts = ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
    answers, askpass = node.folder / "answers", node.folder / "askpass"
    answers.write_text("\n".join(login.passwords) + "\n")
    askpass.write_text(f"#!/bin/sh\nsed -n 1p {answers}\nsed -i 1d {answers}\n")
    askpass.chmod(0o700)
    asking = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    command = ["ssh", "-F", "/dev/null", *words, *hosts, *keys, "-p", str(node.port), "-l", USER, "127.0.0.1", COMMAND]
    return _run(command, {**login.environment(node), **asking})


_PARAMIKO = """
import json, paramiko, sys

login = json.load(sys.stdin)
address, user, passwords = ("127.0.0.1", login["port"]), login["user"], login["passwords"]
if login["keys"] or login["interactive"] or len(passwords) > 1:
    transport = paramiko.Transport(address)
    transport.start_client()
    kinds = {"rsa": paramiko.RSAKey, "ed25519": paramiko.Ed25519Key, "ecdsa": paramiko.ECDSAKey}
    tries = []
    for path in login["keys"]:
        kind = next(kinds[kind] for kind in kinds if kind in path)  # 2.12 takes other kinds for DSA when it guesses
        tries.append((transport.auth_publickey, kind.from_private_key_file(path)))
    for password in passwords:
        if login["interactive"]:
            answer = lambda title, text, asked, password=password: [password] * len(asked)
            tries.append((transport.auth_interactive, answer))
        else:
            tries.append((transport.auth_password, password))
    for attempt, given in tries:
        try:
            attempt(user, given)
        except paramiko.AuthenticationException as exc:
            print(type(exc).__name__, exc, file=sys.stderr)
else:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(*address, user, passwords[0])
    transport = client.get_transport()
channel = transport.open_session()
channel.exec_command(login["command"])
sys.stdout.write(channel.makefile("rb").read().decode())
transport.close()
"""


def paramiko(node: SshNode, login: Login) -> Done:
    return _script(sys.executable, _PARAMIKO, node, login)


def paramiko_2_12(node: SshNode, login: Login) -> Done:
    return _script(SYSTEM_PYTHON, _PARAMIKO, node, login)


_LIBSSH2 = """
import json, socket, sys
from ssh2.exceptions import SSH2Error
from ssh2.session import Session

def attempt(function, *args):
    try:
        function(login["user"], *args)
    except SSH2Error as exc:
        print(type(exc).__name__, exc, file=sys.stderr)

login = json.load(sys.stdin)
session = Session()
session.handshake(socket.create_connection(("127.0.0.1", login["port"])))
for key in login["keys"]:
    attempt(session.userauth_publickey_fromfile, key)
if login["agent"]:
    attempt(session.agent_auth)
for password in login["passwords"]:
    attempt(session.userauth_keyboardinteractive if login["interactive"] else session.userauth_password, password)
channel = session.open_session()
channel.execute(login["command"])
sys.stdout.write(channel.read()[1].decode())
"""


def libssh2(node: SshNode, login: Login) -> Done:
    return _script(sys.executable, _LIBSSH2, node, login)


def curl(node: SshNode, login: Login) -> Done:
    """Debian's libssh2, by way of sftp."""
    (node.home / "answer").write_bytes(b"in\n")
    key = ["--key", str(login.keys[0]), "--pubkey", f"{login.keys[0]}.pub"] if login.keys else []
    user = f"{USER}:{login.passwords[0] if login.passwords else ''}"
    url = f"sftp://127.0.0.1:{node.port}{node.home}/answer"
    return _run(["curl", "-sS", "-k", *key, "-u", user, url], login.environment(node))


def dropbear(node: SshNode, login: Login) -> Done:
    words = []
    for key in login.keys:
        converted = node.folder / f"{key.name}.dropbear"
        subprocess.run(["dropbearconvert", "openssh", "dropbear", key, converted], check=True, capture_output=True)
        words += ["-i", str(converted)]
    env = {**login.environment(node), "DROPBEAR_PASSWORD": login.passwords[0] if login.passwords else ""}
    # With two -y it neither asks nor looks at the host key.
    return _run(["dbclient", "-y", "-y", *words, "-p", str(node.port), f"{USER}@127.0.0.1", COMMAND], env)


def _script(python: str, script: str, node: SshNode, login: Login) -> Done:
    told = {
        "port": node.port,
        "user": USER,
        "keys": [str(key) for key in login.keys],
        "agent": str(login.agent or ""),
        "passwords": login.passwords,
        "interactive": login.interactive,
        "command": COMMAND,
    }
    return _run([python, "-W", "ignore", "-c", script], login.environment(node), json.dumps(told).encode())


def _run(command: list[str], env: dict[str, str], given: bytes = b"") -> Done:
    return subprocess.run(command, env=env, input=given, capture_output=True, timeout=SECONDS)


def _lacks(client: Client) -> str:
    """Why a client cannot be had here; empty where it can."""
    programs = {openssh: "ssh", curl: "curl", dropbear: "dbclient", paramiko_2_12: SYSTEM_PYTHON}
    program = programs.get(client, sys.executable)
    if not shutil.which(program):
        return f"'{program}' is not installed"
    checks = {
        paramiko_2_12: ([program, "-c", "import paramiko; print(paramiko.__version__)"], b"2."),
        libssh2: ([program, "-c", "import ssh2.session; print('ssh2')"], b"ssh2"),
        curl: ([program, "--version"], b" sftp "),
    }
    if client in checks:
        words, expected = checks[client]
        if expected not in subprocess.run(words, capture_output=True).stdout:
            return f"{client.__name__} is not installed"
    return ""


def clients(*which: Client) -> Any:
    params = []
    for client in which:
        reason = _lacks(client)
        params.append(pytest.param(client, id=client.__name__, marks=pytest.mark.skipif(bool(reason), reason=reason)))
    return pytest.mark.parametrize("client", params)


@pytest.fixture(scope="module")
def node() -> Iterator[SshNode]:
    with ssh_node.node() as made:
        yield made


@pytest.fixture(scope="module")
def unrelated(node: SshNode) -> list[Path]:
    """Private keys that the node does not know, one of each kind, and one where clients look by themselves."""
    kinds: dict[str, dict[str, Any]] = {"ssh-rsa": {"key_size": 2048}, "ssh-ed25519": {}, "ecdsa-sha2-nistp256": {}}
    made = []
    for kind, options in kinds.items():
        key = asyncssh.generate_private_key(kind, **options)
        path = node.folder / f"unrelated-{kind}"
        # paramiko reads OpenSSH's format of an ECDSA key every other time.
        key.write_private_key(path, "openssh" if kind == "ssh-ed25519" else "pkcs1-pem")
        key.write_public_key(f"{path}.pub")
        path.chmod(0o600)
        made.append(path)
    (node.folder / ".ssh").mkdir(mode=0o700)
    shutil.copy(made[0], node.folder / ".ssh" / "id_rsa")
    return made


@pytest.fixture(scope="module")
def agent(node: SshNode) -> Iterator[Path]:
    """The socket of an agent with eight keys that the node does not know: sshd would give up at the sixth."""
    for program in ("ssh-agent", "ssh-add"):
        if not shutil.which(program):
            pytest.skip(f"OpenSSH's '{program}' is not installed")
    path = node.folder / "agent"
    keeper = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        processes.wait_until(lambda: ssh_node.listens(str(path)), "the agent listens")
        for _ in range(8):
            key = asyncssh.generate_private_key("ssh-ed25519").export_private_key()
            env = {**os.environ, "SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", "-"], input=key, env=env, check=True)
        yield path
    finally:
        keeper.terminate()
        keeper.wait()


def assert_in(done: Done) -> None:
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr


@clients(openssh, paramiko, paramiko_2_12, libssh2, curl, dropbear)
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key(client: Client, node: SshNode, kind: str) -> None:
    done = client(node, Login(keys=[node.key(kind)]))
    if client is curl and kind == "rsa" and done.returncode:
        pytest.skip("this libssh2 (before 1.11) signs with SHA-1, which nodes refuse as sshd does")
    assert_in(done)


@clients(openssh, paramiko, paramiko_2_12, libssh2, curl, dropbear)
def test_keys_that_do_not_fit_then_a_password(client: Client, node: SshNode, unrelated: list[Path]) -> None:
    assert_in(client(node, Login(keys=unrelated, passwords=[PASSWORD])))


@clients(openssh, paramiko, paramiko_2_12, dropbear)
def test_keys_that_do_not_fit_then_one_that_does(client: Client, node: SshNode, unrelated: list[Path]) -> None:
    assert_in(client(node, Login(keys=[*unrelated, node.key()])))


@pytest.mark.usefixtures("unrelated")
@clients(paramiko, paramiko_2_12)
def test_a_password_beside_a_key_in_the_usual_place(client: Client, node: SshNode) -> None:
    assert_in(client(node, Login(passwords=[PASSWORD])))


@clients(openssh, paramiko, paramiko_2_12, libssh2, dropbear)
def test_an_agent_with_keys_that_do_not_fit_then_a_password(client: Client, node: SshNode, agent: Path) -> None:
    assert_in(client(node, Login(agent=agent, passwords=[PASSWORD])))


@clients(openssh, paramiko, paramiko_2_12, libssh2)
def test_keyboard_interactive(client: Client, node: SshNode) -> None:
    assert_in(client(node, Login(passwords=["wrong", PASSWORD], interactive=True)))


@clients(openssh, paramiko, paramiko_2_12, libssh2)
def test_five_wrong_passwords_then_the_right_one(client: Client, node: SshNode) -> None:
    assert_in(client(node, Login(passwords=[*["wrong"] * 5, PASSWORD])))


@clients(openssh, paramiko, paramiko_2_12, libssh2, curl, dropbear)
@pytest.mark.parametrize("interactive", [False, True], ids=["password", "interactive"])
def test_too_many_passwords_are_refused_with_the_reason(client: Client, node: SshNode, interactive: bool) -> None:
    done = client(node, Login(passwords=[*["wrong"] * 6, PASSWORD], interactive=interactive))
    assert done.stdout == b""
    if client is not dropbear:  # which ends with 0 whatever happened
        assert done.returncode != 0
    if client is openssh:
        assert b"Too many authentication failures" in done.stderr
    assert_in(client(node, Login(keys=[node.key()])))

"""The OpenSSH client on nodes: its command line, and hosts for ~/.ssh/config that editors, scp and rsync know then."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from azext_batchai.ssh.connection import Node
from azext_batchai.ssh.forward import Forward

_CONFIG = Path("~/.ssh/config")
_FOLDER = "batchai"  # below ~/.ssh
_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")


def program() -> str:
    """Raises FileOperationError where there is no OpenSSH client."""
    found = shutil.which("ssh")
    if found:
        return found
    from azure.cli.core.azclierror import FileOperationError

    raise FileOperationError(
        "There is no ssh client on this machine.",
        recommendation="Install OpenSSH (apt install openssh-client), or run one command with `node exec --exec`.",
    )


def options(node: Node, key_file: str | None) -> list[tuple[str, str]]:
    """Options of ssh_config(5) that reach the node; its host key is kept where `node exec` keeps it."""
    found = [
        ("HostName", node.address),
        ("Port", str(node.port)),
        ("User", node.user_name),
        ("HostKeyAlias", node.node_id),  # address and port belong to another node soon
        ("UserKnownHostsFile", _quoted(node.known_hosts)),
        ("GlobalKnownHostsFile", os.devnull),
        ("StrictHostKeyChecking", "accept-new"),
        ("CheckHostIP", "no"),
        ("UpdateHostKeys", "no"),
        ("HashKnownHosts", "no"),
    ]
    if key_file:
        return [*found, ("IdentityFile", _quoted(Path(key_file).expanduser().absolute())), ("IdentitiesOnly", "yes")]
    # Those of ~/.ssh: ssh goes by the home of the user database, `cluster create` by $HOME.
    keys = [key for name in _KEYS if (key := Path("~/.ssh").expanduser() / name).is_file()]
    return [*found, *(("IdentityFile", _quoted(key)) for key in keys)]


def command(node: Node, key_file: str | None, forwards: Sequence[Forward], words: Sequence[str]) -> list[str]:
    """The command line of ssh; without `words` a shell, or nothing but the forwards where there is no terminal."""
    node.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = [program(), "-F", os.devnull]  # ~/.ssh/config is about other hosts
    for keyword, value in options(node, key_file):
        line += ["-o", f"{keyword}={value}"]
    for forward in forwards:
        line += ["-L", f"{forward.local}:{forward.remote}"]
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if words and at_terminal:
        line.append("-t")
    elif forwards and not words and not at_terminal:
        line.append("-N")
    return [*line, "--", node.node_id, *words]


def config(hosts: dict[str, Node], key_file: str | None) -> str:
    """The lines of an ssh_config file; `hosts`: nodes by the names that they are to have."""
    text = []
    for name, node in hosts.items():
        text.append(f"Host {name}")
        text += [f"    {keyword} {value}" for keyword, value in options(node, key_file)]
        text.append("")
    return "\n".join(text)


def write_config(name: str, text: str) -> Path:
    """Let ~/.ssh/config have these hosts, in the place of those of an earlier call with the same name.

    Returns the file that has them, which ~/.ssh/config includes. Raises FileOperationError.
    """
    from azure.cli.core.azclierror import FileOperationError

    main = _CONFIG.expanduser()
    file = main.parent / _FOLDER / name
    include = f"Include {_quoted(file.parent / '*')}"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(file, text)
        before = main.read_text(encoding="utf-8") if main.exists() else ""
        if include not in (line.strip() for line in before.splitlines()):
            # Before everything else: behind a Host line it would hold for that host alone.
            _replace(main, f"{include}\n\n{before}" if before else f"{include}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FileOperationError(
            f"The hosts cannot be written to {main}: {error}",
            recommendation="Leave --write out, and put what is printed where your ssh reads it.",
        ) from error
    return file


def _replace(file: Path, text: str) -> None:
    """Write the whole file or nothing of it, where it really lies."""
    place = file.resolve()
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(fresh, place)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _quoted(path: Path) -> str:
    """A path as ssh_config takes it, `%` included, which begins a token there."""
    value = str(path).replace("%", "%%")
    return f'"{value}"' if " " in value else value

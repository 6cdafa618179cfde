"""SSH from node to node without a password, as a job's processes had it in Batch AI (wire.md 5.3)."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from azext_batchai.service.engine.local.mpi import write_program, write_whole

_PROGRAM = """#!/bin/sh
# In a job the other nodes are known by their addresses and names.
exec {program} ${{BATCHAI_SSH_CONFIG:+-F "$BATCHAI_SSH_CONFIG"}} "$@"
"""
_HOST = """Host {names}
    HostName 127.0.0.1
    Port {port}
    User {user}
    HostKeyAlias {alias}
    IdentityFile "{key}"
    IdentitiesOnly yes
    StrictHostKeyChecking accept-new
    UserKnownHostsFile "{known_hosts}"
    LogLevel ERROR
"""


_making = threading.Lock()


async def provide_key(path: Path) -> str:
    """The public half of the key that nodes log in to each other with; made where it does not exist."""
    if not path.exists():
        await asyncio.to_thread(_make_key, path)
    return path.with_suffix(".pub").read_text(encoding="ascii").strip()


def _make_key(path: Path) -> None:
    import asyncssh

    with _making:  # the nodes of a cluster are allocated at the same time
        if path.exists():
            return
        key = asyncssh.generate_private_key("ssh-ed25519", comment="batchai nodes")
        path.with_suffix(".pub").write_bytes(key.export_public_key())
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.export_private_key())
        temporary.rename(path)


def write_programs(folder: Path) -> None:
    """ssh, scp and sftp for the node's PATH, where the machine has them."""
    for name in ("ssh", "scp", "sftp"):
        program = shutil.which(name)
        if program:
            write_program(folder / name, _PROGRAM.format(program=shlex.quote(program)))


def write_config(path: Path, key: Path, hosts: Mapping[str, tuple[str, str, int]]) -> None:
    """`hosts` gives for each address the node's id, its user and its port."""
    known_hosts = path.with_name("known_hosts")
    text = ""
    for address, (node_id, user, port) in hosts.items():
        text += _HOST.format(
            names=f"{address} {node_id}", port=port, user=user, alias=node_id, key=key, known_hosts=known_hosts
        )
    write_whole(path, text)

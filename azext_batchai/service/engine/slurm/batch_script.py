"""The batch script of a block: an agent on each of its nodes."""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path

NO_FOLDER = "batchai: SharedFolderMissing"  # begins the output of a node that has not the folder that it should share

_SCRIPT = """#!/bin/bash -l
# A block of batchai's nodes: its agents run for as long as it is held (docs/slurm.md).
umask 077
PATH={path}:$PATH
cd /
{prologue}
exec srun --ntasks-per-node=1 --overlap --no-kill --wait=0 --kill-on-bad-exit=0 --mpi=none --input=none --quiet \\
    --export=ALL --chdir=/ /bin/sh -c {command}
"""
_COMMAND = """if [ "$(cat {nonce})" != {value} ]; then echo "{missing} on $SLURMD_NODENAME"; exit 96; fi
exec {python} -B {agent} {folder} "$SLURM_PROCID" {interface}"""


def write_nonce(folder: Path) -> None:
    """What a node must be able to read in the block's folder. Raises OSError."""
    _nonce(folder).write_text(secrets.token_hex(8), encoding="ascii")


def text(folder: Path, programs: Path, prologue: str, python: str, interface: str) -> str:
    """The script of the block of this folder; `programs` is where the agent is. Raises OSError."""
    command = _COMMAND.format(
        nonce=shlex.quote(str(_nonce(folder))),
        value=_nonce(folder).read_text(encoding="ascii"),
        missing=NO_FOLDER,
        python=shlex.quote(python),
        agent=shlex.quote(str(programs / "agent.py")),
        folder=shlex.quote(str(folder)),
        interface=shlex.quote(interface),
    )
    path = shlex.quote(os.environ.get("PATH", os.defpath))
    return _SCRIPT.format(path=path, prologue=prologue, command=shlex.quote(command))


def _nonce(folder: Path) -> Path:
    return folder / "nonce"

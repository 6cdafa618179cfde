"""Open MPI over local nodes: the host file, the launch agent, the command that starts the ranks.

Nodes share one machine and one host name, so each has a loopback address of its own and a launch agent takes the place
of ssh: it gives the ranks of a node that node's variables.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from azext_batchai.service.engine.base import Process, TaskError
from azext_batchai.service.engine.local.environment import shell
from azext_batchai.service.engine.task import Command

# Flags that name the network interfaces of Azure's machines: 2018 command lines have them.
_INTERFACE_FLAGS = "btl_tcp_if_include|btl_tcp_if_exclude|oob_tcp_if_include|oob_tcp_if_exclude"
_MPIRUN = """#!/bin/sh
# Interfaces of Azure's machines mean nothing here: the nodes of this machine talk over its loopback interface.
count=$#
while [ "$count" -gt 0 ]; do
    case $1 in
    -mca | --mca)
        case $2 in
        {flags})
            shift 3
            count=$((count - 3))
            continue
            ;;
        esac
        ;;
    esac
    set -- "$@" "$1"
    shift
    count=$((count - 1))
done
exec {program} "$@"
"""
_AGENT = """#!/bin/sh
# Called as ssh would be: ADDRESS COMMAND. Runs the command as the node at the address would.
address=$1
shift
exec /bin/sh {folder}/"$address".sh "$*"
"""
# What Slurm says of the step that reaches a node is not for MPI, which would start its processes by it.
_NO_STEP = "unset $(env | sed -n 's/^\\(\\(SLURM\\|PMI\\|PMIX\\)_[A-Za-z0-9_]*\\)=.*/\\1/p')\n"
_RANK = """#!/bin/sh
# By the names that torch.distributed, Lightning and torchrun read. A value of the job's own is left as it is.
rank=${{OMPI_COMM_WORLD_RANK:-${{PMI_RANK:-0}}}}
size=${{OMPI_COMM_WORLD_SIZE:-${{PMI_SIZE:-1}}}}
export RANK="${{RANK-$rank}}" WORLD_SIZE="${{WORLD_SIZE-$size}}"
export LOCAL_RANK="${{LOCAL_RANK-${{OMPI_COMM_WORLD_LOCAL_RANK:-${{MPI_LOCALRANKID:-0}}}}}}"
export LOCAL_WORLD_SIZE="${{LOCAL_WORLD_SIZE-${{OMPI_COMM_WORLD_LOCAL_SIZE:-${{MPI_LOCALNRANKS:-1}}}}}}"
export NODE_RANK="${{NODE_RANK-${{BATCHAI_NODE_INDEX:-0}}}}"
export PET_NNODES="${{PET_NNODES-$size}}" PET_NODE_RANK="${{PET_NODE_RANK-$rank}}"
export AZ_BATCHAI_TASK_INDEX="${{AZ_BATCHAI_TASK_INDEX-$rank}}"
cd "${{BATCHAI_WORK:-.}}" || exit 1
exec >>{stdout} 2>>{stderr}
exec {shell} {command}
"""


def variables(agent: str, host_file: str, addresses: Sequence[str], interface: str) -> dict[str, str]:
    """What a job's processes need to find each other by MPI, also when the user's own command calls mpirun.

    `interface` is the one that the addresses are of.
    """
    return {
        "AZ_BATCHAI_MPI_HOST_FILE": host_file,
        "AZ_BATCHAI_MPI_MASTER_NODE": addresses[0],
        "AZ_BATCH_HOST_LIST": ",".join(addresses),
        "OMPI_MCA_plm": "rsh",
        "OMPI_MCA_plm_rsh_agent": agent,
        "OMPI_MCA_plm_rsh_no_tree_spawn": "1",
        # Shared memory would be mixed up between nodes that have the same host name (wire.md 10.3).
        "OMPI_MCA_btl": "tcp,self",
        "OMPI_MCA_btl_tcp_if_include": interface,
        "OMPI_MCA_oob_tcp_if_include": interface,
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "GLOO_SOCKET_IFNAME": interface,
        **({} if interface == "lo" else {"NCCL_SOCKET_IFNAME": interface}),
    }


def write_host_file(path: Path, addresses: Sequence[str], slots: int) -> None:
    """Lines as the service had them: `10.0.0.5 slots=4 max-slots=4` (wire.md 5.4)."""
    write_whole(path, "".join(f"{address} slots={slots} max-slots={slots}\n" for address in addresses))


@dataclass(frozen=True)
class Station:
    """A node as its ranks are to find it: its own variables (no secrets: they go into a file), and the way into it.

    `reach` runs a command on the node's machine, where that is another one.
    """

    variables: Mapping[str, str]
    enter: Sequence[str]
    reach: Sequence[str] = ()


def write_agent(folder: Path, nodes: Mapping[str, Station]) -> None:
    """The launch agent for the nodes at these addresses."""
    folder.mkdir(parents=True, exist_ok=True)
    for address, node in nodes.items():
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in node.variables.items()]
        # A node that is entered is left in its working directory.
        lines.append(f"exec {shlex.join(node.enter)} " if node.enter else 'cd "$BATCHAI_WORK" && exec ')
        script = folder / f"{address}.sh"
        if node.reach:
            there = folder / f"{address}.there.sh"
            write_whole(script, f'exec {shlex.join([*node.reach, "/bin/sh", str(there)])} "$1"\n')
            script = there
            lines.insert(0, _NO_STEP)
        write_whole(script, "".join(lines) + '/bin/sh -c "$1"\n')
    write_program(folder / "agent", _AGENT.format(folder=shlex.quote(str(folder))))


def write_mpirun(folder: Path) -> None:
    """mpirun and mpiexec for the node's PATH, where the machine has them."""
    for name in ("mpirun", "mpiexec"):
        program = shutil.which(name)
        if program:
            text = _MPIRUN.format(flags=_INTERFACE_FLAGS, program=shlex.quote(program))
            write_program(folder / name, text)


LOCAL_VARIABLE = "BATCHAI_NODE_LOCAL"  # a folder that only this node has, where nodes are machines of their own


@dataclass(frozen=True)
class OpenPipes:
    """Named pipes of a job's ranks. `word` is their folder in the ranks' shell, `folder` the one that the runner reads.

    `wrap` goes before mpirun where something has to bring other nodes' output to that folder.
    """

    word: str
    folder: Path
    wrap: tuple[str, ...] = ()


class RankPipes(Protocol):
    """Where ranks whose output goes into one file write it, so that lines stay whole."""

    async def open(self, attempt: str, folder: Path, master: int, ranks: int) -> OpenPipes:
        """`folder` is the task's own, `master` the index of the node that mpirun runs on. Raises TaskError, OSError."""


class FolderPipes:
    """In the task's folder: all nodes are this machine."""

    async def open(self, attempt: str, folder: Path, master: int, ranks: int) -> OpenPipes:
        for name in names_of_pipes(ranks):
            pipe = folder / name
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)
        return OpenPipes(shlex.quote(str(folder)), folder)


def names_of_pipes(ranks: int) -> list[str]:
    """Those of each rank, and mpirun's own: the runner leaves out a warning that is none of the job's."""
    return [*(f"{stream}.{rank}" for rank in range(ranks) for stream in ("stdout", "stderr")), "stderr"]


def ranks_command(
    process: Process, command: Command, folder: Path, output: Path, in_container: bool, opened: OpenPipes | None
) -> Command:
    """The command that runs `process` in all ranks of an MPI world. Raises TaskError where there is no Open MPI."""
    mpirun = "mpirun" if in_container else shutil.which("mpirun", path=command.environment.get("PATH"))
    if not mpirun:
        raise TaskError(
            "MpiNotFound",
            "The job needs an MPI runtime, and this machine has none",
            {"Info": "Install Open MPI (for example: apt install openmpi-bin) so that mpirun is found."},
        )
    line = folder / "command"
    line.write_text(process.command_line + "\n", encoding="utf-8")
    pipes: dict[str, str] = {}
    errors = ""
    if not opened:
        # Each rank has its own files; what mpirun itself says goes to the first rank's.
        stdout, stderr = (
            shlex.quote(f"{output}/") + name.replace("{rank}", '"$rank"') for name in (process.stdout, process.stderr)
        )
        own: dict[str, str | Path] = {
            "stdout": output / process.stdout.replace("{rank}", "0"),
            "stderr": output / process.stderr.replace("{rank}", "0"),
        }
        with contextlib.suppress(OSError):  # a shared folder may carry no named pipes: mpirun writes there itself then
            pipe = folder / "stderr"
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)
            errors, pipes = str(pipe), {str(pipe): "stderr"}
    else:
        own = {"stdout": command.stdout, "stderr": command.stderr}
        pipes = {str(opened.folder / name): name.partition(".")[0] for name in names_of_pipes(process.world_size)}
        errors = str(opened.folder / "stderr")
        stdout, stderr = (f'{opened.word}/{stream}."$rank"' for stream in ("stdout", "stderr"))
    script = folder / "rank"
    text = _RANK.format(
        stdout=stdout,
        stderr=stderr,
        shell=shlex.quote("/bin/sh" if in_container else shell()),
        command=shlex.quote(str(line)),
    )
    write_program(script, text)
    host_file = command.environment["AZ_BATCHAI_MPI_HOST_FILE"]
    argv = (mpirun, "--hostfile", host_file, "-np", str(process.world_size), str(script))
    return Command(argv, command.cwd, command.environment, own["stdout"], own["stderr"], pipes, errors)


def write_program(path: Path, text: str) -> None:
    """An executable file."""
    write_whole(path, text, 0o700)


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """A file that processes of an adopted job may be reading: it is the old or the new one, never half."""
    try:
        _write_new(path, text, mode)
    except FileExistsError:
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        _write_new(temporary, text, mode)
        temporary.replace(path)


def _write_new(path: Path, text: str, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        left = text.encode()
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)

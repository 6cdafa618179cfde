"""Slurm by its commands: sbatch, squeue, scancel, srun. Text formats are its stable interface, not --json."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SECONDS = 60.0
# What the commands get of our environment: a job's would otherwise have all of it, secrets too.
_TAKEN = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SLURM_CONF", "LD_LIBRARY_PATH")
_FORMAT = "%A|%T|%e|%N|%j|%r"  # the reason last: it may contain anything
# A sentence of Slurm's that says nothing about what was asked for: the same will do later.
_UNAVAILABLE = re.compile(
    r"Unable to contact slurm controller|Connection refused|Connection timed out|Socket timed out|Zero Bytes were trans"
    r"|Transport endpoint|Slurm temporarily unable|Resource temporarily unavailable|Unexpected message received"
    r"|Protocol authentication error|Unable to process configuration file|Unable to establish controller machine"
    r"|Failed to connect|no answer",
    re.IGNORECASE,
)
# States of jobs, the long names that squeue writes. One that a later release may have is taken for that of a job which
# has its nodes: nothing is lost by a name.
WAITING = (
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "EXPEDITING",
)  # fmt: skip
ENDING = ("COMPLETING",)
OVER = (
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY",
    "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL",
)  # fmt: skip


class SlurmError(Exception):
    """A command of Slurm failed. `unavailable`: nobody has refused anything, it may work later."""

    def __init__(self, message: str, unavailable: bool) -> None:
        super().__init__(message)
        self.unavailable = unavailable


@dataclass(frozen=True)
class QueuedBlock:
    """A job as squeue tells it; `ends` in seconds since the epoch, None where it has no end."""

    job: int
    state: str
    ends: float | None
    hosts: frozenset[str]
    name: str
    reason: str

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def has_nodes(self) -> bool:
        return self.state not in WAITING + ENDING + OVER


Snapshot = Mapping[int, QueuedBlock]


def environment() -> dict[str, str]:
    """What Slurm's commands are started with."""
    return {name: os.environ[name] for name in _TAKEN if name in os.environ}


async def run(argv: Sequence[str], stdin: str = "", keep: Sequence[int] = ()) -> str:
    """What a command says on stdout. `keep` are descriptors that it inherits. Raises SlurmError."""
    program = shutil.which(argv[0])
    if not program:
        raise SlurmError(f"{argv[0]} is not found: the service must run where Slurm's commands are", True)
    process = await asyncio.create_subprocess_exec(
        program,
        *argv[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        pass_fds=keep,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), _SECONDS)
    except (asyncio.TimeoutError, asyncio.CancelledError) as exc:
        process.kill()
        await process.wait()
        if isinstance(exc, asyncio.CancelledError):
            raise
        raise SlurmError(f"{argv[0]} gave no answer in {_SECONDS:.0f} s", True) from None
    if process.returncode != 0:
        said = _sentence(err.decode(errors="replace")) or f"{argv[0]} ended with status {process.returncode}"
        raise SlurmError(said, bool(_UNAVAILABLE.search(said)))
    return out.decode(errors="replace")


def _sentence(said: str) -> str:
    """Slurm's words without the program's name, each once."""
    lines = [re.sub(r"^\w+: (?:error|fatal): ", "", line.strip()) for line in said.splitlines()]
    return ". ".join(dict.fromkeys(line.rstrip(".") for line in lines if line))


async def submit(options: Sequence[str], script: str, keep: Sequence[int] = ()) -> int:
    """Hand a batch script over; the number of the job. Raises SlurmError."""
    said = await run(["sbatch", "--parsable", *options], script, keep)
    return int(said.strip().splitlines()[-1].split(";")[0])  # "number;cluster" where there are several


async def queue() -> Snapshot:
    """Our user's jobs, also those that ended a short while ago. Raises SlurmError."""
    text = await run(["squeue", "-h", "-t", "all", "-u", _user(), "-o", _FORMAT])
    entries = [entry for entry in map(parse, text.splitlines()) if entry]
    return {entry.job: entry for entry in entries}


async def cancel(jobs: Sequence[int]) -> None:
    """End jobs; one that has ended already is no error. Raises SlurmError where nobody answers."""
    await _cancel(*map(str, jobs))


async def cancel_named(name: str) -> None:
    """The same for our user's jobs of a name."""
    await _cancel(f"--name={name}", f"--user={_user()}")


async def _cancel(*which: str) -> None:
    try:
        await run(["scancel", *which])
    except SlurmError as exc:
        if exc.unavailable:
            raise


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def step(job: int, host: str, *options: str) -> list[str]:
    """The beginning of a command that runs something on a node of a job, beside what runs there."""
    return [
        shutil.which("srun") or "srun", f"--jobid={job}", "--overlap", f"--nodelist={host}", "--nodes=1", "--ntasks=1",
        "--quiet", "--mpi=none", "--chdir=/", *options,
    ]  # fmt: skip


def parse(line: str) -> QueuedBlock | None:
    """A line of squeue; None where it is none (a warning, a job of an array)."""
    fields = line.strip().split("|", 5)
    if len(fields) != 6 or not fields[0].isdigit():
        return None
    job, state, ends, hosts, name, reason = fields
    return QueuedBlock(int(job), state, _epoch(ends), frozenset(expand(hosts)), name, reason)


def _epoch(text: str) -> float | None:
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:  # NONE, N/A
        return None


def expand(hosts: str) -> list[str]:
    """`n[0-2,07],m1` -> n0 n1 n2 n07 m1."""
    found: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", hosts):
        found += _expand_one(part)
    return found


def _expand_one(part: str) -> list[str]:
    match = re.match(r"([^\[]*)\[([^\]]*)\](.*)", part)
    if not match:
        return [part]
    before, ranges, after = match.groups()
    numbers: list[str] = []
    for entry in ranges.split(","):
        first, _, last = entry.partition("-")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last or first) + 1)]
    return [f"{before}{number}{rest}" for number in numbers for rest in _expand_one(after)]

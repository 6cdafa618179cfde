"""The engine protocol: what the control plane asks of whatever runs nodes and jobs.

An engine provides nodes and runs one job at a time on a set of them. Every wait is a coroutine that may last for days;
after a restart the same calls are made with `resume=True` and the engine takes up what still runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class TaskError(Exception):
    """A node or a job failed for a reason that the user is told: an entry of `errors` (wire.md 3.2, 4)."""

    def __init__(self, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            body["details"] = [{"name": name, "value": value} for name, value in self.details.items()]
        return body


@dataclass(frozen=True)
class Volume:
    """A folder to be seen at `relative_path` below a mount root. `service` is files, blobs, nfs or unmanaged.

    An unmanaged one has a command that mounts it, to which the place is appended, instead of a folder.
    """

    relative_path: str
    source: Path
    service: str
    account: str
    name: str
    mount_command: str = ""


@dataclass(frozen=True)
class Login:
    user_name: str
    public_keys: tuple[str, ...]
    password_hash: str | None


@dataclass(frozen=True)
class SetupTask:
    """`output_prefix` may start with $AZ_BATCHAI_MOUNT_ROOT; output goes to `prefix/suffix/stdout-<nodeId>.txt`."""

    command_line: str
    environment: Mapping[str, str]
    output_prefix: str
    output_suffix: str


@dataclass(frozen=True)
class NodeSpec:
    node_id: str
    cluster_key: str
    login: Login
    volumes: tuple[Volume, ...]
    setup: SetupTask | None
    port: int = 0
    gpus_promised: int = 0
    gpus_held: tuple[int, ...] = ()


@dataclass(frozen=True)
class Allocation:
    """What a node has got: the port of its SSH endpoint on 127.0.0.1, and GPUs by their numbers."""

    port: int
    gpus: tuple[int, ...]


@dataclass(frozen=True)
class Process:
    """One process of a job: where it runs, what it runs, and the files its output goes to (in `stdouterr`).

    With `world_size` the MPI runtime runs it that many times over all nodes; `{rank}` in a file's name is then the
    rank. One that `serves_others` is ended when the others have ended. Values of `environment` may name variables.
    """

    node_index: int
    command_line: str
    stdout: str
    stderr: str
    environment: Mapping[str, str] = field(default_factory=dict)
    world_size: int = 0
    serves_others: bool = False


@dataclass(frozen=True)
class Container:
    """The image a job runs in, and who may pull it."""

    image: str
    server_url: str = ""
    user_name: str = ""
    password: str = field(default="", repr=False)
    shm_size: str = ""


@dataclass(frozen=True)
class JobPlan:
    """A job ready to be launched on `node_ids`, the first of which is the master; `addresses` are theirs.

    `output_segment` is the job's own part of every output path; `directories` are (variable, prefix, suffix) of the
    output directories, `inputs` (variable, path) of the input directories; paths may start with a mount root variable.
    """

    job_key: str
    attempt: int
    workspace: str
    experiment: str
    name: str
    node_ids: tuple[str, ...]
    addresses: tuple[str, ...]
    volumes: tuple[Volume, ...]
    output_prefix: str
    output_segment: str
    directories: tuple[tuple[str, str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    environment: Mapping[str, str]
    preparation: str | None
    processes: Sequence[Process]
    container: Container | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended. `exit_code` is None where the user's command gave none."""

    exit_code: int | None
    error: TaskError | None = None


class Engine(Protocol):
    async def start(self) -> None:
        """Make the engine ready to work."""

    async def close(self) -> None:
        """Let go of everything without ending a job: the next service adopts it."""

    def gpu_count(self) -> int:
        """How many GPUs there are for all nodes together."""

    async def allocate(self, spec: NodeSpec) -> Allocation:
        """Bring a node up, or take it up again with what it held. Raises OSError."""

    async def prepare(self, spec: NodeSpec, resume: bool) -> None:
        """Mount volumes and run the setup task. Raises TaskError when the node cannot be used."""

    async def interrupt(self, node_id: str) -> None:
        """End a setup task that is running on the node: `prepare` raises then."""

    async def release(self, node_id: str) -> None:
        """Take a node away with all that runs on it."""

    async def run_job(self, plan: JobPlan, resume: bool) -> JobOutcome:
        """Run a job to its end. Raises TaskError when it cannot be launched."""

    async def stop_job(self, job_key: str) -> None:
        """End a job's processes: TERM, then KILL; `run_job` returns then. Idempotent."""

    async def open_file_server(self, key: str, folder: str, login: Login, port: int) -> int:
        """Open the SSH endpoint of a shared folder; returns its port. Raises OSError."""

    async def close_file_server(self, key: str) -> None:
        """Close that endpoint."""

"""The engine protocol: what the control plane asks of whatever gives nodes and runs jobs.

An engine gives nodes in blocks and runs one job at a time on a set of them. Every wait is a coroutine that may last for
days; after a restart the same calls are made with `resume=True` and the engine takes up what still runs. What an engine
must remember of a node it hands out as `Allocation.held`; it is kept with the node and handed back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol


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


class NodeFault(TaskError):
    """A node that cannot run jobs any more was found out while one was to run on it."""

    def __init__(self, node_id: str, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message, {"NodeId": node_id, **(details or {})})
        self.node_id = node_id


class MachineRestarted(TaskError):
    """What ran was lost because its machine was started anew: nothing was wrong with it."""


@dataclass(frozen=True)
class Volume:
    """What is to be seen at `relative_path` below a mount root, by name: the engine knows where it is.

    `service` is files, blobs, nfs or unmanaged; `account` and `name` name the share, the container or the file server,
    `directory` a folder in it. An unmanaged one has a command that mounts it, to which the place is appended.
    """

    relative_path: str
    service: str
    account: str
    name: str
    directory: str = ""
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
    """A node that is wanted. `number` is its own among all nodes of this state, `gpus` what its size promises.

    `held` is what `Allocation.held` was when the node was given, empty for a new one.
    """

    node_id: str
    number: int
    cluster_key: str
    vm_size: str
    low_priority: bool
    login: Login
    gpus: int = 0
    held: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeSetup:
    """What makes a node ready for jobs."""

    volumes: tuple[Volume, ...]
    task: SetupTask | None


@dataclass(frozen=True)
class Endpoint:
    """Where a node's SSH server listens."""

    ip_address: str
    port: int


@dataclass(frozen=True)
class Allocation:
    """A node that was given.

    `address` is how other nodes reach it, `host` the machine's name for people; `endpoint` is None where nobody can log
    in. `expires` is when its time ends (seconds since the epoch), None where it has no end. `held` is the engine's own.
    """

    address: str
    host: str
    endpoint: Endpoint | None
    gpus: int
    expires: float | None = None
    held: Mapping[str, Any] = field(default_factory=dict)


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

    @property
    def own_name(self) -> str:
        """With the registry that was given, where one was."""
        host = self.server_url.split("://")[-1].rstrip("/")
        return self.image if not host or self.image.startswith(f"{host}/") else f"{host}/{self.image}"

    @property
    def full_name(self) -> str:
        """With the registry where it comes from: Docker Hub where none is named."""
        name = self.own_name
        first, _, rest = name.partition("/")
        if self.server_url or (rest and ("." in first or ":" in first or first == "localhost")):
            return name
        return f"docker.io/{name}" if rest else f"docker.io/library/{name}"


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


@dataclass(frozen=True)
class FileEntry:
    """A file or folder as a listing tells it; `size` in bytes, `modified` in seconds since the epoch."""

    name: str
    is_directory: bool
    size: int = 0
    modified: float = 0.0


class Files(Protocol):
    """What is written on volumes, read a page or a piece at a time."""

    async def entries(self, volume: Volume, directory: str, after: str, limit: int) -> list[FileEntry]:
        """At most `limit` entries of a folder of the volume in the order of their names, those behind `after` only.

        A folder that does not exist is empty. Raises ValueError where `directory` leads out of the volume.
        """

    async def open(self, volume: Volume, path: str) -> BinaryIO:
        """The content of a file of the volume. Raises OSError, and ValueError where `path` leads out of it."""


class JobHandle(Protocol):
    """One run of a job on its nodes."""

    async def run(self, resume: bool) -> JobOutcome:
        """Run it to its end; with `resume` take up what runs already, whatever else fails.

        When it returns no process of the job is left. Raises TaskError where it could not be launched, NodeFault where
        a node is to blame.
        """

    async def stop(self) -> None:
        """End its processes: TERM, then KILL; `run` returns then. Idempotent, and it may come before `run`."""

    async def clean_up(self) -> None:
        """Remove what the job does not leave to its user. Called when its outcome is on record."""


class Engine(Protocol):
    """Where nodes come from and jobs run."""

    @property
    def files(self) -> Files: ...

    @property
    def node_idle_seconds(self) -> float | None:
        """How long an auto-scale cluster keeps an idle node; None where the service's setting decides."""

    @property
    def not_supported(self) -> Collection[str]:
        """Properties of clusters and jobs that are refused, by name: `subnet`, `unmanagedFileSystems`."""

    async def start(self) -> None:
        """Make the engine ready to work."""

    async def close(self) -> None:
        """Let go of everything without ending a job: the next service adopts it."""

    def gpu_count(self) -> int | None:
        """How many GPUs there are for all nodes together; None where the engine does not know."""

    async def allocate(self, block: Sequence[NodeSpec], resume: bool) -> Sequence[Allocation | TaskError]:
        """Bring up the nodes of a block: all, or none and a TaskError or OSError. May last for hours.

        With `resume` they are taken up again with what they held, or are given after all where the engine finds that it
        never gave them; an error stands in the place of each node that cannot be.
        """

    def pending_reason(self, node_id: str) -> str | TaskError:
        """Why a node has not been given yet, in the words of who gives it; '' where there is nothing to say.

        A TaskError where it will not be given unless somebody does something; the engine goes on trying.
        """

    async def prepare(self, node_id: str, setup: NodeSetup, resume: bool) -> None:
        """Mount volumes and run the setup task. Raises TaskError or OSError when the node cannot be used.

        With `resume` the node may be ready already, and even have a job: what is mounted stays, what has run is not run
        again.
        """

    async def tidy(self, node_id: str) -> None:
        """Remove what jobs have left on a node that has none now: an earlier service was killed before it could."""

    async def interrupt(self, node_id: str) -> None:
        """End what brings the node up (a wait for it, a setup task): `allocate` and `prepare` raise then."""

    async def release(self, node_id: str) -> None:
        """Take a node away with all that runs on it, also one that this service never took up. Idempotent."""

    async def lost(self, node_id: str) -> TaskError:
        """Return when the node is gone without having been released, with the reason; nothing runs on it then."""

    async def free_ports(self, node_ids: Sequence[str], count: int) -> list[int]:
        """Ports that are free on all these nodes. Raises TaskError where there are not enough."""

    def job(self, plan: JobPlan) -> JobHandle:
        """The run of a job on nodes that were given."""

"""What the measurements run on: one service of their own, and two az: with the extension and without."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from arm_front import TENANT, Front
from measure import family

AZ = [sys.executable, "-m", "azure.cli"]
_IDLE_SECONDS = 30.0  # after which the service may have closed a connection: it does so after 75
PROVIDER = "resourceGroups/bench/providers/Microsoft.BatchAI/workspaces"


@dataclass
class Service:
    """The embedded service of the installed extension, spoken to over one keep-alive connection."""

    home: Path
    facts: dict[str, Any]
    ready_seconds: float
    _connection: http.client.HTTPConnection = field(init=False)
    _used: float = field(init=False)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(self.facts["endpoint"]).netloc)
        self._used = time.monotonic()

    def reconnect(self) -> None:
        self._connection.close()
        self.__post_init__()  # a service started anew has another port

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.facts['token']}", "Content-Type": "application/json"}
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self.reconnect()
        self._used = time.monotonic()
        self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = self._connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def address(self, path: str) -> str:
        return f"/subscriptions/{self.facts['subscription']}/{PROVIDER}/{path}?api-version=2018-05-01"

    def arm(self, method: str, path: str, body: Any = None) -> Any:
        """A Batch AI request below the benchmark's workspaces; fails unless it succeeds."""
        status, answer = self.request(method, self.address(path), body)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer}")
        return answer

    def wait(self, path: str, condition: Callable[[Any], Any], seconds: float = 60) -> Any:
        """Ask for a resource until it fulfils `condition`; a created one may not be there yet."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status, found = self.request("GET", self.address(path))
            if status == 200 and condition(found):
                return found
            time.sleep(0.02)
        raise SystemExit(f"{path} is not as wanted after {seconds} s: {status} {found}")


def installed_service() -> Path:
    """What starts the service of the installed extension."""
    return Path(os.environ["AZURE_EXTENSION_DIR"]) / "batchai" / "azext_batchai" / "service" / "__main__.py"


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder of its own, which is removed afterwards.

    ext4 without a journal steps over each inode that was deleted in the last minutes, nearby: a mkdir takes 100
    microseconds in place of 12 where an earlier measurement was tidied up. So each has another part of the disk.
    """
    with tempfile.TemporaryDirectory(prefix="batchai-bench-") as name:
        if chattr := shutil.which("chattr"):
            subprocess.run([chattr, "+T", name], stderr=subprocess.DEVNULL, check=False)  # other systems have no need
        own = Path(name) / secrets.token_hex(4)  # its place depends on its name
        own.mkdir()
        yield own


@contextlib.contextmanager
def service_alone(nodes: int) -> Iterator[Service]:
    """A service with a cluster of so many nodes, with no az; afterwards it is seen to that nothing is left of it."""
    with own_folder() as own:
        service = start_service(installed_service(), own / "home")
        try:
            prepare(service, nodes)
            yield service
        finally:
            started = family(service.facts["pid"])
            stop_service(service)
            processes = [pid for pid in started if Path(f"/proc/{pid}").exists()] + processes_of(service.home)
            files = {entry.name for entry in service.home.iterdir()} - {"service.lock", "service.log"}
        if processes or files:
            raise SystemExit(f"the service left behind: processes {processes}, files {files}")


def processes_of(home: Path) -> list[int]:
    """Processes that work for the service in `home`: its path is in their environment or command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if os.fsencode(home) in words:
                    found.append(int(entry.name))
    return found


def start_service(main: Path, home: Path) -> Service:
    """Start the service in `home`; it is ready when it has said so."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(main), "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout
    with process.stdout:
        line = process.stdout.readline()
    seconds = time.perf_counter() - started
    facts = json.loads(line or b"{}")
    if facts.get("status") != "ready":
        raise SystemExit(f"the service did not start: {facts}")
    return Service(home, facts, seconds)


def stop_service(service: Service) -> None:
    """End the service with its nodes and jobs; by force where it does not answer."""
    try:
        service.reconnect()  # the service closes a connection that was idle for long
        service.request("POST", "/_local/reset")
    except (OSError, http.client.HTTPException):
        os.kill(service.facts["pid"], signal.SIGKILL)
    os.waitpid(service.facts["pid"], 0)


def prepare(service: Service, nodes: int) -> None:
    """A workspace with an experiment and the cluster `one` of so many idle nodes, which mount a share."""
    group = f"/subscriptions/{service.facts['subscription']}/resourceGroups/bench/providers"
    account = f"{group}/Microsoft.Storage/storageAccounts/bench"
    storage = {"location": "local", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    service.arm("PUT", "bench", {"location": "local"})
    service.request("PUT", f"{account}?api-version=2023-01-01", storage)
    service.request("PUT", f"{account}/fileServices/default/shares/bench?api-version=2023-01-01", {"properties": {}})
    service.arm("PUT", "bench/experiments/bench")
    volume = {
        "accountName": "bench",
        "azureFileUrl": "https://bench.file.core.windows.net/bench",
        "relativeMountPath": "afs",
        "credentials": {"accountKey": "none"},
    }
    cluster = {
        "vmSize": "STANDARD_NC6",
        "scaleSettings": scale(nodes),
        "userAccountSettings": {"adminUserName": "bench", "adminUserPassword": "bench-password"},
        "nodeSetup": {"mountVolumes": {"azureFileShares": [volume]}},
    }
    service.arm("PUT", "bench/clusters/one", {"properties": cluster})
    service.wait("bench/clusters/one", lambda found: idle_nodes(found) == nodes)


def scale(nodes: int) -> dict[str, Any]:
    return {"manual": {"targetNodeCount": nodes}}


def idle_nodes(cluster: Any) -> int:
    count: int = cluster["properties"]["nodeStateCounts"]["idleNodeCount"]
    return count


def job(service: Service, command: str) -> dict[str, Any]:
    """The body of a job of one node of the cluster `one` that runs `command`."""
    cluster = f"/subscriptions/{service.facts['subscription']}/{PROVIDER}/bench/clusters/one"
    return {
        "properties": {
            "cluster": {"id": cluster},
            "nodeCount": 1,
            "customToolkitSettings": {"commandLine": command},
            "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
        }
    }


def output_of(service: Service, job: Any) -> Path:
    """The folder that a job's stdout.txt is in."""
    share = service.home / "storage" / "bench" / "files" / "bench"
    segment: str = job["properties"]["jobOutputDirectoryPathSegment"]
    return share / segment / "stdouterr"


@dataclass
class Rig:
    """`with_extension`, `without` and `empty` (with an extension that does nothing) are environments for az.

    `built_in` is without, too, and knows the service as a cloud, through the front at `front_url`.
    """

    folder: Path
    main: Path
    service: Service
    with_extension: dict[str, str]
    without: dict[str, str]
    empty: dict[str, str]
    built_in: dict[str, str]
    front_url: str


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    main = installed_service()
    with own_folder() as folder:
        service = start_service(main, folder / "home")
        front = Front(folder, *(service.facts[key] for key in ("endpoint", "token", "subscription")))
        base = {**os.environ, "AZURE_BATCHAI_HOME": str(service.home), "AZURE_CORE_COLLECT_TELEMETRY": "no"}
        without = {**base, "AZURE_EXTENSION_DIR": str(folder / "none"), "AZURE_CONFIG_DIR": str(folder / "without")}
        built_in = {**without, "AZURE_CONFIG_DIR": str(folder / "built-in")}
        try:
            yield Rig(
                folder,
                main,
                service,
                {**base, "AZURE_CONFIG_DIR": str(folder / "with")},
                without,
                {**base, **_empty_extension(folder), "AZURE_CONFIG_DIR": str(folder / "empty")},
                built_in | _log_in(built_in, front, folder),
                front.url,
            )
        finally:
            stop_service(service)
            front.close()


def _empty_extension(folder: Path) -> dict[str, str]:
    """The least that az takes for an extension: what any extension costs."""
    root = folder / "empty-extension" / "nothing"
    for path, text in (
        ("nothing-1.0.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0.0\n"),
        ("azext_nothing/azext_metadata.json", "{}"),
        ("azext_nothing/__init__.py", "from azure.cli.core import AzCommandsLoader as COMMAND_LOADER_CLS\n"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return {"AZURE_EXTENSION_DIR": str(root.parent)}


def _log_in(env: dict[str, str], front: Front, folder: Path) -> dict[str, str]:
    """Make the service the active cloud of `env`, logged in; returns what its later commands need besides."""
    import certifi

    bundle = folder / "bundle.pem"
    bundle.write_text(Path(certifi.where()).read_text(encoding="utf-8") + front.certificate.read_text(encoding="utf-8"))
    trust = {"REQUESTS_CA_BUNDLE": str(bundle)}
    for command in (
        ["cloud", "register", "-n", "BatchAIBench", "--endpoint-resource-manager", front.url],
        ["cloud", "set", "-n", "BatchAIBench"],
        ["config", "set", "core.instance_discovery=false", "core.login_experience_v2=off"],
        [
            "login",
            "--service-principal",
            "-u",
            "bench",
            "-p",
            "bench",
            "--tenant",
            TENANT,
        ],
    ):
        done = subprocess.run([*AZ, *command], env=env | trust, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"az {' '.join(command[:2])}: {done.stderr}")
    return trust

"""The embedded service seen from the client: where its state is, whether it runs, starting it, asking it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knack.log import get_logger

from azext_batchai.local.environment import outer
from azext_batchai.transport.http import PATIENCE_SECONDS

logger = get_logger(__name__)

_MAIN = Path(__file__).parents[1] / "service" / "__main__.py"
_START_SECONDS = 30
_DISCARD_SECONDS = 300
_START_TIME = 19  # where it is in what `_stat` returns
_STOP_SECONDS = 15
_SETTLE_SECONDS = 15
# `[batchai] KEY` of the az configuration -> the variable by which the service takes it.
_SETTINGS = {
    "node_idle_seconds": "AZURE_BATCHAI_NODE_IDLE_SECONDS",
    "kill_grace_seconds": "AZURE_BATCHAI_KILL_GRACE_SECONDS",
}


@dataclass(frozen=True)
class Service:
    """A service that was found running, or has just been started."""

    pid: int
    start_time: str
    endpoint: str
    subscription: str
    token: str
    version: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Service:
        """Raises KeyError or ValueError where `facts` is not the contents of a service.json."""
        return cls(
            pid=int(facts["pid"]),
            start_time=str(facts["processStartTime"]),
            endpoint=str(facts["endpoint"]).rstrip("/"),
            subscription=str(facts["subscription"]),
            token=str(facts["token"]),
            version=str(facts["version"]),
        )

    @property
    def alive(self) -> bool:
        """Whether the process is there and is the one that wrote the state file (pids are used again)."""
        fields = _stat(self.pid)
        return bool(fields) and fields[0] not in "ZX" and fields[_START_TIME] == self.start_time

    def is_of(self, folder: Path) -> bool:
        """Whether the command line of the process says that it is the service of this state folder."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
        except OSError:
            return False
        homes = [Path(after) for word, after in zip(words, words[1:]) if word == "--home"]
        return any("azext_batchai" in word for word in words) and folder in homes


def home(cli_ctx: Any) -> Path:
    """The state folder of the service."""
    chosen = os.environ.get("AZURE_BATCHAI_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path(cli_ctx.config.config_dir) / "batchai"


def find(cli_ctx: Any) -> Service | None:
    """The running service, without asking it; None where there is none."""
    try:
        found = Service.of(json.loads((home(cli_ctx) / "service.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.alive else None


def holder(cli_ctx: Any) -> Service | None:
    """The service that has the state folder, also before it has said where it is: without an endpoint then."""
    folder = home(cli_ctx)
    try:
        pid, start_time = (folder / "service.lock").read_text(encoding="ascii").split()
        found = Service(int(pid), start_time, "", "", "", "")
    except (OSError, ValueError):
        return find(cli_ctx)
    return find(cli_ctx) or (found if found.alive and found.is_of(folder) else None)


def settled(cli_ctx: Any) -> Service | None:
    """The same, but one that is still starting is waited for, a while."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (found := holder(cli_ctx)) and not found.endpoint and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def ensure(cli_ctx: Any) -> Service:
    """The running service, started if need be."""
    return find(cli_ctx) or start(cli_ctx)


def start(cli_ctx: Any, port: int | None = None) -> Service:
    """Start the service and wait until it is ready.

    Two starts at once are no fault: the service that comes second reports the first one.
    Raises ValidationError where it cannot start, as on anything but Linux.
    """
    from azure.cli.core.azclierror import ValidationError

    if not sys.platform.startswith("linux"):
        raise ValidationError(
            "The local Batch AI service runs on Linux only.",
            recommendation=[
                "Run az on a Linux machine; on Windows that can be WSL.",
                "To use a Batch AI service elsewhere run `az config set batchai.endpoint=URL`, or set "
                "AZURE_BATCHAI_ENDPOINT.",
            ],
        )
    folder = home(cli_ctx)
    answer = _launch(cli_ctx, folder, *(() if port is None else ("--port", str(port))))
    if answer.get("status") != "ready":
        raise _failed_start(answer)
    service = Service.of(answer)
    if not answer.get("alreadyRunning"):
        logger.warning("Started the local Batch AI service (%s, state in %s).", service.endpoint, _shown(folder))
    return service


def discard(cli_ctx: Any) -> None:
    """End the jobs and nodes that the state folder tells of and delete the state, without a service that opens it.

    Raises ValidationError where that cannot be done.
    """
    answer = _launch(cli_ctx, home(cli_ctx), "--discard", seconds=_DISCARD_SECONDS)
    if answer.get("status") != "discarded":
        raise _failed_start(answer)


def can_open(cli_ctx: Any) -> bool:
    """Whether a service runs, or could be started, on this state. Raises ValidationError where it fails otherwise."""
    if find(cli_ctx):
        return True
    answer = _launch(cli_ctx, home(cli_ctx))
    if answer.get("status") == "ready":
        return True
    if answer.get("code") == "StateUnusable":
        return False
    raise _failed_start(answer)


def _failed_start(answer: Mapping[str, Any]) -> Exception:
    from azure.cli.core.azclierror import ValidationError

    code = f" ({answer['code']})" if answer.get("code") else ""
    return ValidationError(
        f"The local Batch AI service did not start: {answer.get('message') or 'it said nothing about why'}{code}",
        recommendation=answer.get("recommendation") or "See `az batchai local logs`.",
    )


class Refusal(OSError):
    """The service itself refuses a request; the text says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def deaf(service: Service) -> Exception:
    """What to raise where the service does not answer."""
    from azure.cli.core.azclierror import AzureConnectionError

    return AzureConnectionError(
        f"The local Batch AI service (process {service.pid}) does not answer at {service.endpoint}.",
        recommendation="Run `az batchai local down`, which ends the service also where it hangs (running jobs go on), "
        "then the command again. `az batchai local logs` may tell why.",
    )


def request(
    service: Service, method: str, path: str, body: Any = None, *, slow: bool = False, timeout: float = PATIENCE_SECONDS
) -> dict[str, Any]:
    """Ask the service itself (not Batch AI): `/_local/...`.

    `slow`: the answer may take long; it is waited for as long as the service answers others.
    Raises Refusal, AzureConnectionError where nobody answers, OSError for any other answer.
    """
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(service.endpoint).netloc, timeout=timeout)
    try:
        headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        while slow and not select.select([connection.sock], [], [], PATIENCE_SECONDS)[0]:
            request(service, "GET", "/_local/status")
        response = connection.getresponse()
        text = response.read().decode("utf-8")
    except http.client.HTTPException as error:
        raise OSError(f"{service.endpoint} is not a Batch AI service: {error!r}") from error
    except (ConnectionError, TimeoutError) as error:
        raise deaf(service) from error
    finally:
        connection.close()
    if 400 <= response.status < 500:
        raise Refusal(response.status, _error_message(text))
    if response.status >= 300:
        raise OSError(f"{service.endpoint}{path} answered {response.status} {response.reason}")
    return json.loads(text) if text else {}


def _error_message(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return text[:200]


def kill(cli_ctx: Any, service: Service) -> bool:
    """End a service that does not answer, as a crash would: its jobs go on. False where it is not what it was.

    The process is pinned before it is looked at, so that no other that gets its number meanwhile is meant.
    """
    try:
        pinned = os.pidfd_open(service.pid) if hasattr(os, "pidfd_open") else None
    except ProcessLookupError:
        return False
    except OSError:  # a kernel without pidfds
        pinned = None
    try:
        if not service.alive or not service.is_of(home(cli_ctx)):
            return False
        if pinned is None:
            os.kill(service.pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(pinned, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        if pinned is not None:
            os.close(pinned)
    return wait_until_gone(service)


def wait_until_gone(service: Service, seconds: float = _STOP_SECONDS) -> bool:
    """Whether the process ended within so many seconds."""
    deadline = time.monotonic() + seconds
    while service.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _launch(cli_ctx: Any, folder: Path, *options: str, seconds: float = _START_SECONDS) -> dict[str, Any]:
    """Start the service and return what it says, within `seconds`. Raises FileOperationError."""
    from azure.cli.core.azclierror import FileOperationError

    command = [sys.executable, str(_MAIN), "--home", str(folder), *options]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(folder / "service.log", "ab", opener=_private) as log:
            process = subprocess.Popen(  # pylint: disable=consider-using-with  # it outlives this process
                command,
                env=_environment(cli_ctx),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
    except OSError as error:
        raise FileOperationError(
            f"The local Batch AI service cannot be started: {error}",
            recommendation="Choose a folder that can be written to with AZURE_BATCHAI_HOME.",
        ) from error
    return _first_answer(process, folder, seconds)


def _first_answer(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> dict[str, Any]:
    """The one line of JSON that the service prints when it is ready, or when it gives up."""
    assert process.stdout is not None
    with process.stdout as stdout:
        if not select.select([stdout], [], [], seconds)[0]:
            process.kill()
            process.wait()
            return {"status": "failed", "message": f"it was not ready after {seconds} s."}
        line = stdout.readline()
    # Nobody waits for a process that lives on: without this, Python would warn about it.
    process.returncode = 0 if process.poll() is None else process.returncode
    try:
        answer = json.loads(line)
    except ValueError:
        return {"status": "failed", "message": _last_line(folder / "service.log")}
    return answer if isinstance(answer, dict) else {}


def _environment(cli_ctx: Any) -> dict[str, str]:
    chosen = {variable: cli_ctx.config.get("batchai", key, fallback=None) for key, variable in _SETTINGS.items()}
    # A service that is started from inside a node is no part of that node, and does not go with it. Nor does it see
    # the local cloud of the shell that it is started from.
    environ = outer(os.environ)
    inherited = {name: value for name, value in environ.items() if not name.startswith(("AZ_BATCHAI_", "BATCHAI_"))}
    return {**inherited, **{variable: value for variable, value in chosen.items() if value}}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; [] where there is no such process."""
    try:
        # The second field, the name, may hold spaces and parentheses.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _shown(folder: Path) -> str:
    """The folder as a person would write it."""
    try:
        return str(Path("~") / folder.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(folder)

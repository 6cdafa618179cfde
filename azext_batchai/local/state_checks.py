"""What the state folder and the service are like: read without starting, waking or changing anything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

from azext_batchai.local import embedded
from azext_batchai.local.doctor import MISSING, NOTE, OK, WRONG, Finding

_LEAST_BYTES, _FEW_BYTES = 64 << 20, 2 << 30
_CLOCK_SECONDS = 60  # by which the clock may be behind what is written
_PATIENCE_SECONDS = 5
_SLURM = ("sbatch", "squeue", "scancel", "srun")


def _endpoint(cli_ctx: Any) -> Finding:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    from azext_batchai._client_factory import endpoint

    try:
        target = endpoint(cli_ctx)
    except InvalidArgumentValueError as error:
        return Finding("endpoint", WRONG, str(error), advice="az config set batchai.endpoint=local")
    if target.kind == "local":
        return Finding("endpoint", OK, "commands go to the service on this machine")
    where = "Azure" if target.kind == "arm" else target.url
    return Finding("endpoint", NOTE, f"commands go to {where} (batchai.endpoint, AZURE_BATCHAI_ENDPOINT)")


def _service(cli_ctx: Any) -> Finding:
    from azext_batchai._version import VERSION

    file = embedded.home(cli_ctx) / "service.json"
    running = embedded.holder(cli_ctx)
    if running and not running.endpoint:
        found = f"process {running.pid} starts or stops, or hangs at it"
        return Finding("service", NOTE, found, advice="az batchai local down ends one that hangs (running jobs go on)")
    if not running:
        if file.exists():
            found = f"{file} is of a service that has ended without a word"
            return Finding("service", NOTE, found, advice="The next command starts one, which takes up what runs")
        return Finding("service", OK, "not running; the first command that needs it starts it")
    try:
        status = _status(running)
    except OSError as error:
        found = f"process {running.pid} does not answer at {running.endpoint}: {error}"
        advice = "az batchai local down ends it (running jobs go on); az batchai local logs may say more"
        return Finding("service", WRONG, found, advice=advice)
    found = f"running at {running.endpoint}, process {running.pid}"
    if status["version"] != VERSION:
        found += f", of version {status['version']}"
        return Finding("service", NOTE, found, advice=f"az batchai local down: the next command starts {VERSION}")
    return Finding("service", OK, found)


def _status(running: embedded.Service) -> dict[str, Any]:
    """What the service says of itself. Raises OSError where it does not answer soon."""
    from azure.cli.core.azclierror import AzureConnectionError

    try:
        return embedded.request(running, "GET", "/_local/status", timeout=_PATIENCE_SECONDS)
    except AzureConnectionError as error:
        raise TimeoutError("it may hang") from error


def _state(cli_ctx: Any) -> Finding:
    folder = embedded.home(cli_ctx)
    running = embedded.find(cli_ctx)
    if running:
        with contextlib.suppress(OSError):
            status = _status(running)
            counts = f"{status['clusters']} clusters, {status['nodes']} nodes, {status['jobsRunning']} jobs running"
            damaged = status.get("damagedRecords", [])
            if damaged:
                advice = "A copy of state.db brings it back; DELETE of what is damaged removes it"
                return Finding("state", WRONG, f"{len(damaged)} damaged: {damaged[0]}", advice=advice)
            return Finding("state", OK, f"{counts}; {folder}")
        return Finding("state", NOTE, f"in use by process {running.pid}; {folder}")
    file = folder / "state.db"
    if not file.exists() or not file.stat().st_size:
        return _no_state(folder, file)
    try:
        fault = _fault(file)
    except (sqlite3.Error, OSError) as error:
        fault = str(error)
    if fault != "ok":
        advice = f"Put back a copy of it, or move {folder} away: the next start begins with an empty state"
        return Finding("state", WRONG, f"{file} is damaged: {fault}", advice=advice)
    return Finding("state", OK, f"sound; {folder}")


def _no_state(folder: Path, file: Path) -> Finding:
    if (folder / "secrets.key").exists():
        what = "is empty" if file.exists() else "is missing"
        return Finding("state", WRONG, f"{file} {what}, though the folder has been in use", advice="Put back a copy")
    return Finding("state", OK, f"none yet; it will be in {folder}")


def _fault(file: Path) -> str:
    """What SQLite finds wrong with the file, "ok" for nothing. Raises sqlite3.Error, OSError."""
    wal = file.with_name(f"{file.name}-wal")
    # Without a WAL nothing need be made beside the file to read it.
    how = "mode=ro" if wal.exists() and wal.stat().st_size else "mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as db:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        return str(found)


def _disk(cli_ctx: Any) -> Finding:
    folder = _existing(embedded.home(cli_ctx))
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Finding("disk", WRONG, f"{folder}: {error.strerror}", advice="Choose another AZURE_BATCHAI_HOME")
    found = f"{_size(usage.free)} of {_size(usage.total)} free at {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("disk", WRONG, f"{folder} cannot be written to", advice="Choose another AZURE_BATCHAI_HOME")
    if usage.free < _LEAST_BYTES:
        return Finding("disk", WRONG, found, advice="Free some space: new work is refused where nothing can be written")
    if usage.free < _FEW_BYTES:
        return Finding("disk", NOTE, found, advice="Jobs write there too: free some space")
    return Finding("disk", OK, found)


def _ports(cli_ctx: Any) -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            pass
    except OSError as error:
        found = f"no port of 127.0.0.1 can be listened on: {error.strerror}"
        return Finding("ports", WRONG, found, advice="The service and the SSH of its nodes need some")
    if embedded.find(cli_ctx):
        return Finding("ports", OK, "127.0.0.1 can be listened on")
    port = _kept_port(embedded.home(cli_ctx))
    if port:
        try:
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            found = f"another program has port {port}, which the service had"
            return Finding("ports", NOTE, found, advice="It takes another: print connection strings and URLs anew")
    return Finding("ports", OK, f"127.0.0.1 can be listened on{f'; port {port} is free' if port else ''}")


def _kept_port(folder: Path) -> int:
    try:
        return int(json.loads((folder / "ports.json").read_text(encoding="utf-8"))["http"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _clock(cli_ctx: Any) -> Finding:
    written = [0.0]
    for name in ("state.db", "service.log", "service.json"):
        with contextlib.suppress(OSError):
            written.append((embedded.home(cli_ctx) / name).stat().st_mtime)
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if max(written) > now + _CLOCK_SECONDS:
        found = f"{shown}, {max(written) - now:.0f} s before the state was last written"
        return Finding("clock", NOTE, found, advice="Times of jobs and links to files will be off: set the clock")
    return Finding("clock", OK, shown)


def _slurm(cli_ctx: Any) -> Finding | None:
    chosen = os.environ.get("AZURE_BATCHAI_ENGINES", "").strip()
    file = Path(chosen).expanduser() if chosen else embedded.home(cli_ctx) / "engines.json"
    try:
        profiles = json.loads(file.read_text(encoding="utf-8"))
        names = [name for name, entry in profiles.items() if entry.get("type") == "slurm"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        return Finding("slurm", WRONG, f"{file} cannot be read: {error}", advice="docs/slurm.md says what it holds")
    missing = [name for name in _SLURM if not shutil.which(name)]
    if not names:
        return None
    if missing:
        gives = f"Clusters with --engine {names[0]} get their nodes by them"
        return Finding("slurm", MISSING, f"not found: {', '.join(missing)}", gives, "Put Slurm's commands on the PATH")
    return Finding("slurm", OK, f"profiles: {', '.join(names)}", advice="az batchai local engines --check tries them")


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


CHECKS = (_endpoint, _service, _state, _disk, _ports, _clock, _slurm)

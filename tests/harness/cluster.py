"""Short forms of what many end-to-end tests do with commands, clusters, jobs and files."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from harness import az, processes
from harness.az import Outcome

SSH_OPTIONS = ("-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10")


def typed(line: str, **names: str) -> Outcome:
    """Run a command line as printed: `<W>` and the like are replaced by the keyword arguments of that name."""
    program, *words = shlex.split(line)
    assert program == "az"
    return az.run(*(re.sub(r"<(\w+)>", lambda match: names[match[1]], word) for word in words))


def ok(outcome: Outcome) -> Any:
    """The JSON that a command printed; fails unless it succeeded."""
    assert outcome.code == 0, f"exit code {outcome.code}: {outcome.stderr}\n{outcome.output}"
    return outcome.json() if outcome.output.strip() else None


def show(workspace: str, cluster: str = "mycluster", group: str = "research") -> Any:
    return ok(az.run("batchai", "cluster", "show", "-g", group, "-w", workspace, "-n", cluster))


def wait_for_nodes(
    workspace: str, cluster: str = "mycluster", group: str = "research", seconds: float = 30, **states: int
) -> Any:
    """Wait until the cluster has exactly these nodes (`idle=1`, `unusable=1`, nothing for none); return it."""
    wanted = {f"{state}NodeCount": count for state, count in states.items()}

    def reached() -> Any:
        found = show(workspace, cluster, group)
        counts = {state: count for state, count in found["nodeStateCounts"].items() if count}
        return found if counts == wanted and found["allocationState"] == "steady" else None

    return processes.wait_until(reached, f"{workspace}/{cluster} has {states or 'no nodes'}", seconds)


def nodes(workspace: str, cluster: str = "mycluster", group: str = "research") -> Any:
    return ok(az.run("batchai", "cluster", "node", "list", "-g", group, "-w", workspace, "-c", cluster))


def ssh(
    user: str, node: dict[str, Any], *remote: str, folder: Path, key: Path | None = None, password: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Log in to a node with the stock ssh client, by key or by password, as `ssh user@ip -p port`."""
    hosts = ("-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-F", "/dev/null")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    if key:
        way: tuple[str, ...] = ("-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes")
    else:
        askpass = folder / "askpass"
        askpass.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(password or '')}\n", encoding="utf-8")
        askpass.chmod(0o700)
        env |= {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        way = ("-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1")
    command = ["ssh", *hosts, *SSH_OPTIONS, *way, f"{user}@{node['ipAddress']}", "-p", str(node["port"]), *remote]
    return subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def share(home: Path, account: str, name: str, service: str = "files") -> Path:
    """The folder of a share (or, with service="blobs", a container) of the embedded service."""
    return home / "storage" / account / service / name

"""`az batchai local reset` where the state cannot be opened: what its folders tell of ends, and all of it goes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import az, processes
from harness.cluster import ok, wait_for_nodes
from harness.processes import wait_until
from harness.service import Service

RG = ("-g", "research")


def damage(home: Path, what: str) -> None:
    state = home / "state.db"
    if what == "a missing key":
        (home / "secrets.key").unlink()
    elif what == "an emptied state":
        state.write_bytes(b"")
    else:
        state.write_bytes(os.urandom(state.stat().st_size))


@pytest.mark.parametrize("what", ["a missing key", "an emptied state", "a damaged state"])
def test_reset_needs_no_state(home: Path, submit: Callable[..., object], what: str) -> None:
    ok(az.run("batchai", "workspace", "create", *RG, "-n", "lab"))
    ok(az.run("batchai", "experiment", "create", *RG, "-w", "lab", "-n", "exp"))
    create = ("batchai", "cluster", "create", *RG, "-w", "lab", "-n", "mycluster", "-s", "Standard_NC6")
    ok(az.run(*create, "-t", "1", "--use-auto-storage", "-p", "secretpassword"))
    wait_for_nodes("lab", idle=1)
    submit("going", "setsid sleep 3061 & exec sleep 3061")
    sleeping = wait_until(lambda: len(find("sleep 3061", home)) == 2 and find("sleep 3061", home), "it runs")
    Service(home).kill()
    damage(home, what)

    refused = az.run("batchai", "workspace", "list")
    assert refused.code == 1
    assert "(StateUnusable)" in refused.stderr and "`az batchai local reset`" in refused.stderr
    assert set(find("sleep 3061", home)) == set(sleeping)  # nothing is given up without being asked for

    outcome = az.run("batchai", "local", "reset", "--yes")
    assert outcome.code == 0, outcome.stderr
    assert "could not be opened" in outcome.stderr
    assert not Service(home).leftovers()
    assert {entry.name for entry in home.iterdir()} <= {"service.lock", "service.log"}
    assert ok(az.run("batchai", "workspace", "list")) == []


def find(command: str, home: Path) -> list[int]:
    return [pid for pid, line in processes.of_home(home).items() if line == command]

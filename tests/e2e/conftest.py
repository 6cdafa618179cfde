"""What the end-to-end tests share."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import az
from harness.cluster import ok, wait_for_nodes
from harness.service import Service

GROUP = "research"


@pytest.fixture(scope="session")
def ssh_client() -> None:
    if not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        pytest.skip("the stock ssh client is not installed")


@pytest.fixture(scope="module")
def trainers(service: Service) -> str:
    """A workspace `lab` with one idle node in the cluster `mycluster`, auto storage and the experiment `exp`."""
    ok(az.run("batchai", "workspace", "create", "-g", GROUP, "-n", "lab"))
    ok(az.run("batchai", "experiment", "create", "-g", GROUP, "-w", "lab", "-n", "exp"))
    ok(
        az.run(
            *("batchai", "cluster", "create", "-g", GROUP, "-w", "lab", "-n", "mycluster", "-s", "Standard_NC6"),
            *("--target", "1", "--use-auto-storage", "-u", "alice", "-p", "secretpassword"),
        )
    )
    wait_for_nodes("lab", idle=1)
    return "lab"


JobMaker = Callable[..., Any]


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[JobMaker]:
    """Create a job of the custom toolkit: submit("name", "command line", property=value...) -> the created job."""
    created = []

    def create(name: str, command_line: str, workspace: str = "lab", **properties: Any) -> Any:
        body = {
            "nodeCount": 1,
            "customToolkitSettings": {"commandLine": command_line},
            "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs",
            **properties,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"properties": body}), encoding="utf-8")
        where = ("-g", GROUP, "-w", workspace, "-e", "exp")
        job = ok(az.run("batchai", "job", "create", *where, "-n", name, "-c", "mycluster", "-f", str(path)))
        created.append((*where, "-n", name))
        return job

    yield create
    for job in created:  # the next test finds the node idle
        az.run("batchai", "job", "delete", *job, "--yes")

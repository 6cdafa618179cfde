"""The page of a cluster whose nodes a Slurm gives: on which machine each is, and what its setup task said there."""

import re
import subprocess
import uuid

import pytest

from harness.service import Service
from ui.visitor import Visitor
from wire.api import SUBSCRIPTION, Api

pytestmark = [pytest.mark.invented, pytest.mark.parametrize("engine", ["slurm"], indirect=True, scope="module")]


def test_a_node_tells_its_machine(visitor: Visitor, service: Service) -> None:
    api = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    task = {"commandLine": "echo $((6 * 7)) things are installed", "stdOutErrPathPrefix": "$AZ_BATCHAI_NODE_LOG_DIR"}
    api.create_cluster("c", 1, nodeSetup={"setupTask": task})
    api.wait_for_cluster("c", idle=1)
    name = api.workspace.rpartition("/")[2]
    page = visitor.get(f"/ui/subscriptions/{SUBSCRIPTION}/groups/lab/workspaces/{name}/clusters/c")
    assert "Engine slurm" in page.shown
    machines = subprocess.check_output(["sinfo", "-h", "-N", "-o", "%N"], text=True).split()
    cells = re.findall(r"<td>([^<]*)</td>", page.text)
    assert set(machines) & set(cells), cells
    assert "42 things are installed" in page.shown
    assert api.finish(api.call("DELETE", f"{api.workspace}/clusters/c")[1])["status"] == "Succeeded"

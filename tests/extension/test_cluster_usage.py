"""az batchai cluster usage: node-hours by cluster, state and experiment."""

import pytest

from azext_batchai._validators import span
from azext_batchai.clusters.usage import of_clusters
from harness.az import run
from harness.cluster import ok, wait_for_nodes
from harness.service import Service

pytestmark = pytest.mark.invented
WORKSPACE = "/subscriptions/s/resourceGroups/G/providers/Microsoft.BatchAI/workspaces/W"
ANSWER = {
    "since": "2026-01-01T00:00:00Z",
    "until": "2026-01-08T00:00:00Z",
    "keptSince": "2026-01-03T00:00:00Z",
    "times": [
        {"cluster": f"{WORKSPACE}/clusters/C", "experiment": f"{WORKSPACE}/experiments/E", "state": "running",
         "nodeSeconds": 3600},
        {"cluster": f"{WORKSPACE}/clusters/C", "experiment": f"{WORKSPACE}/experiments/F", "state": "running",
         "nodeSeconds": 1800},
        {"cluster": f"{WORKSPACE}/clusters/C", "experiment": None, "state": "idle", "nodeSeconds": 7200},
        {"cluster": f"{WORKSPACE.lower()}/clusters/d", "experiment": None, "state": "idle", "nodeSeconds": 36},
    ],
}  # fmt: skip
EVERYTHING = {"resourcegroups": None, "workspaces": None, "clusters": None}


def test_sums():
    first, second = of_clusters(ANSWER, EVERYTHING)
    assert (first["cluster"], first["workspace"], first["resourceGroup"]) == ("C", "W", "G")
    assert first["nodeHours"] == {"running": 1.5, "idle": 2.0, "preparing": 0.0, "unusable": 0.0, "leaving": 0.0}
    assert first["experiments"] == {"E": 1.0, "F": 0.5}
    assert first["since"] == "2026-01-03T00:00:00Z"
    assert second["nodeHours"]["idle"] == 0.01


def test_filters():
    assert [entry["cluster"] for entry in of_clusters(ANSWER, {**EVERYTHING, "clusters": "D"})] == ["d"]
    assert of_clusters(ANSWER, {**EVERYTHING, "workspaces": "other"}) == []


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604800), ("12h", 43200), ("30m", 1800), ("2 weeks", 1209600)])
def test_span(text, seconds):
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "soon", "-1d", "1.5h", "P1D"])
def test_wrong_span(az, text):
    done = az("batchai", "cluster", "usage", f"--since={text}")
    assert (done.code, "no time such as 7d" in done.stderr) == (2, True)


def test_of_a_service_elsewhere(az, server):
    done = az("batchai", "cluster", "usage")
    assert done.code == 1
    assert "on this machine" in done.stderr


def test_with_the_service(service: Service):
    assert ok(run("batchai", "cluster", "usage")) == []
    ok(run("batchai", "workspace", "create", "-g", "research", "-n", "w"))
    cluster = ("-s", "Standard_D1", "-t", "1", "-u", "alice", "-p", "secretpassword")
    ok(run("batchai", "cluster", "create", "-g", "research", "-w", "w", "-n", "C", *cluster))
    wait_for_nodes("w", "C", idle=1)
    [entry] = ok(run("batchai", "cluster", "usage", "--since", "1h", "-n", "c"))
    assert (entry["cluster"], entry["experiments"]) == ("C", {})
    table = run("batchai", "cluster", "usage", "-o", "table").output.splitlines()
    assert table[0].split()[:4] == ["Cluster", "Workspace", "Since", "Running"]
    assert table[2].split()[0] == "C"

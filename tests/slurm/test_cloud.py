"""Nodes that Slurm powers up when they are wanted, and down again when nobody has them."""

import json
from collections.abc import Iterator

import pytest

from harness import slurm as slurm_module
from harness.processes import wait_until
from harness.service import Service
from harness.slurm import PROFILE, Slurm
from wire.api import Api

pytestmark = [pytest.mark.invented, pytest.mark.slow]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Slurm]:
    with slurm_module.running(2, "cloud") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def engine_settings(cloud: Slurm) -> dict[str, str]:
    profiles = cloud.folder / "engines.json"
    profiles.write_text(json.dumps({"slurm": PROFILE}), encoding="utf-8")
    return {"AZURE_BATCHAI_ENGINE": "slurm", "AZURE_BATCHAI_ENGINES": str(profiles), **cloud.environment}


def test_from_no_node_to_two_and_back(service: Service, cloud: Slurm) -> None:
    """A batch job on nodes that are powered up waits for a timer of Slurm's, 30 s."""

    def powered() -> int:
        states = cloud.run("sinfo", "-h", "-p", "batch", "-N", "-o", "%t").split()
        return sum(state.rstrip("*") in ("idle", "alloc", "mix") for state in states)

    assert powered() == 0
    api = Api(service, "cloud")
    api.create_cluster(nodes=0, scaleSettings={"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2}})
    api.create_job("job", "echo $AZ_BATCHAI_NUM_NODES; exit 3", nodeCount=2)
    found = api.wait_for_job("job", seconds=120)
    assert found["executionInfo"]["exitCode"] == 3
    assert powered() == 2
    wait_until(lambda: not cloud.jobs(), "the block is given back", 60)
    wait_until(lambda: powered() == 0, "the nodes are powered down", 120)

"""What is not there without end: quotas, GPUs, low-priority nodes (wire.md 4, 5.4, 6, 7)."""

import os
from pathlib import Path

import pytest

from azext_batchai.service.engine.base import Allocation, Login, NodeSpec
from azext_batchai.service.engine.local.engine import LocalEngine
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout
from harness.processes import wait_until
from harness.service import Service
from wire.api import Api


def start(home: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Api:
    for name, value in settings.items():
        monkeypatch.setenv(f"AZURE_BATCHAI_{name}", value)
    service = Service(home)
    assert service.start()["status"] == "ready"
    return Api(service, "lab")


LOW = {"vmPriority": "lowpriority"}


@pytest.mark.documented
def test_a_target_over_the_quota_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(home, monkeypatch, VCPU_QUOTA="12")
    body = api.cluster_body(3, vmSize="STANDARD_NC6")
    status, _, answer = api.call("PUT", f"{api.workspace}/clusters/c", body)
    assert (status, answer["error"]["code"]) == (409, "ClusterQuotaReached")
    assert "Maximum allowed: 12" in answer["error"]["message"]
    assert api.call("GET", f"{api.workspace}/clusters")[2] == {"value": []}
    api.create_cluster("c", 2, vmSize="STANDARD_NC6")
    manual = {"scaleSettings": {"manual": {"targetNodeCount": 3}}}
    assert api.call("PATCH", f"{api.workspace}/clusters/c", {"properties": manual})[0] == 409
    assert api.wait_for_cluster("c", idle=2)["scaleSettings"]["manual"]["targetNodeCount"] == 2


@pytest.mark.documented
def test_a_short_quota_gives_fewer_nodes_and_usages_count_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(home, monkeypatch, VCPU_QUOTA="18", CLUSTER_QUOTA="2")
    api.create_cluster("first", 2, vmSize="STANDARD_NC6")
    api.wait_for_cluster("first", idle=2)
    api.create_cluster("second", 2, vmSize="STANDARD_NC6")
    api.wait_for_cluster("second", idle=1)
    location = api.workspace.split("/resourceGroups/")[0] + "/providers/Microsoft.BatchAI/locations/eastus/usages"
    usages = {
        item["name"]["value"]: (item["currentValue"], item["limit"]) for item in api.call("GET", location)[2]["value"]
    }
    assert usages["Clusters"] == (2, 2)
    assert usages["Total Cluster Dedicated Regional vCPUs"] == (18, 18)
    assert usages["Standard NC Family Cluster Dedicated vCPUs"] == (18, 18)
    assert usages["Total Cluster LowPriority Regional vCPUs"] == (0, 18)
    status, _, answer = api.call("PUT", f"{api.workspace}/clusters/third", api.cluster_body(0))
    assert (status, answer["error"]["code"]) == (409, "ClusterQuotaReached")


@pytest.mark.invented
@pytest.mark.parametrize(
    ("size", "says"),
    [("Standard_NC24", "4 GPU(s) a node"), ("Standard_H16", "not in the catalogue"), ("Standard_D2", "")],
)
def test_a_size_that_promises_more_than_there_is_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, size: str, says: str
) -> None:
    if any(name.startswith("nvidia") and name[6:].isdigit() for name in os.listdir("/dev")):
        pytest.skip("this machine has GPUs")
    api = start(home, monkeypatch)
    status, headers, _ = api.call("PUT", f"{api.workspace}/clusters/cluster", api.cluster_body(1, vmSize=size))
    assert status == 202
    warning = headers.get("Warning", "")
    assert (says in warning) if says else not warning
    api.wait_for_cluster(idle=1)
    api.create_job("job", "echo $AZ_BATCHAI_NUM_GPUS [$CUDA_VISIBLE_DEVICES]")
    api.wait_for_job("job")
    assert api.output("job") == b"0 []\n"


@pytest.mark.documented
def test_gpus_are_dealt_out_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger alone: which device files there are is the one thing replaced."""
    import asyncio

    from azext_batchai.service.engine.local import engine as module

    monkeypatch.setattr(module, "find_gpus", lambda: [0, 1, 2])

    def spec(name: str, **held: object) -> NodeSpec:
        return NodeSpec(name, 1, "c", "STANDARD_NC12", False, Login("demo", (), None), gpus=2, held=held)

    def engine() -> LocalEngine:
        return LocalEngine(Settings(home=tmp_path), FolderFiles(StorageLayout(tmp_path)))

    async def deal() -> list[list[int]]:
        first = engine()
        await first.start()

        async def take(engine: LocalEngine, spec: NodeSpec) -> list[int]:
            [allocation] = await engine.allocate([spec], resume=bool(spec.held))
            assert isinstance(allocation, Allocation) and allocation.gpus == len(allocation.held["gpus"])
            return allocation.held["gpus"]

        dealt = [await take(first, spec(name)) for name in ("a", "b", "c")]
        environment = first._nodes["b"].environment
        assert (environment["AZ_BATCHAI_NUM_GPUS"], environment["CUDA_VISIBLE_DEVICES"]) == ("1", "2")
        await first.release("a")
        dealt.append(await take(first, spec("d")))
        await first.close()
        again = engine()  # after a restart a node has what it had
        await again.start()
        dealt.append(await take(again, spec("b", port=0, gpus=[2])))
        await again.close()
        return dealt

    assert asyncio.run(deal()) == [[0, 1], [2], [], [0, 1], [2]]


@pytest.mark.documented
def test_a_preempted_node_leaves_with_notice_and_its_job_runs_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = start(home, monkeypatch)
    api.create_cluster(nodes=1, **LOW)
    line = (
        "cd $AZ_BATCHAI_MOUNT_ROOT/afs; trap 'echo told >> notes; exit 1' TERM; echo run >> notes; "
        "[ $(grep -c run notes) = 2 ] && exit 0; while :; do sleep 0.05; done"
    )
    api.create_job("job", line)
    notes = home / "storage" / api.account / "files" / "share" / "notes"
    wait_until(notes.exists, "the job runs")
    [node] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    assert node["nodeId"].endswith("-p")
    assert api.service.request("POST", f"/_local/preempt/{node['nodeId']}")[0] == 200
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert notes.read_text() == "run\ntold\nrun\n"
    [other] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    assert other["nodeId"] != node["nodeId"]  # the cluster has got another machine
    assert api.service.request("POST", f"/_local/preempt/{node['nodeId']}")[0] == 404


@pytest.mark.documented
def test_dedicated_nodes_are_not_preempted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(home, monkeypatch)
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    [node] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    status, _, answer = api.service.request("POST", f"/_local/preempt/{node['nodeId']}")
    assert (status, answer["error"]["code"]) == (409, "NodeNotLowPriority")


@pytest.mark.documented
def test_a_job_loses_low_priority_nodes_after_a_day(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = start(home, monkeypatch, LOW_PRIORITY_SECONDS="0.5")  # a short day
    api.create_cluster(nodes=2, **LOW)
    line = "cd $AZ_BATCHAI_MOUNT_ROOT/afs; echo run >> runs; [ $(wc -l < runs) = 2 ] || sleep 1000"
    api.create_job("job", line, nodeCount=2)
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert (home / "storage" / api.account / "files" / "share" / "runs").read_text() == "run\nrun\n"


@pytest.mark.invented
def test_nothing_that_was_started_on_a_node_outlives_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a process that left the job's process tree and an SSH session's process group alike."""
    import subprocess

    from harness.processes import alive

    api = start(home, monkeypatch)
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    [node] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    environment = {**os.environ, "AZ_BATCHAI_NODE_ID": node["nodeId"]}
    stranger = subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True)
    try:
        manual = {"scaleSettings": {"manual": {"targetNodeCount": 0}}}
        api.call("PATCH", f"{api.workspace}/clusters/cluster", {"properties": manual})
        api.wait_for_cluster()
        assert not alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()

"""How nodes are asked for: blocks, what they wait for, what happens around sbatch, and that nothing is left."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from harness.processes import alive, wait_until
from harness.slurm import Slurm
from wire.api import Api

pytestmark = pytest.mark.invented


def test_nodes_of_a_target_are_blocks_of_one_and_go_with_it(api: Api, slurm: Slurm) -> None:
    api.create_cluster(nodes=2)
    api.wait_for_cluster(idle=2)
    found = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    names = {f"batchai-{entry['nodeId']}" for entry in found}
    assert {name for _, _, name in slurm.jobs()} == names
    manual = {"scaleSettings": {"manual": {"targetNodeCount": 1}}}
    api.call("PATCH", f"{api.workspace}/clusters/cluster", {"properties": manual})
    api.wait_for_cluster(idle=1)
    assert len(slurm.jobs()) == 1


def test_where_nodes_are_and_what_they_do_not_run(api: Api) -> None:
    """Slurm's name of a node is in the service's status; the image that nobody starts is in the job's log."""
    image = {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "16.04-LTS"}
    api.create_cluster(virtualMachineConfiguration={"imageReference": image})
    api.create_job("job", "echo $SLURMD_NODENAME")
    api.wait_for_job("job")
    found = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    hosts = api.service.request("GET", "/_local/status")[2]["nodeHosts"]
    assert [hosts[entry["nodeId"]] in {f"n{number}" for number in range(4)} for entry in found] == [True]
    log = api.output("job", "execution.log").decode()
    assert "image Canonical UbuntuServer 16.04-LTS latest is not used: nodes of engine slurm have their own" in log


@pytest.mark.parametrize("verb", ["terminate", "delete"])
def test_the_block_of_a_gang_that_nobody_wants_any_more_is_given_up(api: Api, slurm: Slurm, verb: str) -> None:
    other = slurm.occupy(3)
    try:
        api.create_cluster(nodes=0, scaleSettings={"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2}})
        api.create_job("job", nodeCount=2)
        wait_until(lambda: len(slurm.jobs("-t", "PENDING")) == 1, "it is asked for")
        if verb == "terminate":
            api.call("POST", f"{api.job('job')}/terminate")
        else:
            api.call("DELETE", api.job("job"))
        wait_until(lambda: [job for job, _, _ in slurm.jobs()] == [other], "it is given up")
        api.wait_for_cluster()
    finally:
        slurm.run("scancel", other)


@pytest.mark.parametrize(("line", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_exit_codes(api: Api, line: str, code: int) -> None:
    api.create_cluster()
    api.create_job("job", line)
    info = api.wait_for_job("job")["executionInfo"]
    assert info["exitCode"] == code


@pytest.mark.slow
def test_a_gang_holds_nothing_until_all_its_nodes_are_there(api: Api, slurm: Slurm) -> None:
    other = slurm.occupy(2)
    api.create_cluster(nodes=0, scaleSettings={"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 3}})
    api.create_job("job", "echo $AZ_BATCHAI_NUM_NODES", nodeCount=3)
    ours = wait_until(
        lambda: [line for line in slurm.jobs(fields="%T %D %j") if line[2].startswith("batchai")], "it is asked for"
    )
    assert [line[:2] for line in ours] == [["PENDING", "3"]]

    def errors() -> object:
        return api.properties(f"{api.workspace}/clusters/cluster").get("errors")

    told = wait_until(errors, "the cluster says what it waits for", 60)
    assert {error["code"] for error in told} == {"NodeAllocationPending"}
    assert {detail["value"] for error in told for detail in error["details"] if detail["name"] == "Info"} <= {
        "Resources",
        "Priority",
    }
    assert slurm.jobs("-t", "RUNNING", fields="%A") == [[other]]
    slurm.run("scancel", other)
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert not errors()


def test_a_crash_after_sbatch_makes_no_second_block(
    api: Api, slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is killed while sbatch has submitted and not yet said so."""
    said = tmp_path / "submitted"
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" > {said}.new; mv {said}.new {said}; sleep 600\n')
    wrapper.chmod(0o755)
    api.service.kill()
    with monkeypatch.context() as context:
        context.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        assert api.service.start()["status"] == "ready"
    api.create_cluster()
    wait_until(said.exists, "it is submitted")
    [wrapped] = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(wrapper).encode() in _command_line(entry)
    ]
    api.service.kill()
    assert api.service.start()["status"] == "ready"
    os.killpg(wrapped, signal.SIGKILL)
    wait_until(lambda: not alive(wrapped), "the old sbatch is gone")
    api.wait_for_cluster(idle=1)
    assert [job for job, _, _ in slurm.jobs()] == [said.read_text().strip()]


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_controller_that_is_away_is_waited_for(api: Api, slurm: Slurm) -> None:
    pid = slurm.controller()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), "slurmctld is gone")
    try:
        api.create_cluster()

        def errors() -> object:
            return api.properties(f"{api.workspace}/clusters/cluster").get("errors")

        [error] = wait_until(errors, "the cluster says so", 60)
        assert error["code"] == "SlurmUnavailable"
    finally:
        slurm.start_controller()
    found = api.wait_for_cluster(idle=1)
    assert "errors" not in found
    assert len(slurm.jobs()) == 1

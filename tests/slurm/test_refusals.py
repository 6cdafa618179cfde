"""What is refused, and how it is said: profiles, properties that Slurm's nodes cannot have, Slurm's own refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azext_batchai.service.engine.slurm import commands, profile
from harness.processes import wait_until
from harness.slurm import PROFILE, Slurm
from wire.api import Api

pytestmark = pytest.mark.invented


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"type": "slurm", "partitoin": "gpu"}, "no key 'p.partitoin'. Did you mean 'partition'?"),
        ({"type": "slurm", "vmsizes": {}}, "no key 'p.vmsizes'. Did you mean 'vmSizes'?"),
        ({"type": "slurm", "lowPriority": {"partiton": "x"}}, "no key 'p.lowPriority.partiton'. Did you mean"),
        ({"type": "slurm", "vmSizes": {"STANDARD_NC6": {"gras": "x"}}}, "'p.vmSizes.STANDARD_NC6.gras'"),
        ({"type": "slrum"}, "'p.type' is \"slrum\": it must be"),
        ({}, "'p.type' is null"),
        ({"type": "slurm", "partition": 1}, "'p.partition' is 1: it must be a text"),
        ({"type": "slurm", "walltime": "a day"}, "'p.walltime' is \"a day\""),
        ({"type": "slurm", "nodeIdleSeconds": "60"}, "'p.nodeIdleSeconds' is \"60\": it must be a number"),
        ({"type": "slurm", "exclusive": "no"}, "'p.exclusive' is \"no\": it must be true or false"),
        ({"type": "slurm", "extra": "--mem=1G"}, "'p.extra' is \"--mem=1G\": it must be a list"),
        *(
            ({"type": "slurm", "extra": [option]}, f"must not have {name}")
            for option, name in [
                ("-Jx", "-J"),
                ("-N2", "-N"),
                ("-n", "-n"),
                ("-o/x", "-o"),
                ("-e", "-e"),
                ("-D/", "-D"),
                ("--exp=ALL", "--exp"),
                ("--array=1-2", "--array"),
                ("--wrap=x", "--wrap"),
                ("--signal=TERM", "--signal"),
                ("--requeue", "--requeue"),
                ("--time=1", "--time"),
                ("--comment=x", "--comment"),
            ]
        ),
        ([], "'p' must be an object"),
    ],
)
def test_a_profile_that_cannot_be_used_names_file_and_key(tmp_path: Path, entry: Any, says: str) -> None:
    file = tmp_path / "engines.json"
    file.write_text(json.dumps({"p": entry}))
    with pytest.raises(profile.ProfileError) as raised:
        profile.load(file)
    assert str(file) in str(raised.value)
    assert says in str(raised.value)


def test_a_whole_profile_is_read(tmp_path: Path) -> None:
    file = tmp_path / "engines.json"
    entry = {
        "type": "slurm",
        "partition": "gpu",
        "account": "ml",
        "qos": "normal",
        "constraint": "v100",
        "walltime": "1-00:00:00",
        "vmSizes": {"standard_nc6": {"gres": "gpu:1"}},
        "lowPriority": {"partition": "scavenge", "qos": "low"},
        "nodeIdleSeconds": 60,
        "prologue": "module load cuda",
        "interface": "ib0",
        "extra": ["--mail-type=NONE"],
    }
    file.write_text(json.dumps({"gpu": entry}))
    read = profile.load(file)["gpu"]
    assert read.walltime_seconds == 24 * 3600
    assert read.low_priority == profile.Placement("scavenge", "ml", "low", "v100")
    assert read.vm_sizes["STANDARD_NC6"].gres == "gpu:1"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 1800), ("1:30", 90), ("2:00:00", 7200), ("1-12", 129600), ("1-00:00:01", 86401)]
)
def test_walltimes(text: str, seconds: float) -> None:
    assert profile.seconds_of(text) == seconds


def test_what_squeue_says_is_understood() -> None:
    line = "12|RUNNING|2026-11-25T10:00:00|gpu[001-003,7],login-a1|batchai-tvm-1|None"
    entry = commands.parse(line)
    assert entry and entry.hosts == {"gpu001", "gpu002", "gpu003", "gpu7", "login-a1"}
    assert (entry.job, entry.state, entry.name, entry.reason) == (12, "RUNNING", "batchai-tvm-1", "None")
    pending = commands.parse("13|PENDING|N/A||batchai-tvm-2|(Nodes required for job are DOWN | DRAINED)")
    assert pending and pending.ends is None and not pending.hosts and "DRAINED" in pending.reason
    assert commands.parse("slurm_load_jobs: a warning") is None


def refused(
    api: Api, body: dict[str, Any], engine: str = "", status: int = 400, name: str = "refused"
) -> dict[str, Any]:
    import urllib.error
    import urllib.request

    url = f"{api.service.info['endpoint']}{api.workspace}/clusters/{name}?api-version=2018-05-01"
    request = urllib.request.Request(url, data=json.dumps(body).encode(), method="PUT")
    request.add_header("Authorization", f"Bearer {api.service.info['token']}")
    request.add_header("Content-Type", "application/json")
    if engine:
        request.add_header("x-batchai-engine", engine)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=30)
    with raised.value as answer:
        assert answer.code == status
        error: dict[str, Any] = json.loads(answer.read())["error"]
    if name == "refused":
        assert api.call("GET", f"{api.workspace}/clusters/refused")[0] == 404
    return error


def test_an_engine_there_is_not(api: Api) -> None:
    error = refused(api, api.cluster_body(), "slrum")
    assert "no engine 'slrum'" in error["message"]
    assert "engines.json" in error["message"]
    assert "Did you mean 'slurm'?" in error["message"]


def test_a_broken_file_refuses_clusters_and_nothing_else(api: Api, profiles: Callable[..., None]) -> None:
    api.create_cluster()
    api.wait_for_cluster(idle=1)
    profiles(other={"type": "slurm", "qqs": "x"})
    assert "'other.qqs'. Did you mean 'qos'?" in refused(api, api.cluster_body())["message"]
    api.create_job("job", "exit 4")
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 4


def test_properties_that_nodes_of_slurm_cannot_have(api: Api, profiles: Callable[..., None]) -> None:
    mounts = {"unmanagedFileSystems": [{"mountCommand": "mount x", "relativeMountPath": "own"}]}
    error = refused(api, api.cluster_body(nodeSetup={"mountVolumes": mounts}), status=501)
    assert error["code"] == "NotSupportedByEngine"
    assert error["target"] == "properties.nodeSetup.mountVolumes.unmanagedFileSystems"
    subnet = f"{api.workspace.split('/providers/')[0]}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    assert refused(api, api.cluster_body(subnet={"id": subnet}), status=501)["target"] == "properties.subnet"
    profiles(plain={"type": "slurm"})
    body = api.cluster_body(vmPriority="lowpriority")
    assert "lowPriority" in refused(api, body, "plain")["message"]


def test_another_engine_for_the_same_cluster_is_a_conflict(api: Api) -> None:
    api.create_cluster("c", 0)
    assert api.call("PUT", f"{api.workspace}/clusters/c", api.cluster_body(0))[0] == 200
    assert "exists on engine 'slurm'" in refused(api, api.cluster_body(0), "local", 409, "c")["message"]


def test_a_folder_that_others_can_read_is_refused(api: Api) -> None:
    api.service.home.chmod(0o755)
    try:
        assert "chmod 700" in refused(api, api.cluster_body())["message"]
    finally:
        api.service.home.chmod(0o700)


def test_a_job_longer_than_the_walltime(api: Api, profiles: Callable[..., None]) -> None:
    profiles(slurm={**PROFILE, "walltime": "60"})
    api.create_cluster(nodes=0)
    body = api.job_body(constraints={"maxWallClockTime": "PT2H"})
    status, _, answer = api.call("PUT", api.job("job"), body)
    assert (status, "walltime" in answer["error"]["message"]) == (400, True)
    assert api.call("PUT", api.job("job"), api.job_body(constraints={"maxWallClockTime": "PT1H"}))[0] == 202


def test_a_job_larger_than_the_cluster_may_become(api: Api) -> None:
    api.create_cluster(nodes=0, scaleSettings={"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2}})
    status, _, answer = api.call("PUT", api.job("job"), api.job_body(nodeCount=3))
    assert (status, answer["error"]["target"]) == (400, "properties.nodeCount")
    assert "maximumNodeCount 2" in answer["error"]["message"] and "--max 3" in answer["error"]["message"]
    assert api.call("PUT", api.job("job"), api.job_body(nodeCount=2))[0] == 202
    assert api.wait_for_job("job")["executionState"] == "succeeded"


def test_slurms_commands_that_are_not_found_are_waited_for(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.service.kill()
    with monkeypatch.context() as context:
        context.setenv("PATH", str(tmp_path))
        assert api.service.start()["status"] == "ready"
    api.create_cluster()

    def errors() -> Any:
        return api.properties(f"{api.workspace}/clusters/cluster").get("errors")

    [error] = wait_until(errors, "the cluster says so")
    assert error["code"] == "SlurmUnavailable"
    assert any("sbatch is not found" in detail["value"] for detail in error["details"])
    api.service.kill()
    assert api.service.start()["status"] == "ready"
    assert "errors" not in api.wait_for_cluster(idle=1)


def test_slurms_refusal_is_told_in_its_words_and_not_repeated(
    api: Api, slurm: Slurm, profiles: Callable[..., None]
) -> None:
    profiles(slurm={**PROFILE, "partition": "nowhere"})
    api.create_cluster(nodes=1)

    def errors() -> Any:
        return api.properties(f"{api.workspace}/clusters/cluster").get("errors")

    [error] = wait_until(errors, "the cluster says so")
    assert error["code"] == "NodeAllocationFailed"
    [said] = [detail["value"] for detail in error["details"] if detail["name"] == "Info"]
    assert "invalid partition specified: nowhere" in said
    assert not slurm.jobs("-t", "all", "-n", "batchai-nowhere")


def test_the_engines_are_listed_and_tried(api: Api, profiles: Callable[..., None]) -> None:
    profiles(lost={"type": "slurm", "partition": "nowhere"}, old={"type": "slurm", "python": "python-of-old"})
    listed = {engine["name"]: engine for engine in api.service.request("GET", "/_local/engines")[2]["engines"]}
    assert set(listed) == {"local", "slurm", "lost", "old"}
    assert [name for name, engine in listed.items() if engine["default"]] == ["slurm"]
    tried = {engine["name"]: engine for engine in api.service.request("GET", "/_local/engines/check")[2]["engines"]}
    assert [check["check"] for check in tried["slurm"]["checks"]] == ["commands", "version", "placement", "node"]
    assert all(check["passed"] for check in tried["slurm"]["checks"])
    assert "partition" in tried["lost"]["checks"][-1]["said"]
    assert "python-of-old is not Python" in tried["old"]["checks"][-1]["said"]


def test_a_node_without_python_says_so(api: Api, profiles: Callable[..., None]) -> None:
    profiles(slurm={**PROFILE, "python": "python-of-old"})
    api.create_cluster(nodes=1)
    [error] = api.wait_for_cluster(unusable=1)["errors"]
    assert error["code"] == "AgentFailed"
    assert any("python-of-old" in detail["value"] for detail in error["details"] if detail["name"] == "Info")

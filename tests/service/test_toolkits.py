"""Launch plans: from settings to processes, without starting any (wire.md 5.2, 5.4, 5.5, 8)."""

import json
from typing import Any

import pytest

from azext_batchai.service import toolkits
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.schema import Object, clean
from azext_batchai.service.engine.base import Process

pytestmark = pytest.mark.documented
SCRIPT = {"pythonScriptFilePath": "$AZ_BATCHAI_JOB_MOUNT_ROOT/train.py", "commandLineArgs": "--epochs 3"}
PORTS = list(range(5000, 5020))


def plan(settings_name: str, settings: dict[str, Any], nodes: int = 2, **more: Any) -> list[Process]:
    toolkit = toolkits.BY_SETTINGS[settings_name]
    properties = {
        "nodeCount": nodes,
        "toolType": toolkit.TOOL_TYPE,
        settings_name: clean(toolkit.SCHEMA, settings).body,
        **more,
    }
    toolkits.fill(properties)
    needed = toolkits.ports_needed(properties)
    return toolkits.launch_plan(properties, [f"10.0.0.{4 + node}" for node in range(nodes)], PORTS[:needed])


def test_every_toolkit_of_the_wire_is_there() -> None:
    types = {toolkit.TOOL_TYPE for toolkit in toolkits.BY_SETTINGS.values()}
    assert types == {
        "cntk", "tensorflow", "caffe", "caffe2", "chainer", "pytorch", "custom", "custommpi", "horovod",
    }  # fmt: skip
    assert all(isinstance(toolkit.SCHEMA, Object) for toolkit in toolkits.BY_SETTINGS.values())


def test_custom_runs_once_on_the_master() -> None:
    [process] = plan("customToolkitSettings", {"commandLine": "echo $HOME"}, nodes=3)
    assert (process.node_index, process.command_line, process.world_size) == (0, "echo $HOME", 0)
    assert (process.stdout, process.stderr) == ("stdout.txt", "stderr.txt")


@pytest.mark.parametrize("name", ["horovodSettings", "chainerSettings"])
def test_mpi_toolkits_run_the_script_in_a_world_of_process_count(name: str) -> None:
    [process] = plan(name, SCRIPT)
    assert process.command_line == "python $AZ_BATCHAI_JOB_MOUNT_ROOT/train.py --epochs 3"
    assert process.world_size == 2  # the number of nodes where processCount is absent
    [process] = plan(name, {**SCRIPT, "processCount": 8, "pythonInterpreterPath": "/opt/py/bin/python"})
    assert process.world_size == 8
    assert process.command_line.startswith("/opt/py/bin/python ")


def test_custom_mpi() -> None:
    [process] = plan("customMpiSettings", {"commandLine": "hostname", "processCount": 4})
    assert (process.command_line, process.world_size) == ("hostname", 4)


def test_cntk() -> None:
    brain_script = {
        "configFilePath": "$AZ_BATCHAI_INPUT_CONFIG/a.cntk",
        "commandLineArgs": "rootDir=. parallelTrain=true",
    }
    [process] = plan("cntkSettings", brain_script)
    assert process.command_line == "cntk configFile=$AZ_BATCHAI_INPUT_CONFIG/a.cntk rootDir=. parallelTrain=true"
    assert process.world_size == 2
    [process] = plan("cntkSettings", {"languageType": "python", **SCRIPT}, nodes=1)
    assert process.command_line == "python $AZ_BATCHAI_JOB_MOUNT_ROOT/train.py --epochs 3"
    assert process.world_size == 0  # a single process needs no MPI


def test_caffe() -> None:
    [process] = plan("caffeSettings", {"configFilePath": "$AZ_BATCHAI_INPUT_A/solver.prototxt"}, nodes=1)
    assert process.command_line == "caffe train --solver=$AZ_BATCHAI_INPUT_A/solver.prototxt"
    [process] = plan("caffeSettings", {**SCRIPT, "processCount": 3}, nodes=1)
    assert process.world_size == 3


def test_caffe2_runs_once_on_every_node() -> None:
    processes = plan("caffe2Settings", SCRIPT, nodes=3)
    assert [process.node_index for process in processes] == [0, 1, 2]
    assert [process.environment for process in processes] == [{"AZ_BATCHAI_TASK_INDEX": str(i)} for i in range(3)]
    assert [process.stdout for process in processes] == ["stdout-0.txt", "stdout-1.txt", "stdout-2.txt"]


def test_pytorch_places_ranks_as_mpi_would() -> None:
    processes = plan("pyTorchSettings", {**SCRIPT, "processCount": 4, "communicationBackend": "gloo"})
    assert [process.node_index for process in processes] == [0, 0, 1, 1]
    assert [process.environment["AZ_BATCHAI_TASK_INDEX"] for process in processes] == ["0", "1", "2", "3"]
    assert {process.environment["AZ_BATCHAI_PYTORCH_BACKEND"] for process in processes} == {"gloo"}
    [method] = {process.environment["AZ_BATCHAI_PYTORCH_INIT_METHOD"] for process in processes}
    assert method.startswith("file://$AZ_BATCHAI_SHARED_JOB_TEMP/")
    assert processes[3].stderr == "stderr-3.txt"


def test_pytorch_over_tcp_and_mpi() -> None:
    for process in plan("pyTorchSettings", {**SCRIPT, "communicationBackend": "TCP"}):
        assert process.environment["AZ_BATCHAI_PYTORCH_INIT_METHOD"] == "tcp://10.0.0.4:5000"
    [process] = plan("pyTorchSettings", {**SCRIPT, "communicationBackend": "MPI"})
    assert (process.world_size, process.stdout) == (2, "stdout-{rank}.txt")
    assert "AZ_BATCHAI_PYTORCH_INIT_METHOD" not in process.environment
    [process] = plan("pyTorchSettings", SCRIPT, nodes=1)
    assert process.stdout == "stdout-0.txt"
    assert "AZ_BATCHAI_PYTORCH_BACKEND" not in process.environment


@pytest.mark.invented
def test_pytorch_ranks_find_each_other_by_the_names_of_today() -> None:
    processes = plan("pyTorchSettings", {**SCRIPT, "processCount": 3})
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "PET_NNODES", "PET_NODE_RANK")
    assert [[process.environment[name] for name in names] for process in processes] == [
        ["0", "3", "0", "2", "0", "3", "0"],
        ["1", "3", "1", "2", "0", "3", "1"],
        ["2", "3", "0", "1", "1", "3", "2"],
    ]
    for process in processes:
        for prefix in ("", "PET_"):
            assert process.environment[f"{prefix}MASTER_ADDR"] == "10.0.0.4"
            assert process.environment[f"{prefix}MASTER_PORT"] == "5000"


@pytest.mark.invented
@pytest.mark.parametrize("name", ["horovodSettings", "chainerSettings", "cntkSettings", "caffeSettings"])
def test_mpi_worlds_are_told_where_to_meet(name: str) -> None:
    [process] = plan(name, {**SCRIPT, "processCount": 2})
    assert (process.environment["MASTER_ADDR"], process.environment["MASTER_PORT"]) == ("10.0.0.4", "5000")


@pytest.mark.invented
def test_a_jobs_own_values_win() -> None:
    mine = {"environmentVariables": [{"name": "MASTER_PORT", "value": "1"}], "secrets": [{"name": "RANK"}]}
    for process in plan("pyTorchSettings", SCRIPT, **mine):
        assert not {"MASTER_PORT", "RANK"} & set(process.environment)
        assert process.environment["MASTER_ADDR"] == "10.0.0.4"
    # Only those: what is Batch AI's own is as it always was.
    mine = {"environmentVariables": [{"name": "AZ_BATCHAI_TASK_INDEX", "value": "7"}]}
    assert plan("pyTorchSettings", SCRIPT, **mine)[1].environment["AZ_BATCHAI_TASK_INDEX"] == "1"


def test_tensorflow_alone() -> None:
    script = {"pythonScriptFilePath": "a.py", "masterCommandLineArgs": "--train"}
    [process] = plan("tensorFlowSettings", script, nodes=1)
    assert (process.command_line, process.stdout, process.stderr) == (
        "python a.py --train",
        "stdout-wk-0.txt",
        "stderr-wk-0.txt",
    )
    assert "TF_CONFIG" not in process.environment


def test_tensorflow_distributed() -> None:
    settings = {
        "pythonScriptFilePath": "a.py",
        "masterCommandLineArgs": "--m",
        "workerCommandLineArgs": "--w",
        "parameterServerCommandLineArgs": "--p",
        "parameterServerCount": 1,
        "workerCount": 3,
    }
    processes = plan("tensorFlowSettings", settings)
    assert [process.command_line for process in processes] == [
        "python a.py --m",
        "python a.py --w",
        "python a.py --w",
        "python a.py --p",
    ]
    assert [process.stdout for process in processes] == [
        "stdout-wk-0.txt", "stdout-wk-1.txt", "stdout-wk-2.txt", "stdout-ps-0.txt",
    ]  # fmt: skip
    assert [process.serves_others for process in processes] == [False, False, False, True]
    assert [process.node_index for process in processes] == [0, 0, 1, 0]
    hosts = {process.environment["AZ_BATCHAI_WORKER_HOSTS"] for process in processes}
    assert hosts == {"10.0.0.4:5000,10.0.0.4:5001,10.0.0.5:5002"}
    assert {process.environment["AZ_BATCHAI_PS_HOSTS"] for process in processes} == {"10.0.0.4:5003"}
    configs = [json.loads(process.environment["TF_CONFIG"]) for process in processes]
    for config in configs:
        assert config["cluster"] == {
            "ps": ["10.0.0.4:5003"],
            "worker": [*["10.0.0.4:5000", "10.0.0.4:5001", "10.0.0.5:5002"]],
        }
        assert config["environment"] == "cloud"
    assert [config["task"] for config in configs] == [
        {"type": "master", "index": 0},
        {"type": "worker", "index": 1},
        {"type": "worker", "index": 2},
        {"type": "ps", "index": 0},
    ]


def test_tensorflow_defaults_of_a_distributed_job() -> None:
    processes = plan("tensorFlowSettings", {"pythonScriptFilePath": "a.py"}, nodes=3)
    assert [process.stdout for process in processes] == [
        "stdout-wk-0.txt", "stdout-wk-1.txt", "stdout-wk-2.txt", "stdout-ps-0.txt",
    ]  # fmt: skip
    with pytest.raises(ArmError, match="parameterServerCount"):
        plan("tensorFlowSettings", {"pythonScriptFilePath": "a.py", "parameterServerCount": 3})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cntkSettings", {}),
        ("cntkSettings", {"configFilePath": "a", "pythonScriptFilePath": "b"}),
        ("cntkSettings", {"languageType": "R", "configFilePath": "a"}),
        ("cntkSettings", {"languageType": "BrainScript", "pythonScriptFilePath": "a"}),
        ("cntkSettings", {"configFilePath": "a", "pythonInterpreterPath": "b"}),
        ("caffeSettings", {"configFilePath": "a", "pythonScriptFilePath": "b"}),
        ("caffeSettings", {"configFilePath": "a", "pythonInterpreterPath": "b"}),
        ("horovodSettings", {}),
        ("horovodSettings", {"pythonScriptFilePath": "a", "processCount": 0}),
        ("pyTorchSettings", {"pythonScriptFilePath": "a", "communicationBackend": "NCCL"}),
        ("customMpiSettings", {}),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ArmError) as caught:
        plan(name, settings)
    assert caught.value.status == 400

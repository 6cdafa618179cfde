"""Every example of the help runs as it stands, against the embedded service."""

import json
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from knack.help_files import helps

from harness import az
from harness.cluster import ok
from harness.processes import wait_until
from harness.sandbox import CHECKOUT
from harness.service import Service

pytestmark = pytest.mark.documented

# The names are those of the examples. Resources of one subscription are hidden from another, so each of these has its
# own MyWorkspace: where things end up finished, where a job goes on running, and where things are made and deleted.
FINISHED, BUSY, SCRATCH = (f"{n}0000000-0000-0000-0000-000000000000" for n in (1, 2, 3))
IN_WORKSPACE = ("-g", "MyResourceGroup", "-w", "MyWorkspace")
IN_EXPERIMENT = (*IN_WORKSPACE, "-e", "MyExperiment")
RESOURCES = {
    "workspace": ("-g", "MyResourceGroup", "-n", "MyWorkspace"),
    "experiment": (*IN_WORKSPACE, "-n", "MyExperiment"),
    "file-server": (*IN_WORKSPACE, "-n", "MyFileServer"),
    "cluster": (*IN_WORKSPACE, "-n", "MyCluster"),
    "job": (*IN_EXPERIMENT, "-n", "MyJob"),
}
OUTPUT = "$AZ_BATCHAI_MOUNT_ROOT/autoafs"
CONFIGURATION_FILES: dict[str, dict[str, Any]] = {
    "cluster.json": {"vmSize": "Standard_NC6", "scaleSettings": {"manual": {"targetNodeCount": 0}}},
    "file-server.json": {
        "vmSize": "Standard_D1",
        "dataDisks": {"diskSizeInGB": 10, "diskCount": 1, "storageAccountType": "Standard_LRS"},
        "sshConfiguration": {"userAccountSettings": {"adminUserName": "me", "adminUserPassword": "pw"}},
    },
    "job.json": {
        "nodeCount": 1,
        "customToolkitSettings": {
            "commandLine": "cd $AZ_BATCHAI_OUTPUT_MODEL; mkdir checkpoints; touch checkpoints/1; "
            "touch training.log events.out.tfevents.1"
        },
        "stdOutErrPathPrefix": OUTPUT,
        "outputDirectories": [{"id": "MODEL", "pathPrefix": OUTPUT}],
    },
    "long.json": {
        "nodeCount": 1,
        "customToolkitSettings": {"commandLine": "sleep 600"},
        "stdOutErrPathPrefix": OUTPUT,
    },
}
# Examples that go on until Ctrl-C: what they say when they are at it.
ENDLESS = {r" -L ": "Forwarding", r" local logs .*--follow": "INFO"}
NODE_ID = r"tvm-\d+_\d+-\w+-?p?"


def our_help() -> dict[str, str]:
    """Read without importing it: azure-cli's own module has entries of the same names, and the last import wins."""
    before = dict(helps)
    helps.clear()
    runpy.run_path(str(CHECKOUT / "azext_batchai" / "_help.py"))
    ours = dict(helps)
    helps.clear()
    helps.update(before)
    return ours


def examples(of_local: bool) -> list[Any]:
    ours = our_help()
    return [
        pytest.param(name, example["text"], id=f"{name.removeprefix('batchai ')} {index + 1}")
        for name in sorted(ours)
        if name.startswith("batchai local") == of_local
        for index, example in enumerate(yaml.safe_load(ours[name]).get("examples", []))
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with the files that examples name, and programs that do nothing."""
    from azext_batchai.ssh.user_account import generate_keys

    made = tmp_path_factory.mktemp("examples")
    for name, content in CONFIGURATION_FILES.items():
        (made / name).write_text(json.dumps({"properties": content}), encoding="utf-8")
    until = {
        **CONFIGURATION_FILES["long.json"],
        "customToolkitSettings": {"commandLine": f"until [ -e {made}/go ]; do sleep 0.02; done"},
    }
    (made / "until.json").write_text(json.dumps({"properties": until}), encoding="utf-8")
    (made / "train.py").write_text("print('trained')\n", encoding="utf-8")
    (made / "id_rsa.pub").write_bytes(Path(generate_keys()).read_bytes())
    apt = made / "bin" / "apt"
    apt.parent.mkdir()
    for script in (apt, apt.with_name("tensorboard"), made / "script.sh"):
        script.write_text("#!/bin/sh\n", encoding="utf-8")
        script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{apt.parent}:{os.environ['PATH']}")
        patch.setenv("AZURE_CORE_DISABLE_CONFIRM_PROMPT", "yes")
        patch.chdir(made)
        yield made


class Lab:
    """The resources of one subscription."""

    def __init__(self, subscription: str) -> None:
        self.subscription = subscription

    def batchai(self, *words: str) -> Any:
        return ok(az.run("batchai", *words, "--subscription", self.subscription))

    def has(self, noun: str) -> bool:
        code = az.run("batchai", noun, "show", *RESOURCES[noun], "--subscription", self.subscription).code
        assert code in (0, 3)
        return code == 0

    def make(self, nodes: int, job: str) -> None:
        """Make what is missing of all that examples name."""
        task = ("--setup-task", f"mkdir -p {OUTPUT}; echo ready", "--use-auto-storage", "--vm-priority", "lowpriority")
        more = {
            "file-server": ("-f", "file-server.json"),
            "cluster": ("-s", "Standard_NC6", "-t", str(nodes), *task, "--generate-ssh-keys"),
            "job": ("-f", job, "-c", "MyCluster"),
        }
        for noun, names in RESOURCES.items():
            if not self.has(noun):
                self.batchai(noun, "create", *names, *more.get(noun, ()))

    def remove(self, noun: str) -> None:
        if self.has(noun):
            self.batchai(noun, "delete", *RESOURCES[noun], "--yes")

    def job_state(self) -> str:
        return self.batchai("job", "show", *RESOURCES["job"])["executionState"]

    def node(self) -> str:
        return self.batchai("cluster", "node", "list", *IN_WORKSPACE, "-c", "MyCluster")[0]["nodeId"]


@pytest.fixture(scope="module")
def finished(folder: Path, service: Service) -> Lab:
    lab = Lab(FINISHED)
    lab.make(nodes=1, job="job.json")
    lab.batchai("job", "wait", *RESOURCES["job"])
    return lab


@pytest.fixture(scope="module")
def busy(folder: Path, service: Service) -> Lab:
    lab = Lab(BUSY)
    lab.make(nodes=1, job="long.json")
    wait_until(lambda: lab.job_state() == "running", "the job runs")
    return lab


@pytest.fixture
def lab(request: pytest.FixtureRequest, folder: Path, service: Service, name: str) -> Lab:
    """Where an example makes sense."""
    noun, verb = name.split()[1], name.split()[-1]
    if verb in ("create", "delete", "resize", "auto-scale", "terminate"):
        scratch = Lab(SCRATCH)
        scratch.make(nodes=0, job="long.json")
        if verb == "create":
            scratch.remove(noun)
        return scratch
    chosen: Lab = request.getfixturevalue("busy" if name.startswith("batchai job node") else "finished")
    return chosen


@pytest.mark.parametrize(("name", "text"), examples(of_local=False))
def test_example(lab: Lab, name: str, text: str) -> None:
    if re.search(NODE_ID, text):
        text = re.sub(NODE_ID, lab.node(), text)
    if "--any" in text:
        lab.batchai("job", "create", *IN_EXPERIMENT, "-n", "Another", "-f", "until.json", "-c", "MyCluster")
        _run_until_it_ends(text, lab.subscription)
        return
    run(text, "--subscription", lab.subscription)


def _run_until_it_ends(text: str, subscription: str) -> None:
    """Let the job end that the command waits for, once it does."""
    process = az.start_process(*shlex.split(text)[1:], "--subscription", subscription, stdout=subprocess.DEVNULL)
    assert process.stderr
    said = ""
    while "Waiting" not in said:
        said = process.stderr.readline()
        assert said, "it ended"
    Path("go").touch()
    assert process.wait(60) == 0
    process.stderr.close()


@pytest.mark.parametrize(("name", "text"), examples(of_local=True))
def test_example_of_local(home: Path, folder: Path, name: str, text: str) -> None:
    if " up" not in text:
        ok(az.run("batchai", "local", "up"))
    if re.search(NODE_ID, text):
        text = re.sub(NODE_ID, _low_priority_node(), text)
    if "mystorage" in text:
        _make_account(Service(home), "mystorage")
    run(text.replace("8765", str(_free_port())))


def run(text: str, *more: str) -> None:
    program, *words = shlex.split(text.replace("\\\n", " "))
    assert program == "az"
    if "--" in words:  # what follows is no option of az
        place = words.index("--")
        words, more = words[:place], (*more, *words[place:])
    endless = [said for pattern, said in ENDLESS.items() if re.search(pattern, text)]
    if endless:
        _run_until(endless[0], [*words, *more])
        return
    done = az.run(*words, *more)
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr


def _run_until(said: str, words: list[str]) -> None:
    """Run the command until it has said so, and press Ctrl-C."""
    process = az.start_process(*words, stderr=-2, start_new_session=True)
    assert process.stdout
    lines = []
    while not any(said in line for line in lines):
        lines.append(process.stdout.readline())
        assert lines[-1], f"it ended: {lines}"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(30) in (0, 130)
    process.stdout.close()


def _low_priority_node() -> str:
    lab = Lab(FINISHED)
    lab.make(nodes=1, job="long.json")
    wait_until(lambda: lab.batchai("cluster", "show", *RESOURCES["cluster"])["currentNodeCount"], "there is a node")
    return lab.node()


def _make_account(service: Service, name: str) -> None:
    group = f"/subscriptions/{service.info['subscription']}/resourceGroups/MyResourceGroup"
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}?api-version=2023-01-01"
    assert service.request("PUT", path, {"location": "local"})[0] == 200


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

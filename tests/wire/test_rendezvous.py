"""Ranks that find each other by the names of today: unmodified PyTorch scripts, torchrun, MPI programs."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.invented
needs_mpi = pytest.mark.skipif(not shutil.which("mpirun"), reason="there is no Open MPI on this machine")
needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
ROOT = "$AZ_BATCHAI_MOUNT_ROOT/afs"
OF_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "AZ_BATCHAI_TASK_INDEX")
SAY = "echo " + " ".join(f"${name}" for name in (*OF_RANK, "MASTER_ADDR", "MASTER_PORT"))

# Nothing of Batch AI's is in it: what a tutorial of PyTorch has.
DDP = """
import os, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
torch.manual_seed(dist.get_rank())  # DDP makes the replicas equal
model = DistributedDataParallel(torch.nn.Linear(1, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    (model(torch.ones(4, 1) * (dist.get_rank() + 1)) ** 2).mean().backward()
    optimizer.step()
weight = model.module.weight.detach().clone()
everybodys = [torch.zeros_like(weight) for _ in range(dist.get_world_size())]
dist.all_gather(everybodys, weight)
assert all(torch.equal(weight, other) for other in everybodys)
line = f"rank {dist.get_rank()} of {dist.get_world_size()}, local {os.environ['LOCAL_RANK']}: equal\\n"
os.write(1, line.encode())  # in one piece: the workers of a torchrun share their output
dist.destroy_process_group()
"""

ACCELERATE = """
import os, torch
from accelerate import Accelerator
accelerator = Accelerator(cpu=True)
model = accelerator.prepare(torch.nn.Linear(1, 1))
accelerator.backward((model(torch.ones(4, 1)) ** 2).mean())
total = accelerator.reduce(torch.tensor([float(accelerator.process_index + 1)]), "sum").item()
os.write(1, f"rank {accelerator.process_index} of {accelerator.num_processes}: {total:g}\\n".encode())
accelerator.end_training()
"""
LIGHTNING = """
import os, torch, lightning
class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, _):
        return (self.layer(batch) ** 2).mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
places = {"devices": int(os.environ["LOCAL_WORLD_SIZE"]), "num_nodes": 2, "strategy": "ddp", "accelerator": "cpu"}
trainer = lightning.Trainer(max_steps=2, **places, **off)
trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=2))
os.write(1, f"rank {trainer.global_rank} of {trainer.world_size}: {trainer.global_step}\\n".encode())
"""


@pytest.fixture(scope="module")
def cluster(service: Service) -> Iterator[Api]:
    api = Api(service, "rendezvous")
    api.create_cluster(nodes=2)
    api.wait_for_cluster(idle=2)
    (api.service.home / "storage" / api.account / "files" / "share" / "ddp.py").write_text(DDP)
    yield api


def run(api: Api, name: str, **more: Any) -> list[str]:
    """Run a job on both nodes; returns the sorted lines of all its ranks."""
    body = api.job_body(nodeCount=2, **more)
    del body["properties"]["customToolkitSettings"]
    status, _, answer = api.call("PUT", api.job(name), body)
    assert status == 202, answer
    done = api.wait_for_job(name, seconds=120)  # PyTorch is imported many times at once
    _, _, listing = api.call("POST", f"{api.job(name)}/listOutputFiles", query="&outputdirectoryid=stdouterr")
    files = {item["name"] for item in listing["value"] if item["name"].startswith(("stdout", "stderr"))}
    assert done["executionState"] == "succeeded", {file: api.output(name, file).decode() for file in files}
    return sorted(
        line for file in files if file.startswith("stdout") for line in api.output(name, file).decode().splitlines()
    )


@needs_mpi
def test_mpi_ranks(cluster: Api) -> None:
    lines = run(cluster, "mpi", customMpiSettings={"commandLine": SAY, "processCount": 4})
    [meeting] = {tuple(line.split()[6:]) for line in lines}
    assert int(meeting[1]) > 0
    assert [line.split()[:6] for line in lines] == [
        ["0", "4", "0", "2", "0", "0"],
        ["1", "4", "1", "2", "0", "1"],
        ["2", "4", "0", "2", "1", "2"],
        ["3", "4", "1", "2", "1", "3"],
    ]


@needs_mpi
def test_a_jobs_own_variables_win_in_mpi_ranks(cluster: Api) -> None:
    own = [{"name": name, "value": f"my-{name}"} for name in ("RANK", "NODE_RANK", "MASTER_ADDR")]
    lines = run(cluster, "own", customMpiSettings={"commandLine": SAY}, environmentVariables=own)
    assert len(lines) == 2
    for line in lines:
        words = line.split()
        assert (words[0], words[4], words[6]) == ("my-RANK", "my-NODE_RANK", "my-MASTER_ADDR")
        assert words[1] == "2"


@pytest.mark.parametrize("toolkit", ["pyTorchSettings", pytest.param("customMpiSettings", marks=needs_mpi)])
def test_names_of_azure_machine_learning(cluster: Api, toolkit: str) -> None:
    names = ("JOB_MASTER_NODE_IP", "MPI_MASTER_NODE", "NODE_LIST", "TASK_INDEX")
    program = f"import os; print(*[os.environ['AZ_BATCHAI_' + name] for name in {names}])"
    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    (share / "names.py").write_text(program)
    settings = {"pythonScriptFilePath": f"{ROOT}/names.py"}
    if toolkit == "customMpiSettings":
        settings = {"commandLine": f"python3 {ROOT}/names.py"}
    lines = run(cluster, f"aml-{toolkit}", **{toolkit: settings})
    assert len(lines) == 2
    for index, line in enumerate(sorted(lines, key=lambda line: line.split()[3])):
        ip, mpi, nodes, task = line.split()
        assert ip == mpi == nodes.split(";")[0]
        assert len(set(nodes.split(";"))) == 2
        assert task == str(index)


@needs_torch
@pytest.mark.slow
def test_ddp_by_pytorch_settings(cluster: Api) -> None:
    settings = {"pythonScriptFilePath": f"{ROOT}/ddp.py", "pythonInterpreterPath": sys.executable, "processCount": 4}
    assert run(cluster, "ddp", pyTorchSettings=settings) == [
        "rank 0 of 4, local 0: equal",
        "rank 1 of 4, local 1: equal",
        "rank 2 of 4, local 0: equal",
        "rank 3 of 4, local 1: equal",
    ]


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(("library", "script", "said"), [("accelerate", ACCELERATE, 3), ("lightning", LIGHTNING, 2)])
def test_libraries_on_top_of_pytorch(cluster: Api, library: str, script: str, said: int) -> None:
    """Scripts that know nothing of Batch AI, started as they are."""
    if not importlib.util.find_spec(library):
        pytest.skip(f"{library} is not installed")
    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    (share / f"{library}_script.py").write_text(script)
    settings = {"pythonScriptFilePath": f"{ROOT}/{library}_script.py", "pythonInterpreterPath": sys.executable}
    path = [{"name": "PYTHONPATH", "value": os.environ.get("PYTHONPATH", "")}]  # where it may be installed
    lines = run(cluster, library, pyTorchSettings=settings, environmentVariables=path)
    assert [line for line in lines if line.startswith("rank")] == [f"rank {rank} of 2: {said}" for rank in range(2)]


@needs_mpi
@needs_torch
@pytest.mark.slow
def test_ddp_under_mpi(cluster: Api) -> None:
    settings = {"commandLine": f"{sys.executable} {ROOT}/ddp.py"}
    assert run(cluster, "ddp-mpi", customMpiSettings=settings) == [
        "rank 0 of 2, local 0: equal",
        "rank 1 of 2, local 0: equal",
    ]


@needs_mpi
@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    ["", "--nnodes 2 --node-rank $NODE_RANK --master-addr $MASTER_ADDR --master-port $MASTER_PORT"],
    ids=["by-itself", "told"],
)
def test_torchrun_is_a_command_line_of_a_gang(cluster: Api, options: str) -> None:
    """One torchrun a node, each with two workers of its own."""
    line = f"{sys.executable} -m torch.distributed.run {options} --nproc-per-node 2 {ROOT}/ddp.py"
    name = f"torchrun-{len(options)}"
    assert run(cluster, name, customMpiSettings={"commandLine": line}) == [
        "rank 0 of 4, local 0: equal",
        "rank 1 of 4, local 1: equal",
        "rank 2 of 4, local 0: equal",
        "rank 3 of 4, local 1: equal",
    ]

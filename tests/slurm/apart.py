"""Run by test_apart.py on the login node of machines that are apart; prints what it has seen as JSON."""

import json
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from harness.service import Service  # noqa: E402
from wire.api import Api  # noqa: E402

# Lines longer than what a pipe takes at once, each written in two pieces.
LINES = (
    "pad=$(printf '%6000s' | tr ' ' x); for i in $(seq 200); do "
    'printf "$OMPI_COMM_WORLD_RANK $(hostname) "; echo "$AZ_BATCHAI_NODE_ID line $i $pad end"; done; '
    "echo to stderr of $OMPI_COMM_WORLD_RANK >&2"
)
GLOO = """
import os, socket, torch, torch.distributed as dist
rank = int(os.environ["AZ_BATCHAI_TASK_INDEX"])
dist.init_process_group(
    os.environ["AZ_BATCHAI_PYTORCH_BACKEND"], init_method=os.environ["AZ_BATCHAI_PYTORCH_INIT_METHOD"], rank=rank,
    world_size=2)
value = torch.tensor([float(rank + 1)])
dist.all_reduce(value)
print(socket.gethostname(), value.item())
dist.destroy_process_group()  # without it torch 2.13 aborts now and then at exit: a thread of its store still runs
"""


def main(home: Path, with_torch: bool) -> None:
    os.environ.update(AZURE_BATCHAI_ENGINE="slurm", AZURE_BATCHAI_HOME=str(home))
    home.mkdir(mode=0o700)
    (home / "engines.json").write_text('{"slurm": {"type": "slurm"}}')
    service = Service(home)
    seen = {}
    try:
        assert service.start()["status"] == "ready"
        api = Api(service, "lab")
        (home / "storage" / api.account / "files" / "share" / "gloo.py").write_text(GLOO)
        api.create_cluster(nodes=2)
        api.wait_for_cluster(idle=2)
        api.create_job("where", "hostname; exit 3")
        seen["exit code"] = api.wait_for_job("where")["executionInfo"]["exitCode"]
        seen["where"] = api.output("where").decode()
        seen["mpi"] = run(api, "mpi", customMpiSettings={"commandLine": LINES, "processCount": 4})
        seen["mpi output"] = api.output("mpi").decode()
        seen["mpi errors"] = sorted(api.output("mpi", "stderr.txt").decode().splitlines())
        failing = "[ $OMPI_COMM_WORLD_RANK != 3 ] || { echo last words; exit 7; }; sleep 600"
        run(api, "failing", customMpiSettings={"commandLine": failing, "processCount": 4})
        seen["failing code"] = api.properties(api.job("failing"))["executionInfo"]["exitCode"]
        seen["failing output"] = api.output("failing").decode()
        seen["pipes"] = [str(path) for path in (home / "nodes").rglob("*") if path.is_fifo()]
        if with_torch:
            settings = {
                "pythonScriptFilePath": "$AZ_BATCHAI_MOUNT_ROOT/afs/gloo.py",
                "pythonInterpreterPath": sys.executable,
                "communicationBackend": "gloo",
                "processCount": 2,
            }
            seen["gloo"] = run(api, "gloo", pyTorchSettings=settings)
            seen["gloo output"] = sorted(api.output("gloo", f"stdout-{rank}.txt").decode() for rank in (0, 1))
    finally:
        service.destroy()
    sys.stdout.write(json.dumps(seen))


def run(api: Api, name: str, **settings: object) -> object:
    body = api.job_body(nodeCount=2, **settings)
    del body["properties"]["customToolkitSettings"]
    status, _, answer = api.call("PUT", api.job(name), body)
    assert status == 202, answer
    done = api.wait_for_job(name)
    return [done["executionState"], done["executionInfo"].get("errors")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "torch")

"""Every toolkit run for real over several nodes, by programs that check what they are given (wire.md 5, 8)."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.documented
needs_mpi = pytest.mark.skipif(not shutil.which("mpirun"), reason="there is no Open MPI on this machine")
ROOT = "$AZ_BATCHAI_MOUNT_ROOT/afs"

# Each process writes down what it sees; the test looks at all of them together.
PROBE = """
import json, os, socket, sys
rank = os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("AZ_BATCHAI_TASK_INDEX")
role = "-ps" if "--ps" in sys.argv else ""
seen = {name: value for name, value in os.environ.items() if name.startswith(("AZ_BATCH", "OMPI_COMM", "TF_"))}
# A job preparation has written the node's id into its folder, wherever that is seen.
identity = open(os.path.dirname(os.environ["AZ_BATCHAI_MOUNT_ROOT"]) + "/identity").read().strip()
seen.update(argv=sys.argv[1:], cwd=os.getcwd(), folder=identity)
with open(os.environ["AZ_BATCHAI_OUTPUT_SEEN"] + f"/{rank}{role}.json", "w") as file:
    json.dump(seen, file)
print("rank", rank, flush=True)
print("problem", rank, file=sys.stderr, flush=True)
"""
IDENTITY = {"commandLine": "echo $AZ_BATCHAI_NODE_ID > $AZ_BATCHAI_MOUNT_ROOT/../identity"}


@pytest.fixture(scope="module")
def cluster(service: Service) -> Iterator[Api]:
    api = Api(service, "toolkits")
    api.create_cluster(nodes=4)
    api.wait_for_cluster(idle=4)
    share = api.service.home / "storage" / api.account / "files" / "share"
    (share / "probe.py").write_text(PROBE)
    yield api


def run(api: Api, name: str, nodes: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a job to its end; returns its properties and what each process has written down."""
    body = api.job_body(
        nodeCount=nodes,
        outputDirectories=[{"id": "SEEN", "pathPrefix": ROOT, "pathSuffix": "seen"}],
        jobPreparation=IDENTITY,
        **more,
    )
    del body["properties"]["customToolkitSettings"]
    status, _, answer = api.call("PUT", api.job(name), body)
    assert status == 202, answer
    done = api.wait_for_job(name)
    return done, seen_by(api, name)


def seen_by(api: Api, name: str) -> dict[str, Any]:
    segment = api.properties(api.job(name))["jobOutputDirectoryPathSegment"]
    folder = api.service.home / "storage" / api.account / "files" / "share" / segment / "outputs" / "seen"
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def files(api: Api, name: str) -> list[str]:
    _, _, body = api.call("POST", f"{api.job(name)}/listOutputFiles", query="&outputdirectoryid=stdouterr")
    return [item["name"] for item in body["value"] if not re.match(r"execution-|std(out|err)-job_prep", item["name"])]


def logs(api: Api, name: str) -> str:
    return "\n".join(f"--- {file}\n{api.output(name, file).decode()}" for file in files(api, name))


def script(**more: Any) -> dict[str, Any]:
    return {"pythonScriptFilePath": f"{ROOT}/probe.py", **more}


@needs_mpi
@pytest.mark.parametrize("settings", ["horovodSettings", "chainerSettings", "cntkSettings", "caffeSettings"])
def test_mpi_toolkits(cluster: Api, settings: str) -> None:
    done, seen = run(cluster, settings, 2, **{settings: script(processCount=4, commandLineArgs="--epochs 3")})
    assert done["executionState"] == "succeeded", logs(cluster, settings)
    assert done[settings]["processCount"] == 4
    assert sorted(seen) == ["0", "1", "2", "3"]  # ranks unique and complete
    assert {one["OMPI_COMM_WORLD_SIZE"] for one in seen.values()} == {"4"}
    assert [seen[rank]["argv"] for rank in "0123"] == [["--epochs", "3"]] * 4
    nodes = [seen[rank]["AZ_BATCHAI_NODE_ID"] for rank in "0123"]
    assert nodes[0] == nodes[1] != nodes[2] == nodes[3]  # by slots of the host file
    for rank in "0123":
        assert nodes[int(rank)] == seen[rank]["folder"]  # each in its own node's folders
        assert seen[rank]["cwd"].endswith("/wd")
    assert files(cluster, settings) == ["stderr.txt", "stdout.txt"]
    assert sorted(cluster.output(settings).decode().splitlines()) == [f"rank {rank}" for rank in "0123"]
    said = cluster.output(settings, "stderr.txt").decode().splitlines()  # mpirun may have said something as well
    assert sorted(line for line in said if line.startswith("problem")) == [f"problem {rank}" for rank in "0123"]


@needs_mpi
def test_custom_mpi_runs_the_command_line_in_every_rank(cluster: Api) -> None:
    line = "echo \"$OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE in '$AZ_BATCHAI_NODE_ID' `echo $((1+1))`\""
    done, _ = run(cluster, "custommpi", 3, customMpiSettings={"commandLine": line})
    assert done["executionState"] == "succeeded", logs(cluster, "custommpi")
    lines = sorted(cluster.output("custommpi").decode().splitlines())
    assert [text.split(" in ")[0] for text in lines] == ["0 of 3", "1 of 3", "2 of 3"]
    assert len({text.split("'")[1] for text in lines}) == 3
    assert all(text.endswith(" 2") for text in lines)


@needs_mpi
def test_a_rank_that_fails_ends_the_others(cluster: Api) -> None:
    line = "[ $OMPI_COMM_WORLD_RANK = 1 ] && { echo why >&2; exit 5; }; sleep 1000"
    done, _ = run(cluster, "failing", 2, customMpiSettings={"commandLine": line})
    assert (done["executionState"], done["executionInfo"]["exitCode"]) == ("failed", 5)
    assert "why" in cluster.output("failing", "stderr.txt").decode().splitlines()


@needs_mpi
def test_lines_of_several_ranks_stay_whole(cluster: Api) -> None:
    program = "import os; r = os.environ['OMPI_COMM_WORLD_RANK']\nfor n in range(400): print(r * 200 + ' %d' % n)"
    line = f'python3 -c "{program}"'  # block-buffered: the writes end in the middle of lines
    done, _ = run(cluster, "whole", 2, customMpiSettings={"commandLine": line, "processCount": 4})
    assert done["executionState"] == "succeeded", logs(cluster, "whole")
    lines = cluster.output("whole").decode().splitlines()
    for rank in "0123":
        mine = [text for text in lines if text.startswith(rank)]
        assert mine == [f"{rank * 200} {number}" for number in range(400)]  # nothing lost, mixed or reordered
    assert len(lines) == 1600


@needs_mpi
def test_the_pattern_of_users_own_mpirun(cluster: Api) -> None:
    """What people wrote into custom jobs before there was Horovod (wire.md 5.5), interfaces of Azure included."""
    line = (
        "mpirun -mca btl_tcp_if_exclude docker0,lo --allow-run-as-root --hostfile $AZ_BATCHAI_MPI_HOST_FILE "
        f"python {ROOT}/probe.py"
    )
    body = cluster.job_body(
        line,
        nodeCount=2,
        jobPreparation=IDENTITY,
        outputDirectories=[{"id": "SEEN", "pathPrefix": ROOT, "pathSuffix": "seen"}],
    )
    assert cluster.call("PUT", cluster.job("own"), body)[0] == 202
    assert cluster.wait_for_job("own")["executionState"] == "succeeded", logs(cluster, "own")
    seen = seen_by(cluster, "own")
    assert sorted(seen) == ["0", "1"]
    assert seen["0"]["AZ_BATCHAI_NODE_ID"] != seen["1"]["AZ_BATCHAI_NODE_ID"]


@needs_mpi
def test_mpi4py_all_reduce(cluster: Api) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    import sys

    program = (
        "from mpi4py import MPI; c = MPI.COMM_WORLD; import numpy as n; a = n.full(1000, c.rank + 1.0); "
        "b = n.empty(1000); c.Allreduce(a, b); assert (b == 10).all(); print('sum', int(b[0]))"
    )
    line = f'{sys.executable} -c "{program}"'
    done, _ = run(cluster, "reduce", 2, customMpiSettings={"commandLine": line, "processCount": 4})
    assert done["executionState"] == "succeeded", logs(cluster, "reduce")
    assert cluster.output("reduce") == b"sum 10\n" * 4


def test_tensorflow(cluster: Api) -> None:
    settings = {
        "pythonScriptFilePath": f"{ROOT}/tf.py",
        "masterCommandLineArgs": "--m $AZ_BATCHAI_TASK_INDEX",
        "workerCommandLineArgs": "--w $AZ_BATCHAI_TASK_INDEX",
        "parameterServerCommandLineArgs": "--ps",
        "workerCount": 3,
        "parameterServerCount": 2,
    }
    # A stand-in for tf.train.Server: everybody listens where the others have been told, everybody reaches everybody.
    program = (
        PROBE
        + """
import time
config = json.loads(os.environ["TF_CONFIG"])
role, index = config["task"]["type"], config["task"]["index"]
workers, servers = (os.environ[f"AZ_BATCHAI_{who}_HOSTS"].split(",") for who in ("WORKER", "PS"))
assert config["cluster"] == {"worker": workers, "ps": servers}
assert os.environ["AZ_BATCHAI_TASK_INDEX"] == str(index)
host, port = (servers if role == "ps" else workers)[index].split(":")
server = socket.create_server((host, int(port)))
for other in workers + servers:
    name, number = other.split(":")
    for attempt in range(500):
        try:
            socket.create_connection((name, int(number)), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    else:
        sys.exit(other + " cannot be reached")
if role == "ps":
    time.sleep(1000)  # a parameter server never ends by itself
# The others may still be connecting: leave when all have been heard.
for _ in workers + servers:
    server.accept()
"""
    )
    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    (share / "tf.py").write_text(program)
    done, seen = run(cluster, "tensorflow", 2, tensorFlowSettings=settings)
    assert done["executionState"] == "succeeded", logs(cluster, "tensorflow")
    assert files(cluster, "tensorflow") == [
        "stderr-ps-0.txt", "stderr-ps-1.txt", "stderr-wk-0.txt", "stderr-wk-1.txt", "stderr-wk-2.txt",
        "stdout-ps-0.txt", "stdout-ps-1.txt", "stdout-wk-0.txt", "stdout-wk-1.txt", "stdout-wk-2.txt",
    ]  # fmt: skip
    assert sorted(seen) == ["0", "0-ps", "1", "1-ps", "2"]
    assert [seen[index]["argv"] for index in "012"] == [["--m", "0"], ["--w", "1"], ["--w", "2"]]
    assert seen["0-ps"]["AZ_BATCHAI_NODE_ID"] != seen["1-ps"]["AZ_BATCHAI_NODE_ID"]


def test_pytorch_ranks_are_processes_of_their_own(cluster: Api) -> None:
    settings = script(processCount=4, communicationBackend="gloo")
    done, seen = run(cluster, "pytorch", 2, pyTorchSettings=settings)
    assert done["executionState"] == "succeeded", logs(cluster, "pytorch")
    assert sorted(seen) == ["0", "1", "2", "3"]
    assert {one["AZ_BATCHAI_PYTORCH_BACKEND"] for one in seen.values()} == {"gloo"}
    [method] = {one["AZ_BATCHAI_PYTORCH_INIT_METHOD"] for one in seen.values()}
    assert Path(method.removeprefix("file://")).is_absolute()
    assert files(cluster, "pytorch") == [f"{name}-{rank}.txt" for name in ("stderr", "stdout") for rank in range(4)]
    assert cluster.output("pytorch", "stdout-3.txt") == b"rank 3\n"


@needs_mpi
def test_pytorch_by_mpi(cluster: Api) -> None:
    done, seen = run(cluster, "pytorch-mpi", 2, pyTorchSettings=script(communicationBackend="MPI"))
    assert done["executionState"] == "succeeded", logs(cluster, "pytorch-mpi")
    assert sorted(seen) == ["0", "1"]
    assert cluster.output("pytorch-mpi", "stdout-1.txt") == b"rank 1\n"


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "nodes"), [("gloo", 2), ("TCP", 4)])
def test_pytorch_all_reduce(cluster: Api, backend: str, nodes: int) -> None:
    """A real torch.distributed world, found by nothing but the documented variables."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import sys

    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    (share / "reduce.py").write_text(
        "import os, torch, torch.distributed as dist\n"
        "rank = int(os.environ['AZ_BATCHAI_TASK_INDEX'])\n"
        "method = os.environ['AZ_BATCHAI_PYTORCH_INIT_METHOD']\n"
        f"dist.init_process_group('gloo', init_method=method, rank=rank, world_size={nodes})\n"
        "value = torch.tensor([float(rank + 1)])\n"
        "dist.all_reduce(value)\n"
        "print('sum', int(value.item()))\n"
        "dist.barrier()\n"
        "dist.destroy_process_group()\n"
    )
    settings = {
        "pythonScriptFilePath": f"{ROOT}/reduce.py",
        "pythonInterpreterPath": sys.executable,
        "communicationBackend": backend,
    }
    name = f"reduce-{backend}"
    done, _ = run(cluster, name, nodes, pyTorchSettings=settings)
    assert done["executionState"] == "succeeded", logs(cluster, name)
    for rank in range(nodes):
        assert cluster.output(name, f"stdout-{rank}.txt") == f"sum {nodes * (nodes + 1) // 2}\n".encode()


def test_caffe2_runs_on_every_node(cluster: Api) -> None:
    done, seen = run(cluster, "caffe2", 3, caffe2Settings=script(commandLineArgs="--shard_id $AZ_BATCHAI_TASK_INDEX"))
    assert done["executionState"] == "succeeded", logs(cluster, "caffe2")
    assert [seen[index]["argv"] for index in "012"] == [["--shard_id", index] for index in "012"]
    assert len({one["AZ_BATCHAI_NODE_ID"] for one in seen.values()}) == 3
    assert len({one["AZ_BATCHAI_SHARED_JOB_TEMP"] for one in seen.values()}) == 1


def test_a_process_that_fails_ends_the_others(cluster: Api) -> None:
    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    (share / "fail.py").write_text(
        "import os, sys, time\n"
        "sys.exit('rank one gives up') if os.environ['AZ_BATCHAI_TASK_INDEX'] == '1' else time.sleep(1000)\n"
    )
    done, _ = run(cluster, "one-fails", 3, caffe2Settings={"pythonScriptFilePath": f"{ROOT}/fail.py"})
    info = done["executionInfo"]
    assert (done["executionState"], info["exitCode"]) == ("failed", 1)
    assert {"name": "StdErr", "value": "rank one gives up"} in info["errors"][0]["details"]


@needs_mpi
def test_terminating_an_mpi_job_leaves_no_rank(cluster: Api) -> None:
    body = cluster.job_body(nodeCount=2)
    del body["properties"]["customToolkitSettings"]
    body["properties"]["customMpiSettings"] = {
        "commandLine": f"echo $$ >> {ROOT}/pids; exec sleep 1000",
        "processCount": 4,
    }
    assert cluster.call("PUT", cluster.job("ended"), body)[0] == 202
    from harness.processes import alive, wait_until

    pids = cluster.service.home / "storage" / cluster.account / "files" / "share" / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 4, "all ranks run")
    _, headers, _ = cluster.call("POST", f"{cluster.job('ended')}/terminate")
    assert cluster.finish(headers)["status"] == "Succeeded"
    assert not [pid for pid in pids.read_text().split() if alive(int(pid))]


@needs_mpi
@pytest.mark.slow
def test_horovod_all_reduce(cluster: Api) -> None:
    """Real Horovod, where somebody has built it (it has no wheel)."""
    pytest.importorskip("horovod.torch", reason="Horovod is not installed")
    import sys

    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    (share / "hvd.py").write_text(
        "import horovod.torch as hvd, torch\n"
        "hvd.init()\n"
        "total = hvd.allreduce(torch.tensor([float(hvd.rank() + 1)]), op=hvd.Sum)\n"
        "print('rank', hvd.rank(), 'of', hvd.size(), 'sum', int(total.item()))\n"
    )
    settings = {"pythonScriptFilePath": f"{ROOT}/hvd.py", "pythonInterpreterPath": sys.executable, "processCount": 4}
    done, _ = run(cluster, "horovod-real", 2, horovodSettings=settings)
    assert done["executionState"] == "succeeded", logs(cluster, "horovod-real")
    lines = sorted(cluster.output("horovod-real").decode().splitlines())
    assert lines == [f"rank {rank} of 4 sum 10" for rank in range(4)]


@pytest.mark.invented
def test_mpirun_that_is_overtaken_by_what_it_starts_keeps_it_to_itself(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A race within mpirun, which ends well and leaves a warning."""
    real = shutil.which("mpirun")
    if not real:
        pytest.skip("Open MPI is not installed")
    (tmp_path / "mpirun").write_text(
        "#!/bin/sh\necho '[host:12] plm:rsh: Warning: setpgid(13,13) failed in parent with errno=Permission denied' "
        f'>&2\necho "a word of its own" >&2\nexec {real} "$@"\n'
    )
    (tmp_path / "mpirun").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    service = Service(home)
    assert service.start()["status"] == "ready"
    api = Api(service, "mpi")
    api.create_cluster()
    settings = {"commandLine": "echo out; echo err >&2", "processCount": 2}
    body = api.job_body(customMpiSettings=settings)
    del body["properties"]["customToolkitSettings"]
    assert api.call("PUT", api.job("job"), body)[0] == 202
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert api.output("job") == b"out\nout\n"
    assert sorted(api.output("job", "stderr.txt").splitlines()) == [b"a word of its own", b"err", b"err"]

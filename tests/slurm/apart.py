"""Run by test_apart.py on the login node of machines that are apart; prints what it has seen as JSON."""

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from harness.service import Service  # noqa: E402
from wire.api import USER, Api  # noqa: E402

# Lines longer than what a pipe takes at once, each written in two pieces.
LINES = (
    "pad=$(printf '%6000s' | tr ' ' x); for i in $(seq 200); do "
    'printf "$OMPI_COMM_WORLD_RANK $(hostname) "; echo "$AZ_BATCHAI_NODE_ID line $i $pad end"; done; '
    "found=$(find $(dirname $AZ_BATCHAI_MOUNT_ROOT) -type p -name 'std*.*' | wc -l); "
    "echo $found pipes seen by $OMPI_COMM_WORLD_RANK >&2"
)
# Sends back what it gets, with its host name before it; to be reached from its own machine only.
ECHO = """
import os, select, socket
tcp = socket.create_server((\"127.0.0.1\", 0))
path = socket.socket(socket.AF_UNIX)
path.bind(\"/tmp/echo\")
path.listen()
print(tcp.getsockname()[1])
while True:
    for listener in select.select([tcp, path], [], [])[0]:
        client = listener.accept()[0]
        with client, client.makefile() as lines:
            client.sendall((socket.gethostname() + \" \" + lines.read()).encode())
"""
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


def main(home: Path, scenario: str) -> None:
    os.environ.update(AZURE_BATCHAI_ENGINE="slurm", AZURE_BATCHAI_HOME=str(home))
    if scenario == "not_shared":
        home = Path("/tmp/home")  # each machine has its own
    home.mkdir(mode=0o700)
    (home / "engines.json").write_text('{"slurm": {"type": "slurm"}}')
    service = Service(home)
    try:
        assert service.start()["status"] == "ready"
        seen = SCENARIOS[scenario](Api(service, "lab"))
    finally:
        service.destroy()
    sys.stdout.write(json.dumps(seen))


def gang(api: Api) -> dict[str, Any]:
    seen: dict[str, Any] = {}
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
    if importlib.util.find_spec("torch"):
        (api.service.home / "storage" / api.account / "files" / "share" / "gloo.py").write_text(GLOO)
        settings = {
            "pythonScriptFilePath": "$AZ_BATCHAI_MOUNT_ROOT/afs/gloo.py",
            "pythonInterpreterPath": sys.executable,
            "communicationBackend": "gloo",
            "processCount": 2,
        }
        seen["gloo"] = run(api, "gloo", pyTorchSettings=settings)
        seen["gloo output"] = sorted(api.output("gloo", f"stdout-{rank}.txt").decode() for rank in (0, 1))
    return seen


def login(api: Api) -> dict[str, Any]:
    """What a user of SSH finds on a node: every one of these is to happen there, not where the service is."""
    api.create_cluster(nodes=1)
    api.wait_for_cluster(idle=1)
    [node] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    seen = {"host": api.service.request("GET", "/_local/status")[2]["nodeHosts"][node["nodeId"]]}
    asyncio.run(asyncio.wait_for(log_in(node["ipAddress"], node["port"], seen), 60))
    return seen


def not_shared(api: Api) -> dict[str, Any]:
    """The state folder is one of the login node alone."""
    api.create_cluster(nodes=1)
    errors = api.wait_for_cluster(unusable=1)["errors"]
    engines = api.service.request("GET", "/_local/engines/check")[2]["engines"]
    return {"errors": errors, "checks": [engine["checks"] for engine in engines if engine["name"] == "slurm"]}


async def log_in(address: str, port: int, seen: dict[str, Any]) -> None:
    import asyncssh

    async with asyncssh.connect(
        address, port, username=USER["adminUserName"], password=USER["adminUserPassword"], known_hosts=None
    ) as connection:
        done = await connection.run("hostname; pwd; echo $HOME; cat; echo problem >&2; exit 7", input="stdin\n")
        seen["exec"] = [done.exit_status, str(done.stdout).splitlines(), done.stderr]
        line = "hostname; tty; stty size; read line; echo read $line; exit 4"
        done = await connection.run(line, term_type="xterm", term_size=(91, 33), input="typed\n")
        seen["terminal"] = [done.exit_status, str(done.stdout).split()]
        async with connection.start_sftp_client() as sftp:
            async with sftp.open("/tmp/theirs", "w") as file:  # each node has its own /tmp
                await file.write("by sftp")
            await sftp.mkdir("relative")
        seen["sftp"] = str((await connection.run("cat /tmp/theirs; ls -d ~/relative")).stdout).split("/")
        seen["not here"] = not Path("/tmp/theirs").exists()
        async with connection.create_process(f"{sys.executable} -u -c '{ECHO}'") as server:
            there = int(await server.stdout.readline())  # of the node's own loopback interface
            reader, writer = await connection.open_connection("127.0.0.1", there)
            writer.write(b"over there\n")
            writer.write_eof()
            seen["-L"] = (await reader.read()).decode()
            reader, writer = await connection.open_unix_connection("/tmp/echo")
            writer.write(b"by a path\n")
            writer.write_eof()
            seen["-L path"] = (await reader.read()).decode()
            server.terminate()
        try:
            await connection.forward_remote_port("", 0, "127.0.0.1", port)
            seen["-R"] = "listens"
        except asyncssh.ChannelListenError:
            seen["-R"] = "refused"


SCENARIOS = {"gang": gang, "login": login, "not_shared": not_shared}


def run(api: Api, name: str, **settings: object) -> object:
    body = api.job_body(nodeCount=2, **settings)
    del body["properties"]["customToolkitSettings"]
    status, _, answer = api.call("PUT", api.job(name), body)
    assert status == 202, answer
    done = api.wait_for_job(name)
    return [done["executionState"], done["executionInfo"].get("errors")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

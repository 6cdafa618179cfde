"""Nodes by the stock OpenSSH client: node ssh, and the hosts that ssh-config writes for ssh, scp and rsync."""

import json
import os
import pty
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from harness import az
from harness.cluster import nodes, ok, wait_for_nodes
from harness.processes import wait_until
from harness.service import Service

pytestmark = [
    pytest.mark.invented,
    pytest.mark.skipif(not shutil.which("ssh"), reason="the stock ssh client is not installed"),
]
IN_WORKSPACE = ("-g", "research", "-w", "shell")
OF_CLUSTER = (*IN_WORKSPACE, "-c", "gpus")
OF_JOB = (*IN_WORKSPACE, "-e", "exp", "-j", "ranks")
CONFIG = Path(os.environ["HOME"]) / ".ssh" / "config"


@pytest.fixture(scope="module", autouse=True)
def cluster(service: Service) -> list[str]:
    """The ids of two nodes that take ~/.ssh/id_rsa."""
    ok(az.run("batchai", "workspace", "create", "-g", "research", "-n", "shell"))
    ok(az.run("batchai", "experiment", "create", *IN_WORKSPACE, "-n", "exp"))
    common = ("-s", "Standard_D1", "-t", "2", "--use-auto-storage", "-u", "alice", "--generate-ssh-keys")
    ok(az.run("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "gpus", *common))
    wait_for_nodes("shell", "gpus", idle=2)
    return [node["nodeId"] for node in nodes("shell", "gpus")]


def node_ssh(*words: str) -> az.Outcome:
    return az.run_process("batchai", "cluster", "node", "ssh", *OF_CLUSTER, *words)


def test_a_command(cluster):
    done = node_ssh("--", "echo", "$AZ_BATCHAI_NODE_ID", "--wide;", "exit 7")
    assert (done.code, done.output) == (7, f"{cluster[0]} --wide\n"), done.stderr
    assert node_ssh("-n", cluster[1], "--", "echo $AZ_BATCHAI_NODE_ID").output == f"{cluster[1]}\n"


def test_the_same_host_keys_as_node_exec(cluster):
    node_ssh("-n", cluster[1], "--", "true")
    done = az.run_process("batchai", "cluster", "node", "exec", *OF_CLUSTER, "-n", cluster[1], "--exec", "echo in")
    assert (done.code, done.output, done.stderr) == (0, "in\n", "")
    folder = Path(os.environ["AZURE_CONFIG_DIR"]) / "batchai" / "known_hosts"
    [known] = [file for file in folder.iterdir() if cluster[1] in file.read_text()]
    before = known.read_text()
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
    known.write_text(f"{cluster[1]} ssh-ed25519 {other}\n")
    try:
        done = node_ssh("-n", cluster[1], "--", "echo in")
    finally:
        known.write_text(before)
    assert (done.code, done.output) == (255, "")


def test_a_shell_at_a_terminal(cluster):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        az.command("batchai", "cluster", "node", "ssh", *OF_CLUSTER),
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, b"stty size; echo on-$AZ_BATCHAI_NODE_ID; exit 5\n")
    said = b""
    try:
        while chunk := os.read(leader, 4096):
            said += chunk
    except OSError:  # the terminal has gone with the last process
        pass
    os.close(leader)
    assert process.wait(60) == 5
    assert f"on-{cluster[0]}".encode() in said


def test_a_forwarded_port(cluster):
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        port, here = first.getsockname()[1], second.getsockname()[1]
    program = f"echo up; exec python3 -m http.server --bind 127.0.0.1 {port}"
    line = ("batchai", "cluster", "node", "ssh", *OF_CLUSTER, "-L", f"{here}:127.0.0.1:{port}")
    process = az.start_process(*line, "--", program)
    try:
        assert process.stdout.readline() == "up\n"

        def answers() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", here), 10) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return client.recv(100).startswith(b"HTTP/1.0 200")
            except OSError:
                return False

        wait_until(answers, "the node answers")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_hosts_for_ssh_and_scp(cluster, tmp_path):
    printed = az.run("batchai", "cluster", "node", "ssh-config", *OF_CLUSTER)
    assert printed.output.count("Host gpus-") == 2
    listed = ok(az.run("batchai", "cluster", "node", "ssh-config", *OF_CLUSTER, "-o", "json"))
    assert [(host["host"], host["nodeId"]) for host in listed] == [("gpus-0", cluster[0]), ("gpus-1", cluster[1])]
    done = az.run("batchai", "cluster", "node", "ssh-config", *OF_CLUSTER, "--write")
    assert (done.code, done.output) == (0, "")
    ssh = ["-F", str(CONFIG), "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    said = subprocess.run(
        ["ssh", *ssh, "gpus-1", "echo $AZ_BATCHAI_NODE_ID"], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout == f"{cluster[1]}\n"
    (tmp_path / "up").write_bytes(os.urandom(100_000))
    for source, target in (("up", "gpus-0:there"), ("gpus-0:there", "back")):
        subprocess.run(["scp", "-q", *ssh, source, target], cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "up").read_bytes()
    if shutil.which("rsync"):
        subprocess.run(["rsync", "-e", f"ssh {' '.join(ssh)}", "gpus-0:there", str(tmp_path / "synced")], check=True)
        assert (tmp_path / "synced").read_bytes() == (tmp_path / "up").read_bytes()


def test_the_node_of_a_rank(cluster, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import time\ntime.sleep(600)\n")
    body = {
        "nodeCount": 2,
        "pyTorchSettings": {"pythonScriptFilePath": str(script)},
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs",
    }
    (tmp_path / "job.json").write_text(json.dumps(body))
    names = (*IN_WORKSPACE, "-e", "exp", "-n", "ranks")
    ok(az.run("batchai", "job", "create", *names, "-c", "gpus", "-f", str(tmp_path / "job.json")))
    assert az.run("batchai", "job", "node", "ssh", *OF_JOB, "--rank", "2").code in (1, 3)
    wait_until(lambda: ok(az.run("batchai", "job", "node", "list", *OF_JOB)), "it has nodes")
    of_job = [node["nodeId"] for node in ok(az.run("batchai", "job", "node", "list", *OF_JOB))]
    for rank in (0, 1):
        line = ("batchai", "job", "node", "ssh", *OF_JOB, "--rank", str(rank), "--", "echo $AZ_BATCHAI_NODE_ID")
        assert az.run_process(*line).output == f"{of_job[rank]}\n"
    done = az.run("batchai", "job", "node", "ssh", *OF_JOB, "--rank", "2")
    assert done.code == 1
    assert "Its ranks are: 0, 1." in done.stderr
    ok(az.run("batchai", "job", "delete", *names, "--yes"))
    assert az.run("batchai", "job", "node", "ssh", *OF_JOB).code == 3


def test_a_cluster_without_nodes(cluster):
    none = ("-s", "Standard_D1", "-t", "0", "-u", "alice", "--generate-ssh-keys")
    ok(az.run("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "none", *none))
    for verb in ("ssh", "ssh-config"):
        done = az.run("batchai", "cluster", "node", verb, *IN_WORKSPACE, "-c", "none")
        assert (done.code, "has no nodes now" in done.stderr) == (3, True)

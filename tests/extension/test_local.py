"""The embedded service from the client's side: found, started, followed, stopped."""

import json
import os
import signal
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from azext_batchai import _client_factory
from azext_batchai.local import embedded
from harness.az import start_process
from harness.processes import wait_until
from harness.service import Service

pytestmark = pytest.mark.invented


@pytest.fixture
def cli_ctx():
    from azure.cli.core import get_default_cli

    cli = get_default_cli()
    cli.data.update(command="batchai workspace list", completer_active=False, headers={})
    return cli


@pytest.fixture
def busy_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_first_command_starts_it_and_says_so_once(az, home):
    first = az("batchai", "workspace", "list")
    assert (first.code, first.result) == (0, [])
    endpoint = Service(home).info["endpoint"]
    assert first.stderr == f"WARNING: Started the local Batch AI service ({endpoint}, state in {home}).\n"
    second = az("batchai", "workspace", "list")
    assert (second.code, second.stderr) == (0, "")


def test_state_is_private(az, home):
    az("batchai", "local", "up")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.iterdir())}
    assert modes[home.name] == 0o700
    assert modes["service.json"] == modes["service.log"] == 0o600


def test_up_status_down(az, home):
    assert az("batchai", "local", "status").result == {"status": "stopped", "home": str(home)}
    up = az("batchai", "local", "up").result
    assert up["status"] == "running"
    assert up["home"] == str(home)
    assert "token" not in up
    assert az("batchai", "local", "up").result["pid"] == up["pid"]
    table = az("batchai", "local", "status", "-o", "table").output.splitlines()
    assert table[0].split()[:3] == ["Status", "PID", "Endpoint"]
    assert table[2].split()[:3] == ["running", str(up["pid"]), up["endpoint"]]
    assert az("batchai", "local", "down").code == 0
    assert az("batchai", "local", "status").result["status"] == "stopped"
    assert "is not running" in az("batchai", "local", "down").stderr


def test_port(az, home):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert az("batchai", "local", "up", "--port", str(port)).result["endpoint"] == f"http://127.0.0.1:{port}"
    other = az("batchai", "local", "up", "--port", "1234" if port != 1234 else "1235")
    assert other.code == 1
    assert "runs already" in other.stderr
    assert "az batchai local down" in other.stderr


def test_port_in_use(az, home, busy_port):
    done = az("batchai", "local", "up", "--port", str(busy_port))
    assert done.code == 1
    assert done.stderr.startswith("ERROR: The local Batch AI service did not start: ")
    assert str(busy_port) in done.stderr
    assert "Traceback" not in done.stderr
    assert _leftovers(home) == []


@pytest.mark.parametrize("platform", ["win32", "darwin"])
@pytest.mark.parametrize("command", ["workspace list", "local up"])
def test_elsewhere_than_on_linux(az, monkeypatch, tmp_path, platform, command):
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("azext_batchai.local.embedded.sys", SimpleNamespace(platform=platform))
    done = az("batchai", *command.split())
    assert done.code == 1
    assert done.stderr.startswith("ERROR: The local Batch AI service runs on Linux only.\n")
    assert "WSL" in done.stderr
    assert "az config set batchai.endpoint=URL" in done.stderr
    assert not (tmp_path / "home").exists()


def test_home_that_cannot_be_made(az, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(tmp_path / "file" / "home"))
    done = az("batchai", "workspace", "list")
    assert done.code == 1
    assert "cannot be started" in done.stderr
    assert "AZURE_BATCHAI_HOME" in done.stderr


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", json.dumps({"pid": 1, "processStartTime": "1", "endpoint": "http://127.0.0.1:9"})]
)
def test_stale_state_is_ignored(az, home, content):
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "service.json").write_text(content, encoding="utf-8")
    assert az("batchai", "workspace", "list").code == 0


def test_killed_service_is_started_again(az, home):
    az("batchai", "local", "up")
    service = Service(home)
    service.kill()
    done = az("batchai", "workspace", "list")
    assert (done.code, done.result) == (0, [])
    assert "Started the local Batch AI service" in done.stderr


def test_client_follows_a_service_that_moves(home, cli_ctx):
    client = _client_factory.batchai(cli_ctx)
    service = Service(home)
    before = service.info
    service.kill()
    assert list(client.workspaces.list()) == []
    after = service.info
    assert after["pid"] != before["pid"]
    # A port may come back; what matters is that later requests go to the new process.
    assert list(client.workspaces.list()) == []


def test_deaf_service_is_told(home, cli_ctx, monkeypatch):
    monkeypatch.setattr("azext_batchai.local.reconnect._SHUTDOWN_SECONDS", 0.1)
    deaf = embedded.Service(os.getpid(), "", "http://127.0.0.1:9", "s", "t", "v")
    monkeypatch.setattr(embedded, "find", lambda _: deaf)
    client = _client_factory.batchai(cli_ctx)
    from azure.cli.core.azclierror import AzureConnectionError

    with pytest.raises(AzureConnectionError, match=f"process {os.getpid()}\\) does not answer at http://127.0.0.1:9"):
        list(client.workspaces.list())


def test_pid_of_another_process_is_not_ours(cli_ctx):
    start_time = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    assert embedded.Service(os.getpid(), start_time, "e", "s", "t", "v").alive
    assert not embedded.Service(os.getpid(), start_time + "0", "e", "s", "t", "v").alive


def test_settings_are_handed_on(cli_ctx, monkeypatch):
    monkeypatch.delenv("AZURE_BATCHAI_NODE_IDLE_SECONDS", raising=False)
    monkeypatch.setenv("AZURE_BATCHAI_KILL_GRACE_SECONDS", "7")
    values = {"node_idle_seconds": "30"}
    config = cli_ctx.config.get
    monkeypatch.setattr(
        cli_ctx.config, "get", lambda section, key, fallback=None: values.get(key) or config(section, key, fallback)
    )
    environment = embedded._environment(cli_ctx)
    assert environment["AZURE_BATCHAI_NODE_IDLE_SECONDS"] == "30"
    assert environment["AZURE_BATCHAI_KILL_GRACE_SECONDS"] == "7"


def test_logs(az, home):
    missing = az("batchai", "local", "logs")
    assert missing.code == 1
    assert "az batchai local up" in missing.stderr
    az("batchai", "local", "up")
    log = (home / "service.log").read_text(encoding="utf-8")
    assert az("batchai", "local", "logs").output == log
    assert az("batchai", "local", "logs", "--tail", "1").output == log.splitlines(keepends=True)[-1]
    assert az("batchai", "local", "logs", "--tail", "0").output == ""


def test_logs_are_followed(az, home):
    az("batchai", "local", "up")
    process = start_process("batchai", "local", "logs", "--follow")
    assert "ready at" in process.stdout.readline() + process.stdout.readline()
    az("batchai", "local", "down")
    assert "shutdown" in process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "")


def test_reset(az, home):
    assert "There is nothing to reset" in az("batchai", "local", "reset", "--yes").stderr or home.is_dir()
    az("batchai", "workspace", "create", "-g", "g", "-n", "w")
    assert az("batchai", "local", "reset").code == 1, "it asks first"
    assert az("batchai", "local", "reset", "--yes").code == 0
    assert az("batchai", "local", "status").result["status"] == "stopped"
    assert az("batchai", "workspace", "list").result == []


def test_down_tells_of_running_jobs(az, home, write_json):
    place = ("-g", "g", "-w", "w")
    az("batchai", "workspace", "create", "-g", "g", "-n", "w")
    cluster = az("batchai", "cluster", "create", *place, "-n", "c", "-s", "Standard_D1", "-t", "1", "-p", "pw")
    assert cluster.code == 0, cluster.stderr
    az("batchai", "experiment", "create", *place, "-n", "e")
    job = {
        "nodeCount": 1,
        "customToolkitSettings": {"commandLine": "sleep 60"},
        "stdOutErrPathPrefix": "$AZ_BATCHAI_JOB_MOUNT_ROOT/afs",
    }
    file = write_json("job.json", job)
    share = ("--storage-account-name", "acct", "--afs-name", "share1")
    made = az("batchai", "job", "create", *place, "-e", "e", "-n", "j", "-c", "c", "-f", file, *share)
    assert made.code == 0, made.stderr
    assert "Created the storage account acct" in made.stderr
    wait_until(lambda: az("batchai", "local", "status").result["jobsRunning"] == 1, "the job runs")
    down = az("batchai", "local", "down")
    assert down.code == 0
    assert "Jobs that go on running: 1." in down.stderr
    # The next service finds the job again, and ends it.
    assert az("batchai", "local", "reset", "--yes").code == 0


def _leftovers(home) -> list:
    return list(Service(home).leftovers(2))


def test_a_service_started_inside_a_node_is_no_part_of_it(az, home, monkeypatch):
    """What belongs to a node is known by its variables, and ends with the node."""
    monkeypatch.setenv("AZ_BATCHAI_NODE_ID", "tvm-1_1-20180606t212057z")
    monkeypatch.setenv("BATCHAI_TASK", "bai-0123456789")
    started = az("batchai", "local", "up").json()
    with open(f"/proc/{started['pid']}/environ", "rb") as file:
        names = {entry.partition(b"=")[0] for entry in file.read().split(b"\0")}
    assert not names & {b"AZ_BATCHAI_NODE_ID", b"BATCHAI_TASK"}
    assert b"AZURE_BATCHAI_HOME" in names

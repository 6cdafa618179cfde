"""A service that is there and does not answer: commands give up with advice that works, jobs do not notice."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from azext_batchai.local import embedded
from harness import az
from harness.cluster import ok, wait_for_nodes
from harness.processes import alive, wait_until
from harness.service import MAIN, Service

RG = ("-g", "research")
WHERE = (*RG, "-w", "lab", "-e", "exp")
# What it loads when it has the state folder.
HANG = """
import sys, time

class Hang:
    def find_spec(self, name, *_):
        if name == "azext_batchai.service.server":
            time.sleep(3054)

sys.meta_path.insert(0, Hang())
"""
PATIENCE = 4.0  # a poll of an operation is held for 2 s


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azext_batchai.local.embedded.PATIENCE_SECONDS", PATIENCE)
    monkeypatch.setattr("azext_batchai.transport.http.PATIENCE_SECONDS", PATIENCE)


@pytest.fixture
def job(home: Path, submit: Callable[..., object]) -> Callable[..., Path]:
    """`job(line)` runs the line as `going` on the one node of a new cluster; returns its stdout."""

    def run(line: str) -> Path:
        ok(az.run("batchai", "workspace", "create", *RG, "-n", "lab"))
        ok(az.run("batchai", "experiment", "create", *RG, "-w", "lab", "-n", "exp"))
        create = ("batchai", "cluster", "create", *RG, "-w", "lab", "-n", "mycluster", "-s", "Standard_NC6")
        ok(az.run(*create, "-t", "1", "--use-auto-storage", "-p", "secretpassword"))
        wait_for_nodes("lab", idle=1)
        submit("going", line)
        [stdout] = wait_until(lambda: list(home.rglob("stdouterr/stdout.txt")), "it runs")
        return Path(stdout)

    return run


def stop(home: Path) -> int:
    """Stop the service as Ctrl-Z or a debugger would; returns its pid."""
    pid: int = Service(home).info["pid"]
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_commands_give_up_and_the_advice_works(
    home: Path, job: Callable[..., Path], impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = home / "go"
    job(f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 5")
    pid = stop(home)
    for command in (
        ("workspace", "list"),
        ("workspace", "create", *RG, "-n", "other"),
        ("job", "show", *WHERE, "-n", "going"),
        ("job", "wait", *WHERE, "-n", "going"),
        ("local", "status"),
        ("local", "up"),
        ("local", "engines"),
        ("local", "connection-string", "-n", "account"),
        ("local", "env"),
    ):
        outcome = az.run("batchai", *command)
        assert outcome.code == 1 and outcome.output == "", command
        assert f"(process {pid}) does not answer" in outcome.stderr, command
        assert "Run `az batchai local down`" in outcome.stderr and "Traceback" not in outcome.stderr
    down = az.run("batchai", "local", "down")
    assert down.code == 0, down.stderr
    assert "was killed. Running jobs go on" in down.stderr
    assert not alive(pid)
    monkeypatch.undo()
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(home))
    assert ok(az.run("batchai", "job", "show", *WHERE, "-n", "going"))["executionState"] == "running"
    gate.touch()
    assert az.run("batchai", "job", "wait", *WHERE, "-n", "going").code == 5


def test_a_stream_whose_service_hangs_gives_up(home: Path, job: Callable[..., Path], impatient: None) -> None:
    stdout = job("for i in $(seq 5); do echo $i; sleep 0.1; done; sleep 3051")
    stopper = threading.Thread(
        target=lambda: wait_until(lambda: stdout.read_text().endswith("5\n") and stop(home), "all is written")
    )
    stopper.start()
    outcome = az.run("batchai", "job", "file", "stream", *WHERE, "-j", "going", "-f", "stdout.txt")
    stopper.join()
    assert outcome.code == 1
    assert "does not answer" in outcome.stderr and "az batchai local down" in outcome.stderr
    assert az.run("batchai", "local", "down").code == 0


def test_what_takes_longer_than_that_is_waited_for(home: Path, job: Callable[..., Path], impatient: None) -> None:
    """A stream whose job goes on writing."""
    job("for i in $(seq 60); do echo $i; sleep 0.1; done")
    outcome = az.run("batchai", "job", "file", "stream", *WHERE, "-j", "going", "-f", "stdout.txt")
    assert outcome.code == 0, outcome.stderr
    assert outcome.output.split() == [str(number) for number in range(1, 61)]


def test_a_slow_answer_is_waited_for_as_long_as_others_are_answered(home: Path, monkeypatch: Any) -> None:
    """What a request of the service itself may cost: the node of a job that does not want to end."""
    monkeypatch.setattr("azext_batchai.local.embedded.PATIENCE_SECONDS", 0.2)
    status = {"status": "running"}
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            if self.path == "/slow":
                wait_until(lambda: paths.count("/_local/status") > 2, "it is asked meanwhile")
            body = json.dumps(status).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        service = embedded.Service(1, "", f"http://127.0.0.1:{server.server_port}", "s", "t", "v")
        assert embedded.request(service, "GET", "/slow", slow=True) == status
        server.shutdown()


def test_a_reset_ends_a_service_that_hangs(home: Path, job: Callable[..., Path], impatient: None) -> None:
    job("exec sleep 3052")
    pid = stop(home)
    outcome = az.run("batchai", "local", "reset", "--yes")
    assert outcome.code == 0, outcome.stderr
    assert not alive(pid)
    assert not Service(home).leftovers()


@pytest.mark.parametrize("command", [("down",), ("reset", "--yes")])
def test_a_service_that_hangs_before_it_says_where_it_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("azext_batchai.local.embedded._SETTLE_SECONDS", 0.2)
    home.mkdir(exist_ok=True)
    (tmp_path / "sitecustomize.py").write_text(HANG)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    line = [sys.executable, str(MAIN), "--home", str(home)]
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as hung:
        try:
            unready = {"status": "unready", "home": str(home), "pid": hung.pid}
            wait_until(lambda: ok(az.run("batchai", "local", "status")) == unready, "it has the folder")
            found = ok(az.run("batchai", "local", "doctor", "--query", "[?check=='service'].found | [0]"))
            assert found.startswith(f"process {hung.pid} starts or stops")
            ended = az.run("batchai", "local", *command)
            assert ended.code == 0, ended.stderr
            assert f"(process {hung.pid}) did not answer in time and was killed" in ended.stderr
            assert hung.wait(10) == -signal.SIGKILL
        finally:
            hung.kill()
    assert ok(az.run("batchai", "local", "status"))["status"] == "stopped"


def test_a_process_that_is_something_else_is_not_ended(home: Path) -> None:
    from azure.cli.core import get_default_cli

    cli = get_default_cli()
    with subprocess.Popen(["sleep", "3053"]) as stranger:
        try:
            start_time = Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19]
            taken_for_it = embedded.Service(stranger.pid, start_time, "http://127.0.0.1:9", "s", "t", "v")
            assert taken_for_it.alive
            assert not embedded.kill(cli, taken_for_it)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_another_folders_service_is_not_ended(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.cli.core import get_default_cli

    Service(home).start()
    cli = get_default_cli()
    running = embedded.find(cli)
    assert running
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(tmp_path))
    assert not embedded.kill(cli, running)
    assert running.alive

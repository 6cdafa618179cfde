"""az batchai local doctor: what is there, what is missing, what is wrong; nothing is started."""

import os
import socket
import time
from pathlib import Path

import pytest

from harness.az import run
from harness.cluster import ok
from harness.service import Service

pytestmark = pytest.mark.invented
ALWAYS = {
    *("system", "python", "az", "bubblewrap", "mpirun", "containers", "gpus", "ssh"),
    *("endpoint", "service", "state", "disk", "ports", "clock"),
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`programs(name="shell script")`: the only programs on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(**scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name.replace("_", "-")).chmod(0o755)

    return write


def findings() -> dict[str, dict]:
    return {finding["check"]: finding for finding in run("batchai", "local", "doctor", "-o", "json").json()}


def test_without_a_service_and_without_a_word_to_it(home: Path):
    home.rmdir()
    done = run("batchai", "local", "doctor")
    assert (done.code, done.stderr) == (0, "")
    lines = [line.split(None, 2) for line in done.output.splitlines()]
    assert {check for _, check, _ in lines} == ALWAYS
    assert {status for status, _, _ in lines} <= {"ok", "note", "missing"}
    assert not home.exists()


def test_with_a_service(home: Path):
    ok(run("batchai", "local", "up"))
    found = findings()
    assert str(Service(home).info["pid"]) in found["service"]["found"]
    assert "0 clusters" in found["state"]["found"]
    token = Service(home).info["token"]
    assert token not in run("batchai", "local", "doctor").output


def test_table_and_query(home: Path):
    table = run("batchai", "local", "doctor", "-o", "table").output.splitlines()
    assert table[0].split() == ["Status", "Check", "Found"]
    assert run("batchai", "local", "doctor", "--query", "length(@)", "-o", "tsv").output == f"{len(ALWAYS)}\n"


def test_a_bare_machine(home: Path, programs):
    found = findings()
    for check in ("bubblewrap", "mpirun", "containers", "ssh"):
        assert found[check]["status"] == "missing"
        assert found[check]["gives"]
        assert "apt install" in found[check]["advice"]


def test_programs_that_are_there_and_do_not_work(home: Path, programs):
    programs(
        bwrap="echo 'setting up uid map: Permission denied' >&2; exit 1",
        mpirun="echo 'HYDRA build details:'",
        docker="echo 'Cannot connect to the Docker daemon' >&2; exit 1",
        nvidia_smi="echo 'NVIDIA-SMI has failed'; exit 9",
    )
    found = findings()
    assert "Permission denied" in found["bubblewrap"]["found"]
    assert found["mpirun"]["status"] == "note"
    assert found["containers"]["status"] == "missing"
    assert "Cannot connect to the Docker daemon" in found["containers"]["found"]
    assert "NVIDIA-SMI has failed" in found["gpus"]["found"]


def test_a_broken_podman_hides_a_docker_that_works(home: Path, programs):
    programs(podman="exit 125", docker="exit 0")
    assert "AZURE_BATCHAI_CONTAINER_COMMAND=docker" in findings()["containers"]["advice"]


def test_chosen_container_command(home: Path, programs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_BATCHAI_CONTAINER_COMMAND", "nerdctl --debug")
    assert "nerdctl" in findings()["containers"]["found"]
    programs(nerdctl='[ "$1 $2" = "--debug info" ]')
    found = findings()["containers"]
    assert (found["status"], found["found"], found["advice"]) == ("ok", "nerdctl --debug", "")


def test_mounts_by_links(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_BATCHAI_MOUNTS", "links")
    assert findings()["bubblewrap"]["status"] == "note"


def test_a_service_that_was_killed(home: Path):
    ok(run("batchai", "local", "up"))
    Service(home).kill()
    found = findings()
    assert found["service"]["status"] == "note"
    assert "has ended without a word" in found["service"]["found"]
    assert found["state"]["status"] == "ok"
    assert "sound" in found["state"]["found"]
    ok(run("batchai", "local", "up"))  # nothing of the state was touched
    assert findings()["service"]["status"] == "ok"


def test_a_damaged_state(home: Path):
    ok(run("batchai", "local", "up"))
    ok(run("batchai", "local", "down"))
    state = home / "state.db"
    sound = state.read_bytes()
    state.write_bytes(sound[:4096] + b"x" * (len(sound) - 4096))
    done = run("batchai", "local", "doctor")
    assert done.code == 1
    assert "wrong   state       " in done.output
    assert "is damaged" in done.output
    assert run("batchai", "local", "doctor", "-o", "json").code == 1
    assert run("batchai", "local", "doctor", "-o", "json").output.startswith("[")
    state.write_bytes(b"")
    assert "is empty, though" in findings()["state"]["found"]
    state.write_bytes(sound)
    assert findings()["state"]["status"] == "ok"


def test_a_disk_that_is_full(home: Path, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"total": 1 << 40, "free": 1 << 20})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert findings()["disk"]["status"] == "wrong"
    usage.free = 1 << 30
    assert findings()["disk"]["status"] == "note"


def test_ports(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (home / "ports.json").write_text(f'{{"http": {port}}}')
        assert f"has port {port}" in findings()["ports"]["found"]
    (home / "ports.json").write_text("{")
    assert findings()["ports"]["status"] == "ok"


def test_a_clock_that_is_behind(home: Path):
    (home / "service.log").touch()
    ahead = time.time() + 86400
    os.utime(home / "service.log", (ahead, ahead))
    assert findings()["clock"]["status"] == "note"


def test_slurm(home: Path, programs):
    profiles = home / "engines.json"
    profiles.write_text('{"gpu": {"type": "slurm"}}')
    assert findings()["slurm"]["found"] == "not found: sbatch, squeue, scancel, srun"
    programs(sbatch="", squeue="", scancel="", srun="")
    assert findings()["slurm"]["status"] == "ok"
    profiles.write_text("{")
    assert findings()["slurm"]["status"] == "wrong"


def test_an_endpoint_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", "arm")
    assert "Azure" in findings()["endpoint"]["found"]
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", "ftp://x")
    assert findings()["endpoint"]["status"] == "wrong"


def test_a_system_that_is_no_linux(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("azext_batchai.local.machine_checks.sys.platform", "darwin")
    assert findings()["system"]["status"] == "wrong"


def test_lines_of_a_terminal():
    from azext_batchai.local.doctor import lines

    found = [{"check": "mpirun", "status": "missing", "found": "not found", "gives": "MPI jobs", "advice": "apt"}]
    assert lines(found, None, False) == ["missing mpirun  not found. MPI jobs. apt"]
    assert lines(found, 30, False) == ["missing mpirun  not found. MP"]
    assert lines(found, 30, True)[0].startswith("\x1b[33mmissing\x1b[0m mpirun")

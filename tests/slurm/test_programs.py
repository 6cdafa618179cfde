"""What runs on nodes runs on the Python that nodes have, from 3.6 on, and is spoken to by later releases."""

import ast
import json
import os
import pwd
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azext_batchai.service.engine.slurm import old_python, programs, sealed
from harness.slurm import PROFILE
from wire.api import Api

pytestmark = pytest.mark.invented

_PYENV = Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".pyenv" / "versions"  # HOME is the tests' own


def old_pythons() -> list[str]:
    """One interpreter each of Python 3.6, 3.7 and 3.8, as far as this machine has them."""
    found = []
    for version in ("3.6", "3.7", "3.8"):
        there = next(map(str, _PYENV.glob(f"{version}.*/bin/python")), None) or shutil.which(f"python{version}")
        found += [there] if there else []
    return found


@pytest.mark.parametrize("source", programs.SOURCES, ids=lambda source: source.name)
def test_programs_can_be_read_by_the_oldest_python(source: Path) -> None:
    text = programs.plain(source.read_text(encoding="utf-8"))
    assert "__future__" not in text
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.AnnAssign) and not getattr(node, "returns", None)
        assert not getattr(node, "annotation", None)


def test_a_newer_syntax_is_found_out() -> None:
    with pytest.raises(SyntaxError):
        programs.plain("if (found := 1): pass")


@pytest.mark.skipif(not old_pythons(), reason="there is no Python 3.6, 3.7 or 3.8 on this machine")
@pytest.mark.parametrize("python", old_pythons(), ids=lambda python: python.split("/")[-3])
def test_jobs_run_on_nodes_with_an_old_python(api: Api, profiles: Callable[..., None], python: str) -> None:
    profiles(slurm={**PROFILE, "python": python})
    api.create_cluster()
    api.create_job("job", "echo out; echo err >&2; trap '' TERM; exit 9")
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 9
    assert (api.output("job"), api.output("job", "stderr.txt")) == (b"out\n", b"err\n")
    assert not list((api.service.home / "nodes").rglob("request.*"))  # which had the job's secrets
    api.create_job("wrong", "/no/such/program")
    assert api.wait_for_job("wrong")["executionInfo"]["exitCode"] == 127
    api.create_job("long", "sleep 600")
    api.wait_for_job("long", "running")
    api.call("POST", f"{api.job('long')}/terminate")
    assert api.wait_for_job("long")["executionState"] == "failed"


def test_the_stand_in_for_posix_spawn(tmp_path: Path) -> None:
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT, 0o600)
    pid = old_python._posix_spawn(
        "/bin/sh", ["sh", "-c", "echo $A; kill -9 $$"], {"A": "b c"}, file_actions=[(2, out, 1)], setsid=True
    )
    os.close(out)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert (tmp_path / "out").read_text() == "b c\n"
    with pytest.raises(FileNotFoundError):
        old_python._posix_spawn("/no/such", ["x"], {})


def test_a_sealed_request_is_read_once_and_by_its_key_only(tmp_path: Path) -> None:
    file = tmp_path / "request"
    message = sealed.write(file, {"environment": {"SECRET": "s3cret \u00e4"}})
    assert b"SECRET" not in file.read_bytes() and b"environment" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert sealed.take(message["sealed"], message["key"]) == {"environment": {"SECRET": "s3cret \u00e4"}}
    assert not file.exists()


def test_an_agent_of_an_older_release_is_spoken_to(api: Api) -> None:
    """P8: a service is upgraded while a job runs. The agent of the first release, without what came later, stays."""
    api.create_cluster()
    api.create_job("job", "cd $AZ_BATCHAI_MOUNT_ROOT/afs; while [ ! -e go ]; do sleep 0.02; done; exit 5")
    api.wait_for_job("job", "running")
    api.service.kill()
    [folder] = (api.service.home / "slurm").glob("agent-*")
    older = folder.with_name("agent-000000000000")  # what an earlier release has left there is never taken for ours
    folder.rename(older)
    for greeting in (api.service.home / "slurm" / "blocks").glob("*/agent.*.json"):
        said: dict[str, Any] = json.loads(greeting.read_text())
        greeting.write_text(json.dumps({**{key: said[key] for key in _FIRST_GREETING}, "version": 1}))
    assert api.service.start()["status"] == "ready"
    (api.service.home / "storage" / api.account / "files" / "share" / "go").touch()
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 5
    api.create_job("next", "exit 6")
    assert api.wait_for_job("next")["executionInfo"]["exitCode"] == 6
    assert folder.is_dir() and older.is_dir()


_FIRST_GREETING = ("version", "host", "socket", "address", "interface", "machine", "python", "environment")

"""Jobs in containers on Slurm: podman for real, apptainer and pyxis by programs that show how they are called."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.processes import wait_until
from harness.slurm import PROFILE, Slurm
from slurm.test_refusals import refused
from wire.api import Api
from wire.test_containers import GLOBAL, ULIMITS, image, podman

__all__ = ["image"]  # a fixture
pytestmark = pytest.mark.invented

# Both note their arguments and do on the node what they would do in the image.
_APPTAINER = """#!/bin/bash
printf '%s\\n' "$@" > {folder}/said.$1
if [ "$1" = pull ]; then
    echo "$APPTAINER_DOCKER_USERNAME $APPTAINER_DOCKER_PASSWORD" > {folder}/login; touch "$2"; exit
fi
while [ "$1" != /bin/sh ]; do [ "$1" = --pwd ] && cd "$2"; shift; done
for name in $(compgen -e APPTAINERENV_); do export "${{name#APPTAINERENV_}}=${{!name}}"; done
exec "$@"
"""
_SRUN = """#!/bin/bash
words=()
for word; do
    case $word in
    --container-*|--no-container-*) echo "$word" >> {folder}/said.srun ;;
    *) words+=("$word") ;;
    esac
done
exec {srun} "${{words[@]}}"
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("containers")
    (folder / "bin").mkdir()
    for name, text in (("apptainer", _APPTAINER), ("srun", _SRUN)):
        program = folder / "bin" / name
        program.write_text(text.format(folder=folder, srun=shutil.which("srun")))
        program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def engine_settings(slurm: Slurm, programs: Path) -> dict[str, str]:
    profiles = slurm.folder / "engines.json"
    profiles.write_text(json.dumps({"slurm": PROFILE}), encoding="utf-8")
    return {
        "AZURE_BATCHAI_ENGINE": "slurm",
        "AZURE_BATCHAI_ENGINES": str(profiles),
        "AZURE_BATCHAI_CONTAINER_COMMAND": " ".join(["podman", *GLOBAL]),
        "AZURE_BATCHAI_CONTAINER_RUN_ARGUMENTS": ULIMITS,
        "PATH": f"{programs / 'bin'}:{os.environ['PATH']}",
        **slurm.environment,
    }


def settings(name: str, **more: Any) -> dict[str, Any]:
    return {"containerSettings": {"imageSourceRegistry": {"image": name, **more}}}


LINE = "echo $PLAIN in $PWD; echo err >&2; exit 3"
PLAIN = {"environmentVariables": [{"name": "PLAIN", "value": "a b"}]}


def test_podman(api: Api, profiles: Callable[..., None], image: str) -> None:
    profiles(slurm={**PROFILE, "containers": "podman"})
    api.create_cluster()
    api.create_job("job", "test -x /bin/busybox && test ! -e /usr || exit 7; " + LINE, **settings(image), **PLAIN)
    assert api.wait_for_job("job", seconds=60)["executionInfo"]["exitCode"] == 3
    assert api.output("job").startswith(b"a b in /")
    api.create_job("long", "echo > $AZ_BATCHAI_MOUNT_ROOT/afs/begun; sleep 600", **settings(image))
    share = api.service.home / "storage" / api.account / "files" / "share"
    wait_until((share / "begun").exists, "it runs", 60)
    node = next(iter(api.service.request("GET", "/_local/status")[2]["nodeHosts"]))

    def containers() -> list[str]:
        return [name for name in podman("ps", "-a", "--format", "{{.Names}}").stdout.split() if node in name]

    assert len(containers()) == 1
    api.call("POST", f"{api.job('long')}/terminate")
    api.wait_for_job("long", seconds=60)
    assert containers() == []


def test_apptainer(api: Api, profiles: Callable[..., None], programs: Path) -> None:
    profiles(slurm={**PROFILE, "containers": "apptainer"})
    api.create_cluster()
    secret = {"credentials": {"username": "ann", "password": "pull-me"}}
    api.create_job("job", LINE, **settings("registry.example/team/image:1", **secret), **PLAIN)
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 3
    assert api.output("job").startswith(b"a b in /")
    assert api.output("job", "stderr.txt") == b"err\n"
    verb, part, reference = (programs / "said.pull").read_text().splitlines()
    assert (verb, reference) == ("pull", "docker://registry.example/team/image:1")
    assert (programs / "login").read_text() == "ann pull-me\n"
    said = (programs / "said.exec").read_text().splitlines()
    assert said[:4] == ["exec", "--cleanenv", "--no-home", "--pwd"]
    files = list((api.service.home / "slurm" / "images").iterdir())
    assert [said[said.index("/bin/sh") - 1]] == [str(file) for file in files]
    assert any(word.startswith(str(api.service.home)) for word in said[said.index("--bind") :])
    assert not any("pull-me" in word or word == "a b" for word in said)
    (programs / "said.pull").unlink()
    api.create_job("again", "sleep 600", **settings("registry.example/team/image:1"))
    wait_until(lambda: api.properties(api.job("again"))["executionState"] == "running", "it runs")
    api.call("POST", f"{api.job('again')}/terminate")
    assert api.wait_for_job("again")["executionState"] == "failed"
    assert not (programs / "said.pull").exists()  # the image is there


def test_pyxis(api: Api, profiles: Callable[..., None], programs: Path) -> None:
    profiles(slurm={**PROFILE, "containers": "pyxis"})
    api.create_cluster()
    api.create_job("job", LINE, **settings("ubuntu:16.04"), **PLAIN)
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 3
    assert api.output("job").startswith(b"a b in ")
    said = (programs / "said.srun").read_text().splitlines()
    assert "--container-image=docker://docker.io#library/ubuntu:16.04" in said
    assert "--no-container-mount-home" in said
    [mounts] = [word for word in said if word.startswith("--container-mounts=")]
    assert str(api.service.home) in mounts
    secret = {"credentials": {"username": "ann", "password": "pull-me"}}
    api.create_job("private", LINE, **settings("registry.example/image", **secret))
    [error] = api.wait_for_job("private")["executionInfo"]["errors"]
    assert error["code"] == "FailedStartingContainer"


@pytest.mark.parametrize("kind", ["apptainer", "pyxis"])
def test_shared_memory_is_the_nodes(api: Api, profiles: Callable[..., None], kind: str) -> None:
    profiles(slurm={**PROFILE, "containers": kind})
    api.create_cluster(nodes=0)
    body = api.job_body(containerSettings={"imageSourceRegistry": {"image": "ubuntu"}, "shmSize": "1g"})
    status, _, answer = api.call("PUT", api.job("job"), body)
    assert (status, answer["error"]["code"]) == (501, "NotSupportedByEngine")
    assert answer["error"]["target"] == "properties.containerSettings.shmSize"
    profiles(slurm={**PROFILE, "containers": "docker"})
    assert "must be one of podman, apptainer, pyxis" in refused(api, api.cluster_body())["message"]

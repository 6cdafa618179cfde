"""Releases of Slurm that are not on this machine, by programs that speak as they do and run what they are told."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.processes import wait_until
from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.invented

# Jobs are files of a folder: number -> name, state, pid. One node, this machine.
_COMMON = """#!/bin/bash
jobs={folder}/jobs; release={release}
"""
_SBATCH = """
[ "$1" = --version ] && {{ echo slurm $release; exit; }}
for word; do case $word in --job-name=*) name=${{word#*=}};; --output=*) output=${{word#*=}};; esac; done
number=$((100 + $(ls "$jobs" | wc -l)))
cat > "$jobs/../script.$number"
[ $release = 25.11.0 ] && echo "sbatch: lua: your job has been given the default QOS" >&2
mkdir "$jobs/$number"
echo "$name" > "$jobs/$number/name"
for descriptor in /proc/self/fd/*; do  # a job has nothing of sbatch's
    [ ${{descriptor##*/}} -gt 2 ] && eval "exec ${{descriptor##*/}}>&-"
done
SLURM_JOB_ID=$number setsid bash "$jobs/../script.$number" > "$output" 2>&1 < /dev/null &
echo $! > "$jobs/$number/pid"
[ $release = 25.11.0 ] && echo "$number;one" || echo $number
"""
_SRUN = """
while [[ $1 == -* ]]; do shift; done
SLURM_PROCID=0 SLURMD_NODENAME=gpu-07 exec "$@"
"""
_SQUEUE = """
for folder in "$jobs"/*; do
    [ -d "$folder" ] || continue
    state=CANCELLED; end=2036-01-01T00:00:00; hosts=gpu-07; reason=None
    if kill -0 "$(cat "$folder/pid")" 2>/dev/null; then
        state=RUNNING
        # A limit that there is not, and a state that no earlier release has.
        [ $release = 25.11.0 ] && end=NONE && state=DEFRAGMENTING
    else
        hosts=; end=Unknown
    fi
    echo "$(basename "$folder")|$state|$end|$hosts|$(cat "$folder/name")|$reason"
done
"""
_SCANCEL = """
for word; do case $word in --name=*) name=${{word#*=}};; esac; done
for folder in "$jobs"/*; do
    [ -d "$folder" ] && [ "$(cat "$folder/name")" = "$name" ] && kill -TERM -- -"$(cat "$folder/pid")" 2>/dev/null
done
exit 0
"""


@pytest.fixture(scope="module", params=["23.11.4", "25.11.0"])
def engine_settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "jobs").mkdir()
    (folder / "bin").mkdir()
    for name, text in (("sbatch", _SBATCH), ("srun", _SRUN), ("squeue", _SQUEUE), ("scancel", _SCANCEL)):
        program = folder / "bin" / name
        program.write_text((_COMMON + text).format(folder=folder, release=request.param))
        program.chmod(0o755)
    profiles = folder / "engines.json"
    profiles.write_text(json.dumps({"slurm": {"type": "slurm"}}))
    yield {
        "AZURE_BATCHAI_ENGINE": "slurm",
        "AZURE_BATCHAI_ENGINES": str(profiles),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }


def jobs(engine_settings: dict[str, str]) -> list[Path]:
    return list(Path(engine_settings["AZURE_BATCHAI_ENGINES"]).with_name("jobs").iterdir())


def test_a_cluster_and_its_job(service: Service, engine_settings: dict[str, str]) -> None:
    api = Api(service, "releases")
    api.create_cluster()
    assert "errors" not in api.wait_for_cluster(idle=1)
    hosts = service.request("GET", "/_local/status")[2]["nodeHosts"]
    assert list(hosts.values()) == ["gpu-07"]
    api.create_job("job", "echo out; exit 7")  # a bad end makes the service ask whether the node was taken
    assert api.wait_for_job("job")["executionInfo"]["exitCode"] == 7
    api.create_job("long", "sleep 600")
    api.wait_for_job("long", "running")
    service.kill()
    assert service.start()["status"] == "ready"
    assert api.properties(api.job("long"))["executionState"] == "running"
    api.finish(api.call("DELETE", f"{api.workspace}/clusters/cluster")[1])
    [job] = jobs(engine_settings)
    wait_until(lambda: not Path(f"/proc/{(job / 'pid').read_text().strip()}").exists(), "the block is gone")

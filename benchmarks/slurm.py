"""Clusters on Slurm beside Slurm's own commands: `make bench ARGS=slurm`, with the Slurm that sbatch finds."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import load
from measure import Row, milliseconds, verdict, with_load
from rig import Service, idle_nodes, installed_service, job, output_of, scale, service_alone, start_service

# The nodes' python3 may be a script that looks for one: nobody's nodes are like that.
_PROFILE = {"type": "slurm", "vmSizes": {"STANDARD_NC6": {"gres": ""}}, "python": sys.executable}

_REST_SECONDS = 1.5  # after which Slurm has tidied up what was there before


@contextmanager
def on_slurm() -> Iterator[None]:
    """Every service started meanwhile has Slurm as its default engine."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"slurm": _PROFILE}, file)
        file.flush()
        os.environ.update(AZURE_BATCHAI_ENGINE="slurm", AZURE_BATCHAI_ENGINES=file.name)
        try:
            yield
        finally:
            del os.environ["AZURE_BATCHAI_ENGINE"], os.environ["AZURE_BATCHAI_ENGINES"]


def rows(jobs: int, many: int = 1000, few: int = 40) -> list[Row]:
    """`jobs` are started one by one, `many` at once, `few` by sbatch."""
    with on_slurm(), service_alone(0) as service:
        found = [
            _nodes(service),
            *_starts(service, jobs),
            *_throughput(service, many, few),
            _adoption(service),
        ]
    return with_load(found)


def _row(what: str, ours: float, theirs: float, peer: str, goal: float) -> Row:
    ratio = f"{ours / theirs:.2f}"
    peer = f"{milliseconds(theirs)} {peer}"
    return Row(what, milliseconds(ours), peer, ratio, f"<= {milliseconds(goal)}", verdict(ours <= goal))


def _sbatch_alone() -> float:
    """From sbatch to a script of two nodes that runs."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        mark = Path(folder) / "began"
        began = time.perf_counter()
        subprocess.run(["sbatch", "-N2", "-o", "/dev/null", "--wrap", f"touch {mark}"], check=True, capture_output=True)
        while not mark.exists():
            time.sleep(0.005)
        return time.perf_counter() - began


def _nodes(service: Service, rounds: int = 9) -> Row:
    """From the request for nodes to nodes that are idle, beside a script of Slurm's that runs on as many."""
    ours, theirs = [], []
    for number in range(rounds):  # at any moment of Slurm's own rounds, which last a second
        time.sleep(_REST_SECONDS + random.random())
        theirs.append(_sbatch_alone())
        time.sleep(_REST_SECONDS + random.random())
        began = time.perf_counter()
        _resize(service, 2)
        ours.append(time.perf_counter() - began)
        if number < rounds - 1:
            _resize(service, 0)
    alone = statistics.median(theirs)
    return _row("0 -> 2 nodes ready", statistics.median(ours), alone, "sbatch alone", alone + 0.3)


def _resize(service: Service, nodes: int) -> None:
    """Returns when the cluster has so many idle nodes and no others."""
    service.arm("PATCH", "bench/clusters/one", {"properties": {"scaleSettings": scale(nodes)}})

    def settled(found: Any) -> bool:
        return idle_nodes(found) == nodes and found["properties"]["allocationState"] == "steady"

    service.wait("bench/clusters/one", settled)


def _starts(service: Service, jobs: int) -> list[Row]:
    """From the PUT of a job on an idle node to its command, beside a step in an allocation."""
    held = subprocess.run(["squeue", "-h", "-o", "%A", "-t", "RUNNING"], check=True, capture_output=True, text=True)
    step = ["srun", f"--jobid={held.stdout.split()[0]}", "--overlap", "-n1", "date", "+%s%N"]
    ours, theirs = [], []
    for number in range(jobs):
        path = f"bench/experiments/bench/jobs/s{number}"
        sent = time.time_ns()
        service.arm("PUT", path, job(service, "exec date +%s%N"))
        ended = service.wait(path, lambda found: found["properties"]["executionState"] in ("succeeded", "failed"))
        ours.append((int((output_of(service, ended) / "stdout.txt").read_text()) - sent) / 1e9)
        service.wait("bench/clusters/one", lambda found: idle_nodes(found) == 2)
        sent = time.time_ns()
        said = subprocess.run(step, check=True, capture_output=True, text=True).stdout
        theirs.append((int(said) - sent) / 1e9)
    peer = statistics.median(theirs)
    return [_row("job on an idle node -> process", statistics.median(ours), peer, "srun --jobid", 0.7 * peer)]


def _throughput(service: Service, many: int, few: int) -> list[Row]:
    _, seconds = load.run_jobs(service, "many", many)
    began = time.perf_counter()
    numbers = [
        subprocess.run(
            ["sbatch", "--parsable", "-o", "/dev/null", "--wrap", "true"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(few)
    ]
    while subprocess.run(["squeue", "-h", "-j", ",".join(numbers)], capture_output=True, check=False).stdout:
        time.sleep(0.02)
    peer = few / (time.perf_counter() - began)
    ours = many / seconds
    what = f"{many} trivial jobs, 2 nodes held"
    ratio = f"{ours / peer:.1f}"
    return [Row(what, f"{ours:.0f}/s", f"{peer:.1f}/s sbatch each", ratio, ">= 8", verdict(ours >= 8 * peer))]


def _adoption(service: Service) -> Row:
    """From the start of a new service after kill -9 to a job's end that only it can have seen."""
    path = "bench/experiments/bench/jobs/adopted"
    go = service.home / "go"
    service.arm("PUT", path, job(service, f"while [ ! -e {go} ]; do sleep 0.01; done"))
    service.wait(path, lambda found: found["properties"]["executionState"] == "running")
    os.kill(service.facts["pid"], 9)
    os.waitpid(service.facts["pid"], 0)
    again = start_service(installed_service(), service.home)
    service.facts.update(again.facts)
    service.reconnect()
    began = time.perf_counter()
    go.touch()
    service.wait(path, lambda found: found["properties"]["executionState"] == "succeeded")
    go.unlink()
    seconds = time.perf_counter() - began
    what = "kill -9, new service ready -> end known"
    return Row(what, milliseconds(seconds), goal="<= 500 ms", met=verdict(seconds <= 0.5))

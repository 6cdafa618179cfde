"""What is waited for every day: the first line of a job, and the submission of a sweep."""

from __future__ import annotations

import json
import statistics
import subprocess
import time

from measure import Row, milliseconds, verdict, wall
from rig import AZ, Rig, job

JOBS = 100
_CREATED = 10  # jobs that are created one by one to know what a hundred would take


def first_line(bench: Rig, rounds: int) -> Row:
    """From Enter to the first line of the script, with a service and an idle node."""
    where = ["-g", "bench", "-w", "bench", "-e", "bench", "-c", "one"]
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        line = [*AZ, "batchai", "job", "run", *where, "--", "echo here"]
        with subprocess.Popen(
            line, env=bench.with_extension, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout and process.stdout.readline() == b"here\n"
            found.append(time.perf_counter() - began)
    floor = wall([*AZ, "version"], bench.with_extension)
    figure = statistics.median(found)
    peer = f"{milliseconds(floor)} az version"
    met = verdict(figure <= 1.2)
    return Row(
        "az batchai job run: its first line", milliseconds(figure), peer, f"{figure / floor:.1f}", "<= 1200 ms", met
    )


def sweep(bench: Rig, rounds: int) -> Row:
    """A hundred jobs in one command beside as many commands; no node is free, so that nothing else is measured."""
    file = bench.folder / "job.json"
    file.write_text(json.dumps(job(bench.service, "true")), encoding="utf-8")
    bench.service.reconnect()  # the service closes a connection that was idle for long
    bench.service.arm("PUT", "bench/experiments/many")
    where = ["-g", "bench", "-w", "bench", "-e", "many", "-f", str(file), "-c", "none"]
    cluster = bench.service.arm("GET", "bench/clusters/one")["properties"]
    kept = ("vmSize", "userAccountSettings", "nodeSetup")
    body = {key: cluster[key] for key in kept if key in cluster}
    body["userAccountSettings"] = {"adminUserName": "bench", "adminUserPassword": "bench-password"}
    for volume in body.get("nodeSetup", {}).get("mountVolumes", {}).get("azureFileShares", []):
        volume["credentials"] = {"accountKey": "none"}
    body["scaleSettings"] = {"manual": {"targetNodeCount": 0}}
    bench.service.arm("PUT", "bench/clusters/none", {"properties": body})
    found = []
    for number in range(rounds):
        line = [*AZ, "batchai", "job", "sweep", *where, "-n", f"s{number}-{{n}}", "--param", f"n=1..{JOBS}"]
        found.append(wall(line, bench.with_extension))
    singly = [
        wall([*AZ, "batchai", "job", "create", *where, "-n", f"one-{number}"], bench.with_extension)
        for number in range(_CREATED)
    ]
    figure, peer = statistics.median(found), statistics.median(singly) * JOBS
    return Row(
        f"az batchai job sweep of {JOBS} jobs",
        milliseconds(figure),
        f"{milliseconds(peer)} {JOBS} x job create",
        f"{figure / peer:.2f}",
        "<= 3000 ms",
        verdict(figure <= 3),
    )

"""`make bench`: figures beside their peers or floors, measured in the same run on this machine.

python benchmarks [all|commands|load|scale|storage|ui|slurm] [--rounds N] [--jobs N] [--load-rounds N]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shlex
import ssl
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

import everyday
import load
import output
import scale
import storage
from measure import Row, cpu_ticks, milliseconds, pairs, percentile, resident_megabytes, table, verdict, wall
from rig import AZ, Rig, idle_nodes, job, output_of, prepare, rig, start_service, stop_service

import slurm
import ui


def whole_commands(bench: Rig, rounds: int) -> list[Row]:
    """az as a user waits for it: process start to process end."""
    rows = []

    def compare(what: str, command: list[str], theirs: dict[str, str], peer: str) -> None:
        line = [*AZ, *command]
        found = pairs(lambda: wall(line, bench.with_extension), lambda: wall(line, theirs), rounds)
        ratio = f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f})"
        peer = f"{milliseconds(found.theirs)} {peer}"
        rows.append(Row(what, milliseconds(found.ours), peer, ratio, "<= 1.00", found.verdict))

    where = ["-g", "bench", "-w", "bench"]
    compare("az batchai cluster list", ["batchai", "cluster", "list", *where], bench.built_in, "built-in module")
    compare("az version", ["version"], bench.without, "without the extension")
    # az reads the metadata of every extension there is before it prints its versions.
    compare("az version", ["version"], bench.empty, "with an empty extension")
    compare("az group -h", ["group", "-h"], bench.without, "without the extension")
    return rows


def job_commands(bench: Rig, rounds: int) -> list[Row]:
    """A job `true` that one az creates and another one waits for, each beside `az version`."""
    body = bench.folder / "true.json"
    body.write_text(json.dumps(job(bench.service, "true")), encoding="utf-8")
    where = ["-g", "bench", "-w", "bench", "-e", "bench"]
    creates, waits, versions = [], [], []
    for number in range(-1, rounds):
        named = [*where, "-n", f"true{number + 1}"]
        seconds = [
            wall([*AZ, *words], bench.with_extension)
            for words in (
                ["version", "-o", "none"],
                ["batchai", "job", "create", *named, "-f", str(body), "-c", "one", "-o", "none"],
                ["batchai", "job", "wait", *named],
            )
        ]
        if number >= 0:  # the first ones warm up
            for times, figure in zip((versions, creates, waits), seconds):
                times.append(figure)
    rows = []
    for what, times in (("create", creates), ("wait", waits)):
        ratio = statistics.median(mine / other for mine, other in zip(times, versions))
        peer = f"{milliseconds(statistics.median(versions))} az version"
        row = Row(f"az batchai job {what}, of `true`", milliseconds(statistics.median(times)), peer, f"{ratio:.2f}")
        row.goal, row.met = "<= 2.20", verdict(ratio <= 2.2)
        rows.append(row)
    return rows


def job_start(bench: Rig, jobs: int) -> list[Row]:
    """From sending the PUT of a job to its command reading the clock, on an idle node."""
    service = bench.service
    body = job(service, "exec date +%s%N")
    started, answered = [], []
    floors: dict[str, list[float]] = {"date": [], "sh": []}
    for number in range(-3, jobs):
        path = f"bench/experiments/bench/jobs/j{number}"
        sent = time.time_ns()
        service.arm("PUT", path, body)
        replied = time.time_ns()
        ended = service.wait(path, lambda found: found["properties"]["executionState"] in ("succeeded", "failed"))
        service.wait("bench/clusters/one", idle_nodes)
        began = int((output_of(service, ended) / "stdout.txt").read_text())
        if number < 0:  # the first ones warm up
            continue
        started.append((began - sent) / 1e9)
        answered.append((replied - sent) / 1e9)
        # In between, for it takes longer on a machine that has just waited, as it did for the job.
        for command in (["sh", "-c", "exec date +%s%N"], ["date", "+%s%N"]):
            time.sleep(0.02)
            before = time.time_ns()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            floors[command[0]].append((int(done.stdout) - before) / 1e9)
    true = []
    for _ in range(jobs):
        before = time.perf_counter()
        subprocess.run(["/bin/true"], check=True)
        true.append(time.perf_counter() - before)

    def row(what: str, share: float) -> Row:
        figure, floor = percentile(started, share), percentile(floors["sh"], share)
        return Row(what, milliseconds(figure), f"{milliseconds(floor)} sh -c date", f"{figure / floor:.1f}")

    half = row("job PUT -> its process runs, p50", 0.5)
    # 4 ms, where the floor was 1.5 ms.
    half.goal = "<= 2.7"
    half.met = verdict(percentile(started, 0.5) / percentile(floors["sh"], 0.5) <= 4 / 1.5)
    spawn = f"{milliseconds(statistics.median(true))} /bin/true to its end"
    return [
        half,
        row("job PUT -> its process runs, p99", 0.99),
        Row("job PUT -> its answer, p50", milliseconds(statistics.median(answered))),
        Row("fork + exec on this machine, p50", f"{milliseconds(statistics.median(floors['date']))} date", spawn),
    ]


def service_itself(bench: Rig, rounds: int) -> list[Row]:
    """How fast a new service is ready, and what one with a node costs while nothing happens."""
    ready = []
    for number in range(rounds):
        service = start_service(bench.main, bench.folder / f"ready{number}")
        ready.append(service.ready_seconds)
        stop_service(service)
    imports = [sys.executable, "-c", "import starlette.applications, starlette.routing, uvicorn, sqlite3"]
    environment = {**os.environ, "PYTHONPATH": str(bench.main.parents[2])}
    floor = statistics.median(wall(imports, environment) for _ in range(rounds))
    figure = statistics.median(ready)
    peer = f"{milliseconds(floor)} importing its libraries"

    pid = bench.service.facts["pid"]
    time.sleep(2)
    before = cpu_ticks(pid)
    time.sleep(10)
    ticks = cpu_ticks(pid) - before
    megabytes = resident_megabytes(pid)
    return [
        Row("service ready", milliseconds(figure), peer, f"{figure / floor:.1f}", "<= 1000 ms", verdict(figure <= 1)),
        Row("idle service with a node, RSS", f"{megabytes:.0f} MB", goal="<= 60 MB", met=verdict(megabytes <= 60)),
        Row("idle service with a node, CPU in 10 s", f"{ticks} ticks", goal="0 ticks", met=verdict(ticks == 0)),
    ]


def local_cloud(bench: Rig, rounds: int) -> list[Row]:
    """From nothing (no service, no certificate, no login) to the end of the first az that asks Resource Manager."""
    az = shlex.join(AZ)
    script = f'eval "$({az} batchai local env --shell bash)" && {az} group list -o none'
    seconds = []
    for number in range(rounds):
        home = bench.folder / f"cloud{number}"
        seconds.append(wall(["bash", "-c", script], {**bench.with_extension, "AZURE_BATCHAI_HOME": str(home)}))
        wall([*AZ, "batchai", "local", "reset", "--yes"], {**bench.with_extension, "AZURE_BATCHAI_HOME": str(home)})
    figure = statistics.median(seconds)
    row = Row("az batchai local env, and the first az in it", milliseconds(figure), goal="<= 1500 ms")
    row.met = verdict(figure <= 1.5)
    return [row]


def front_cost(bench: Rig, rounds: int) -> float:
    """Seconds that a request on a new connection takes longer through the front than directly."""
    address = bench.service.address("bench/clusters")
    trust = ssl.create_default_context(cafile=bench.built_in["REQUESTS_CA_BUNDLE"])

    def once(connection: http.client.HTTPConnection) -> float:
        began = time.perf_counter()
        connection.request("GET", address, headers={"Authorization": f"Bearer {bench.service.facts['token']}"})
        assert connection.getresponse().read()
        connection.close()
        return time.perf_counter() - began

    direct, front = urlsplit(bench.service.facts["endpoint"]).netloc, urlsplit(bench.front_url).netloc
    found = pairs(
        lambda: once(http.client.HTTPSConnection(front, context=trust)),
        lambda: once(http.client.HTTPConnection(direct)),
        rounds,
    )
    return found.ours - found.theirs


def commands(options: argparse.Namespace) -> None:
    with rig() as bench:
        prepare(bench.service, 1)
        rows = job_start(bench, options.jobs)
        rows += service_itself(bench, options.rounds)
        rows += local_cloud(bench, options.rounds)
        rows += job_commands(bench, options.rounds)
        rows += whole_commands(bench, options.rounds)
        rows += [everyday.first_line(bench, options.rounds), everyday.sweep(bench, options.load_rounds)]
        front = front_cost(bench, options.rounds)
    print(table(rows), end="\n\n")
    print(
        'Medians; a ratio is the median (and quartiles) of the ratios of pairs measured in turn. "equal": the pairs\n'
        "cannot tell the two apart. The built-in module of azure-cli needs https and a login: it reaches the same\n"
        "service as a registered cloud, with a cached login, through an HTTPS front of this benchmark, which adds\n"
        f"{milliseconds(front)} to a request."
    )


def under_load(options: argparse.Namespace) -> None:
    rows = [
        *load.throughput(options.load_rounds),
        *load.latencies(options.jobs),
        *load.many_jobs(),
        *load.many_nodes(options.load_rounds),
        *output.stream_lag(),
        *output.large_output(options.load_rounds),
    ]
    print(table(rows), end="\n\n")
    print(
        "Medians and, in brackets, the least and the most. Load: the machine's load average over a minute, on "
        f"{os.cpu_count()}\ncores, at the end of a measurement, which has its own share in it. RSS: of the service, "
        "which is a new one for\neach group of lines. Processor time: of the service and its launcher, not of the jobs."
    )


def at_scale(options: argparse.Namespace) -> None:
    rows = [
        *scale.starts(options.load_rounds),
        *scale.deletions(),
        *scale.file_pages(options.load_rounds),
        *scale.wide_job(),
    ]
    print(table(rows), end="\n\n")
    print("Another client asks for the workspace all the time; what it waits for longest is told.")


def of_the_page() -> None:
    rows = ui.rows()
    if rows:
        print(table(rows), end="\n\n")
        print("In Chromium, which has the machine's cores together with the service.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks")
    tables = ("all", "commands", "load", "scale", "storage", "ui", "slurm")
    parser.add_argument("what", nargs="?", choices=tables, default="all", help="which table")
    parser.add_argument("--rounds", type=int, default=21, help="pairs of whole commands, and starts of the service")
    parser.add_argument("--jobs", type=int, default=200, help="jobs whose start is measured")
    parser.add_argument("--load-rounds", type=int, default=3, help="how often each thing under load is measured")
    options = parser.parse_args()
    if options.what in ("all", "commands"):
        commands(options)
    if options.what == "all":
        print()
    if options.what in ("all", "load"):
        under_load(options)
    if options.what == "all":
        print()
    if options.what in ("all", "scale"):
        at_scale(options)
    if options.what == "all":
        print()
    if options.what in ("all", "storage"):
        print(storage.report(options.load_rounds))
    if options.what == "all":
        print()
    if options.what in ("all", "ui"):
        of_the_page()
    if options.what == "slurm":
        print(table(slurm.rows(options.jobs)))


if __name__ == "__main__":
    main()

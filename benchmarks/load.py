"""Many jobs, many nodes: how fast, how soon, at what cost."""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from measure import (
    Row,
    milliseconds,
    percentile,
    processor_seconds,
    resident_megabytes,
    spread,
    verdict,
    with_load,
)
from rig import Service, idle_nodes, job, output_of, scale, service_alone

SENDERS = 4
AT_ONCE = 8


def throughput(rounds: int, jobs: int = 1000) -> list[Row]:
    """Trivial jobs from the first PUT until the last has ended, as fast as they can be sent."""
    rates, accepted, costs, floors = [], [], [], []
    with service_alone(AT_ONCE) as service:
        pid = service.facts["pid"]
        run_jobs(service, "warm", 50)
        for number in range(rounds):
            before = processor_seconds(pid)
            sent, ended = run_jobs(service, f"r{number}", jobs)
            costs.append((processor_seconds(pid) - before) / jobs)
            accepted.append(jobs / sent)
            rates.append(jobs / ended)
            floors.append(jobs / _spawn_many(jobs))
    rate, floor, cost = statistics.median(rates), statistics.median(floors), statistics.median(costs)
    peer = f"{floor:.0f}/s sh -c true, {AT_ONCE} at once"
    goal = verdict(rate >= 350)
    return with_load(
        [
            Row(f"{jobs:,} jobs `true`, 8 nodes", spread(rates, _rate), peer, f"{rate / floor:.2f}", ">= 350/s", goal),
            Row("  of these accepted (202), while others run", spread(accepted, _rate)),
            Row("  processor time for one", spread(costs, milliseconds), goal="<= 2.2 ms", met=verdict(cost <= 0.0022)),
        ]
    )


def _rate(number: float) -> str:
    return f"{number:.0f}/s"


def run_jobs(service: Service, name: str, jobs: int) -> tuple[float, float]:
    """Seconds until all were accepted, and until all have ended."""
    body = job(service, "true")
    failures: list[BaseException] = []

    def send(numbers: Sequence[int]) -> None:
        connection = replace(service)  # one for each thread
        try:
            for number in numbers:
                connection.arm("PUT", f"bench/experiments/bench/jobs/{name}-{number}", body)
        except BaseException as exc:
            failures.append(exc)

    began = time.perf_counter()
    threads = [threading.Thread(target=send, args=(range(first, jobs, SENDERS),)) for first in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = time.perf_counter() - began
    if failures:
        raise failures[0]
    while True:
        _, status = service.request("GET", "/_local/status")
        if not status["jobsRunning"] and not status["jobsQueued"]:
            break
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    states = {
        found["properties"]["executionState"] for found in _all_jobs(service) if found["name"].startswith(f"{name}-")
    }
    if states != {"succeeded"}:
        raise SystemExit(f"jobs are {states}")
    return sent, seconds


def _all_jobs(service: Service) -> list[Any]:
    path, found = service.address("bench/experiments/bench/jobs"), []
    while path:
        _, page = service.request("GET", path)
        found += page["value"]
        path = page.get("nextLink", "").removeprefix(service.facts["endpoint"])
    return found


def _spawn_many(number: int) -> float:
    """Seconds that so many `sh -c true` take with nothing around them, some of them at once."""

    def spawn() -> int:
        return os.posix_spawn("/bin/sh", ["sh", "-c", "true"], os.environ)

    began = time.perf_counter()
    running = {spawn() for _ in range(min(AT_ONCE, number))}
    left = number - len(running)
    while running:
        pid, _ = os.wait()
        running.discard(pid)
        if left:
            running.add(spawn())
            left -= 1
    return time.perf_counter() - began


def latencies(jobs: int) -> list[Row]:
    """One job after the other on idle nodes; the process tells when it runs, and ends at once."""
    starts, ends, floor_starts, floor_ends = [], [], [], []
    with service_alone(AT_ONCE) as service:
        body = job(service, "exec date +%s%N")
        for number in range(-5, jobs):
            path = f"bench/experiments/bench/jobs/l{number}"
            began = time.time_ns()
            service.arm("PUT", path, body)
            while True:
                found = service.arm("GET", path)
                if found["properties"]["executionState"] in ("succeeded", "failed"):
                    break
                time.sleep(0.001)
            seen = time.time_ns()
            ran = int((output_of(service, found) / "stdout.txt").read_text())
            before = time.time_ns()
            done = subprocess.run(["sh", "-c", "exec date +%s%N"], capture_output=True, check=True)
            after = time.time_ns()
            if number >= 0:  # the first ones warm up
                starts.append((ran - began) / 1e9)
                ends.append((seen - ran) / 1e9)
                floor_starts.append((int(done.stdout) - before) / 1e9)
                floor_ends.append((after - int(done.stdout)) / 1e9)

    def row(what: str, values: list[float], floors: list[float], share: float) -> Row:
        figure, floor = percentile(values, share), percentile(floors, share)
        return Row(what, milliseconds(figure), f"{milliseconds(floor)} sh -c date", f"{figure / floor:.1f}")

    return with_load(
        [
            row("job PUT -> its process runs, p50, 8 idle nodes", starts, floor_starts, 0.5),
            row("job PUT -> its process runs, p99, 8 idle nodes", starts, floor_starts, 0.99),
            row("its process ends -> `succeeded` in a GET, p50", ends, floor_ends, 0.5),
            row("its process ends -> `succeeded` in a GET, p99", ends, floor_ends, 0.99),
        ]
    )


def many_jobs(jobs: int = 10000, part: int = 1000) -> list[Row]:
    """One experiment with so many jobs, which all wait: the cluster has no node."""
    seconds = []
    with service_alone(0) as service:
        pid = service.facts["pid"]
        body = job(service, "true")
        ping = statistics.median(_timed(service, "/_local/status") for _ in range(200))
        before = resident_megabytes(pid)
        for number in range(jobs):
            began = time.perf_counter()
            service.arm("PUT", f"bench/experiments/bench/jobs/m{number}", body)
            seconds.append(time.perf_counter() - began)
        grown = resident_megabytes(pid) - before
        pages: list[list[float]] = []
        for _ in range(5):
            path, times = f"{service.address('bench/experiments/bench/jobs')}&maxresults=1000", []
            while path:
                began = time.perf_counter()
                answer = _get(service, path)
                times.append(time.perf_counter() - began)
                path = answer.get("nextLink", "").removeprefix(service.facts["endpoint"])
            pages.append(times)
        listed = resident_megabytes(pid) - before
    first, last = statistics.median(seconds[:part]), statistics.median(seconds[-part:])
    peer = f"{milliseconds(ping)} the service's status"
    label = f"{jobs:,} jobs that wait"
    return with_load(
        [
            Row(f"{label}: PUT, first {part:,}", milliseconds(first), peer, f"{first / ping:.1f}"),
            Row(f"{label}: PUT, last {part:,}", milliseconds(last), peer, f"{last / ping:.1f}"),
            Row(f"{label}: first page of 1,000", spread([times[0] for times in pages], milliseconds)),
            Row(f"{label}: last page of 1,000", spread([times[-1] for times in pages], milliseconds)),
            Row(f"{label}: RSS grows by", f"{grown:.1f} MB, {listed:.1f} MB when listed"),
        ]
    )


def _timed(service: Service, path: str) -> float:
    began = time.perf_counter()
    service.request("GET", path)
    return time.perf_counter() - began


def _get(service: Service, path: str) -> Any:
    status, answer = service.request("GET", path)
    if status != http.client.OK:
        raise SystemExit(f"GET {urlsplit(path).path}: {status} {answer}")
    return answer


def many_nodes(rounds: int, nodes: int = 200) -> list[Row]:
    """A cluster grows from nothing to so many idle nodes, and shrinks again."""
    ups, downs, sizes = [], [], []
    path = "bench/clusters/one"
    with service_alone(0) as service:
        pid = service.facts["pid"]
        _resize(service, 1)  # loads what every node needs
        _resize(service, 0)
        before = resident_megabytes(pid)
        for _ in range(rounds):
            ups.append(_resize(service, nodes))
            sizes.append(resident_megabytes(pid) - before)
            downs.append(_resize(service, 0))
        after = resident_megabytes(pid) - before
        cluster = service.arm("GET", path)["properties"]
        assert cluster["currentNodeCount"] == 0, cluster
    floor = _spawn_many(nodes)
    peer = f"{milliseconds(floor)} {nodes} x sh -c true"
    up, down = statistics.median(ups), statistics.median(downs)
    return with_load(
        [
            Row(f"0 -> {nodes} idle nodes", spread(ups, milliseconds), peer, f"{up / floor:.1f}"),
            Row(f"{nodes} -> 0 nodes", spread(downs, milliseconds), peer, f"{down / floor:.1f}"),
            Row(f"{nodes} nodes: RSS grows by", f"{sizes[0]:.1f} MB, {after:.1f} MB when they are gone"),
        ]
    )


def _resize(service: Service, nodes: int) -> float:
    """Seconds until the cluster has so many idle nodes and no other."""

    def reached(cluster: Any) -> bool:
        found = cluster["properties"]
        return idle_nodes(cluster) == found["currentNodeCount"] == nodes and found["allocationState"] == "steady"

    began = time.perf_counter()
    service.arm("PATCH", "bench/clusters/one", {"properties": {"scaleSettings": scale(nodes)}})
    service.wait("bench/clusters/one", reached, 300)
    return time.perf_counter() - began

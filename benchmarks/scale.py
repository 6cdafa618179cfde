"""Much of everything: starts, deletions, listings and jobs of many nodes, and what others wait for meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from measure import Row, milliseconds, verdict, with_load
from rig import (
    Service,
    idle_nodes,
    installed_service,
    job,
    output_of,
    scale,
    service_alone,
    start_service,
)

ENDED, QUEUED, FILES, NODES = 100_000, 10_000, 100_000, 1_000
_JOBS = "bench/experiments/bench/jobs"


@dataclass
class _Waits:
    """What another client waits for, asking for the workspace again and again."""

    seconds: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def of(self, service: Service) -> Iterator[None]:
        other, done = replace(service), threading.Event()

        def ask() -> None:
            while not done.is_set():
                began = time.perf_counter()
                other.arm("GET", "bench")
                self.seconds.append(time.perf_counter() - began)
                time.sleep(0.001)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def row(self, floor: float) -> Row:
        figure = max(self.seconds)
        met = verdict(figure <= 0.1)
        peer = f"{milliseconds(floor)} at rest, median"
        what = "  another client waits at most"
        return Row(what, milliseconds(figure), peer, f"{figure / floor:.1f}", "<= 100 ms", met)


def _at_rest(service: Service) -> float:
    waits = _Waits()
    with waits.of(service):
        time.sleep(0.5)
    return statistics.median(waits.seconds)


def shut_down(service: Service) -> None:
    service.request("POST", "/_local/shutdown")
    os.waitpid(service.facts["pid"], 0)


def start_again(service: Service) -> float:
    """Start a service that was shut down; seconds until it is ready."""
    again = start_service(installed_service(), service.home)
    service.facts = again.facts
    service.__post_init__()  # it has another port
    return again.ready_seconds


def copy_job(service: Service, name: str, number: int) -> None:
    """So many records more like that of the job `name`; the service must not run."""
    columns = "key, kind, parent, version, modified, body, internal, active"
    with contextlib.closing(sqlite3.connect(service.home / "state.db")) as db:
        [(key, *others)] = db.execute(f"SELECT {columns} FROM resources WHERE key LIKE ?", (f"%/jobs/{name}",))
        body = others.index(next(text for text in others if f'"name": "{name}"' in str(text)))

        def copy(copied: str) -> tuple[object, ...]:
            text = others[body].replace(f"/jobs/{name}", f"/jobs/{copied}").replace(f'"{name}"', f'"{copied}"')
            return (key[: -len(name)] + copied, *others[:body], text, *others[body + 1 :])

        marks = ", ".join("?" * (1 + len(others)))
        copies = (copy(f"{name}{count}") for count in range(number))
        db.executemany(f"INSERT INTO resources ({columns}) VALUES ({marks})", copies)
        db.commit()


def make_job(service: Service, name: str, state: str) -> None:
    service.arm("PUT", f"{_JOBS}/{name}", job(service, "true"))
    service.wait(f"{_JOBS}/{name}", lambda found: found["properties"]["executionState"] == state)


def starts(rounds: int) -> list[Row]:
    """A service that starts again: with nothing, with very many ended jobs, with many queued ones as well."""
    with service_alone(1) as service:
        make_job(service, "one-ended", "succeeded")
        service.arm("PATCH", "bench/clusters/one", {"properties": {"scaleSettings": scale(0)}})
        service.wait("bench/clusters/one", lambda found: found["properties"]["currentNodeCount"] == 0)
        make_job(service, "one-queued", "queued")

        def again() -> float:
            seconds = []
            for _ in range(rounds):
                shut_down(service)
                seconds.append(start_again(service))
            return statistics.median(seconds)

        floor, rows = again(), []
        for name, number in (("ended", ENDED), ("queued", QUEUED)):
            shut_down(service)
            copy_job(service, f"one-{name}", number)
            start_again(service)
            figure = again()
            what = f"start with {number:,} {name} jobs{' more' if rows else ''}"
            peer = f"{milliseconds(floor)} with one"
            met = verdict(figure <= 1)
            rows.append(Row(what, milliseconds(figure), peer, f"{figure / floor:.1f}", "<= 1000 ms", met))
        return with_load(rows)


def deletions() -> list[Row]:
    """An experiment goes with all its jobs; the floor is SQLite removing as many rows, one by one."""
    rows = []
    for name, state in (("ended", "succeeded"), ("queued", "queued")):
        with service_alone(1 if state == "succeeded" else 0) as service:
            make_job(service, f"one-{name}", state)
            shut_down(service)
            copy_job(service, f"one-{name}", QUEUED)
            floor = _remove_rows(service.home / "state.db")
            start_again(service)
            rest, waits = _at_rest(service), _Waits()
            with waits.of(service):
                began = time.perf_counter()
                service.arm("DELETE", "bench/experiments/bench")
                while service.request("GET", service.address("bench/experiments/bench"))[0] != 404:
                    time.sleep(0.005)
                figure = time.perf_counter() - began
            peer = f"{milliseconds(floor)} sqlite3"
            what = f"deletion of {QUEUED:,} {name} jobs"
            met = verdict(figure <= 10)
            rows.append(Row(what, milliseconds(figure), peer, f"{figure / floor:.1f}", "<= 10 s", met))
            rows.append(waits.row(rest))
    return with_load(rows)


def _remove_rows(database: Path) -> float:
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(sqlite3.connect(f"{folder}/copy.db")) as copy:
        with contextlib.closing(sqlite3.connect(database)) as db:
            db.backup(copy)
        keys = copy.execute("SELECT key FROM resources WHERE kind = 'job'").fetchall()
        began = time.perf_counter()
        copy.executemany("DELETE FROM resources WHERE key = ?", keys)
        copy.commit()
        return time.perf_counter() - began


def file_pages(rounds: int) -> list[Row]:
    """Output of a job that wrote very many files, a page of 1,000 at a time."""
    with service_alone(1) as service:
        make_job(service, "files", "succeeded")
        folder = output_of(service, service.arm("GET", f"{_JOBS}/files"))
        for number in range(FILES):
            os.close(os.open(folder / f"f{number:06}", os.O_CREAT | os.O_WRONLY, 0o600))
        rest, waits, rows = _at_rest(service), _Waits(), []
        first, last, floors = [], [], []
        with waits.of(service):
            path = service.address(f"{_JOBS}/files/listOutputFiles") + "&outputdirectoryid=stdouterr"
            for _ in range(rounds):
                began = time.perf_counter()
                status, page = service.request("POST", path)
                first.append(time.perf_counter() - began)
                assert status == 200 and len(page["value"]) == 1000, page
                pages = [page["nextLink"].removeprefix(service.facts["endpoint"])]
                while pages[-1]:
                    began = time.perf_counter()
                    page = service.request("GET", pages[-1])[1]
                    last.append(time.perf_counter() - began)
                    pages.append(page.get("nextLink", "").removeprefix(service.facts["endpoint"]))
                began = time.perf_counter()
                for name in sorted(os.listdir(folder))[:1000]:
                    os.stat(folder / name)
                floors.append(time.perf_counter() - began)
        floor = statistics.median(floors)
        peer = f"{milliseconds(floor)} listdir, 1,000 stat"
        for what, figure in (("first", statistics.median(first)), ("any other", statistics.median(last))):
            met = verdict(figure <= 0.1)
            row = Row(f"{FILES:,} files: {what} page", milliseconds(figure), peer, f"{figure / floor:.1f}")
            row.goal, row.met = "<= 100 ms", met
            rows.append(row)
        return with_load([*rows, waits.row(rest)])


def wide_job() -> list[Row]:
    """From the PUT of a job until its process runs: on one node, and on very many."""
    with service_alone(0) as service:
        service.arm("PATCH", "bench/clusters/one", {"properties": {"scaleSettings": scale(NODES)}})
        service.wait("bench/clusters/one", lambda found: idle_nodes(found) == NODES, 600)
        floor, rest, waits = _started(service, "narrow", 1), _at_rest(service), _Waits()
        with waits.of(service):
            figure = _started(service, "wide", NODES)
        what = f"job of {NODES:,} nodes: PUT -> its process runs"
        peer = f"{milliseconds(floor)} of one node"
        met = verdict(figure <= 1)
        row = Row(what, milliseconds(figure), peer, f"{figure / floor:.1f}", "<= 1000 ms", met)
        rows = with_load([row, waits.row(rest)])
        service.arm("PATCH", "bench/clusters/one", {"properties": {"scaleSettings": scale(0)}})
        service.wait("bench/clusters/one", lambda found: found["properties"]["currentNodeCount"] == 0, 600)
        return rows


def _started(service: Service, name: str, nodes: int) -> float:
    body: dict[str, Any] = job(service, "exec date +%s%N")
    body["properties"]["nodeCount"] = nodes
    began = time.time_ns()
    service.arm("PUT", f"{_JOBS}/{name}", body)
    found = service.wait(
        f"{_JOBS}/{name}", lambda found: found["properties"]["executionState"] in ("succeeded", "failed"), 120
    )
    assert found["properties"]["executionState"] == "succeeded", found["properties"]["executionInfo"]
    return (int((output_of(service, found) / "stdout.txt").read_text().split()[0]) - began) / 1e9

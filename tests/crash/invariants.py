"""What must be true after any kill: of what clients were told, and of what is on the machine."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crash import machine
from crash.crashing_service import CrashingService, patiently
from crash.load import ACKNOWLEDGED, EXPERIMENT, WORKSPACE, Load, Thing
from harness import processes
from wire.api import VERSION

ENDED = ("succeeded", "failed")
LEGAL = ("queued", "running", "terminating", *ENDED)
SETTLE_SECONDS = 60.0


class Invariants:
    """`lost` are the runs (UUID of the job's output) whose runner was killed: they may have failed for it."""

    def __init__(self, service: CrashingService, load: Load) -> None:
        self._service = service
        self._load = load
        self._log_read = 0
        self.lost: set[str] = set()

    # After each start

    def at_once(self) -> Iterator[str]:
        """What an acknowledgement has promised is there in the first moment."""
        promised = [job for job in list(self._load.jobs.values()) if job.created == ACKNOWLEDGED]
        gone = [job for job in list(self._load.jobs.values()) if job.deleted == "gone"]
        there = {body["name"]: body["properties"] for body in self._list(f"{EXPERIMENT}/jobs")}
        for job in promised:
            if not job.deleted and job.name not in there:
                yield f"job {job.name} was acknowledged and is not there"
        for job in gone:
            if job.name in there and self._load.jobs[job.name] is job:
                yield f"job {job.name} was gone and is back"
        for name, properties in there.items():
            if properties["executionState"] not in LEGAL:
                yield f"job {name} is {properties['executionState']}"
        for collection, things in (("clusters", self._load.clusters), ("fileServers", self._load.servers)):
            known = [thing for thing in list(things.values()) if thing.created == ACKNOWLEDGED]
            found = {body["name"] for body in self._list(f"{WORKSPACE}/{collection}")}
            for thing in known:
                if not thing.deleted and thing.name not in found:
                    yield f"{thing.kind} {thing.name} was acknowledged and is not there"
        yield from self.log()

    def log(self) -> Iterator[str]:
        text = self._service.log()
        new, self._log_read = text[self._log_read :], len(text)
        for word in ("Traceback", "a background task failed"):
            if word in new:
                yield f"service.log: {new[max(new.index(word) - 300, 0) :][:2500]}"

    # When nobody asks for anything any more

    def settled(self) -> Iterator[str]:
        self._wait()
        self._rows = self._state()
        ledger = self._ledger()
        for job in list(self._load.jobs.values()):
            yield from self._job(job, ledger.get(job.token, []))
        for token, lines in ledger.items():
            yield from _starts(token, lines)
        for collection, things in (("clusters", self._load.clusters), ("fileServers", self._load.servers)):
            for thing in list(things.values()):
                yield from self._thing(collection, thing)
        yield from self._counts()
        yield from self._setups()
        yield from self._operations()
        yield from self._machine()
        yield from self.log()

    def _wait(self) -> None:
        """Until jobs have ended, deletions are through and clusters are steady, or nothing changes any more."""
        while moving := list(self._moving()):
            if not patiently(lambda: list(self._moving()) != moving, SETTLE_SECONDS):
                return

    def _moving(self) -> Iterator[str]:
        for body in self._list(f"{EXPERIMENT}/jobs"):
            if body["properties"]["executionState"] not in ENDED:
                yield body["name"]
        for kind, collection in (("cluster", "clusters"), ("server", "fileServers")):
            for body in self._list(f"{WORKSPACE}/{collection}"):
                properties = body["properties"]
                if properties["provisioningState"] not in ("succeeded", "failed"):
                    yield body["name"]
                if kind == "cluster" and properties["allocationState"] != "steady":
                    yield body["name"]
                counts = properties.get("nodeStateCounts", {})
                automatic = "autoScale" in properties.get("scaleSettings", {})
                if any(count for state, count in counts.items() if automatic or state != "idleNodeCount"):
                    yield body["name"]
        db = self._database()
        yield from (row[0] for row in db.execute("SELECT id FROM operations WHERE status='InProgress'"))
        db.close()

    def _job(self, job: Thing, lines: list[str]) -> Iterator[str]:
        status, _, body = self._service.ask("GET", f"{EXPERIMENT}/jobs/{job.name}?{VERSION}")
        who = f"job {job.name} ({job.kind} {job.token})"
        if status == 404:
            if job.created == ACKNOWLEDGED and not job.deleted:
                yield f"{who} was acknowledged and is not there"
            return
        if job.deleted in (ACKNOWLEDGED, "gone"):
            yield f"{who} was deleted and is there"
            return
        if job.deleted or job.created != ACKNOWLEDGED:
            return  # one of several outcomes; that it is a legal one was looked at
        properties = body["properties"]
        state, info = properties["executionState"], properties.get("executionInfo", {})
        code, attempt, run = self._rows[body["id"].lower()]
        if state not in ENDED:
            yield f"{who} has not ended: {state} {info} {self._counts_of(properties)}"
            return
        errors = [error["code"] for error in info.get("errors", ())]
        late = job.kind == "limited" and errors == ["JobTimedOut"]  # its time was up before
        if job.terminated == ACKNOWLEDGED and errors != ["JobTerminated"] and not late:
            yield f"{who} was terminated and is {state} {errors}"
        if len({line.split("/")[0] for line in lines} - {"*"}) > attempt:
            yield f"{who} was started more often than its {attempt} attempts: {lines}"
        if job.terminated and errors == ["JobTerminated"]:
            return
        if run in self.lost and errors == ["NodeLost"]:
            self._load.figures["jobs lost with their runner"] += 1
            return
        if job.kind == "limited" and errors == ["JobTimedOut"]:
            self._load.figures["jobs timed out"] += 1
            return
        wanted = ("failed" if job.exit_code else "succeeded", job.exit_code)
        if (state, info.get("exitCode")) != wanted:
            yield f"{who} should be {wanted}: {state}, attempt {attempt}, {run}, {info}"
            return
        self._load.figures["jobs with their exact end"] += 1
        if not lines:
            yield f"{who} has ended {wanted} without a start"
        if job.kind == "writer":
            yield from self._output(job, run, attempt)

    def _output(self, job: Thing, run: str, attempt: int) -> Iterator[str]:
        share = self._service.home / "storage" / "crashes" / "files" / "share"
        text = "".join(path.read_text() for path in share.rglob(f"{run}/stdouterr/stdout.txt"))
        lines = [f"{job.token} {number}" for number in range(1, 9)]
        if text.splitlines()[-8:] != lines or (attempt == 1 and len(text.splitlines()) != 8):
            yield f"job {job.name} has lost output: {text!r}"

    def _thing(self, collection: str, thing: Thing) -> Iterator[str]:
        status, _, body = self._service.ask("GET", f"{WORKSPACE}/{collection}/{thing.name}?{VERSION}")
        who = f"{thing.kind} {thing.name}"
        if status == 404:
            if thing.created == ACKNOWLEDGED and not thing.deleted:
                yield f"{who} was acknowledged and is not there"
            return
        if thing.deleted == ACKNOWLEDGED:
            yield f"{who} was deleted and is there"
        if body["properties"]["provisioningState"] != "succeeded":
            yield f"{who} is {body['properties']['provisioningState']}"
        scale = body["properties"].get("scaleSettings", {})
        if "manual" in scale and not thing.deleted:
            target, counts = scale["manual"]["targetNodeCount"], body["properties"]["nodeStateCounts"]
            if target not in thing.targets:
                yield f"{who} has the target {target} instead of {thing.targets}"
            there = {state: count for state, count in counts.items() if count}
            if there != ({"idleNodeCount": target} if target else {}):
                errors = body["properties"].get("errors")
                yield f"{who} has the nodes {there} for a target of {target}: {errors}"

    def _counts(self) -> Iterator[str]:
        for body in self._list(f"{WORKSPACE}/clusters"):
            if body["properties"]["allocationState"] != "steady":
                yield f"cluster {body['name']} is {body['properties']['allocationState']}"

    def _setups(self) -> Iterator[str]:
        share = self._service.home / "storage" / "crashes" / "files" / "share"
        nodes = (share / "setups").read_text().split()
        if len(set(nodes)) != len(nodes):
            yield f"a setup task has run more than once: {nodes}"

    def _operations(self) -> Iterator[str]:
        for path in self._load.operations:
            status, _, body = self._service.ask("GET", path)
            if status != 200 or body["status"] != "Succeeded":
                yield f"an acknowledged operation: {status} {body}"
        self._load.operations.clear()

    def _machine(self) -> Iterator[str]:
        """No process, folder, mount or container that nobody needs."""
        home = self._service.home
        own = {self._service.process.pid, self._service.launcher()} if self._service.process else set()
        patiently(lambda: not set(processes.of_home(home)) - own, 5)
        for pid, line in processes.of_home(home).items():
            if pid not in own:
                yield f"an orphan process: {pid} {line}"
        nodes = {key.rsplit("/", 1)[-1] for key in self._rows if "/nodes/" in key}
        there = {path.name.lower() for path in (home / "nodes").iterdir()}
        if there != nodes:
            yield f"node folders without nodes: {there - nodes}; nodes without folders: {nodes - there}"
        patiently(lambda: not list(home.glob("nodes/*/waste/*")), 10)
        for pattern in ("nodes/*/waste/*", "nodes/*/jobs/*/*/*", "nodes/*/tasks/*", "kept/*"):
            for path in home.glob(pattern):
                if path.name != "setup":
                    yield f"an orphan folder: {path.relative_to(home)} {[p.name for p in path.iterdir()]}"
        servers = [key for key in self._rows if "/fileservers/" in key]
        if len(list((home / "fileservers").glob("*"))) != len(servers):
            yield f"file servers {servers}, folders {[path.name for path in (home / 'fileservers').iterdir()]}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if f" {home}/nodes" in line and "/jobs/" in line:
                yield f"an orphan mount: {line}"
        db = self._database()
        for (key,) in db.execute("SELECT key FROM secrets WHERE key NOT IN (SELECT key FROM resources)"):
            yield f"an orphan secret: {key}"
        db.close()
        runs = [run for _, _, run in self._rows.values() if run]
        for name in machine.containers("batchai-"):
            if any(mark in name for mark in (*nodes, *runs)):
                yield f"an orphan container: {name}"

    # Looking

    def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        url = f"{path}?{VERSION}"
        while url:
            status, _, body = self._service.ask("GET", url)
            assert status == 200, body
            found += body["value"]
            link = body.get("nextLink")
            url = "/" + link.split("/", 3)[3] if link else ""
        return found

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._service.home / 'state.db'}?mode=ro", uri=True)

    def _state(self) -> dict[str, tuple[str, int, str]]:
        """Kind, attempt and run of each record, by its key."""
        db = self._database()
        rows = {}
        for key, kind, body, internal in db.execute("SELECT key, kind, body, internal FROM resources"):
            segment = json.loads(body).get("properties", {}).get("jobOutputDirectoryPathSegment", "")
            rows[key] = (kind, json.loads(internal).get("attempt", 0), segment.rsplit("/", 1)[-1])
        db.close()
        return rows

    def _ledger(self) -> dict[str, list[str]]:
        path = self._service.home / "storage" / "crashes" / "files" / "share" / "ledger"
        found: dict[str, list[str]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            token, _, start = line.partition(" ")
            found.setdefault(token, []).append(start)
        return found

    def _counts_of(self, properties: dict[str, Any]) -> Any:
        cluster = properties["cluster"]["id"]
        body = self._service.ask("GET", f"{cluster}?{VERSION}")[2]
        return body.get("properties", {}).get("nodeStateCounts")


def _starts(token: str, lines: list[str]) -> Iterator[str]:
    """Each task of a run has at most one start: one cookie."""
    cookies: dict[str, set[str]] = {}
    for line in lines:
        if not line.startswith("*"):  # a rank of another node, or a container: its task's folder is not there
            task, _, claim = line.rpartition("/")
            cookies.setdefault(task, set()).add(claim)
    for task, found in cookies.items():
        if len(found) > 1:
            yield f"{token} was started more than once: {task} {found}"
    for line, number in Counter(lines).items():
        if number > 1 and not line.startswith("*") and "main-0" not in line:
            yield f"{token} was started {number} times under one claim: {line}"

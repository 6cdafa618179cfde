"""What jobs write: how soon it can be read, how fast, and what it costs the service."""

from __future__ import annotations

import http.client
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from measure import Row, milliseconds, pairs, peak_megabytes, percentile, resident_megabytes, verdict, with_load
from rig import Service, job, output_of, service_alone

POLL_SECONDS = 0.01
GIGABYTE = 1_000_000_000
_WRITER = """
import time
for _ in range({lines}):
    print(time.time_ns(), flush=True)
    time.sleep(0.05)
"""


class _Link:
    """The signed link to a job's stdout.txt, over one connection."""

    def __init__(self, service: Service, path: str) -> None:
        self.url = self._find(service, path)
        parts = urlsplit(self.url)
        self._target = f"{parts.path}?{parts.query}"
        self._connection = http.client.HTTPConnection(parts.netloc)

    @staticmethod
    def _find(service: Service, path: str) -> str:
        listing = service.address(f"{path}/listOutputFiles") + "&outputdirectoryid=stdouterr"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            _, found = service.request("POST", listing)
            for item in found["value"]:
                if item["name"] == "stdout.txt":
                    url: str = item["downloadUrl"]
                    return url
            time.sleep(0.005)
        raise SystemExit(f"{path} has no stdout.txt: {found}")

    def get(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request("GET", self._target, headers=headers)
        return self._connection.getresponse()


def stream_lag(lines: int = 200) -> list[Row]:
    """How late a reader of the link sees a line, beside a reader of the file itself; both look every 10 ms."""
    path = "bench/experiments/bench/jobs/stream"
    over_link, direct = _Lags(), _Lags()
    with service_alone(1) as service:
        command = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(_WRITER.format(lines=lines))}"
        service.arm("PUT", path, job(service, command))
        link = _Link(service, path)
        file = output_of(service, service.arm("GET", path)) / "stdout.txt"
        deadline = time.monotonic() + lines * 0.05 + 60
        while len(over_link.seconds) < lines and time.monotonic() < deadline:
            response = link.get({"Range": f"bytes={over_link.offset}-"})
            data = response.read()
            if response.status == http.client.PARTIAL_CONTENT:
                over_link.take(data)
            with file.open("rb") as stream:
                stream.seek(direct.offset)
                direct.take(stream.read())
            time.sleep(POLL_SECONDS)
        service.wait(path, _succeeded)

    def row(share: float, name: str) -> Row:
        figure, floor = percentile(over_link.seconds, share), percentile(direct.seconds, share)
        peer = f"{milliseconds(floor)} reading the file"
        goal = verdict(figure <= 0.1)
        ratio = f"{figure / floor:.1f}"
        return Row(f"line written -> read by link, {name}", milliseconds(figure), peer, ratio, "<= 100 ms", goal)

    return with_load([row(0.5, "p50"), row(0.99, "p99")])


class _Lags:
    """Lines of time stamps, and how old each was when it came."""

    def __init__(self) -> None:
        self.offset = 0
        self.seconds: list[float] = []
        self._rest = b""

    def take(self, data: bytes) -> None:
        now = time.time_ns()
        self.offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self.seconds += [(now - int(line)) / 1e9 for line in whole]


def _succeeded(found: Any) -> bool:
    state = found["properties"]["executionState"]
    if state == "failed":
        raise SystemExit(f"the job failed: {found['properties']['executionInfo']}")
    return bool(state == "succeeded")


def large_output(rounds: int) -> list[Row]:
    """A job writes 1 GB to its stdout, which is then read by link."""
    path = "bench/experiments/bench/jobs/large"
    with service_alone(1) as service:
        pid = service.facts["pid"]
        warm = "bench/experiments/bench/jobs/warm"
        service.arm("PUT", warm, job(service, "echo warm"))
        service.wait(warm, _succeeded)
        with _Link(service, warm).get({}) as response:
            response.read()
        before = resident_megabytes(pid)
        service.arm("PUT", path, job(service, f"head -c {GIGABYTE} /dev/zero"))
        found = service.wait(path, _succeeded, 300)
        written = peak_megabytes(pid) - before
        link, file = _Link(service, path), output_of(service, found) / "stdout.txt"
        assert file.stat().st_size == GIGABYTE, file.stat()
        speed = pairs(lambda: _download(link), lambda: _copy(file), rounds)
        read = peak_megabytes(pid) - before
    peer = f"{_speed(speed.theirs)} cp to /dev/null"
    ratio = f"{speed.ratio:.1f} ({speed.low:.1f} to {speed.high:.1f})"
    return with_load(
        [
            Row("1 GB of output: RSS grows by at most", f"{written:.1f} MB", goal="<= 1 MB", met=verdict(written <= 1)),
            Row("1 GB by link (ratio: of the times)", _speed(speed.ours), peer, ratio),
            Row("1 GB by link: RSS grows by at most", f"{read:.1f} MB"),
        ]
    )


def _speed(seconds: float) -> str:
    return f"{GIGABYTE / seconds / 1e6:.0f} MB/s"


def _download(link: _Link) -> float:
    buffer, size = bytearray(1 << 20), 0
    began = time.perf_counter()
    response = link.get({})
    while count := response.readinto(buffer):
        size += count
    seconds = time.perf_counter() - began
    assert size == GIGABYTE, size
    return seconds


def _copy(file: Path) -> float:
    began = time.perf_counter()
    pid = os.posix_spawnp("cp", ["cp", str(file), "/dev/null"], os.environ)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    return time.perf_counter() - began

"""Blobs and files of the embedded service, beside Azurite (npm) and `cp`: python benchmarks/storage.py [--rounds N].

Both services are driven by the same client, azure-storage-blob, in turn. Azurite listens on loopback only.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Row, milliseconds, pairs, peak_megabytes, resident_megabytes, spread, table, verdict, with_load
from rig import Service, own_folder, service_alone

GIGABYTE = 1_000_000_000
AZURITE = Path(__file__).resolve().parents[1] / "build" / "azurite"
_AZURITE_VERSION = "3.35.0"
_AZURITE_ACCOUNT, _AZURITE_KEY = "bench", base64.b64encode(b"only for this benchmark").decode()
SMALL, SMALL_BYTES, LISTED = 1000, 4096, 10_000


@dataclass
class Side:
    """One service of blobs: an empty container of it, and its process."""

    container: Any
    pid: int

    def upload(self, source: Path, at_once: int) -> float:
        blob = self.container.get_blob_client("large")
        began = time.perf_counter()
        with source.open("rb") as file:
            blob.upload_blob(file, overwrite=True, max_concurrency=at_once)
        return time.perf_counter() - began

    def download(self, at_once: int) -> float:
        blob = self.container.get_blob_client("large")
        began = time.perf_counter()
        with open(os.devnull, "wb") as sink:
            size = blob.download_blob(max_concurrency=at_once).readinto(sink)
        assert size == GIGABYTE, size
        return time.perf_counter() - began

    def upload_many(self) -> float:
        data = os.urandom(SMALL_BYTES)
        began = time.perf_counter()
        for number in range(SMALL):
            self.container.get_blob_client(f"small/{number}").upload_blob(data, overwrite=True)
        return time.perf_counter() - began

    def download_many(self) -> float:
        began = time.perf_counter()
        for number in range(SMALL):
            assert len(self.container.get_blob_client(f"small/{number}").download_blob().readall()) == SMALL_BYTES
        return time.perf_counter() - began

    def list_many(self) -> float:
        began = time.perf_counter()
        assert sum(1 for _ in self.container.list_blobs(name_starts_with="many/")) == LISTED
        return time.perf_counter() - began


def _install() -> str:
    """'' when Azurite is there, else why it is not."""
    if (AZURITE / "node_modules" / ".bin" / "azurite-blob").exists():
        return ""
    npm = shutil.which("npm")
    if not npm:
        return "npm is not installed"
    AZURITE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(AZURITE), "--no-audit", "--no-fund", f"azurite@{_AZURITE_VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"npm cannot install it: {done.stderr.strip()[-300:]}"


@contextlib.contextmanager
def _azurite(folder: Path) -> Iterator[Side]:
    from azure.storage.blob import BlobServiceClient

    port = _free_port()
    program = AZURITE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    process = subprocess.Popen(
        ["node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
        + ["--silent", "--skipApiVersionCheck", "--disableTelemetry"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{_AZURITE_ACCOUNT}:{_AZURITE_KEY}"},
    )
    try:
        _wait_for(port)
        client = BlobServiceClient(f"http://127.0.0.1:{port}/{_AZURITE_ACCOUNT}", credential=_AZURITE_KEY)
        yield Side(client.create_container("bench"), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        time.sleep(0.05)
    raise SystemExit("Azurite does not answer.")


def _account(service: Service) -> tuple[str, str, str]:
    """Endpoints of blobs and files, and a key, of the account that the rig makes."""
    path = (
        f"/subscriptions/{service.facts['subscription']}/resourceGroups/bench/providers"
        "/Microsoft.Storage/storageAccounts/bench"
    )
    service.reconnect()  # the service closes a connection that was idle for long
    _, account = service.request("GET", f"{path}?api-version=2023-01-01")
    _, keys = service.request("POST", f"{path}/listKeys?api-version=2023-01-01")
    endpoints = account["properties"]["primaryEndpoints"]
    return endpoints["blob"], endpoints["file"], keys["keys"][0]["value"]


def _ours(service: Service) -> Side:
    from azure.storage.blob import BlobServiceClient

    blob, _, key = _account(service)
    return Side(BlobServiceClient(blob, credential=key).create_container("bench"), service.facts["pid"])


def _speed(seconds: float) -> str:
    return f"{GIGABYTE / seconds / 1e6:.0f} MB/s"


def blobs(ours: Side, theirs: Side | None, source: Path, rounds: int) -> list[Row]:
    """The same with both; without Azurite the figures stand alone."""
    rows = []

    def compare(what: str, act: Callable[[Side], float], form: Callable[[float], str], goal: float) -> None:
        before = resident_megabytes(ours.pid)
        if theirs:
            found = pairs(lambda: act(ours), lambda: act(theirs), rounds)
            ratio = f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f})"
            met = verdict(found.ratio <= goal)
            row = Row(what, form(found.ours), f"{form(found.theirs)} Azurite", ratio, f"<= {goal:.2f}", met)
        else:
            row = Row(what, spread([act(ours) for _ in range(rounds)], form), "Azurite: not here")
        grown = peak_megabytes(ours.pid) - before
        rows.extend(with_load([row, Row("  RSS of the service grows by at most", f"{max(grown, 0):.1f} MB")]))

    compare(f"{SMALL:,} blobs of 4 KB up", Side.upload_many, milliseconds, 1)
    compare(f"{SMALL:,} blobs of 4 KB down", Side.download_many, milliseconds, 1)
    for side in filter(None, (ours, theirs)):
        for number in range(LISTED):
            side.container.get_blob_client(f"many/{number:05}").upload_blob(b"", overwrite=True)
    compare(f"list {LISTED:,} blobs", Side.list_many, milliseconds, 1)
    for at_once in (1, 4):
        label = "one block at a time" if at_once == 1 else f"{at_once} blocks at once"
        compare(f"1 GB up, {label}", lambda side, n=at_once: side.upload(source, n), _speed, 1 / 1.5)
        compare(f"1 GB down, {label}", lambda side, n=at_once: side.download(n), _speed, 1)
    return rows


def files(service: Service, source: Path, folder: Path, rounds: int) -> list[Row]:
    """A share, to which nothing compares but the disk."""
    from azure.storage.fileshare import ShareFileClient

    _, endpoint, key = _account(service)
    client = ShareFileClient(endpoint, "bench", "large", credential=key)
    pid = service.facts["pid"]

    def up() -> float:
        began = time.perf_counter()
        with source.open("rb") as file:
            client.upload_file(file, max_concurrency=4)
        return time.perf_counter() - began

    def down() -> float:
        began = time.perf_counter()
        with open(os.devnull, "wb") as sink:
            assert client.download_file(max_concurrency=4).readinto(sink) == GIGABYTE
        return time.perf_counter() - began

    def copy() -> float:
        target = folder / "copy"
        target.unlink(missing_ok=True)
        began = time.perf_counter()
        subprocess.run(["cp", "--reflink=never", str(source), str(target)], check=True)
        return time.perf_counter() - began

    rows = []
    for what, act in (("up", up), ("down", down)):
        before = resident_megabytes(pid)
        found = pairs(act, copy, rounds)
        ratio = f"{found.ratio:.1f} ({found.low:.1f} to {found.high:.1f})"
        peer = f"{_speed(found.theirs)} cp"
        rows.append(Row(f"1 GB {what} a share, 4 ranges at once", _speed(found.ours), peer, ratio))
        grown = f"{max(peak_megabytes(pid) - before, 0):.1f} MB"
        rows.append(Row("  RSS of the service grows by at most", grown))
    return with_load(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/storage.py")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured, with both in turn")
    print(report(parser.parse_args().rounds))


def report(rounds: int) -> str:
    """The table of storage, and what its figures are."""
    absent = _install()
    with own_folder() as folder, contextlib.ExitStack() as stack:
        source, block = folder / "source", os.urandom(1_000_000)
        with source.open("wb") as file:
            for _ in range(GIGABYTE // len(block)):
                file.write(block)
        service = stack.enter_context(service_alone(0))
        theirs = None
        if not absent:
            (folder / "azurite").mkdir()
            theirs = stack.enter_context(_azurite(folder / "azurite"))
        rows = blobs(_ours(service), theirs, source, rounds)
        rows += files(service, source, folder, rounds)
    missing = f"Azurite is not compared with: {absent}.\n" if absent else ""
    return (
        f"{table(rows)}\n\n{missing}"
        "Medians; a ratio is the median (and quartiles) of the ratios of times of pairs measured in turn, with the\n"
        "same client library in this process: below 1 the embedded service is faster. RSS: the peak since the start,\n"
        "less what the service had before the line's measurements."
    )


if __name__ == "__main__":
    main()

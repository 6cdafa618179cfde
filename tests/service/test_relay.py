"""The runner's parts that no job shows by itself: lines of several ranks in one file, and the mask of new files."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from azext_batchai.service.engine.local import pipe_relay
from azext_batchai.service.engine.local.host import LocalHost
from azext_batchai.service.engine.task import Command, Task


class Ranks:
    """Two ranks that write to a relay; time goes by only as the test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(pipe_relay.time, "monotonic", lambda: self.now)
        self._file = folder / "out"
        names = [str(folder / name) for name in ("a", "b")]
        for name in names:
            os.mkfifo(name)
        self.relay = pipe_relay.PipeRelay(str(self._file), names)
        self._writers = [os.open(name, os.O_WRONLY | os.O_NONBLOCK) for name in names]
        self.sources = list(self.relay.sources)

    def write(self, rank: int, data: bytes) -> None:
        """Write to a rank's pipe and let the relay copy what it is ready for."""
        assert os.write(self._writers[rank], data) == len(data)
        self.copy()

    def copy(self) -> None:
        self.relay.copy(self.relay.readable())

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.copy()

    @property
    def out(self) -> bytes:
        return self._file.read_bytes()

    def end(self) -> None:
        self.relay.finish()
        self.relay.finish = lambda: None  # type: ignore[method-assign]

    def close(self) -> None:
        self.relay.finish()
        for descriptor in self._writers:
            os.close(descriptor)


@pytest.fixture
def ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ranks]:
    made = Ranks(tmp_path, monkeypatch)
    yield made
    made.close()


def test_lines_stay_whole(ranks: Ranks) -> None:
    ranks.write(0, b"first ")
    ranks.write(1, b"other\nsecond ")
    assert ranks.out == b"other\n"
    ranks.write(0, b"line\n")
    assert ranks.out == b"other\nfirst line\n"
    ranks.write(1, b"line\r")
    assert ranks.out == b"other\nfirst line\nsecond line\r"
    assert ranks.relay.patience() is None


def test_the_beginning_of_a_line_waits_a_moment_for_its_end(ranks: Ranks) -> None:
    ranks.write(0, b"a prompt: ")
    assert (ranks.out, ranks.relay.patience()) == (b"", pipe_relay.PARTIAL_SECONDS)
    ranks.sleep(pipe_relay.PARTIAL_SECONDS / 2)
    assert ranks.out == b""
    ranks.sleep(pipe_relay.PARTIAL_SECONDS / 2 + 0.001)
    assert ranks.out == b"a prompt: "


def test_an_open_line_does_not_block_other_ranks_for_long(ranks: Ranks) -> None:
    ranks.write(0, b"never ending")
    ranks.sleep(0.06)
    ranks.write(1, b"line\n")
    assert ranks.out == b"never ending"  # for now it waits
    ranks.sleep(pipe_relay.OPEN_SECONDS - 0.01)
    assert ranks.out == b"never ending"
    ranks.sleep(0.02)
    assert ranks.out == b"never ending\nline\n"
    ranks.write(0, b" after all\n")
    assert ranks.out == b"never ending\nline\n after all\n"


def test_an_open_line_that_goes_on_is_not_broken(ranks: Ranks) -> None:
    ranks.write(0, b"never ")
    ranks.sleep(0.06)
    ranks.write(1, b"line\n")
    ranks.write(0, b"ending\n")
    assert ranks.out == b"never ending\nline\n"


def test_a_rank_that_has_to_wait_fills_no_memory(ranks: Ranks) -> None:
    """Its pipe is not read any more, so that it waits by itself."""
    ranks.write(0, b"never ending")
    ranks.sleep(0.06)
    block = b"x" * 60_000 + b"\n"
    written = 0
    while ranks.sources[1] in ranks.relay.readable():
        ranks.write(1, block)
        written += len(block)
        assert written < 4 << 20, "it is read for ever"
    kept = len(ranks.relay.sources[ranks.sources[1]])
    assert written - 65536 <= kept <= written
    assert kept < 2 << 20
    assert ranks.sources[0] in ranks.relay.readable()
    ranks.sleep(pipe_relay.OPEN_SECONDS)
    assert len(ranks.out) >= written
    assert ranks.sources[1] in ranks.relay.readable()


def test_a_line_without_end_is_written_before_it_fills_memory(ranks: Ranks) -> None:
    for _ in range(2):
        ranks.write(0, b"x" * 40_000)
    assert len(ranks.out) == 80_000


def test_what_is_left_at_the_end_is_written(ranks: Ranks) -> None:
    ranks.write(0, b"never ending")
    ranks.sleep(0.06)
    ranks.write(1, b"x" * 50_000)
    os.write(ranks._writers[1], b"y" * 60_000)
    ranks.end()
    assert ranks.out == b"never ending\n" + b"x" * 50_000 + b"y" * 60_000


@pytest.fixture
def private_files() -> Iterator[None]:
    """As the service has it: what it makes is nobody else's."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("private_files")
def test_what_a_task_makes_is_for_everybody_to_read(tmp_path: Path) -> None:
    """A job writes to shares, which others read; the service's own mask must not be the job's."""
    environment = {"PATH": os.environ["PATH"], "MARK": str(tmp_path)}
    line = ("/bin/sh", "-c", "umask; touch made; mkdir folder")
    command = Command(line, tmp_path, environment, tmp_path / "out", tmp_path / "err")

    async def run() -> int:
        host = LocalHost()
        try:
            return (await Task(host, tmp_path / "task", 0.3).run(command, resume=False)).exit_code
        finally:
            await host.close()

    assert asyncio.run(run()) == 0
    assert (tmp_path / "out").read_text().strip() == "0022"
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("made", "folder")]
    assert modes == [0o644, 0o755]

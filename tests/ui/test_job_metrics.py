"""Metrics as the page reads them: only what grew, in bounded memory, thinned without losing a peak."""

import asyncio
import io
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from azext_batchai.formats import event_files, metrics
from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.engine.base import FileEntry, Volume
from azext_batchai.service.store import Record
from azext_batchai.service.ui import curves, job_metrics
from azext_batchai.service.ui.job_metrics import Found, MetricsReader
from azext_batchai.service.ui.series import Curve, Summary, extremes, goal_of, text, thinned

pytestmark = pytest.mark.invented
EVENTS = Path(__file__).parents[1] / "fixtures" / "events.out.tfevents.sample"


class Folder:
    """Files of a job in memory, as an engine shows them; notes how many bytes are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.content: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.read = 0
        self.reader = MetricsReader()
        engine = SimpleNamespace(files=self)
        self.service: Any = SimpleNamespace(engines=SimpleNamespace(of=lambda record: engine))
        monkeypatch.setattr(job_metrics, "volume_of", lambda service, record, name: Volume("", "files", "a", name))

    def write(self, path: str, data: str | bytes, more: bool = False) -> None:
        new = data.encode() if isinstance(data, str) else data
        self.content[path] = (self.content.get(path, b"") if more else b"") + new
        self.times[path] = self.times.get(path, 0.0) + 1

    async def entries(self, volume: Volume, directory: str, after: str, limit: int) -> list[FileEntry]:
        if volume.name != "stdouterr" or directory != ".":
            return []
        return [FileEntry(name, False, len(data), self.times[name]) for name, data in sorted(self.content.items())]

    async def open(self, volume: Volume, path: str) -> BinaryIO:
        folder = self

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                folder.read += len(found)
                return found

        return Counted(self.content[path])

    def found(self, name: str = "one", most: int = 1000, piece: int = job_metrics.PIECE) -> Found:
        record = Record(f"/jobs/{name}", "job", "", {"name": name, "properties": {"outputDirectories": [{"id": "o"}]}})
        return asyncio.run(self.reader.read(self.service, record, most, piece))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(monkeypatch)


def lines(start: int, stop: int) -> str:
    return "".join(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\n" for step in range(start, stop))


def test_only_what_grew_is_read(folder: Folder) -> None:
    folder.write("metrics.jsonl", lines(0, 1000))
    assert len(folder.found().metrics["loss"]) == 1000
    before = folder.read
    assert folder.found().version == folder.found().version
    assert folder.read == before  # it is the same file
    folder.write("metrics.jsonl", lines(1000, 1002) + '{"step": 1002, "lo', more=True)
    found = folder.found(most=5000)
    assert found.metrics["loss"][-1] == (1001, 1 / 1002)
    assert len(found.metrics["loss"]) == 1002
    assert folder.read - before < 1000
    folder.write("metrics.jsonl", 'ss": 7}', more=True)  # whole, though its line has no end yet
    assert folder.found().metrics["loss"][-1] == (1002, 7)
    folder.write("metrics.jsonl", "\n" + lines(1003, 1004), more=True)
    assert [step for step, _ in folder.found(most=5000).metrics["loss"]] == list(range(1004))


def test_a_file_written_anew_is_read_anew(folder: Folder) -> None:
    folder.write("metrics.jsonl", lines(0, 10))
    folder.found()
    folder.write("metrics.jsonl", lines(500, 600))  # another one, and longer
    assert len(folder.found().metrics["loss"]) == 100
    folder.write("metrics.jsonl", "")
    assert folder.found().metrics == {}


def test_much_is_read_in_pieces(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_metrics, "_CHUNK", 1 << 16)
    folder.write("metrics.jsonl", lines(0, 8_000))
    seen = []
    while True:
        found = folder.found(piece=1 << 16)
        seen.append(found.metrics["loss"][-1][0])
        if not found.reading:
            break
    assert len(seen) > 2 and seen == sorted(seen) and seen[-1] == 7_999
    assert folder.read < 2 * len(folder.content["metrics.jsonl"])


def test_event_files_go_on_behind_whole_records(folder: Folder) -> None:
    data = EVENTS.read_bytes()
    expected: metrics.Metrics = {}
    metrics.add(expected, metrics.of_file(EVENTS.name, data))
    for end in range(0, len(data), 37):
        folder.write(EVENTS.name, data[:end])
        folder.found()
        assert event_files.whole(data[:end]) <= end
    folder.write(EVENTS.name, data)
    found = folder.found()
    assert dict(found.metrics) == {name: sorted(series.points) for name, series in expected.items()}


def test_files_without_steps_go_on_counting(folder: Folder) -> None:
    folder.write("metrics.json", '{"loss": [3, 2, 1]}')
    folder.write("more.jsonl", '{"loss": 0.5}\n{"loss": 0.25}\n')
    assert folder.found().metrics["loss"] == [(0, 3), (1, 2), (2, 1), (3, 0.5), (4, 0.25)]


@pytest.mark.parametrize("content", ['{"loss": 1' + "0" * 400 + "}", '{"a":' * 900 + "1" + "}" * 900, "[" * 100_000])
def test_what_no_float_holds_or_nests_too_deep(folder: Folder, content: str) -> None:
    folder.write("metrics.jsonl", content + '\n{"step": NaN, "loss": 3}\n{"loss": 1}\n')
    assert folder.found().metrics["loss"] == [(0, 1)]


def test_what_is_left_out_is_said(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(job_metrics._MOST_FILES + 5):
        folder.write(f"{number:03}.jsonl", f'{{"m{number}": 1}}\n')
    found = folder.found()
    assert len(found.metrics) == job_metrics._MOST_FILES
    assert found.notes == ("Metrics are read from 50 of 55 files.",)
    folder.content.clear()
    folder.write("wide.jsonl", json.dumps({f"m{number}": 1 for number in range(1000)}))
    found = folder.found()
    assert len(found.metrics) == job_metrics._MOST_METRICS
    assert found.notes == ("Not more than 200 metrics are shown.",)

    def nowhere(service: Any, record: Record, name: str) -> Volume:
        raise bad_request("It is on no mount root.")

    monkeypatch.setattr(job_metrics, "volume_of", nowhere)
    found = folder.found()
    assert found.metrics == {} and found.notes[0] == "What lies in stdouterr cannot be seen from here."


def test_memory_is_bounded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_metrics, "_HELD_POINTS", 1000)
    folder.write("metrics.jsonl", lines(0, 300))
    for number in range(10):
        assert len(folder.found(f"job{number}").metrics["loss"]) == 300
    assert len(folder.reader._jobs) <= 4


def test_thinning_keeps_peaks_breaks_and_ends() -> None:
    random.seed(7)
    points = [(float(step), random.random()) for step in range(100_000)]
    points[31_337] = (31_337.0, 50.0)
    points[77_777] = (77_777.0, -50.0)
    points[55_555] = (55_555.0, math.nan)
    kept = thinned(points, 1000)
    assert len(kept) <= 1010
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert points[31_337] in kept and points[77_777] in kept
    assert any(math.isnan(value) for _, value in kept)
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)
    assert thinned(points[:10], 10) == points[:10]
    assert thinned([], 10) == []


def test_a_curve_takes_bounded_memory_and_is_thinned_evenly() -> None:
    curve = Curve()
    for step in range(200_000):
        curve.add(None, 100.0 if step == 1234 else math.sin(step / 1000))
    points = curve.points()
    assert len(points) < 6000
    assert (1234.0, 100.0) in points
    assert points[-1] == (199_999.0, math.sin(199.999))
    steps = [step for step, _ in points]
    assert max(later - step for step, later in zip(steps, steps[1:])) < 1000
    halves = sum(step < 100_000 for step in steps) / len(steps)
    assert 0.3 < halves < 0.7


def test_extremes() -> None:
    points = [(0, 2.0), (1, math.nan), (2, 1.0), (3, math.inf), (4, 3.0), (5, 2.0)]
    assert [step for step, _ in extremes(points)] == [1, 2, 4]
    assert extremes([(0, 1.0)]) == [(0, 1.0)]


def test_summary_and_text() -> None:
    summary = Summary.of([(0, 1.0), (1, math.nan), (2, 3.0), (3, math.inf)])
    assert summary.best("max") == (2, 3.0) and summary.best("min") == (0, 1.0)
    assert text(summary.last[1]) == "∞"
    assert [text(value) for value in (None, math.nan, -math.inf, 3.0, 0.123456, 1e-9)] == [
        "–", "NaN", "−∞", "3", "0.1235", "1e-09",
    ]
    assert Summary.of([(0, math.nan)]).best("min") is None


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("loss", "min"), ("eval/accuracy", "max"), ("top5_acc", "max"), ("F1", "max"), ("val_error", "min"),
        ("rmse", "min"), ("perplexity", "min"), ("roc-auc", "max"), ("accuracy_loss", "min"), ("grad_norm", "min"),
    ],
)
def test_goals_by_name(name: str, goal: str) -> None:
    assert goal_of(name) == goal


def test_what_is_sent_is_json_and_bounded() -> None:
    points = {f"m{number}": [(float(step), math.nan if step == 3 else step) for step in range(1000)]
              for number in range(100)}
    drawn = [curves.Drawn("one", "/ui/x", Found(points, "v"))]
    sent = curves.content(drawn, True, "")
    json.dumps(sent, allow_nan=False)
    assert sum(len(one["x"]) for metric in sent["metrics"] for one in metric["series"]) < 50_000
    assert None in sent["metrics"][0]["series"][0]["y"]
    again = curves.content(drawn, True, sent["version"])
    assert again["same"] and "metrics" not in again

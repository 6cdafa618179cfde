"""Metrics: the files and lines they are read from, jobs beside each other, curves."""

import math
import types
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from azure.cli.core.azclierror import InvalidArgumentValueError

from azext_batchai.formats.event_files import scalars
from azext_batchai.formats.metrics import Metrics, Series, named, of_file, of_text
from azext_batchai.jobs import comparison, plot
from azext_batchai.jobs.metrics import compiled

pytestmark = pytest.mark.invented
# Written by TensorBoard 2.21 itself.
EVENTS = Path(__file__).parents[1] / "fixtures" / "events.out.tfevents.sample"


def test_event_files() -> None:
    found = list(scalars(EVENTS.read_bytes()))
    expected = []
    for step in (0, 1, 300):
        expected += [("train/loss", step, 1 / (step + 1)), ("eval/loss", step, 0.5), ("eval/exact", step, 0.1)]
    expected.append(("before", -1, -2.0))
    assert [(tag, step) for tag, step, _ in found] == [(tag, step) for tag, step, _ in expected]
    assert [value for *_, value in found] == pytest.approx([value for *_, value in expected], rel=1e-6)


def test_event_files_that_are_cut_off_or_damaged() -> None:
    data = EVENTS.read_bytes()
    whole = list(scalars(data))
    for end in range(len(data)):
        found = list(scalars(data[:end]))
        assert found == whole[: len(found)]
    for place in range(len(data)):
        list(scalars(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]))
    assert list(scalars(b"\xff" * 64)) == []


@pytest.mark.parametrize(
    ("name", "content", "points"),
    [
        ("metrics.json", '{"accuracy": 0.5, "name": "x", "ok": true}', [("accuracy", None, 0.5)]),
        ("a/metrics.json", '{"eval": {"f1": 1}}', [("eval/f1", None, 1.0)]),
        ("metrics.json", '{"loss": [3, null, 2]}', [("loss", None, 3.0), ("loss", None, 2.0)]),
        ("metrics.json", '[{"epoch": 4, "loss": 1}]', [("loss", 4.0, 1.0)]),
        ("metrics.json", '{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n', [("loss", 1.0, 2.0), ("loss", 2.0, 1.0)]),
        ("log.jsonl", '{"loss": 2}\n\nnoise\n{"loss": 1}\n{"lo', [("loss", None, 2.0), ("loss", None, 1.0)]),
        ("log.jsonl", '[1]\n"x"\n{"step": 7, "epoch": 1, "loss": 1}', [("loss", 7.0, 1.0)]),
        ("metrics.json", "nothing", []),
        ("metrics.json", "[" * 100_000, []),
    ],
)
def test_files(name: str, content: str, points: list) -> None:
    assert list(of_file(name, content.encode())) == points


def test_stdout() -> None:
    text = "begin\nepoch 1 loss 0.5 acc 1e-1\nepoch 2 loss nan acc .3\nepoch 3 loss 1_000 acc -\n"
    pattern = compiled(r"epoch (?P<epoch>\d+) loss (?P<loss>\S+) acc (?P<acc>\S+)")
    found = list(of_text(text, pattern))
    assert found[:2] == [("loss", 1.0, 0.5), ("acc", 1.0, 0.1)]
    assert [name for name, *_ in found] == ["loss", "acc", "loss", "acc", "loss"]
    assert math.isnan(found[2][2])
    assert found[-1] == ("loss", 3.0, 1000.0)
    assert list(of_text("epoch 1\nepoch 2", compiled(r"epoch (?P<epoch>\d)"))) == [("epoch", 1, 1.0), ("epoch", 2, 2.0)]


@pytest.mark.parametrize("pattern", ["(", "loss ([0-9]+)", ""])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(InvalidArgumentValueError):
        compiled(pattern)


def test_names() -> None:
    found = {"eval/loss": Series(), "train/loss": Series(), "eval/Accuracy": Series()}
    assert [named(found, name) for name in ("accuracy", "loss", "train/loss")] == ["eval/Accuracy", None, "train/loss"]


def job(name: str, number: int | None, *losses: float, **parameters: str) -> tuple[Any, Metrics]:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    info = types.SimpleNamespace(start_time=start, end_time=start + timedelta(seconds=number or 0), exit_code=0)
    variables = [types.SimpleNamespace(name=f"PARAM_{key.upper()}", value=value) for key, value in parameters.items()]
    made = types.SimpleNamespace(
        name=name,
        environment_variables=variables,
        execution_state="queued" if number is None else "succeeded",
        execution_info=None if number is None else info,
    )
    return made, {"loss": Series(list(enumerate(losses)))} if losses else {}


JOBS = [job("a", 9, 3, 1, 2, lr="10"), job("b", 3, 5, math.nan, lr="9"), job("c", None, lr="1"), job("d", 5, 4, 4.5)]


@pytest.mark.parametrize(
    ("wanted", "losses"),
    [
        (comparison.Wanted(), {"a": 2, "b": None, "c": None, "d": 4.5}),
        (comparison.Wanted(best="max", sort="metric"), {"b": 5, "d": 4.5, "a": 3, "c": None}),
        (comparison.Wanted(best="min", sort="loss"), {"a": 1, "d": 4, "b": 5, "c": None}),
        (comparison.Wanted(sort="duration"), {"b": None, "d": 4.5, "a": 2, "c": None}),
        (comparison.Wanted(sort="lr"), {"c": None, "b": None, "a": 2, "d": 4.5}),
        (comparison.Wanted(["LOSS"], sort="name"), {"a": 2, "b": None, "c": None, "d": 4.5}),
    ],
)
def test_jobs_beside_each_other(wanted: comparison.Wanted, losses: dict) -> None:
    made = comparison.rows(JOBS, wanted)
    assert {row["name"]: next(iter(row["metrics"].values())) for row in made} == losses
    assert [row["name"] for row in made] == list(losses)


def test_what_cannot_be_compared() -> None:
    for wanted in (comparison.Wanted(["nothing"]), comparison.Wanted(sort="nothing")):
        with pytest.raises(InvalidArgumentValueError):
            comparison.rows(JOBS, wanted)
    assert comparison.rows([], comparison.Wanted(["loss"], sort="metric")) == []
    with pytest.raises(InvalidArgumentValueError):
        comparison.rows([JOBS[2]], comparison.Wanted(sort="metric"))


CURVES = {
    "falls <1>": [(0.0, 4.0), (1.0, 2.0), (2.0, 1.0)],
    "one": [(1.0, 3.0)],
    "strange": [(0.0, math.nan), (1.0, math.inf), (2.0, 2.0)],
    "none": [],
}


@pytest.mark.parametrize("width", [5, 40, 200])
def test_curves_in_a_terminal(width: int) -> None:
    lines = plot.text(CURVES, "title", width).splitlines()
    assert lines[0] == "title"
    assert lines[1].startswith("        4 |")
    assert lines[16].startswith("        1 |")
    assert lines[17].split() == ["0", "2"]
    assert [line.split(":")[0] for line in lines[18:]] == ["-- falls <1>", "-- one", "-- strange", "-- none"]
    assert all(len(line) <= max(width, 31) for line in lines[:18])
    drawn = [[column for column, letter in enumerate(line) if "\u2800" < letter <= "\u28ff"] for line in lines[1:17]]
    assert drawn[0][0] == 11, "the first value is at the top left"
    assert drawn[15][-1] == max(max(row) for row in drawn if row), "the last is at the bottom right"
    assert "\x1b" not in "".join(lines)
    assert "\x1b[36m" in plot.text(CURVES, "title", width, coloured=True)


def test_a_curve_of_equal_values_and_no_curve() -> None:
    assert "0.5" in plot.text({"a": [(0.0, 1.0), (1.0, 1.0)]}, "t", 40)
    assert plot.text({"a": [(0.0, math.nan)]}, "t", 40) == "t: nothing to draw\n"


def test_curves_in_files(tmp_path: Path) -> None:
    plot.write(tmp_path / "a.svg", CURVES, "a & b")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    [line] = root.iter(f"{name}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points), "a greater value is further up"
    assert len(list(root.iter(f"{name}circle"))) == 2
    assert {"a & b", "falls <1>", "one"} <= {text.text for text in root.iter(f"{name}text")}
    plot.write(tmp_path / "a.html", CURVES, "a & b")
    assert "<title>a &amp; b</title>" in (tmp_path / "a.html").read_text()
    for wrong in ("a.gif", "a"):
        with pytest.raises(InvalidArgumentValueError):
            plot.write(tmp_path / wrong, CURVES, "t")


def test_a_png_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(InvalidArgumentValueError, match="matplotlib"):
        plot.write(tmp_path / "a.png", CURVES, "t")

"""Which jobs of an experiment the page shows, and in which order."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from azext_batchai.service.ui import comparison, plots
from azext_batchai.service.ui.experiment_look import search
from azext_batchai.service.ui.job_filter import (
    Condition,
    Wanted,
    chosen,
    conditions_of,
    ordered,
    preferred,
    ranked,
)
from azext_batchai.service.ui.job_rows import Row
from azext_batchai.service.ui.plots import Axis, Mark
from azext_batchai.service.ui.series import Summary

pytestmark = pytest.mark.invented


def row(name: str, seq: int = 0, loss: float | None = None, **more: Any) -> Row:
    summaries = {} if loss is None else {"loss": Summary.of([(0, loss)])}
    made = Row(
        key=name, resource_id=f"/x/{name}", seq=seq, name=name, state="succeeded", created=0.0, created_text="",
        started=0.0, ended=1.0, exit_code=0, why="", waits_like=(), parameters={}, summaries=summaries,
    )
    return replace(made, **more)


def names(rows: list[Row]) -> list[str]:
    return [one.name for one in rows]


@pytest.mark.parametrize(
    ("line", "conditions", "wrong"),
    [
        ("", [], ""),
        ("lr=0.1", [("lr", "=", "0.1")], ""),
        (" lr <= 1e-3, model != cnn  ", [("lr", "<=", "1e-3"), ("model", "!=", "cnn")], ""),
        ('text="two words" a>b', [("text", "=", "two words"), ("a", ">", "b")], ""),
        ("eval/loss<2", [("eval/loss", "<", "2")], ""),
        ("lr=0.1 nonsense", [("lr", "=", "0.1")], "nonsense"),
        ("=5", [], "=5"),
        ("<script>alert(1)</script>", [], "<script>alert(1)</script>"),
    ],
)
def test_conditions(line: str, conditions: list[tuple[str, str, str]], wrong: str) -> None:
    assert conditions_of(line) == ([Condition(*one) for one in conditions], wrong)


@pytest.mark.parametrize(
    ("condition", "found", "fits"),
    [
        (("lr", "=", "0.1"), "1e-1", True),
        (("lr", "=", "0.1"), "0.10", True),
        (("lr", "=", "cnn"), "cnn", True),
        (("lr", "=", "cnn"), "CNN", False),
        (("lr", "!=", "0.1"), "0.1", False),
        (("lr", "!=", "0.1"), None, True),
        (("lr", "=", "0.1"), None, False),
        (("lr", "<", "0.1"), "0.01", True),
        (("lr", "<", "0.1"), "cnn", False),
        (("lr", ">=", "2"), 2.0, True),
        (("lr", "<", "nan"), "1", False),
        (("lr", "<", "1"), "nan", False),
        (("lr", ">", "1"), "1e999", False),
        (("lr", "=", "1e999"), "1e999", True),
    ],
)
def test_a_condition(condition: tuple[str, str, str], found: Any, fits: bool) -> None:
    assert Condition(*condition).fits(found) is fits


def test_what_fits() -> None:
    rows = [
        row("a1", loss=0.5, parameters={"lr": "0.1", "model": "cnn"}),
        row("a2", state="failed", parameters={"lr": "0.01"}),
        row("b1", state="queued", loss=2.0),
    ]
    assert names(chosen(rows, Wanted(name="A"))) == ["a1", "a2"]
    assert names(chosen(rows, Wanted(state="failed"))) == ["a2"]
    assert names(chosen(rows, Wanted(where="lr<0.1"))) == ["a2"]
    assert names(chosen(rows, Wanted(where="LR<1 model=cnn"))) == ["a1"]
    assert names(chosen(rows, Wanted(where="loss<1"))) == ["a1"]  # a metric's best value


def test_what_has_no_value_comes_last_either_way() -> None:
    rows = [
        row("none", 1),
        row("nan", 2, loss=math.nan),
        row("low", 3, loss=0.1, parameters={"lr": "0.5"}),
        row("high", 4, loss=10.0, parameters={"lr": "3e-1"}),
        row("text", 5, parameters={"lr": "auto"}),
    ]
    assert names(ordered(rows, Wanted(sort="m:loss"), 0))[:2] == ["low", "high"]
    assert names(ordered(rows, Wanted(sort="-m:loss"), 0))[:2] == ["high", "low"]
    assert names(ordered(rows, Wanted(sort="-m:loss", value="last"), 0))[:2] == ["high", "low"]
    assert names(ordered(rows, Wanted(sort="p:lr"), 0))[:3] == ["high", "low", "text"]
    assert names(ordered(rows, Wanted(sort="-p:lr"), 0))[:3] == ["text", "low", "high"]
    for sort in ("m:loss", "-m:loss"):
        assert set(names(ordered(rows, Wanted(sort=sort), 0))[2:]) == {"none", "nan", "text"}
    for sort in ("p:lr", "-p:lr"):
        assert set(names(ordered(rows, Wanted(sort=sort), 0))[3:]) == {"none", "nan"}
    assert names(ordered(rows, Wanted(sort="unknown"), 0)) == ["text", "high", "low", "nan", "none"]


def test_other_columns() -> None:
    rows = [
        row("job10", 1, started=None, ended=None, state="queued"),
        row("job2", 2, started=0.0, ended=50.0),
        row("Job1", 3, started=0.0, ended=None, state="running"),
        row("9" * 5000, 4),
    ]
    assert names(ordered(rows, Wanted(sort="name"), 0))[1:] == ["Job1", "job2", "job10"]
    assert names(ordered(rows, Wanted(sort="-duration"), 100.0))[:2] == ["Job1", "job2"]
    assert names(ordered(rows, Wanted(sort="-duration"), 100.0))[-1] == "job10"
    assert names(ordered(rows, Wanted(sort="state"), 0))[:2] == ["job10", "Job1"]
    assert names(ordered(rows, Wanted(sort="created"), 0))[0] == "job10"


def test_the_best_come_first_by_the_goal_of_the_metric() -> None:
    rows = [row("none"), row("nan", loss=math.nan), row("two", loss=2.0), row("one", loss=1.0)]
    assert names(ranked(rows, Wanted(metric="loss"))) == ["one", "two"]
    assert names(ranked(rows, Wanted(metric="loss", goal="max"))) == ["two", "one"]


def test_the_metric_that_ranks() -> None:
    assert preferred(["grad_norm", "loss", "train/loss"]) == "loss"
    assert preferred(["loss", "eval/accuracy"]) == "eval/accuracy"
    assert preferred([]) == ""


def test_the_address_says_what_is_wanted() -> None:
    query = {"name": "a&b", "where": "lr<0.1", "sort": "-m:x/y", "page": "3", "view": "compare", "value": "last"}
    wanted = Wanted.of(query)
    text = search(wanted)
    assert Wanted.of(dict(parse_qsl(text.removeprefix("?")))) == wanted
    assert search(Wanted()) == ""
    for page in ("", "-1", "x", "٣", "9" * 30, "0"):
        assert Wanted.of({"page": page}).page >= 0
    assert Wanted.of({"state": "<b>", "view": "<b>", "goal": "<b>"}) == Wanted()


def test_axes() -> None:
    decades = Axis("lr", ["1e-5", "0.01", "1"])
    assert decades.logarithmic and decades.place("0.01") == pytest.approx(0.6)
    linear = Axis("batch", ["16", "32"], each=True)
    assert not linear.logarithmic and linear.place("32") == 1.0
    assert [said for _, said in linear.ticks()] == ["16", "32"]
    assert [said for _, said in Axis("batch", ["16", "32"]).ticks()] == ["20", "25", "30"]
    texts = Axis("model", ["vit", "cnn", None, "10"])
    assert not texts.numeric and [said for _, said in texts.ticks()] == ["10", "cnn", "vit"]
    assert texts.place(None) is None and texts.place("other") is None
    assert Axis("x", ["5"]).place("5") == 0.5
    assert Axis("x", []).ticks() == []


@pytest.mark.parametrize(
    "values",
    [[-1e308, 1e308], [1e-320, 1e-310], [0.0, 1e-300], [1e-300, 1e300], [-5.0, 0.0], [3.0, 3.0], list(range(1, 40))],
)
def test_ticks_of_huge_ranges(values: list[float]) -> None:
    ticks = Axis("x", values).ticks()
    assert 0 < len(ticks) < 30
    assert all(0 <= round(place, 6) <= 1 for place, _ in ticks)


def test_plots_escape_and_mark_the_best() -> None:
    evil = '"><script>alert(1)</script>'
    marks = [Mark(evil, "/ui/a", evil, (evil, 1.0, evil), best=True), Mark("b", "/ui/b", "b", ("x", 2.0, None))]
    axes = [Axis(evil, [mark.values[at] for mark in marks]) for at in range(3)]
    for svg in (plots.scatter(marks, *axes[:2]), plots.parallel(marks, axes)):
        assert "<script" not in svg and 'class="job best"' in svg
        assert svg.count("<a ") == 2


def test_of_too_many_jobs_some_of_all_are_shown() -> None:
    rows: Any = [SimpleNamespace(name=str(number)) for number in range(10_000)]
    shown = comparison.spread(rows)
    assert len(shown) == 500
    assert shown[0] is rows[0] and shown[-1] is rows[-1]
    assert len({one.name for one in shown}) == 500
    assert len(comparison.spread(rows[:500])) == 500

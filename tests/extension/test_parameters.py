"""The values of a sweep's parameters, the points that are tried, and what a job is made of them."""

import json

import pytest
from azure.cli.core.azclierror import InvalidArgumentValueError

from azext_batchai.jobs import sweep
from azext_batchai.jobs.parameters import of_options, points

pytestmark = pytest.mark.invented


def values(text: str) -> list[str]:
    return [point["x"] for point in points(of_options([f"x={text}"], {}))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", ["0.1"]),
        ("0.1,1e-3, adam ", ["0.1", "1e-3", "adam"]),
        ("0..4", ["0", "1", "2", "3", "4"]),
        ("-1..1", ["-1", "0", "1"]),
        ("0..20:10", ["0", "10", "20"]),
        ("0..1:0.25", ["0", "0.25", "0.5", "0.75", "1"]),
        ("0.1..0.3:0.1", ["0.1", "0.2", "0.3"]),
        ("1..2,9", ["1", "2", "9"]),
        ("log:1e-4..1e-2:3", ["0.0001", "0.001", "0.01"]),
        ("a=b", ["a=b"]),
        ("../data", ["../data"]),
    ],
)
def test_values(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,,2",
        "4..0",
        "0..1:0",
        "0..1:x",
        "0..1:-1",
        "log:0..1:3",
        "log:1..2:1",
        "log:1..2:2.5",
        "0.1..0.9",
        "log:1..2",
        "1,0.1..0.9",
        "0..99999999",
        "a..b",
        "nan..1:1",
        "0..inf:1",
    ],
)
def test_what_is_no_list_of_values(text: str) -> None:
    with pytest.raises(InvalidArgumentValueError):
        values(text)


def test_the_last_parameter_changes_first_and_the_command_line_comes_before_the_file() -> None:
    found = points(of_options(["a=1,2"], {"a": [9], "b": ["x", True], "c": 0.5}))
    assert found == [{"a": a, "b": b, "c": "0.5"} for a in "12" for b in ("x", "true")]


@pytest.mark.parametrize("options", [["x"], ["x=1", "x=2"], ["1x=2"], ["a-b=1"], ["x=0..99999", "y=0..99999"]])
def test_what_is_no_parameter(options: list[str]) -> None:
    with pytest.raises(InvalidArgumentValueError):
        points(of_options(options, {}))


@pytest.mark.parametrize("value", [[], [[1]], {"a": 1}, None])
def test_what_is_no_parameter_in_a_file(value: object) -> None:
    with pytest.raises(InvalidArgumentValueError):
        of_options([], {"x": value})


def test_points_that_are_drawn() -> None:
    parameters = of_options(["lr=log:1e-5..1e-1", "drop=0.1..0.5", "seed=0..99", "kind=a,b"], {})
    drawn = points(parameters, 50, 7)
    assert drawn == points(parameters, 50, 7) != points(parameters, 50, 8)
    assert len(drawn) == 50
    for point in drawn:
        assert 1e-5 <= float(point["lr"]) <= 1e-1
        assert 0.1 <= float(point["drop"]) <= 0.5
        assert int(point["seed"]) in range(100)
    assert sum(float(point["lr"]) < 1e-3 for point in drawn) > 10, "as many of each decade"
    assert len(points(of_options(["a=1,2", "b=1..2"], {}), 50, 7)) == 4, "none twice"


def test_names() -> None:
    found = points(of_options(["lr=0.1,0.01", "seed=0,1"], {}))
    assert sweep.names("lr-{lr}-{seed}", found) == ["lr-0_1-0", "lr-0_1-1", "lr-0_01-0", "lr-0_01-1"]
    assert sweep.names("lr-{lr}", found) == ["lr-0_1-1", "lr-0_1-2", "lr-0_01-3", "lr-0_01-4"]
    assert sweep.names("try-{number}", found * 3)[:2] == ["try-01", "try-02"]
    for wrong in ("x" * 65, ""):
        with pytest.raises(InvalidArgumentValueError):
            sweep.names(wrong, found[:1])


def test_the_job_of_a_point() -> None:
    properties = {
        "customToolkitSettings": {"commandLine": "a {lr} ${lr} {other} '{lr}'"},
        "pyTorchSettings": {"processCount": 2, "commandLineArgs": "{lr}"},
        "jobPreparation": {"commandLine": "mkdir {lr}"},
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/{lr}",
        "environmentVariables": [{"name": "RATE", "value": "x{lr}"}, {"name": "PARAM_LR", "value": "old"}],
    }
    before = json.dumps(properties)
    made = sweep.body_of(properties, {"lr": "0.1"}, "name", 3)
    assert json.dumps(properties) == before
    assert made["customToolkitSettings"]["commandLine"] == "a 0.1 ${lr} {other} '0.1'"
    assert made["pyTorchSettings"] == {"processCount": 2, "commandLineArgs": "0.1"}
    assert made["jobPreparation"]["commandLine"] == "mkdir 0.1"
    assert made["stdOutErrPathPrefix"] == "$AZ_BATCHAI_MOUNT_ROOT/{lr}"
    assert {entry["name"]: entry["value"] for entry in made["environmentVariables"]} == {
        "RATE": "x0.1",
        "PARAM_LR": "0.1",
        "AZ_BATCHAI_SWEEP": "name",
        "AZ_BATCHAI_SWEEP_MAX_RUNNING": "3",
    }
    assert sweep.unused(properties, [{"lr": "1", "seed": "2"}]) == ["seed"]

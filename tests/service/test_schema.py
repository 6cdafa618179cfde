"""The schema language: what it refuses, fills, orders and takes out."""

from typing import Any

import pytest

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.schema import Array, Duration, Enum, Field, Integer, Object, String, clean

SCHEMA = Object(
    {
        "size": Field(String(r"[A-Za-z0-9_]+", minimum=1, upper=True), required=True),
        "mode": Field(Enum(("slow", "fast")), default="slow"),
        "count": Field(Integer(0, 5)),
        "limit": Field(Duration()),
        "items": Field(Array(Object({"name": Field(String(), required=True), "key": Field(String(), secret=True)}))),
        "left": Field(String()),
        "right": Field(String()),
    },
    at_most_one=("left", "right"),
)


def test_fills_orders_and_drops() -> None:
    cleaned = clean(SCHEMA, {"unknown": 1, "count": 2, "size": "Standard_D1", "limit": None})
    assert list(cleaned.body.items()) == [("size", "STANDARD_D1"), ("mode", "slow"), ("count", 2)]


def test_takes_the_secrets_out() -> None:
    cleaned = clean(SCHEMA, {"size": "a", "items": [{"name": "x", "key": "hidden"}, {"name": "y"}]})
    assert cleaned.body["items"] == [{"name": "x"}, {"name": "y"}]
    assert cleaned.secrets == {"properties.items[0].key": "hidden"}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "properties.size"),
        ({"size": ""}, "properties.size"),
        ({"size": "a b"}, "properties.size"),
        ({"size": 7}, "properties.size"),
        ({"size": "a\0"}, "properties.size"),
        ({"size": "a", "mode": "medium"}, "properties.mode"),
        ({"size": "a", "count": 6}, "properties.count"),
        ({"size": "a", "count": True}, "properties.count"),
        ({"size": "a", "count": "2"}, "properties.count"),
        ({"size": "a", "count": 2.0}, "properties.count"),
        ({"size": "a", "limit": "7 days"}, "properties.limit"),
        ({"size": "a", "limit": "P"}, "properties.limit"),
        ({"size": "a", "items": {}}, "properties.items"),
        ({"size": "a", "items": [{}]}, "properties.items[0].name"),
        ({"size": "a", "items": ["x"]}, "properties.items[0]"),
        ({"size": "a", "left": "x", "right": "y"}, "properties"),
        ([], "properties"),
    ],
)
def test_refuses_naming_the_property(body: Any, names: str) -> None:
    with pytest.raises(ArmError) as caught:
        clean(SCHEMA, body)
    assert caught.value.status == 400
    assert caught.value.target == names
    assert names in caught.value.message


def test_enums_are_taken_in_any_case_and_written_as_documented() -> None:
    assert clean(SCHEMA, {"size": "a", "mode": "FAST"}).body["mode"] == "fast"


@pytest.mark.parametrize("text", ["P7D", "PT1H30M", "P1DT0.5S", "P150D", "P2W"])
def test_durations(text: str) -> None:
    assert clean(SCHEMA, {"size": "a", "limit": text}).body["limit"] == text

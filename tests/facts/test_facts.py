"""The tables of facts say what the reference material says, where that is beside the checkout."""

import json
from pathlib import Path
from typing import Any

import pytest

from facts import derive, recordings, swagger, tables

TABLES = ("swagger", "recordings", "surface", "recipes")


@pytest.fixture(scope="module")
def derived(shared: Path) -> dict[str, Any]:
    return derive.derived(shared)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_script_derives(derived: dict[str, Any], name: str) -> None:
    assert tables.text(derived[name]) == (tables.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert set(derived) == set(TABLES)


def test_the_document_made_of_the_table_is_the_published_one_without_its_prose(shared: Path) -> None:
    published = json.loads((shared / "wire" / "BatchAI-2018-05-01.json").read_text(encoding="utf-8"))
    assert swagger.load() == swagger.reduced(published)


@pytest.mark.parametrize("story", recordings.STORIES)
def test_a_story_has_every_exchange_with_its_shape(shared: Path, story: str) -> None:
    recorded = json.loads((shared / "wire" / "interactions" / f"{story}.json").read_text(encoding="utf-8"))
    ours = recordings.load(story)
    assert len(ours) == len(recorded)
    for mine, theirs in zip(ours, recorded):
        for name in ("n", "method", "status", "query"):
            assert mine[name] == theirs[name]
        assert mine["path"].count("/") == theirs["path"].count("/")
        for name in ("request_body", "response_body"):
            assert shape(mine[name]) == shape(theirs[name]), (mine["n"], name)
        assert set(mine["response_headers"]) <= set(theirs["response_headers"])


def shape(value: Any) -> Any:
    """Names in their order, and the types of what they name."""
    if isinstance(value, dict):
        return [(name, shape(item)) for name, item in value.items()]
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("name", TABLES)
def test_nothing_of_the_recorded_service_is_left(name: str) -> None:
    """No table has prose, a foreign id or a secret in it."""
    text = (tables.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert not recordings.FOREIGN.search(text)

"""What code and tests refer to is there: sections of docs/wire.md, promises, rows of the walkthrough, tests."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sandbox import CHECKOUT

WIRE = (CHECKOUT / "docs" / "wire.md").read_text(encoding="utf-8")
PROMISES = (CHECKOUT / "docs" / "promises.md").read_text(encoding="utf-8")
UI = (CHECKOUT / "docs" / "ui.md").read_text(encoding="utf-8")
ROOMS = ("azext_batchai", "tests", "benchmarks", "demo", "docs", ".ci")
SECTION = re.compile(r"wire\.md\s+(\d+(?:\.\d+)?(?:(?:,|\s+to|\s+and)\s+\d+(?:\.\d+)?)*)")
PROMISE = re.compile(r"\bP(\d{1,2})\b")
ROW = re.compile(r"walkthrough[ _]row[ _](\d+)")
TEST = re.compile(r"`((?:\w+/)?test_\w+)::(\w+)`")


def texts(*rooms: str) -> Iterator[tuple[str, str]]:
    """Name and text of every file of the project that is written by hand."""
    files = [path for room in rooms for path in (CHECKOUT / room).rglob("*")]
    for path in [*files, *CHECKOUT.glob("*.md"), CHECKOUT / "Makefile", CHECKOUT / "pyproject.toml"]:
        if path.suffix in (".py", ".md", ".sh", ".toml", "") and path.is_file() and path != Path(__file__):
            yield path.relative_to(CHECKOUT).as_posix(), path.read_text(encoding="utf-8")


def numbers(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """File and number of every reference of a kind."""
    found = [(name, match[1]) for name, text in texts(*ROOMS) for match in pattern.finditer(text)]
    return [(name, number) for name, group in found for number in re.findall(r"\d+(?:\.\d+)?", group)]


def test_sections_of_the_wire_are_there() -> None:
    headings = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", WIRE, re.MULTILINE))
    references = numbers(SECTION)
    assert len(references) > 80
    assert [reference for reference in references if reference[1] not in headings] == []


def test_promises_are_there() -> None:
    headings = set(re.findall(r"^## P(\d+)\. ", PROMISES, re.MULTILINE))
    assert headings == {str(number) for number in range(1, 13)}
    assert [reference for reference in numbers(PROMISE) if reference[1] not in headings] == []


def test_rows_of_the_walkthrough_are_there() -> None:
    rows = re.findall(r"^\| (\d+) \|", WIRE.partition("## 11.")[2], re.MULTILINE)
    assert rows == [str(number) for number in range(1, 14)]
    assert [reference for reference in numbers(ROW) if reference[1] not in rows] == []


@pytest.mark.parametrize("text", [WIRE, PROMISES, UI], ids=["wire.md", "promises.md", "ui.md"])
def test_tests_that_the_documents_name_are_there(text: str) -> None:
    named = set(TEST.findall(text))
    assert len(named) > 20
    tests = CHECKOUT / "tests"
    missing = []
    for file, test in sorted(named):
        path = tests / f"{file if '/' in file else f'wire/{file}'}.py"
        definition = re.compile(rf"^(?:async )?def test_{test}\(", re.MULTILINE)
        if not path.is_file() or not definition.search(path.read_text(encoding="utf-8")):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_no_reference_leads_out_of_the_project() -> None:
    """Documents by these names are not part of it."""
    elsewhere = re.compile(r"\b(?:engines|azure-cli|definitions|design|style|walkthrough)\.md\b")
    found = [(name, match[0]) for name, text in texts(*ROOMS) for match in elsewhere.finditer(text)]
    assert found == []

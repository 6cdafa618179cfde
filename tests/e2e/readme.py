"""The README in parts: sections, and the blocks in them."""

import re

from harness.sandbox import CHECKOUT

TEXT = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str) -> list[str]:
    """The indented blocks of a section, without their indentation."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, flags=re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() for block in found]


def quickstart() -> tuple[list[list[str]], str]:
    """The arguments of `az` in the six commands of the quickstart, and its job.json."""
    commands, job = blocks(section("Quickstart"))
    lines = [line.split() for line in commands.splitlines()]
    assert [words[0] for words in lines] == ["az"] * 6
    return [words[1:] for words in lines], job

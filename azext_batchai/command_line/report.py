"""Text for a person where a command's result is a report: stdout has it, unless --output or --query want the data."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any


def is_wanted(cli_ctx: Any) -> bool:
    """Whether a person reads the report as it is."""
    return not {"-o", "--output", "--query"}.intersection(cli_ctx.data["safe_params"])


def columns() -> int | None:
    """How wide the terminal at stdout is; None where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def is_coloured(cli_ctx: Any) -> bool:
    return bool(cli_ctx.enable_color) and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def encodable(text: str) -> str:
    """The text with `?` for what the encoding of stdout does not have."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def write(lines: list[str]) -> None:
    """Write lines to stdout, cut where its terminal ends."""
    width = columns()
    for line in lines:
        sys.stdout.write((line if width is None else line[: max(width - 1, 10)]) + "\n")

"""What a process said at its end, without what mpirun adds."""

from __future__ import annotations

import re

# What mpirun writes behind the output of the ranks.
_EPILOGUE = re.compile(r"^(-{20,}|Primary job\s|={20,})", re.MULTILINE)


def last_word(text: str) -> str:
    """The line that tells most of what a process wrote at its end."""
    lines = [line.strip() for line in own_text(text).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def own_text(text: str) -> str:
    """The text without what mpirun says behind it, where there is anything else."""
    match = _EPILOGUE.search(text)
    own = text[: match.start()] if match else text
    return own if own.strip() else text

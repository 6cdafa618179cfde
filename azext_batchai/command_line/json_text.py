"""JSON as people write it: with comments."""

from __future__ import annotations

import re

_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_NOT_LINE_END = re.compile(r"[^\n]")


def without_comments(text: str) -> str:
    """Blanks in place of `// ...` and `/* ... */`, so that lines and columns stay what they are."""

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else _NOT_LINE_END.sub(" ", match[0])

    return _STRING_OR_COMMENT.sub(blank, text)

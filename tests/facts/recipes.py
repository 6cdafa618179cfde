"""The shapes of nine job.json of the public recipes of 2018: `recipes.json`.

Per recipe the names in the file and the kinds of values, `text` and numbers; what the texts said is left out.
"""

import json
from pathlib import Path
from typing import Any

from facts import tables


def load() -> dict[str, Any]:
    """The content of each file."""
    content: dict[str, Any] = tables.read("recipes")
    return content


def derive(folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob("*.json"))
    return {file.stem: _shape(json.loads(file.read_text(encoding="utf-8"))) for file in files}


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return "text" if isinstance(value, str) else value

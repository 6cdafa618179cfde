"""Tables of facts: JSON files beside this module, written so that a fact is a line wherever it fits on one."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
WIDTH = 160


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def text(value: Any) -> str:
    """The JSON of a table: what fits into a line is in one line."""
    return _text(value, "") + "\n"


def _text(value: Any, indent: str, taken: int = 0) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, (dict, list)) or len(indent) + taken + len(line) < WIDTH:
        return line
    deeper = f"{indent} "
    if isinstance(value, list):
        return f"[\n{deeper}" + f",\n{deeper}".join(_text(item, deeper) for item in value) + f"\n{indent}]"
    keys = {name: f"{json.dumps(name, ensure_ascii=False)}: " for name in value}
    lines = [key + _text(value[name], deeper, len(key)) for name, key in keys.items()]
    return f"{{\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}}}"

"""The commands and options of `az batchai` as azure-cli-batchai 0.4.10 of June 2019 took them: `surface.json`.

Per command its options by the heading that its help shows them under, each in the words

    --name -n       the spellings of an option that takes a value
    --min!          required
    --ids +         takes one value or more
    --no-wait flag  takes no value
    --vm-priority {dedicated|lowpriority}   takes one of these
    --interval = 15   with this default, in JSON

`confirm`: asks before it acts. `table`: has a table of its own for `--output table`.
"""

import json
import re
from typing import Any

from facts import tables

_WORDS = re.compile(
    r"(?P<options>-\S+?( -\S+?)*)(?P<required>!)?(?P<flag> flag)?(?P<many> \+)?"
    r"( {(?P<choices>\S+)})?( = (?P<default>.+))?"
)


def load() -> dict[str, dict[str, Any]]:
    """Per command: `confirmation`, `table` and `arguments`: options, required, default, choices, group, flag, nargs."""
    return {
        name: {
            "confirmation": command.pop("confirm", False),
            "table": command.pop("table", False),
            "arguments": [_argument(group, words) for group, options in command.items() for words in options],
        }
        for name, command in tables.read("surface").items()
    }


def derive(reference: dict[str, Any]) -> dict[str, Any]:
    table = {}
    for name, command in sorted(reference["commands"].items()):
        entry: dict[str, Any] = {"confirm": True} if command["confirmation"] else {}
        entry |= {"table": True} if command["table"] else {}
        for argument in command["arguments"]:
            entry.setdefault(argument["group"], []).append(_words(argument))
        table[name] = entry
    return table


def _words(argument: dict[str, Any]) -> str:
    words = " ".join(argument["options"]) + ("!" if argument["required"] else "")
    words += " flag" if argument["flag"] else ""
    words += f" {argument['nargs']}" if argument["nargs"] else ""
    words += f" {{{'|'.join(argument['choices'])}}}" if argument["choices"] else ""
    return words + (f" = {json.dumps(argument['default'])}" if argument["default"] is not None else "")


def _argument(group: str, words: str) -> dict[str, Any]:
    found = _WORDS.fullmatch(words)
    assert found, words
    return {
        "options": found["options"].split(),
        "required": bool(found["required"]),
        "default": json.loads(found["default"] or "null"),
        "choices": found["choices"].split("|") if found["choices"] else None,
        "group": group,
        "flag": bool(found["flag"]),
        "nargs": "+" if found["many"] else None,
    }

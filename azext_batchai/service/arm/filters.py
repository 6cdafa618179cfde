"""`$filter` as far as clients of Resource Manager use it: equalities joined by `and`."""

from __future__ import annotations

import re

from azext_batchai.service.arm.errors import not_supported

_EQUALITY = re.compile(r"\s*([A-Za-z/]+)\s+eq\s+'((?:[^']|'')*)'\s*")
_AND = re.compile(r"and\s+", re.IGNORECASE)


def conditions(text: str, *fields: str) -> dict[str, str]:
    """Field -> value that it must have. Raises ArmError 501 for any other filter and other fields than `fields`."""
    names = {field.lower(): field for field in fields}
    found: dict[str, str] = {}
    position = 0
    while position < len(text.rstrip()):
        if found:
            joint = _AND.match(text, position)
            position = joint.end() if joint else len(text) + 1
        match = _EQUALITY.match(text, position)
        if not match or match[1].lower() not in names:
            raise not_supported(
                f"The filter \"{text}\" is not supported: it may have FIELD eq 'VALUE', joined by 'and', "
                f"with {', '.join(fields)}."
            )
        found[names[match[1].lower()]] = match[2].replace("''", "'")
        position = match.end()
    return found

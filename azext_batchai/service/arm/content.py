"""The JSON of a request: what cannot be stored and sent back as it came is refused before a handler sees it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from azext_batchai.service.arm.errors import ArmError, bad_request

MAX_DEPTH = 64


def parse(content: bytes | bytearray) -> Any:
    """The decoded document; None for no content. Raises ArmError 400."""
    if not content.strip():
        return None
    try:
        text = content.decode(json.detect_encoding(content))
        document = json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as exc:
        raise bad_request(f"The request content was invalid and could not be deserialized: {exc}.") from None
    if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        _check(document, MAX_DEPTH)
    return document


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is out of range")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _check(value: Any, depth: int, path: str = "") -> None:
    if depth < 0:
        raise _too_deep()
    if isinstance(value, dict):
        for name, member in value.items():
            _check(name, depth, path)
            _check(member, depth - 1, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check(member, depth - 1, f"{path}[{index}]")
    elif isinstance(value, str):
        where = f"'{path}'" if path else "a string"
        if "\0" in value:
            raise bad_request(f"The request content was invalid: {where} must not contain NUL.")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise bad_request(f"The request content was invalid: {where} contains half of a surrogate pair.")


def _too_deep() -> ArmError:
    return bad_request(f"The request content was invalid: it is nested deeper than {MAX_DEPTH} levels.")

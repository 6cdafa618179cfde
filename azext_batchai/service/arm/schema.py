"""A small schema language: one description per request body checks it, fills it, orders it and takes the secrets out.

Descriptions follow the published OpenAPI file (tests/facts/swagger.json) and what the service filled in (wire.md 2).
Unknown properties are dropped and the order of a description is the order on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.clock import parse_duration


@dataclass(frozen=True)
class String:
    pattern: str = ""
    minimum: int = 0
    maximum: int = 32 * 1024
    upper: bool = False


@dataclass(frozen=True)
class Enum:
    """One of `values`, taken without regard to case and written as listed."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Integer:
    minimum: int = -(2**31)
    maximum: int = 2**31 - 1


@dataclass(frozen=True)
class Duration:
    """An ISO-8601 duration."""


@dataclass(frozen=True)
class Array:
    item: Any
    maximum: int = 1000


@dataclass(frozen=True)
class Field:
    """A property: `secret` ones are taken out of the body; `default` fills an absent one."""

    kind: Any
    required: bool = False
    default: Any = None
    secret: bool = False


@dataclass(frozen=True)
class Object:
    """`one_of`: names of which exactly one must be there; `at_most_one`: names of which one may be there."""

    fields: Mapping[str, Field]
    one_of: tuple[str, ...] = ()
    at_most_one: tuple[str, ...] = ()
    check: Callable[[dict[str, Any], str], None] | None = None


@dataclass
class Cleaned:
    """A checked body and the secrets that were in it, by JSON path (`secrets[0].value`)."""

    body: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)


def clean(schema: Object, value: Any, path: str = "properties") -> Cleaned:
    """Check `value` against `schema`. Raises ArmError 400 that names the property."""
    secrets: dict[str, str] = {}
    body = _object(schema, value, path, secrets)
    return Cleaned(body, secrets)


def _object(schema: Object, value: Any, path: str, secrets: dict[str, str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_request(f"'{path}' must be an object.", path)
    given = [name for name in schema.one_of or schema.at_most_one if value.get(name) is not None]
    names = ", ".join(schema.one_of or schema.at_most_one)
    if schema.one_of and len(given) != 1:
        found = f"there are {len(given)}: {', '.join(given)}" if given else "there is none"
        raise bad_request(f"'{path}' must have exactly one of {names}; {found}.", path)
    if len(given) > 1:
        raise bad_request(f"'{path}' must have at most one of {names}.", path)
    result: dict[str, Any] = {}
    for name, entry in schema.fields.items():
        item = value.get(name)
        where = f"{path}.{name}"
        if item is None:
            if entry.required:
                raise bad_request(f"'{where}' is required.", where)
            if entry.default is not None:
                result[name] = entry.default
            continue
        checked = _value(entry.kind, item, where, secrets)
        if entry.secret:
            secrets[where] = checked
        else:
            result[name] = checked
    if schema.check:
        schema.check(result, path)
    return result


def _value(kind: Any, value: Any, path: str, secrets: dict[str, str]) -> Any:
    if isinstance(kind, Object):
        return _object(kind, value, path, secrets)
    if isinstance(kind, Array):
        if not isinstance(value, list):
            raise bad_request(f"'{path}' must be an array.", path)
        if len(value) > kind.maximum:
            raise bad_request(f"'{path}' has {len(value)} items; at most {kind.maximum} are allowed.", path)
        return [_value(kind.item, item, f"{path}[{index}]", secrets) for index, item in enumerate(value)]
    if isinstance(kind, Integer):
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad_request(f"'{path}' must be an integer.", path)
        if not kind.minimum <= value <= kind.maximum:
            raise bad_request(f"'{path}' is {value}; it must be from {kind.minimum} to {kind.maximum}.", path)
        return value
    if not isinstance(value, str):
        raise bad_request(f"'{path}' must be a string.", path)
    return _text(kind, value, path)


def _text(kind: Any, value: str, path: str) -> str:
    if "\0" in value:
        raise bad_request(f"'{path}' holds a NUL character.", path)
    if isinstance(kind, Enum):
        for known in kind.values:
            if known.lower() == value.lower():
                return known
        raise bad_request(f"'{path}' is '{value}'; it must be one of {', '.join(kind.values)}.", path)
    if isinstance(kind, Duration):
        try:
            parse_duration(value)
        except (ValueError, OverflowError):
            raise bad_request(f"'{path}' is '{value}'; it must be an ISO-8601 duration such as P7D.", path) from None
        return value
    if not kind.minimum <= len(value) <= kind.maximum:
        raise bad_request(f"'{path}' must have {kind.minimum} to {kind.maximum} characters.", path)
    if kind.pattern and not re.fullmatch(kind.pattern, value):
        raise bad_request(f"'{path}' is '{value}'; it must match {kind.pattern}.", path)
    return value.upper() if kind.upper else value

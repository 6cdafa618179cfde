"""Configuration files of `create` commands: the JSON of a request body, with or without its `properties`."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from knack.log import get_logger

logger = get_logger(__name__)

_STDIN = "-"


def load(path: str, model: str) -> Any:
    """The SDK model `model` (say "JobCreateParameters") that the file describes; see `load_beside`."""
    return load_beside(path, model, ())[0]


def load_beside(path: str, model: str, names: tuple[str, ...]) -> tuple[Any, dict[str, str]]:
    """The model, and the texts that the file has under `names` beside its `properties`.

    `path` is `-` for standard input, or the JSON itself: az puts the contents of FILE in place of `@FILE`.
    What the file leaves out stays out of the request: the service fills in its defaults (wire.md 2).
    Raises FileOperationError or InvalidArgumentValueError, naming the file and the place in it.
    """
    if _is_content(path):
        name, text = "The configuration file", path
    else:
        name = "The configuration on standard input" if path == _STDIN else path
        text = _read(path)
    content = _wrapped(name, _parse(name, text))
    beside = {key: content.pop(key) for key in names if key in content}
    for key, value in beside.items():
        if not isinstance(value, str):
            _refuse(f"{name}: '{key}' is {_kind(value)} where a text is expected.")
    return _to_model(name, content, model), beside


def _is_content(path: str) -> bool:
    return not path.strip() or path.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") or "\n" in path


def _read(path: str) -> str:
    from azure.cli.core.azclierror import FileOperationError

    try:
        content = sys.stdin.buffer.read() if path == _STDIN else Path(path).expanduser().read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(f"{path} is not a text file in UTF-8: byte {error.start} cannot be decoded.")
    except (OSError, ValueError) as error:
        raise FileOperationError(
            f"The configuration file {path} cannot be read: {getattr(error, 'strerror', None) or error}.",
            recommendation="Check the path given with --config-file.",
        ) from error


def _parse(path: str, text: str) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        _refuse(f"{path}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}.")
    except RecursionError:
        _refuse(f"{path} is nested too deeply.")


def _wrapped(path: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        _refuse(f"{path} holds {_kind(content)} where an object ({{...}}) is expected.")
    content = {key: value for key, value in content.items() if key != "$schema"}
    properties = content.pop("properties", None)
    if properties is None:
        return {"properties": content}
    if not isinstance(properties, dict):
        _refuse(f"{path}: 'properties' is {_kind(properties)} where an object ({{...}}) is expected.")
    return {**content, "properties": properties}


def _to_model(path: str, content: dict[str, Any], model: str) -> Any:
    from azure.mgmt.batchai import models
    from msrest import Deserializer
    from msrest.exceptions import DeserializationError

    classes = {name: item for name, item in vars(models).items() if isinstance(item, type)}
    try:
        unknown = _check(content["properties"], getattr(models, model), classes, "", prefix="properties.")
        for where in [*unknown, *_unknown_beside_properties(content, getattr(models, model))]:
            logger.warning("%s: %s", path, where)
        return Deserializer(classes)(model, content)
    except _Mismatch as error:
        _refuse(f"{path}: {error}")
    except DeserializationError as error:
        _refuse(f"{path} does not fit: {str(error).splitlines()[0]}")


class _Mismatch(Exception):
    """The file has a value of a kind that its property cannot have."""


_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "long": (int,), "bool": (bool,)}


def _check(value: dict[str, Any], model: Any, classes: dict[str, Any], where: str, prefix: str = "") -> Iterator[str]:
    """Raise _Mismatch at the first value of the wrong kind; what it yields tells of keys that nothing knows.

    The SDK's own reading of a file is lenient: it would make a node count of "two" a fault without a place,
    take a list for a string, and leave out without a word what it does not know.
    """
    kinds = _keys(model, prefix)
    for key, item in value.items():
        if key not in kinds:
            yield _unknown(f"{where}{key}", key, {name: f"{where}{name}" for name in kinds})
        elif item is not None:
            yield from _check_value(item, kinds[key], classes, f"{where}{key}")


def _check_value(value: Any, kind: str, classes: dict[str, Any], where: str) -> Iterator[str]:
    if kind.startswith("["):
        if not isinstance(value, list):
            raise _Mismatch(f"'{where}' is {_kind(value)} where a list ([...]) is expected.")
        for index, item in enumerate(value):
            yield from _check_value(item, kind[1:-1], classes, f"{where}[{index}]")
    elif hasattr(classes.get(kind), "_attribute_map"):
        if not isinstance(value, dict):
            raise _Mismatch(f"'{where}' is {_kind(value)} where an object ({{...}}) is expected.")
        yield from _check(value, classes[kind], classes, f"{where}.")
    elif kind in _SCALARS and (not isinstance(value, _SCALARS[kind]) or isinstance(value, bool) != (kind == "bool")):
        expected = {"str": "a text", "bool": "true or false"}.get(kind, "a whole number")
        raise _Mismatch(f"'{where}' is {_kind(value)} where {expected} is expected.")


def _unknown_beside_properties(content: dict[str, Any], model: Any) -> Iterator[str]:
    likely = {name: f"properties.{name}" for name in _keys(model, "properties.")}
    for key in content:
        if key != "properties":
            yield _unknown(key, key, likely)


def _unknown(where: str, key: str, likely: dict[str, str]) -> str:
    """What to say of an unknown key; `likely`: the names known there -> how each is written in full."""
    lower = {name.lower(): place for name, place in likely.items()}
    close = difflib.get_close_matches(key.lower(), lower, n=1)
    question = f" Did you mean '{lower[close[0]]}'?" if close else ""
    return f"'{where}' is unknown and has no effect.{question}"


def _keys(model: Any, prefix: str) -> dict[str, str]:
    """What an object of the file may hold: key -> type."""
    attributes = model._attribute_map.values()  # pylint: disable=protected-access
    return {attribute["key"].removeprefix(prefix): attribute["type"] for attribute in attributes}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"{json.dumps(value)[:60]}"


def _refuse(message: str) -> NoReturn:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation="Correct the file given with --config-file.")

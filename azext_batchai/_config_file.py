"""Configuration files of `create` commands: the JSON of a request body, with or without its `properties`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn


def load(path: str, model: str) -> Any:
    """The SDK model `model` (say "JobCreateParameters") that the file describes.

    What the file leaves out stays out of the request: the service fills in its defaults (wire.md 2).
    Raises FileOperationError or InvalidArgumentValueError, naming the file and the place in it.
    """
    return _to_model(path, _wrapped(path, _parse(path)), model)


def _parse(path: str) -> Any:
    from azure.cli.core.azclierror import FileOperationError

    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(f"{path} is not a text file in UTF-8: byte {error.start} cannot be decoded.")
    except OSError as error:
        raise FileOperationError(
            f"The configuration file {path} cannot be read: {error.strerror or error}.",
            recommendation="Check the path given with --config-file.",
        ) from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        _refuse(f"{path}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}.")
    except RecursionError:
        _refuse(f"{path} is nested too deeply.")


def _wrapped(path: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        _refuse(f"{path} holds {_kind(content)} where an object ({{...}}) is expected.")
    properties = content.get("properties")
    if properties is None:
        properties = {key: value for key, value in content.items() if key != "$schema"}
    if not isinstance(properties, dict):
        _refuse(f"{path}: 'properties' is {_kind(properties)} where an object ({{...}}) is expected.")
    return {"properties": properties}


def _to_model(path: str, content: dict[str, Any], model: str) -> Any:
    from azure.mgmt.batchai import models
    from msrest import Deserializer
    from msrest.exceptions import DeserializationError

    classes = {name: item for name, item in vars(models).items() if isinstance(item, type)}
    try:
        _check(content["properties"], getattr(models, model), classes, "", prefix="properties.")
        return Deserializer(classes)(model, content)
    except _Mismatch as error:
        _refuse(f"{path}: {error}")
    except DeserializationError as error:
        _refuse(f"{path} does not fit: {str(error).splitlines()[0]}")


class _Mismatch(Exception):
    """The file has a value of a kind that its property cannot have."""


_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "long": (int,), "bool": (bool,)}


def _check(value: dict[str, Any], model: Any, classes: dict[str, Any], where: str, prefix: str = "") -> None:
    """Raise _Mismatch at the first value of the wrong kind.

    The SDK's own reading of a file is lenient: it would make a node count of "two" a fault without a place,
    and take a list for a string.
    """
    for attribute in model._attribute_map.values():  # pylint: disable=protected-access
        key = attribute["key"].removeprefix(prefix)
        if value.get(key) is not None:
            _check_value(value[key], attribute["type"], classes, f"{where}{key}")


def _check_value(value: Any, kind: str, classes: dict[str, Any], where: str) -> None:
    if kind.startswith("["):
        if not isinstance(value, list):
            raise _Mismatch(f"'{where}' is {_kind(value)} where a list ([...]) is expected.")
        for index, item in enumerate(value):
            _check_value(item, kind[1:-1], classes, f"{where}[{index}]")
    elif hasattr(classes.get(kind), "_attribute_map"):
        if not isinstance(value, dict):
            raise _Mismatch(f"'{where}' is {_kind(value)} where an object ({{...}}) is expected.")
        _check(value, classes[kind], classes, f"{where}.")
    elif kind in _SCALARS and (not isinstance(value, _SCALARS[kind]) or isinstance(value, bool) != (kind == "bool")):
        expected = {"str": "a text", "bool": "true or false"}.get(kind, "a whole number")
        raise _Mismatch(f"'{where}' is {_kind(value)} where {expected} is expected.")


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

"""Configuration files of `create` commands: a request body in JSON or YAML, with or without its `properties`."""

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


def load(path: str, model: str, strict: bool = False) -> Any:
    """The SDK model `model` (say "JobCreateParameters") that the file describes; see `load_beside`."""
    return load_beside(path, model, (), strict)[0]


def load_beside(path: str, model: str, names: tuple[str, ...], strict: bool = False) -> tuple[Any, dict[str, str]]:
    """The model, and the texts that the file has under `names` beside its `properties`; `strict` refuses unknown keys.

    `path` is `-` for standard input, or the JSON itself: az puts the contents of FILE in place of `@FILE`.
    What the file leaves out stays out of the request: the service fills in its defaults (wire.md 2).
    Raises FileOperationError or InvalidArgumentValueError, naming the file and the place in it.
    """
    name, content = read(path)
    beside = {key: content.pop(key) for key in names if key in content}
    for key, value in beside.items():
        if not isinstance(value, str):
            _refuse(f"{name}: '{key}' is {_kind(value)} where a text is expected.")
    made, unknown = to_model(name, content, model)
    if strict and unknown:
        _refuse(f"{name}: {' '.join(unknown)}")
    for what in unknown:
        logger.warning("%s: %s", name, what)
    return made, beside


def read(path: str) -> tuple[str, dict[str, Any]]:
    """How the file is called in messages, and the object with `properties` that it holds. Raises as `load`."""
    if _is_content(path):
        name, text = "The configuration file", path
    else:
        name = "The configuration on standard input" if path == _STDIN else path
        text = _read(path)
    content = _parse(name, text)
    try:
        return name, _wrapped(name, content)
    except RecursionError:  # an alias in YAML may hold itself
        _refuse(f"{name} is nested too deeply.")


def read_object(path: str, option: str) -> dict[str, Any]:
    """The object that a file of another option holds, as `read` reads it. Raises as `load`."""
    from azure.cli.core.azclierror import AzCLIError

    try:
        content = _parse(path, _read(path))
        if not isinstance(content, dict):
            _refuse(f"{path} holds {_kind(content)} where an object ({{...}}) is expected.")
    except AzCLIError as error:
        error.recommendations = [f"Check the file given with {option}."]
        raise
    return {str(key): value for key, value in content.items()}


def write_new(path: str, content: dict[str, Any]) -> None:
    """Write a configuration file. Raises FileOperationError where there is one already or it cannot be written."""
    from azure.cli.core.azclierror import FileOperationError

    try:
        with Path(path).expanduser().open("x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
    except FileExistsError:
        raise FileOperationError(
            f"{path} is there already.", recommendation="Name another file with --config-file, or remove it."
        ) from None
    except OSError as error:
        raise FileOperationError(
            f"{path} cannot be written: {error.strerror}.", recommendation="Check the path given with --config-file."
        ) from error


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
    from azext_batchai.command_line.json_text import without_comments

    if path.lower().endswith((".yaml", ".yml")):
        return _parse_yaml(path, text)
    try:
        return json.loads(without_comments(text.removeprefix("\ufeff")))
    except json.JSONDecodeError as error:
        _refuse(f"{path}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}.")
    except RecursionError:
        _refuse(f"{path} is nested too deeply.")


def _parse_yaml(path: str, text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # pylint: disable=too-many-ancestors
        """Dates stay texts: no key of ours has one."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader)  # noqa: S506  # nosec B506  (it is a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        _refuse(f"{path}{place}: this is not YAML: {error.problem}.")
    except (yaml.YAMLError, RecursionError) as error:
        _refuse(f"{path}: this is not YAML: {type(error).__name__}.")


def _wrapped(path: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        _refuse(f"{path} holds {_kind(content)} where an object ({{...}}) is expected.")
    content = {str(key): value for key, value in content.items() if key != "$schema"}
    properties = content.pop("properties", None)
    if properties is None:
        return {"properties": _without_az_own(_as_sent(content))}
    if not isinstance(properties, dict):
        _refuse(f"{path}: 'properties' is {_kind(properties)} where an object ({{...}}) is expected.")
    properties = {key: value for key, value in properties.items() if key != "$schema"}
    return {**content, "properties": _without_az_own(properties)}


def _without_az_own(value: Any) -> Any:
    """az adds the resource group wherever it prints an ARM ID."""
    if isinstance(value, list):
        return [_without_az_own(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_az_own(item) for key, item in value.items() if not (key == "resourceGroup" and "id" in value)
    }


def _as_sent(content: dict[str, Any]) -> dict[str, Any]:
    """What `show` prints, as `create` takes it: without what is the service's own, durations as on the wire."""
    if "provisioningState" not in content or "id" not in content:
        return content
    from azext_batchai.command_line.shown import as_sent

    return as_sent(content)


def to_model(path: str, content: dict[str, Any], model: str) -> tuple[Any, list[str]]:
    """The SDK model, and what is to be said of keys that nothing knows. Raises InvalidArgumentValueError."""
    from azure.mgmt.batchai import models
    from msrest import Deserializer
    from msrest.exceptions import DeserializationError

    classes = {name: item for name, item in vars(models).items() if isinstance(item, type)}
    try:
        unknown = _check(content["properties"], getattr(models, model), classes, "", prefix="properties.")
        told = [*unknown, *_unknown_beside_properties(content, getattr(models, model))]
        return Deserializer(classes)(model, content), told
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
    elif kind == "duration":
        _check_duration(value, where)
    elif kind in _SCALARS and (not isinstance(value, _SCALARS[kind]) or isinstance(value, bool) != (kind == "bool")):
        expected = {"str": "a text", "bool": "true or false"}.get(kind, "a whole number")
        raise _Mismatch(f"'{where}' is {_kind(value)} where {expected} is expected.")


def _check_duration(value: Any, where: str) -> None:
    from azext_batchai.command_line import durations

    if not isinstance(value, str) or not durations.is_iso(value):
        likely = durations.likely(value)
        raise _Mismatch(
            f"'{where}' is {_kind(value)} where an ISO 8601 duration is expected: write {likely or 'PT1H or P7D'}."
        )


def _unknown_beside_properties(content: dict[str, Any], model: Any) -> Iterator[str]:
    likely = {name: f"properties.{name}" for name in _keys(model, "properties.")}
    for key in content:
        if key != "properties":
            yield _unknown(key, key, likely)


def _unknown(where: str, key: str, likely: dict[str, str]) -> str:
    """What to say of an unknown key; `likely`: the names known there -> how each is written in full."""
    lower = {name.lower(): place for name, place in likely.items()}
    close = difflib.get_close_matches(key.lower(), lower, n=1)
    # One good guess is better than a list of all there is.
    there = "" if where == key and any("." in place for place in likely.values()) else _listed(likely)
    question = f" Did you mean '{lower[close[0]]}'?" if close else there
    return f"'{where}' is unknown and has no effect.{question}"


def _listed(names: dict[str, str]) -> str:
    return f" There are: {', '.join(sorted(names))}."


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

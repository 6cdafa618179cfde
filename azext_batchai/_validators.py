"""What can be said about an argument before any request is made."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

# wire.md 7, narrowed to ASCII: names become parts of URLs and folders.
_NAME = re.compile(r"[-A-Za-z0-9_]{1,64}")
_GROUP = re.compile(r"[-\w.()]{1,90}")


def valid_name(dest: str, noun: str) -> Callable[[Any], None]:
    """A validator of the name of a `noun`."""

    def validate(namespace: Any) -> None:
        value = getattr(namespace, dest, None)
        if value is not None and not _NAME.fullmatch(value):
            _refuse(
                f"'{value}' is not a valid {noun} name.",
                "Use 1 to 64 letters, digits, dashes and underscores.",
            )

    return validate


def valid_name_or_id(dest: str, noun: str) -> Callable[[Any], None]:
    """A validator of the name or the ARM id of a `noun`."""

    def validate(namespace: Any) -> None:
        value = getattr(namespace, dest, None)
        if not value or _NAME.fullmatch(value) or (value.startswith("/") and _is_resource_id(value)):
            return
        _refuse(f"'{value}' is neither a {noun} name nor the ARM ID of one.", f"Give the name or the ID of a {noun}.")

    return validate


def valid_resource_group(namespace: Any) -> None:
    value = getattr(namespace, "resource_group_name", None)
    if value is not None and (not _GROUP.fullmatch(value) or value.endswith(".")):
        _refuse(
            f"'{value}' is not a valid resource group name.",
            "Use 1 to 90 letters, digits, dashes, underscores, parentheses and periods, no period last.",
        )


def valid_resource_id(dest: str, option: str) -> Callable[[Any], None]:
    """A validator of an ARM id."""

    def validate(namespace: Any) -> None:
        value = getattr(namespace, dest, None)
        if value and not _is_resource_id(value):
            _refuse(
                f"{option} '{value}' is not an ARM resource ID.",
                "It looks like /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/TYPE/NAME.",
            )

    return validate


def valid_mount_path(dest: str, option: str) -> Callable[[Any], None]:
    """A validator of a mount path: relative, and inside the mount root."""

    def validate(namespace: Any) -> None:
        value = getattr(namespace, dest, None)
        if value is None:
            return
        segments = value.replace("\\", "/").split("/")
        if not value.strip() or value.startswith(("/", "\\", "$")) or ".." in segments:
            _refuse(
                f"{option} '{value}' is not a relative mount path.",
                "Give a path such as 'data', without a leading slash and without '..'; "
                "it is put under $AZ_BATCHAI_MOUNT_ROOT.",
            )

    return validate


def valid_scale(namespace: Any) -> None:
    """--min and --max belong together, and in this order."""
    low, high = namespace.min_nodes, namespace.max_nodes
    if (low is None) != (high is None):
        from azure.cli.core.azclierror import RequiredArgumentMissingError

        given, missing = ("--min", "--max") if high is None else ("--max", "--min")
        raise RequiredArgumentMissingError(
            f"{given} is given without {missing}.",
            recommendation="An auto-scale cluster needs both --min and --max.",
        )
    if low is not None and low > high:
        _refuse(f"--min {low} is greater than --max {high}.", "Give a --max that is at least --min.")


def valid_file_name(namespace: Any) -> None:
    value = namespace.file_name
    if not value or "/" in value:
        _refuse(f"'{value}' is not a file name.", "Give the folder of the file with --path.")


def count(text: str) -> int:
    """A number of nodes."""
    return _integer(text, 0, None, "a number of nodes, 0 or more")


def vm_priority(text: str) -> str:
    """`spot` is what Azure calls low priority now."""
    return "lowpriority" if text.lower() == "spot" else text


def positive(text: str) -> int:
    return _integer(text, 1, None, "a whole number, 1 or more")


def names(text: str) -> list[str]:
    """`a,b`: names with commas between them."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' names nothing")
    return found


def span(text: str) -> int:
    """`7d`, `12h` or `30m`, in seconds."""
    from azext_batchai.command_line.durations import seconds_of

    seconds = seconds_of(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"'{text}' is no time such as 7d, 12h or 30m")
    return seconds


def expiry(text: str) -> int:
    """Minutes for which a download URL is valid (wire.md 7)."""
    return _integer(text, 5, 600, "a number of minutes from 5 to 600")


def port(text: str) -> int:
    return _integer(text, 1, 65535, "a port number from 1 to 65535")


def location(text: str) -> str:
    """The short form of a location: "North Europe" is northeurope."""
    return text.replace(" ", "").lower()


def _integer(text: str, low: int, high: int | None, what: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low or (high is not None and value > high):
        raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
    return value


def _is_resource_id(value: str) -> bool:
    from azure.mgmt.core.tools import is_valid_resource_id

    return is_valid_resource_id(value)


def _refuse(message: str, recommendation: str) -> None:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation=recommendation)

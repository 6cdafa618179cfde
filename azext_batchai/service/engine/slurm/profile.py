"""Engine profiles: engines.json names the ways in which clusters can get their nodes from Slurm (docs/slurm.md)."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_WORD = re.compile(r"[^\s,;|&<>'\"$`\\]+")
# Options of sbatch that make a block what it is.
_OURS_SHORT = ("-J", "-N", "-n", "-o", "-e", "-D", "-t", "-k", "-W", "-a")
_OURS = (
    "--job-name", "--nodes", "--ntasks", "--ntasks-per-node", "--output", "--error", "--chdir", "--time", "--no-kill",
    "--wait", "--array", "--export", "--export-file", "--wrap", "--signal", "--requeue", "--no-requeue", "--comment",
    "--parsable", "--open-mode", "--input", "--overcommit", "--test-only", "--kill-on-invalid-dep",
)  # fmt: skip


CONTAINERS = ("podman", "apptainer", "pyxis")


class ProfileError(Exception):
    """engines.json cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class VmSize:
    gres: str = ""
    constraint: str = ""


@dataclass(frozen=True)
class Placement:
    """Where a block is asked for: '' leaves the choice to Slurm."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""


@dataclass(frozen=True)
class Profile:
    """One entry. `walltime` is as Slurm writes it, `low_priority` None where there are no such nodes."""

    name: str
    placement: Placement = Placement()
    walltime: str = ""
    vm_sizes: Mapping[str, VmSize] = field(default_factory=dict)
    low_priority: Placement | None = None
    node_idle_seconds: float | None = None
    exclusive: bool = True
    prologue: str = ""
    interface: str = ""
    python: str = "python3"
    containers: str = ""
    extra: tuple[str, ...] = ()

    @property
    def walltime_seconds(self) -> float | None:
        return seconds_of(self.walltime) if self.walltime else None


def seconds_of(walltime: str) -> float | None:
    """A time limit of Slurm's: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]."""
    match = _WALLTIME.fullmatch(walltime)
    if not match:
        return None
    days, *rest = match.groups()
    numbers = [int(number) for number in rest if number is not None]
    if days is not None:
        hours, minutes, seconds = (numbers + [0, 0])[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60.0 + seconds
    if len(numbers) == 3:
        return (numbers[0] * 60 + numbers[1]) * 60.0 + numbers[2]
    return numbers[0] * 60.0 + (numbers[1] if len(numbers) == 2 else 0)


def load(path: Path) -> dict[str, Profile]:
    """The profiles of a file, none where it does not exist. Raises ProfileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileError(f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from None
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise ProfileError(f"{path} is not JSON: {exc}.") from None
    if not isinstance(content, dict):
        raise ProfileError(f'{path} must be a JSON object: {{"name": {{"type": "slurm", ...}}}}.')
    return {name: _profile(path, name, entry) for name, entry in content.items()}


def _profile(path: Path, name: str, entry: Any) -> Profile:
    if not _NAME.fullmatch(name) or name == "local":
        raise ProfileError(f"{path}: '{name}' cannot name an engine: letters, digits, '.', '_', '-', and not 'local'.")
    reader = _Reader(path, name, entry, _KEYS)
    if reader.text("type") != "slurm":
        raise reader.wrong("type", 'must be "slurm"')
    placement = _placement(reader)
    walltime = reader.text("walltime")
    if walltime and not seconds_of(walltime):
        raise reader.wrong("walltime", "must be a time as Slurm writes it, for example 1-00:00:00 for a day")
    sizes = {}
    for size, settings in reader.mapping("vmSizes").items():
        inner = _Reader(path, f"{name}.vmSizes.{size}", settings, ("gres", "constraint"))
        sizes[size.upper()] = VmSize(inner.word("gres"), inner.word("constraint"))
    low = None
    if "lowPriority" in reader.entry:
        inner = _Reader(path, f"{name}.lowPriority", reader.entry["lowPriority"], _PLACEMENT)
        given = _placement(inner)
        low = Placement(*(getattr(given, key) or getattr(placement, key) for key in _PLACEMENT))
    containers = reader.text("containers")
    if containers and containers not in CONTAINERS:
        raise reader.wrong("containers", f"must be one of {', '.join(CONTAINERS)}")
    return Profile(
        name=name,
        placement=placement,
        walltime=walltime,
        vm_sizes=sizes,
        low_priority=low,
        node_idle_seconds=reader.number("nodeIdleSeconds"),
        exclusive=reader.flag("exclusive", True),
        prologue=reader.text("prologue"),
        interface=reader.word("interface"),
        python=reader.text("python") or "python3",
        containers=containers,
        extra=reader.options("extra"),
    )


_PLACEMENT = ("partition", "account", "qos", "constraint")
_KEYS = (
    "type", *_PLACEMENT, "walltime", "vmSizes", "lowPriority", "nodeIdleSeconds", "exclusive", "prologue", "interface",
    "python", "containers", "extra",
)  # fmt: skip


def _placement(reader: _Reader) -> Placement:
    return Placement(*(reader.text(key) for key in _PLACEMENT))


class _Reader:
    """Values of one object of the file, each with its type; every error names file and key."""

    def __init__(self, path: Path, where: str, entry: Any, keys: tuple[str, ...]) -> None:
        self._path, self._where = path, where
        if not isinstance(entry, dict):
            raise ProfileError(f"{path}: '{where}' must be an object.")
        self.entry = entry
        for key in entry:
            if key not in keys:
                close = difflib.get_close_matches(key.lower(), [known.lower() for known in keys], 1, 0.5)
                likely = next((known for known in keys if close and known.lower() == close[0]), "")
                hint = f"Did you mean '{likely}'?" if likely else f"Known keys: {', '.join(keys)}."
                raise ProfileError(f"{path}: there is no key '{where}.{key}'. {hint}")

    def wrong(self, key: str, why: str) -> ProfileError:
        value = json.dumps(self.entry.get(key))
        return ProfileError(f"{self._path}: '{self._where}.{key}' is {value}: it {why}.")

    def text(self, key: str) -> str:
        value = self.entry.get(key, "")
        if not isinstance(value, str) or "\0" in value:
            raise self.wrong(key, "must be a text")
        return value.strip()

    def word(self, key: str) -> str:
        value = self.text(key)
        if value and not _WORD.fullmatch(value.replace(",", "").replace("&", "").replace("|", "")):
            raise self.wrong(key, "must be one word")
        return value

    def number(self, key: str) -> float | None:
        value = self.entry.get(key)
        usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9
        if key in self.entry and not usable:
            raise self.wrong(key, "must be a number, 0 or more")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.entry.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.entry.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "must be an object")
        return value

    def options(self, key: str) -> tuple[str, ...]:
        value = self.entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(option, str) and option for option in value):
            raise self.wrong(key, "must be a list of options of sbatch")
        for option in value:
            name = option.split("=", 1)[0]
            if not option.startswith("-"):
                continue  # the value of the option before it
            if name[:2] in _OURS_SHORT and not name.startswith("--"):
                raise self.wrong(key, f"must not have {name[:2]}, which batchai sets itself")
            # sbatch takes the beginning of an option's name for the option.
            if name.startswith("--") and any(ours.startswith(name) for ours in _OURS):
                raise self.wrong(key, f"must not have {name}, which batchai sets itself")
        return tuple(value)

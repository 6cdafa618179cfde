"""Whether the scripts that a job names are where it says, on the shares and containers of this machine's service."""

from __future__ import annotations

import contextlib
import difflib
import os
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from azext_batchai.storage.places import CLUSTER_ROOT, JOB_ROOT, Place, locate

_SETTINGS = ("pythonScriptFilePath", "configFilePath")
# What can be told without running the job: a root or an input directory, and names without anything to expand.
_PATH = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+))/(?P<rest>[^$`*?\[{~\\]+)")
_ROOTS = (CLUSTER_ROOT, JOB_ROOT)
_INPUT = "$AZ_BATCHAI_INPUT_"
_STARTERS = re.compile(
    r"(.*/)?(python[\d.]*|bash|sh|Rscript|julia|perl|node|torchrun|accelerate|mpirun|mpiexec|horovodrun"
    r"|exec|env|nohup|time)"
)
_SCRIPT = re.compile(r".*\.(py|sh|bash|R|r|jl|pl|js|lua)")
_DEEPEST = 2  # folders below a mount that a misplaced script is looked for in


def named(settings_of: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a job (properties by toolkit key) names a script, and its path as a node has it: `$ROOT/share/train.py`."""
    for toolkit, settings in settings_of.items():
        for key in _SETTINGS:
            path = _plain_path(_one_word(str(settings.get(key) or "")))
            if path:
                yield f"{toolkit}.{key}", path
        path = _of_command_line(str(settings.get("commandLine") or ""))
        if path:
            yield f"{toolkit}.commandLine", path


def missing(client: Any, job: Any, cluster: Any, settings_of: Mapping[str, Any]) -> list[str]:
    """What to say of each script that is not there, for an SDK job and Cluster of this machine's service."""
    found = []
    for where, path in named(settings_of):
        place = _place(client, job, cluster, path)
        if place and not (place.local and os.path.exists(place.local)):
            likely = _likely(path, place)
            hint = f" (there is {likely})" if likely else f" ({place.local})" if place.local else ""
            found.append(f"'{where}' names {path}, which is not there{hint}")
    return found


def _one_word(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        return ""
    return words[0] if len(words) == 1 else ""


def _plain_path(word: str) -> str | None:
    match = _PATH.fullmatch(word)
    if not match:
        return None
    name = f"${match['braced'] or match['plain']}"
    return f"{name}/{match['rest']}" if name in _ROOTS or name.startswith(_INPUT) else None


def _of_command_line(line: str) -> str | None:
    """The script that a command line runs, where it is plain: nothing before it could have made the file."""
    # A line of its own is a command of its own, also where the shell sees it otherwise: then nothing plain comes of it.
    lexer = shlex.shlex(line.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a quotation without an end
        return None
    for command in _commands(words):
        program = command[0]
        if _STARTERS.fullmatch(program):
            return next((path for path in map(_plain_path, command[1:]) if path and _SCRIPT.fullmatch(path)), None)
        path = _plain_path(program)
        if path or (program != "cd" and any("$AZ_" in word or "${AZ_" in word for word in command)):
            return path
    return None


def _commands(words: list[str]) -> Iterator[list[str]]:
    """The simple commands of a line; it ends at the first redirection, which may write what comes later."""
    command: list[str] = []
    for word in [*words, ";"]:
        if not set(word) <= set("();<>|&"):
            command.append(word)
            continue
        if command:
            yield command
        if set(word) & set("<>("):
            return
        command = []


def _place(client: Any, job: Any, cluster: Any, path: str) -> Place | None:
    """None where it cannot be told: no share and no container, or an account that is not there or not said yet."""
    from azure.cli.core.azclierror import AzCLIError
    from azure.core.exceptions import HttpResponseError

    if path.startswith(_INPUT):
        name, _, rest = path.removeprefix(_INPUT).partition("/")
        inputs = {directory.id: directory.path for directory in job.input_directories or []}
        inner = _plain_path(f"{str(inputs.get(name) or '').rstrip('/')}/{rest}")
        return _place(client, job, cluster, inner) if inner and not inner.startswith(_INPUT) else None
    root = JOB_ROOT if path.startswith(f"{JOB_ROOT}/") else CLUSTER_ROOT
    setup = cluster.node_setup
    volumes = job.mount_volumes if root == JOB_ROOT else setup.mount_volumes if setup else None
    try:
        return locate(client, True, volumes, path, root)
    except (AzCLIError, HttpResponseError):
        return None


def _likely(path: str, place: Place) -> str | None:
    """A script of nearly this name beside it, or of this name elsewhere on its share; as a node has it."""
    if not place.local:
        return None
    folder, name = posixpath.split(path)
    beside = []
    with contextlib.suppress(OSError):  # there is no such folder either
        beside = [entry.name for entry in place.local.parent.iterdir() if entry.is_file()]
    close = difflib.get_close_matches(name, beside, 1)
    if close:
        return posixpath.join(folder, close[0])
    mount, top = path.removesuffix(place.path), Path(str(place.local).removesuffix(place.path))
    if mount == path or not name.strip("."):
        return None
    escaped = re.sub(r"([*?\[])", r"[\1]", name)
    with contextlib.suppress(OSError):
        for depth in range(_DEEPEST + 1):
            found = next(top.glob("*/" * depth + escaped), None)
            if found:
                return mount + found.relative_to(top).as_posix()
    return None

"""The same change of the environment in the languages of several shells."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from azext_batchai.local.environment import OUTER, Changes


@dataclass(frozen=True)
class Shell:
    """How a shell sets a variable to a text, to the value of another one, and unsets it; `how` to use the output."""

    assign: Callable[[str, str], str]
    copy: Callable[[str, str], str]
    unset: Callable[[str], str]
    comment: str
    how: str

    def enter(self, changes: Changes, kept: list[str]) -> str:
        lines = [self.copy(OUTER + name, name) for name in kept]
        lines += [self.unset(name) if value is None else self.assign(name, value) for name, value in changes.items()]
        return self._text(lines, "")

    def leave(self, back: list[str], gone: list[str]) -> str:
        lines = []
        for name in back:
            lines += [self.copy(name, OUTER + name), self.unset(OUTER + name)]
        return self._text([*lines, *(self.unset(name) for name in gone)], " --unset")

    def _text(self, lines: list[str], option: str) -> str:
        hint = f"{self.comment} Run this to change your shell: {self.how.format(option=option)}"
        return "\n".join([*lines, hint, ""])


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_POSIX = Shell(
    assign=lambda name, text: f"export {name}={shlex.quote(text)}",
    copy=lambda name, other: f'export {name}="${other}"',
    unset=lambda name: f"unset {name}",
    comment="#",
    how='eval "$(az batchai local env{option})"',
)
SHELLS: Mapping[str, Shell] = {
    "bash": _POSIX,
    "zsh": _POSIX,
    "fish": Shell(
        assign=lambda name, text: f"set -gx {name} {_fish(text)}",
        copy=lambda name, other: f"set -gx {name} ${other}",
        unset=lambda name: f"set -e {name}",
        comment="#",
        how="az batchai local env --shell fish{option} | source",
    ),
    "powershell": Shell(
        assign=lambda name, text: f"$env:{name} = {_single_quoted(text)}",
        copy=lambda name, other: f"$env:{name} = $env:{other}",
        unset=lambda name: f"Remove-Item Env:{name} -ErrorAction SilentlyContinue",
        comment="#",
        how="az batchai local env --shell powershell{option} | Out-String | Invoke-Expression",
    ),
    "cmd": Shell(
        assign=lambda name, text: f'set "{name}={text.replace("%", "%%")}"',
        copy=lambda name, other: f'set "{name}=%{other}%"',
        unset=lambda name: f'set "{name}="',
        comment="rem",
        how="az batchai local env --shell cmd{option} > env.cmd & call env.cmd",
    ),
}


def of_user(environ: Mapping[str, str]) -> str:
    """The user's shell; bash where it is none of these."""
    if os.name == "nt":
        return "powershell"
    name = Path(environ.get("SHELL", "")).name
    return {"pwsh": "powershell"}.get(name, name if name in SHELLS else "bash")

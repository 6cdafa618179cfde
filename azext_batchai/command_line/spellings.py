"""Spellings of earlier years, put into today's before the command line is parsed.

The parser never sees them: help does not list them, and every abbreviation of an option stays what it was.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from typing import NoReturn

from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.command_line.suggestions import instead_of

Words = tuple[str, ...]
NO_NAME = "-"  # in the place of a name that was not given


@dataclass(frozen=True)
class Spellings:
    """Of one command. `renamed`: old option -> today's; `gone`: old option -> what is said in its place."""

    renamed: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)


_WORKSPACE_LOCATION = "it is where its workspace is (`az batchai workspace create --location`)"
_MOUNTS = {
    "--nfs-name": "--nfs",  # the spelling of the documentation of 2018
    "--container-name": "--bfs-name",
    "--container-mount-path": "--bfs-mount-path",
}
_NFS_GROUP = {
    "--nfs-resource-group": "give --nfs the ARM ID of a file server of another resource group",
}
_LOCATION = dict.fromkeys(("--location", "-l"), _WORKSPACE_LOCATION)
_ADMIN = {"--admin-user-name": "--user-name", "-c": "--config-file"}
_NODE_CLUSTER = {"--name": "--cluster", "--cluster-name": "--cluster", "-r": "--cluster"}
_JOB = {"--job-name": "--job"}
_JOB_OR_FILE = "name the file with -f (--file-name) and the job with -j (--job)"

_OPTIONS: dict[Words, Spellings] = {
    ("cluster", "create"): Spellings({**_MOUNTS, **_ADMIN}, {**_LOCATION, **_NFS_GROUP}),
    ("file-server", "create"): Spellings(_ADMIN, _LOCATION),
    ("job", "create"): Spellings(
        {**_MOUNTS, "-r": "--cluster", "--cluster-name": "--cluster"},
        {
            **dict.fromkeys(_LOCATION, "it runs where its cluster is"),
            **_NFS_GROUP,
            "--cluster-resource-group": "give --cluster the ARM ID of a cluster of another resource group",
        },
    ),
    ("cluster", "node", "list"): Spellings({"--cluster-name": "--cluster", "-r": "--cluster"}),
    ("cluster", "node", "exec"): Spellings(_NODE_CLUSTER),
    ("cluster", "file", "list"): Spellings({**_NODE_CLUSTER, "-n": "--cluster"}),
    ("job", "list"): Spellings({"--w": "--workspace"}),  # as it was before there was --wide
    ("job", "file", "list"): Spellings(_JOB),
    ("job", "file", "stream"): Spellings(_JOB, dict.fromkeys(("--name", "-n"), _JOB_OR_FILE)),
}
# Commands of 2017 -> today's, with what their options were called.
_COMMANDS: dict[Words, tuple[Words, Spellings]] = {
    ("cluster", "list-nodes"): (("cluster", "node", "list"), Spellings(_NODE_CLUSTER)),
    ("job", "list-files"): (("job", "file", "list"), Spellings({**_JOB, "--name": "--job", "-n": "--job"})),
    ("job", "list-nodes"): (("job", "node", "list"), Spellings({**_JOB, "--name": "--job", "-n": "--job"})),
    ("job", "stream-file"): (
        ("job", "file", "stream"),
        # Which of the two --name meant has changed over the years.
        Spellings(_JOB, dict.fromkeys(("--name", "-n"), _JOB_OR_FILE)),
    ),
    ("usage", "show"): (("list-usages",), Spellings()),
}


def modernize(args: list[str]) -> None:
    """Rewrite the arguments of `az` in place; end az with one line where an old option has no new name."""
    words = tuple(itertools.takewhile(lambda word: not word.startswith("-"), args))
    if words[:1] != ("batchai",):
        return
    command = words[1:]
    if command in _COMMANDS:
        command, spellings = _COMMANDS[command]
        _rename_options(args, command, spellings)
        count = len(words)
        args[:] = [words[0], *command, *args[count:]]
    meant = instead_of(command)
    if meant:
        _refuse(f"There is no `az batchai {' '.join(command[:2])}`.", f"Did you mean `az batchai {meant}`?")
    if command in _OPTIONS:
        _rename_options(args, command, _OPTIONS[command])
    if command == ("job", "wait") and "--any" in args:
        _name_no_job(args)


def _rename_options(args: list[str], command: Words, spellings: Spellings) -> None:
    for index, argument in enumerate(args):
        option, value = _split(argument)
        if option in spellings.gone:
            _refuse(f"{option} of `az batchai {' '.join(command)}` is no more: {spellings.gone[option]}.")
        if option in spellings.renamed:
            args[index] = spellings.renamed[option] + (f"={value}" if value else "")


def _name_no_job(args: list[str]) -> None:
    """Fill in the name that the parser requires of `job wait`, where any job will do."""
    given = any(
        option == "-n" or (len(option) > len("--n") and "--name".startswith(option)) for option, _ in map(_split, args)
    )
    if not given and "--ids" not in args:
        args.append(f"--name={NO_NAME}")


def _split(argument: str) -> tuple[str, str]:
    """The option and the value that `--option=value`, `-ovalue` or `-o=value` holds."""
    if argument.startswith("--"):
        option, _, value = argument.partition("=")
        return option, value
    if argument.startswith("-"):
        return argument[:2], argument[2:].removeprefix("=")
    return "", ""


def _refuse(message: str, recommendation: str | None = None) -> NoReturn:
    """End az as the parser does for a command or option it does not know."""
    from azure.cli.core.azclierror import UnrecognizedArgumentError

    error = UnrecognizedArgumentError(message, recommendation=recommendation)
    error.print_error()
    error.send_telemetry()
    sys.exit(ExitStatus.WRONG_COMMAND_LINE)

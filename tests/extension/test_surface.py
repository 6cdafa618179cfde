"""Every command of the reference surface is there, with its options, defaults, choices and groups, and nothing else.

What is more than the reference stands in the ADDED_ tables, and is all there is.
"""

import pytest

from extension.scripted import Answer
from facts import surface as facts
from harness import surface

pytestmark = pytest.mark.documented

# Spellings of the documented walkthrough that the reference surface lacks. (Those that would make an abbreviation
# ambiguous are hidden: test_spellings.py.)
ADDED_SPELLINGS = {"batchai cluster node list": {"--name", "-n"}}
ADDED_OPTIONS = {
    "batchai job show": {"--as-config"},
    "batchai job wait": {"--any", "--timeout"},
    "batchai job create": {"--dry-run", "--strict"},
    "batchai cluster create": {"--engine"},
}
ADDED_COMMANDS = {
    f"batchai local {verb}"
    for verb in ("up", "status", "down", "logs", "env", "run", "connection-string", "preempt", "reset", "engines")
} | {f"batchai job {verb}" for verb in ("init", "logs", "resubmit", "run", "schema", "sweep", "validate")}
ADDED_OPTIONS |= {"batchai job list": {"--wide"}}
ADDED_COMMANDS |= {"batchai local doctor", "batchai job diagnose", "batchai cluster diagnose", "batchai cluster usage"}
ADDED_COMMANDS |= {"batchai cluster node ssh", "batchai cluster node ssh-config", "batchai job node ssh"}
# What the reference requires and the command never needed.
NOT_REQUIRED = {"batchai job create": {"--cluster", "-c"}}
# Abbreviations that are no longer the parser's, and mean what they meant (test_spellings.py).
KEPT_ABBREVIATIONS = {"batchai job list": {"--w"}}
ADDED_COMMANDS |= {f"batchai experiment {verb}" for verb in ("compare", "resubmit", "tensorboard", "terminate", "wait")}
ADDED_COMMANDS |= {f"batchai job {verb}" for verb in ("metrics", "tensorboard")}
ADDED_COMMANDS |= {"batchai cluster file upload", "batchai job file download", "batchai job file upload"}
ADDED_COMMANDS |= {"batchai local ui", "batchai local top"}
# Options that azure-cli itself adds to commands, now or since 2019.
OF_THE_CLI = {
    *("--debug", "--verbose", "--only-show-errors", "--subscription", "--cmd"),
    *("--change-reference", "--acquire-policy-token"),
}
FIELDS = ("required", "default", "choices", "group", "flag", "nargs")


@pytest.fixture(scope="module")
def reference() -> dict:
    return facts.load()


@pytest.fixture(scope="module")
def commands() -> dict:
    return surface.commands("batchai")


def test_commands(reference, commands):
    ours = {name for name, command in commands.items() if command.loader.__module__ == "azext_batchai"}
    assert ours == set(reference) | ADDED_COMMANDS
    assert len(reference) == 32


def test_no_command_of_the_builtin_module_is_left(commands):
    """What it has and we lack would show up beside our commands."""
    assert {command.loader.__module__ for command in commands.values()} == {"azext_batchai"}


def test_the_extension_answers_and_not_the_builtin_module(az_process):
    done = az_process("batchai", "cluster", "list", "-g", "g", "-w", "w", env={"AZURE_BATCHAI_ENDPOINT": "ftp://x"})
    assert done.code == 1
    assert "The Batch AI endpoint 'ftp://x'" in done.stderr
    assert "altered" not in done.stderr
    assert "deprecated" not in done.stderr


def test_options(reference, commands, subtests):
    for name in sorted(reference):
        with subtests.test(name):
            _compare(name, reference[name], commands[name], surface.arguments(name))


def _compare(name: str, reference: dict, command, arguments: list) -> None:
    added = ADDED_SPELLINGS.get(name, set())
    assert bool(command.confirmation) == reference["confirmation"]
    assert bool(command.table_transformer) == reference["table"]
    expected = {frozenset(a["options"]): {f: a[f] for f in FIELDS} for a in reference["arguments"]}
    found = {
        frozenset(a["options"]) - added: {f: a[f] for f in FIELDS}
        for a in arguments
        if not OF_THE_CLI.intersection(a["options"])
    }
    if name in NOT_REQUIRED:
        expected[frozenset(NOT_REQUIRED[name])]["required"] = False
    for options in ADDED_OPTIONS.get(name, set()):
        assert not found.pop(frozenset({options}))["required"]
    assert found == expected
    assert added <= {option for a in arguments for option in a["options"]}


def test_abbreviations(reference, subtests):
    """Each abbreviation of an option that was unambiguous still is, and means the same option."""
    for name in sorted(reference):
        with subtests.test(name):
            before = [set(a["options"]) for a in reference[name]["arguments"]]
            now = [set(a["options"]) for a in surface.arguments(name)]
            for options in before:
                for option in options:
                    for prefix in (option[:end] for end in range(3, len(option)) if option.startswith("--")):
                        if prefix in KEPT_ABBREVIATIONS.get(name, ()):
                            continue
                        if _meant(prefix, before) == [option]:
                            assert _meant(prefix, now) == [option], prefix


def _meant(prefix: str, arguments: list[set[str]]) -> list[str]:
    """The options that argparse takes an abbreviation for (those of the CLI itself are in both parsers)."""
    options = set().union(*arguments) - OF_THE_CLI
    return [prefix] if prefix in options else [option for option in options if option.startswith(prefix)]


def test_abbreviated_command_line(az, server):
    job = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.BatchAI"
    path = f"{job}/workspaces/w/experiments/e/jobs/j/listRemoteLoginInformation"
    server.expect("POST", path, Answer(200, {"value": []}))
    done = az("batchai", "job", "node", "list", "--resource-g", "g", "--w", "w", "--exp", "e", "--j", "j")
    assert (done.code, done.result) == (0, [])

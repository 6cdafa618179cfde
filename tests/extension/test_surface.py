"""Every command of the reference surface is there, with its options, defaults, choices and groups, and nothing else."""

import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.documented

# What comes with later issues; the built-in module still answers these.
LATER = {"batchai cluster file list", "batchai job node list", "batchai job node exec"}
# Spellings of the documented walkthrough that the reference surface lacks.
ADDED_SPELLINGS = {
    "batchai cluster create": {"--nfs-name"},
    "batchai job create": {"--nfs-name"},
    "batchai cluster node list": {"--name", "-n"},
    "batchai cluster node exec": {"--name"},
}
ADDED_COMMANDS = {f"batchai local {verb}" for verb in ("up", "status", "down", "logs", "reset")}
# Options that azure-cli itself adds to commands, now or since 2019.
OF_THE_CLI = {
    *("--debug", "--verbose", "--only-show-errors", "--subscription", "--cmd"),
    *("--change-reference", "--acquire-policy-token"),
}
FIELDS = ("required", "default", "choices", "group", "flag", "nargs")


@pytest.fixture(scope="module")
def surface(shared: Path):
    spec = importlib.util.spec_from_file_location("surface", shared / "surface" / "surface.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict:
    path = shared / "surface" / "az-batchai.json"
    return json.loads(path.read_text(encoding="utf-8"))["commands"]


@pytest.fixture(scope="module")
def commands(surface) -> dict:
    return surface._commands("batchai")


def test_commands(reference, commands):
    ours = {name for name, command in commands.items() if command.loader.__module__ == "azext_batchai"}
    assert ours == set(reference) - LATER | ADDED_COMMANDS


def test_the_extension_answers_and_not_the_builtin_module(az_process):
    done = az_process("batchai", "cluster", "list", "-g", "g", "-w", "w", env={"AZURE_BATCHAI_ENDPOINT": "ftp://x"})
    assert done.code == 1
    assert "The Batch AI endpoint 'ftp://x'" in done.stderr
    assert "altered" not in done.stderr
    assert "deprecated" not in done.stderr


def test_options(surface, reference, commands, subtests):
    for name in sorted(set(reference) - LATER):
        with subtests.test(name):
            _compare(name, reference[name], commands[name], list(surface._arguments(name).values()))


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
    assert found == expected
    assert added <= {option for a in arguments for option in a["options"]}

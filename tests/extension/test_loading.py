"""What is loaded when, and what the help says: start-up time is paid by every command."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from azure.cli.core import get_default_cli
from knack.help_files import helps

from harness.az import command as az_command
from harness.az import our_help_last
from harness.sandbox import CHECKOUT

HEAVY = {"azure.mgmt", "msrest", "requests", "paramiko", "asyncssh", "starlette", "uvicorn", "cryptography"}


def imported(stderr: str) -> set[str]:
    """The modules in the output of -X importtime."""
    return {line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")}


def test_the_package_alone_imports_nothing():
    """The service is started through it, and must not load the CLI."""
    code = "import sys; before = set(sys.modules); import azext_batchai; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=True)
    assert done.stdout.strip() == "{'azext_batchai'}"


def test_unknown_attribute():
    import azext_batchai

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        azext_batchai.nothing  # noqa: B018


@pytest.fixture(scope="module")
def warm(az_process):
    """The first command of a new configuration folder loads more: it builds the command index."""
    assert az_process("batchai", "-h").code == 0


@pytest.mark.parametrize("command", ["batchai cluster create -h", "batchai job file stream -h", "batchai local status"])
def test_nothing_heavy_is_loaded_before_it_is_needed(warm, command):
    _, *rest = az_command(*command.split())
    done = subprocess.run([sys.executable, "-X", "importtime", *rest], capture_output=True, text=True, check=True)
    modules = imported(done.stderr)
    assert any(name.startswith("azext_batchai") for name in modules)
    assert not {name for name in modules if name.startswith(tuple(HEAVY))}


def test_listing_loads_what_it_needs_alone(warm, server):
    from extension.scripted import SUBSCRIPTION, Answer

    path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w/clusters"
    server.expect("GET", path, Answer(200, {"value": []}))
    _, *rest = az_command("batchai", "cluster", "list", "-g", "g", "-w", "w")
    done = subprocess.run([sys.executable, "-X", "importtime", *rest], capture_output=True, text=True, check=True)
    modules = imported(done.stderr)
    assert "azure.mgmt.batchai" in modules
    assert not modules & {"paramiko", "asyncssh", "msal", "requests", "urllib3", "oauthlib", "chardet"}
    rooms = {name.split(".")[1] for name in modules if name.startswith("azext_batchai.")}
    assert not rooms & {"jobs", "ssh", "storage"}
    assert "azext_batchai.command_line.durations" not in modules, "which the options of jobs need"


@pytest.fixture(scope="module")
def table() -> dict:
    our_help_last()  # a test that has imported our help before this would find the built-in module's in its place
    cli = get_default_cli()
    invocation = cli.invocation_cls(
        cli_ctx=cli, parser_cls=cli.parser_cls, commands_loader_cls=cli.commands_loader_cls, help_cls=cli.help_cls
    )
    cli.invocation = invocation
    loader = invocation.commands_loader
    loader.load_command_table(["batchai"])
    ours = {n: c for n, c in loader.command_table.items() if c.loader.__module__ == "azext_batchai"}
    for name in ours:
        invocation.data["command_string"] = name
        loader.load_arguments(name)
    return ours


def test_every_command_has_help_with_examples(table):
    for name in table:
        entry = yaml.safe_load(helps[name])
        assert entry["type"] == "command", name
        assert entry["short-summary"], name
        assert entry["examples"], name
    groups = {name.rpartition(" ")[0] for name in table}
    assert all(yaml.safe_load(helps[group])["type"] == "group" for group in groups)


def test_examples_use_options_that_exist(table):
    from azure.cli.core.parser import AzCliCommandParser  # noqa: F401  (makes the arguments' types available)

    for name, command in table.items():
        options = {o for a in command.arguments.values() for o in _options(command, a)}
        for example in yaml.safe_load(helps[name])["examples"]:
            words = shlex.split(example["text"].replace("\\\n", " "))
            assert " ".join(words).startswith(f"az {name}"), example
            of_az = words[: words.index("--")] if "--" in words else words
            used = {word for word in of_az if re.fullmatch(r"-[a-zA-Z]|--[a-z][-a-z]+", word)}
            unknown = used - options - {"-o", "--query", "--yes", "-y", "--no-wait"}
            assert not unknown, f"{name}: {unknown}"


def _options(command, argument) -> list[str]:
    settings = command.loader.argument_registry.get_cli_argument(command.name, argument.name).settings
    default = ["--" + argument.name.replace("_", "-")]
    return [str(option) for option in settings.get("options_list") or default]


def test_completion_needs_no_request():
    from types import SimpleNamespace

    from azext_batchai import _completers

    namespace = SimpleNamespace(_cmd=None)
    assert _completers.images(prefix="ubuntul", parsed_args=namespace) == ["UbuntuLTS"]
    assert "Standard_NC6" in _completers.vm_sizes(prefix="standard_nc", parsed_args=namespace)

"""The README is true: its quickstart runs as printed, its command table is the command table."""

import re
from pathlib import Path

import pytest

from e2e.readme import quickstart, section
from harness import az
from harness.cluster import ok, wait_for_nodes


def test_the_quickstart_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    commands, job = quickstart()
    Path("job.json").write_text(job, encoding="utf-8")
    outputs = [az.run(*arguments) for arguments in commands]
    assert [outcome.code for outcome in outputs] == [0] * 6, [outcome.stderr for outcome in outputs]
    assert re.fullmatch(r"hello from \S+\n", outputs[4].output)
    cluster = ok(az.run("batchai", "cluster", "show", "-g", "lab", "-w", "digits", "-n", "gpus"))
    assert cluster["scaleSettings"]["manual"]["targetNodeCount"] == 0
    wait_for_nodes("digits", "gpus", group="lab")


def test_the_table_of_exit_codes_is_complete() -> None:
    from azext_batchai.command_line.exit_status import ExitStatus

    assert re.findall(r"^\| (\d+) \|", section("Commands"), flags=re.MULTILINE) == [str(int(s)) for s in ExitStatus]


def test_the_command_table_is_complete() -> None:
    from azure.cli.core.mock import DummyCli

    from azext_batchai import COMMAND_LOADER_CLS

    loader = COMMAND_LOADER_CLS(DummyCli())
    loader.load_command_table([])
    shown = set()
    for group, commands in re.findall(r"^\| `az (batchai[^`]*)` \|(.*)\|$", section("Commands"), flags=re.MULTILINE):
        names = re.findall(r"`([^`]+)`", commands)
        shown |= {f"{group} {name}" for name in names} if names else {group}
    hidden = {name for name, command in loader.command_table.items() if command.deprecate_info}
    assert shown == set(loader.command_table) - hidden

"""Fixtures of the tests of the extension: a scripted server that az talks to."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extension.builtin import Builtin
from extension.scripted import ScriptedServer
from facts import recordings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """The endpoint of az for one test. What it was not asked for, or asked otherwise, fails the test."""
    scripted = ScriptedServer()
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", scripted.url)
    monkeypatch.setenv("AZURE_BATCHAI_TOKEN", scripted.token)
    yield scripted
    scripted.close()
    scripted.check()


@pytest.fixture
def recording(server: ScriptedServer) -> Callable[[str, int, int], None]:
    """`recording(name, first, last)`: expect the recorded requests n=first..last of that recording."""

    def load(name: str, first: int, last: int) -> None:
        server.load([item for item in recordings.load(name) if first <= item["n"] <= last])

    return load


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[[str, object], str]:
    def write(name: str, content: object) -> str:
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def builtin(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Builtin:
    """The module that azure-cli ships, whose faults are proved on it."""
    module = Builtin(server)
    monkeypatch.setattr(module.code.time, "sleep", lambda _: None)
    monkeypatch.setattr(module.code.signal, "signal", lambda *_: None)
    monkeypatch.setattr(module.code, "logger", module.logger())
    return module

"""Tests of the control plane: coroutines that run in virtual time over a real store and an engine in memory."""

from __future__ import annotations

import inspect
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.plane import Plane

_SHARED_MEMORY = Path("/dev/shm")  # every commit is synchronised: not on a disk, where there is a choice


@pytest.fixture
def empty_plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    """A state folder without a service yet."""
    where = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="plane-", dir=where) as folder:
        plane = Plane(Path(folder), monkeypatch)
        yield plane
        assert plane.loose_writes == []
        if not plane.loop.is_closed():
            plane.loop.run_until_complete(_let_go(plane))
            plane.loop.close()


async def _let_go(plane: Plane) -> None:
    if hasattr(plane, "service"):
        await plane.crash()


@pytest.fixture
def plane(empty_plane: Plane) -> Plane:
    """A service with a workspace and an experiment."""
    empty_plane.loop.run_until_complete(empty_plane.new())
    return empty_plane


@pytest.fixture(autouse=True)
def no_task_dies(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A background task that ends with an exception, or a callback that raises, fails the test."""
    yield
    found = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    bad = [text for text in found if "background task failed" in text or "Exception in callback" in text]
    assert not bad, caplog.text


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A service that is killed leaves coroutines that had not begun."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Run a test that is a coroutine in its plane's loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    plane: Plane = arguments.get("plane") or arguments["empty_plane"]
    plane.loop.run_until_complete(pyfuncitem.obj(**arguments))
    return True

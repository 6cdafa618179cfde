"""Fixtures of every test: the real az, the real service, a place of their own for both."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import sandbox

ROOT = sandbox.enter()  # before anything imports azure.cli.core

from harness import az as az_module  # noqa: E402
from harness.service import FAST, Service  # noqa: E402


@pytest.fixture(scope="session")
def az():
    """`az("batchai", "workspace", "list", ...)` inside this process -> Outcome(code, output, stderr, result)."""
    return az_module.run


@pytest.fixture(scope="session")
def az_process():
    """The same as a process of its own (half a second each)."""
    return az_module.run_process


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own; what the test starts in it is ended and verified gone."""
    folder = _new_home()
    _use(folder, monkeypatch)
    yield folder
    Service(folder).destroy()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A running embedded service for the tests of one module, which the commands of `az` use."""
    running = Service(_new_home())
    with pytest.MonkeyPatch.context() as monkeypatch:
        _use(running.home, monkeypatch)
        ready = running.start()
        assert ready["status"] == "ready", ready
        yield running
        running.destroy()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout (recordings, recipes, the command surface)."""
    folder = sandbox.CHECKOUT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference material is not beside this checkout")
    return folder


def _new_home() -> Path:
    return Path(tempfile.mkdtemp(prefix="home-", dir=ROOT))


def _use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(home))
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)

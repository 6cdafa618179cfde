"""Fixtures of every test: the real az, the real service, a place of their own for both."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import sandbox

ROOT = sandbox.enter()  # before anything imports azure.cli.core

from harness import az as az_module  # noqa: E402
from harness import slurm as slurm_module  # noqa: E402
from harness.service import FAST, Service  # noqa: E402


@pytest.fixture(scope="session")
def az():
    """`az("batchai", "workspace", "list", ...)` inside this process -> Outcome(code, output, stderr, result)."""
    return az_module.run


@pytest.fixture(scope="session")
def az_process():
    """The same as a process of its own (half a second each)."""
    return az_module.run_process


@pytest.fixture(scope="session")
def slurm() -> Iterator[slurm_module.Slurm]:
    """A real Slurm for the tests of one worker; they are skipped where it is not installed."""
    with slurm_module.running(slurm_module.NODES) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    """The engine of clusters that name none; tests/wire/conftest.py has the modules that run on several."""
    return getattr(request, "param", "local")


@pytest.fixture(scope="module")
def engine_settings(request: pytest.FixtureRequest, engine: str) -> dict[str, str]:
    """The environment that makes it the service's default."""
    if engine == "local":
        return {}
    cluster: slurm_module.Slurm = request.getfixturevalue("slurm")
    profiles = cluster.folder / "engines.json"
    profiles.write_text(json.dumps({"slurm": slurm_module.PROFILE}), encoding="utf-8")
    return {"AZURE_BATCHAI_ENGINE": "slurm", "AZURE_BATCHAI_ENGINES": str(profiles), **cluster.environment}


@pytest.fixture
def home(engine_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own; what the test starts in it is ended and verified gone."""
    folder = _new_home()
    _use(folder, monkeypatch, engine_settings)
    yield folder
    Service(folder).destroy()


@pytest.fixture(scope="module")
def service(engine_settings: dict[str, str]) -> Iterator[Service]:
    """A running embedded service for the tests of one module, which the commands of `az` use."""
    running = Service(_new_home())
    with pytest.MonkeyPatch.context() as monkeypatch:
        _use(running.home, monkeypatch, engine_settings)
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


def _use(home: Path, monkeypatch: pytest.MonkeyPatch, engine_settings: dict[str, str]) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_HOME", str(home))
    for name, value in {**FAST, **engine_settings}.items():
        monkeypatch.setenv(name, value)

"""A small Slurm of its own for these tests: what is scarce is counted, and every test gives its nodes back."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import slurm as slurm_module
from harness.processes import wait_until
from harness.service import Service
from harness.slurm import Slurm
from wire.api import Api


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    with slurm_module.running(4) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def engine() -> str:
    return "slurm"


@pytest.fixture
def profiles(slurm: Slurm, engine_settings: dict[str, str]) -> Iterator[Callable[..., None]]:
    """`profiles(name={...})` adds engines to engines.json until the test has ended."""
    path = slurm.folder / "engines.json"
    before = path.read_text(encoding="utf-8")

    def add(**more: Any) -> None:
        path.write_text(json.dumps({**json.loads(before), **more}), encoding="utf-8")

    yield add
    path.write_text(before, encoding="utf-8")


@pytest.fixture
def api(service: Service, slurm: Slurm) -> Iterator[Api]:
    """A workspace of the test's own; its clusters are gone afterwards, in Slurm too."""
    made = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    yield made
    if not service.info:
        return
    made.finish(made.call("DELETE", made.workspace)[1])
    wait_until(lambda: not slurm.jobs(), "nothing is left in Slurm")

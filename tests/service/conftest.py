"""What several tests of the service's parts need."""

import asyncio
from pathlib import Path

import pytest

from azext_batchai.service.engine.local.view import View, find_bubblewrap


@pytest.fixture
def view(tmp_path: Path) -> View:
    program = asyncio.run(find_bubblewrap())
    if not program:
        pytest.skip("there is no bubblewrap here that works")
    return View(tmp_path, program)

"""The extension is gone and something still runs: what the README says to end it by."""

import os
import signal
from pathlib import Path

import pytest

from harness import az, processes
from harness.cluster import ok

pytestmark = pytest.mark.invented


def test_ending_what_has_our_name_ends_the_jobs(home: Path) -> None:
    ok(az.run("batchai", "job", "run", "-n", "left", "--detach", "--", "sleep 4321"))
    processes.wait_until(lambda: any("sleep 4321" in line for line in processes.of_home(home).values()), "it runs")
    for pid, line in processes.of_home(home).items():
        if "azext_batchai" in line:
            os.kill(pid, signal.SIGTERM)
    processes.wait_until(lambda: not processes.of_home(home), "nothing is left", 30)

"""200 kills under a mixed load, in four campaigns: CRASH_SEED takes another load, `make soak` goes on for hours."""

import os
import sys
from pathlib import Path

import pytest

from crash.campaign import Campaign

pytestmark = [pytest.mark.invented, pytest.mark.slow]
SEED = int(os.environ.get("CRASH_SEED", "1"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(4))
def test_every_promise_holds_over_fifty_kills(tmp_path: Path, number: int) -> None:
    campaign = Campaign(tmp_path, SEED * 1000 + number)
    try:
        campaign.run(50)
    finally:
        campaign.close()
        sys.stdout.write(campaign.report() + "\n")
    assert campaign.kills >= 50
    assert campaign.figures["jobs with their exact end"] > 20, campaign.report()  # the load was one
    assert not campaign.violations, campaign.report()

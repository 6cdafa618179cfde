"""`make soak ARGS="--hours 2 --seed 7"`: kill the service until told to stop, print the figures."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import sandbox  # noqa: E402

ROOT = sandbox.enter()

from crash.campaign import Campaign  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the service, its launcher and its runners under load.")
    parser.add_argument("--hours", type=float, default=1.0, help="how long")
    parser.add_argument("--kills", type=int, default=10**9, help="how many kills at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first campaign")
    arguments = parser.parse_args()
    sys.stdout.write(f"seed {arguments.seed}\n")
    campaign = Campaign(Path(tempfile.mkdtemp(dir=ROOT)), arguments.seed, say=True)
    try:
        campaign.run(arguments.kills, arguments.hours * 3600)
        sys.stdout.write(campaign.report() + "\n")
    finally:
        campaign.close()
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())

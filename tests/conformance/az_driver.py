"""Runs az commands on request; the environment says which az. A line in is the arguments, a line out the outcome."""

import json
import sys
from dataclasses import asdict

from harness import az

for line in sys.stdin:
    outcome = asdict(az.run(*json.loads(line)))
    del outcome["result"]
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()

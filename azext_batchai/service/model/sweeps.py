"""Jobs that were submitted as one sweep, and how many of them run at once.

A job says so itself, by two of its variables: the body stays what Batch AI knows, and a service without them runs all.
"""

from __future__ import annotations

from azext_batchai.service.store import Record

SWEEP = "AZ_BATCHAI_SWEEP"  # a name; sweeps of other experiments may have the same
MAX_RUNNING = "AZ_BATCHAI_SWEEP_MAX_RUNNING"


def limit_of(job: Record) -> tuple[str, int]:
    """The sweep of a job and how many of its jobs may run at once; ("", 0) for a job that nothing limits."""
    variables = {entry["name"]: str(entry["value"]) for entry in job.properties.get("environmentVariables", ())}
    name, most = variables.get(SWEEP, ""), variables.get(MAX_RUNNING, "").strip()
    if not name or not most.isascii() or not most.isdigit() or not int(most):
        return "", 0
    return f"{job.parent}/{name}", int(most)

"""Why a job failed, or waits, in the few words that tell it."""

from __future__ import annotations

# pylint: disable=too-many-instance-attributes
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from azext_batchai.formats.last_words import last_word
from azext_batchai.jobs.state import queue_reason_on

# The rank that failed first, in what mpirun writes behind the output of the ranks.
_MPI_RANK = re.compile(r"Process name: \[\[\d+,\d+\],(\d+)\]")


@dataclass(frozen=True)
class Failure:
    """What the service says of a job that failed; '' and None for what it does not say.

    `rank` is that of the process whose end was the job's, as its files are named by; `said`: its last lines.
    """

    code: str
    message: str
    exit_code: int | None = None
    signal: str = ""
    rank: str = ""
    node: str = ""
    info: str = ""
    said: str = ""

    @classmethod
    def of(cls, job: Any) -> Failure | None:
        """Of an SDK Job; None for one that has not failed."""
        if job.execution_state != "failed":
            return None
        info = job.execution_info
        errors = (info.errors if info else None) or []
        code = info.exit_code if info else None
        if not errors:
            return cls("", "", code)
        details = {detail.name: detail.value or "" for detail in errors[0].details or []}
        said = details.get("StdErr", "")
        # The node is that of mpirun, which says which rank it was, not where.
        found = None if "Rank" in details else _MPI_RANK.search(said)
        return cls(
            errors[0].code or "",
            errors[0].message or "",
            code,
            details.get("Signal", ""),
            details.get("Rank", "") or (found[1] if found else ""),
            "" if found else details.get("NodeId", ""),
            details.get("Info", ""),
            said,
        )

    @property
    def line(self) -> str:
        """One line."""
        if self.signal:
            how = f"signal {self.signal}"
        elif self.exit_code is not None:
            how = f"exit code {self.exit_code}"
        else:
            how = self.message or self.code or "no reason given"
        of_rank = f" of rank {self.rank}" if self.rank and how != self.message else ""
        what = self.info or last_word(self.said)
        return f"{how}{of_rank}{': ' + what if what else ''}"


def of_job(job: Any, cluster: Any, others: Callable[[], Iterable[Any]]) -> str:
    """One line on why an SDK Job failed or waits, '' for others.

    `cluster`: that of a queued job, None if gone; `others`: the jobs of its experiment.
    """
    failure = Failure.of(job)
    if failure:
        return failure.line
    return queue_reason_on(cluster, job, brief=True, others=others) if job.execution_state == "queued" else ""

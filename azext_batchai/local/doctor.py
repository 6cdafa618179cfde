"""`az batchai local doctor`: what is there for the service and its jobs, one line each."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

OK, NOTE, MISSING, WRONG = "ok", "note", "missing", "wrong"


@dataclass(frozen=True)
class Finding:
    """What one check has found. `gives`: what the missing thing would give; `advice`: what to type or do.

    `status`: OK; NOTE, worth knowing; MISSING, an optional part is not there; WRONG, something will fail.
    """

    check: str
    status: str
    found: str
    gives: str = ""
    advice: str = ""


Check = Callable[[Any], "Finding | None"]


def examine(cli_ctx: Any) -> list[dict[str, str]]:
    """All findings, in a fixed order. Nothing is started and nothing is written."""
    from azext_batchai.local import machine_checks, state_checks

    checks: Sequence[Check] = (*machine_checks.CHECKS, *state_checks.CHECKS)
    # Some ask programs, which take their time to answer.
    with concurrent.futures.ThreadPoolExecutor(len(checks)) as pool:
        found = list(pool.map(lambda check: check(cli_ctx), checks))
    return [asdict(finding) for finding in found if finding]


def is_well(findings: list[dict[str, str]]) -> bool:
    """Whether nothing is wrong; what is missing may be."""
    return all(finding["status"] != WRONG for finding in findings)


def lines(findings: list[dict[str, str]], width: int | None, coloured: bool) -> list[str]:
    """A line for each finding; cut at `width` columns, None for no end."""
    names = max(len(finding["check"]) for finding in findings)
    marks = {OK: 32, NOTE: 36, MISSING: 33, WRONG: 31}
    text = []
    for finding in findings:
        rest = ". ".join(part.rstrip(".") for part in (finding["found"], finding["gives"], finding["advice"]) if part)
        line = f"{finding['status']:<8}{finding['check']:<{names + 2}}{rest}"
        line = line if width is None else line[: max(width - 1, 10)]
        status = finding["status"]
        if coloured:
            line = f"\x1b[{marks[status]}m{status}\x1b[0m{line[len(status) :]}"  # noqa: E203
        text.append(line)
    return text

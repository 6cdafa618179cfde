"""What `az batchai local engines --check` finds out about a profile: everything that a block of it will need."""

from __future__ import annotations

import secrets
import shlex
import shutil
from pathlib import Path
from typing import Any

from azext_batchai.service.engine.base import Login, NodeSpec
from azext_batchai.service.engine.slurm import commands
from azext_batchai.service.engine.slurm.commands import SlurmError
from azext_batchai.service.engine.slurm.options import options_of
from azext_batchai.service.engine.slurm.profile import Profile

_WAIT_SECONDS = 30  # for a free node
_NOT_FOR_SRUN = ("--no-requeue", "--open-mode=append")
_ON_THE_NODE = """[ "$(cat {file})" = {value} ] || {{ echo "{folder} is not there on $(hostname)" >&2; exit 1; }}
{python} -c 'import sys; sys.exit(sys.version_info < (3, 6))' ||
    {{ echo "{python} is not Python 3.6 or newer" >&2; exit 1; }}
echo "$(hostname): $({python} -V 2>&1)"
"""


async def probe(profile: Profile, home: Path) -> list[dict[str, Any]]:
    """One entry a check: {"check", "passed", "said"}; those behind one that failed are not tried."""
    found: list[dict[str, Any]] = []
    missing = [name for name in ("sbatch", "squeue", "scancel", "srun") if not shutil.which(name)]
    _note(found, "commands", not missing, f"not found: {', '.join(missing)}" if missing else "")
    spec = NodeSpec("", 0, "", "", False, Login("", (), None))
    options = options_of(profile, spec)
    on_node = [option for option in options if option not in _NOT_FOR_SRUN]
    nonce = home / f"probe.{secrets.token_hex(4)}"
    value = secrets.token_hex(8)
    line = _ON_THE_NODE.format(
        file=shlex.quote(str(nonce)), value=value, folder=home, python=shlex.quote(profile.python)
    )
    tries = (
        ("version", ["sbatch", "--version"]),
        ("placement", ["sbatch", "--test-only", *options, "--nodes=1", "--wrap=true"]),
        ("node", ["srun", "--quiet", f"--immediate={_WAIT_SECONDS}", "--nodes=1", *on_node, "/bin/sh", "-c", line]),
    )
    nonce.write_text(value, encoding="ascii")
    try:
        for name, argv in tries:
            if not found[-1]["passed"]:
                break
            try:
                _note(found, name, True, (await commands.run(argv)).strip())
            except SlurmError as exc:
                _note(found, name, False, str(exc))
    finally:
        nonce.unlink(missing_ok=True)
    return found


def _note(found: list[dict[str, Any]], check: str, passed: bool, said: str) -> None:
    found.append({"check": check, "passed": passed, "said": said})

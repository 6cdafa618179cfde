"""How what runs on a node sees the node's folder: at the place that Batch AI documented, where this machine allows it.

bubblewrap gives each process a mount namespace in which the folder lies at /mnt/batch/tasks/shared/LS_root (wire.md
5.3), so that two nodes of one machine have the same paths, as two machines had. Without it a process sees the folder
where it really is. The variables of nodes and jobs are right either way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCUMENTED_ROOT = "/mnt/batch/tasks/shared/LS_root"


@dataclass(frozen=True)
class View:
    """The view of one node whose folder is `root`; `bubblewrap` is the program, or '' for the plain view."""

    root: Path
    bubblewrap: str = ""

    def inside(self, text: str) -> str:
        """A path, or a text with paths, as processes of the node see it."""
        return text.replace(str(self.root), DOCUMENTED_ROOT) if self.bubblewrap else text

    def outside(self, path: str) -> str:
        """Where a path of the node's processes really is; the documented paths lead there in the plain view too."""
        if path == DOCUMENTED_ROOT or path.startswith(f"{DOCUMENTED_ROOT}/"):
            return f"{self.root}{path[len(DOCUMENTED_ROOT) :]}"
        return path

    def variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {name: self.inside(value) for name, value in variables.items()}

    def namespace(self) -> tuple[str, ...]:
        """What makes a mount namespace with this view: bubblewrap with its arguments, () for the plain view."""
        if not self.bubblewrap:
            return ()
        words = [self.bubblewrap, "--dev-bind", "/", "/", "--tmpfs", "/mnt"]
        for name in sorted(os.listdir("/mnt")):
            if name != "batch" and os.path.isdir(f"/mnt/{name}"):
                words += ["--dev-bind", f"/mnt/{name}", f"/mnt/{name}"]
        if os.geteuid() == 0:
            words += ["--cap-add", "ALL"]  # root stays root
        return (*words, "--bind", str(self.root), DOCUMENTED_ROOT)

    def enter(self, argv: Sequence[str], folder: Path) -> tuple[str, ...]:
        """The arguments that run `argv` with this view in `folder`, in a namespace of its own."""
        words = self.namespace()
        return (*words, "--chdir", self.inside(str(folder)), "--", *argv) if words else tuple(argv)


async def find_bubblewrap() -> str:
    """The bubblewrap of this machine where it works, or ''; AZURE_BATCHAI_MOUNTS=links does without it."""
    if os.environ.get("AZURE_BATCHAI_MOUNTS", "").strip().lower() == "links":
        return ""
    program = shutil.which("bwrap")
    if not program or not os.path.isdir("/mnt"):
        return ""
    trial = View(Path("/usr"), program).enter(["true"], Path("/usr"))
    process = await asyncio.create_subprocess_exec(
        *trial,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return program if await process.wait() == 0 else ""

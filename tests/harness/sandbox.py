"""The environment of one test process, set before azure.cli.core is imported (it reads most of it only once)."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def version() -> str:
    namespace: dict[str, str] = {}
    exec((CHECKOUT / "azext_batchai/_version.py").read_text(encoding="utf-8"), namespace)
    return namespace["VERSION"]


def link_extension(folder: Path) -> None:
    """Make `folder` an extension folder in which the checkout is installed as `batchai`."""
    target = folder / "batchai"
    info = target / f"batchai-{version()}.dist-info"
    info.mkdir(parents=True)
    (target / "azext_batchai").symlink_to(CHECKOUT / "azext_batchai")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: batchai\nVersion: {version()}\n", encoding="utf-8")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-any\n", encoding="utf-8")


def enter() -> Path:
    """Point this process and its children at new folders of their own; return the root of these.

    Every pytest-xdist worker is a process of its own, so workers share nothing.
    """
    root = Path(tempfile.mkdtemp(prefix="batchai-"))
    atexit.register(_remove, root, os.getpid())
    for name in list(os.environ):
        if name.startswith(("AZURE_", "AZ_BATCHAI_")):
            del os.environ[name]
    os.environ.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))  # before HOME changes
    os.environ.update(
        HOME=str(root / "user"),  # --generate-ssh-keys writes to ~/.ssh
        AZURE_CONFIG_DIR=str(root / "azure"),
        AZURE_EXTENSION_DIR=str(root / "extensions"),
        AZURE_BATCHAI_HOME=str(root / "no-home-fixture"),
        AZURE_CORE_COLLECT_TELEMETRY="no",
        AZURE_CORE_NO_COLOR="yes",
    )
    (root / "user").mkdir()
    link_extension(root / "extensions")
    return root


def _remove(root: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child runs the same exit handlers
        shutil.rmtree(root, ignore_errors=True)

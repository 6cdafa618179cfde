"""The commands over both releases of the SDK that they may meet.

azure-cli puts its own packages first, so that users of one that has azure-mgmt-batchai get the release it pins: the
whole suite runs over that one. Where it has none they get what `az extension add` installed beside the extension.
"""

import fcntl
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sandbox import CHECKOUT

EXTENSION = CHECKOUT / "tests" / "extension"
FAST = (
    *("test_replay", "test_requests", "test_all_resources", "test_mounts", "test_config_file", "test_user_account"),
    *("test_client_factory", "test_errors", "test_format", "test_job_wait", "test_image_and_scale"),
)
REQUIREMENT = next(
    line for line in (CHECKOUT / "requirements.txt").read_text(encoding="utf-8").splitlines() if "batchai" in line
)
WHICH = "import azure.cli.core, azure.mgmt.batchai as sdk; print(sdk.__version__)"


@pytest.fixture(scope="module")
def beside_the_extension() -> Path:
    """A folder with what the wheel's requirement brings, made at first use and kept in build/."""
    folder = CHECKOUT / "build" / "clients" / f"wheel-py{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers want it at once
        if not (folder / ".ready").exists():
            command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
            done = subprocess.run(
                [*command, "--upgrade", "--target", str(folder), REQUIREMENT],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"{REQUIREMENT} cannot be installed: {done.stderr.strip()[-300:]}")
            (folder / ".ready").touch()
    return folder


def python(*arguments: str, first: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run Python with `first` before all other packages, and nothing of this test's own session."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    env |= {"PYTHONPATH": str(first)} if first else {}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=280, check=False)


def pinned() -> str | None:
    """The release that this azure-cli asks for."""
    requirements = importlib.metadata.requires("azure-cli") or []
    found = [re.match(r"azure-mgmt-batchai==(\S+)", requirement) for requirement in requirements]
    return next((match[1] for match in found if match), None)


def test_azure_cli_comes_first_with_the_release_that_it_pins(beside_the_extension: Path) -> None:
    """As azure-cli does it: the folder of the extension is last on the path."""
    if not pinned():
        pytest.skip("this azure-cli has no azure-mgmt-batchai")
    seen = python("-c", f"import sys; sys.path.append({str(beside_the_extension)!r}); {WHICH}")
    assert seen.stdout.strip() == pinned() == importlib.metadata.version("azure-mgmt-batchai"), seen.stderr


def test_the_wheel_brings_a_final_release(beside_the_extension: Path) -> None:
    seen = python("-c", WHICH, first=beside_the_extension)
    assert seen.stdout.strip() == "7.0.0", seen.stderr


@pytest.mark.slow
def test_the_fast_tests_of_the_commands_with_the_sdk_of_the_wheel(beside_the_extension: Path) -> None:
    files = [str(EXTENSION / f"{name}.py") for name in FAST]
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *files, first=beside_the_extension)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d{3,} passed", done.stdout.splitlines()[-1])

"""What this machine has for jobs: programs, GPUs, containers."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from azext_batchai.local.doctor import MISSING, NOTE, OK, WRONG, Finding

_OLDEST_PYTHON = (3, 10)
_PATIENCE_SECONDS = 20


def _system(_: Any) -> Finding:
    if not sys.platform.startswith("linux"):
        return Finding(
            "system", WRONG, platform.system(), advice="The local service runs on Linux; on Windows that can be WSL"
        )
    return Finding("system", OK, f"{platform.system()} {platform.release()}, {os.cpu_count()} processors")


def _python(_: Any) -> Finding:
    text = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", WRONG, text, advice="Install az with Python 3.10 or newer")
    return Finding("python", OK, text)


def _az(_: Any) -> Finding:
    from azure.cli.core import __version__
    from packaging.version import parse

    from azext_batchai._version import VERSION

    text = f"azure-cli {__version__}, batchai {VERSION}"
    metadata = Path(__file__).parents[1] / "azext_metadata.json"
    least = str(json.loads(metadata.read_text(encoding="utf-8"))["azext.minCliCoreVersion"])
    if parse(__version__) < parse(least):
        return Finding("az", WRONG, text, advice=f"Update azure-cli to {least} or newer")
    return Finding("az", OK, text)


def _bubblewrap(_: Any) -> Finding:
    gives = "jobs and SSH sessions see their node's folder at /mnt/batch/tasks/shared/LS_root, as in Batch AI"
    if os.environ.get("AZURE_BATCHAI_MOUNTS", "").strip().lower() == "links":
        return Finding("bubblewrap", NOTE, "not used: AZURE_BATCHAI_MOUNTS is 'links'")
    program = shutil.which("bwrap")
    if not program:
        return Finding("bubblewrap", MISSING, "not found", f"With it {gives}", "apt install bubblewrap")
    code, said = _run(program, "--dev-bind", "/", "/", "true")
    if code:
        return Finding(
            "bubblewrap", MISSING, f"{program} does not work: {said}", f"With it {gives}", "Allow user namespaces"
        )
    return Finding("bubblewrap", OK, program)


def _mpirun(_: Any) -> Finding:
    gives = "With Open MPI customMpi, Horovod, CNTK and multi-node Chainer jobs run"
    program = shutil.which("mpirun")
    if not program:
        return Finding("mpirun", MISSING, "not found", gives, "apt install openmpi-bin")
    code, said = _run(program, "--version")
    if code or "Open MPI" not in said:
        return Finding("mpirun", NOTE, f"{program} is not Open MPI: {said}", gives, "apt install openmpi-bin")
    return Finding("mpirun", OK, f"{said} at {program}")


def _containers(_: Any) -> Finding:
    gives = "With one, jobs with containerSettings run in their image"
    instead = "Or AZURE_BATCHAI_CONTAINERS_ON_HOST=1 runs such jobs on the node itself"
    chosen = shlex.split(os.environ.get("AZURE_BATCHAI_CONTAINER_COMMAND", ""))
    # The one that the service takes: the first that is installed, whether it works or not.
    there = [words for words in ([chosen] if chosen else [["podman"], ["docker"]]) if shutil.which(words[0])]
    if not there:
        what = f"{chosen[0]} (AZURE_BATCHAI_CONTAINER_COMMAND) is not found" if chosen else "no podman and no docker"
        return Finding("containers", MISSING, what, gives, f"apt install podman. {instead}")
    code, said = _run(*there[0], "info")
    if not code:
        return Finding("containers", OK, shlex.join(there[0]))
    advice = f"Start its daemon or give yourself the right to use it. {instead}"
    for other in there[1:]:
        if not _run(*other, "info")[0]:
            advice = f"AZURE_BATCHAI_CONTAINER_COMMAND={other[0]} takes {other[0]}, which does"
    return Finding("containers", MISSING, f"{there[0][0]} is installed and does not work: {said}", gives, advice)


def _gpus(_: Any) -> Finding:
    devices = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    program = shutil.which("nvidia-smi")
    if not program:
        if devices:
            return Finding("gpus", NOTE, f"{len(devices)} NVIDIA devices, no nvidia-smi", "It shows the driver's state")
        gives = "Nodes get the NVIDIA GPUs that their VM size promises; jobs here use the processors"
        return Finding("gpus", MISSING, "no NVIDIA GPU and no driver", gives)
    code, said = _run(program, "--query-gpu=name,driver_version", "--format=csv,noheader", all_lines=True)
    gpus = [line.rpartition(", ") for line in said.splitlines() if line.strip()]
    if code or not gpus:
        return Finding("gpus", MISSING, f"the driver does not answer: {said.splitlines()[0] if said else 'no GPU'}")
    if len(devices) < len(gpus):
        found = f"{len(gpus)} GPUs, of which {len(devices)} have a device /dev/nvidiaN"
        return Finding("gpus", NOTE, found, "Nodes get only those that have", "nvidia-modprobe -u -c 0")
    return Finding("gpus", OK, f"{len(gpus)} x {gpus[0][0]}, driver {gpus[0][2]}")


def _ssh(_: Any) -> Finding:
    gives = "With it ssh, scp, rsync and editors reach nodes by `az batchai cluster node ssh-config`"
    program = shutil.which("ssh")
    if not program:
        return Finding("ssh", MISSING, "no ssh client", gives, "apt install openssh-client")
    return Finding("ssh", OK, _run(program, "-V")[1] or program)


def _run(*words: str, all_lines: bool = False) -> tuple[int, str]:
    """Exit code and the first line (or all) of what a program said."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer in {_PATIENCE_SECONDS} s"
    except OSError as error:
        return 1, error.strerror or str(error)
    spoken = [stream.decode("utf-8", "replace").strip() for stream in (done.stdout, done.stderr)]
    said = next((text for text in (spoken[::-1] if done.returncode else spoken) if text), "")
    if all_lines:
        return done.returncode, said
    # What went wrong comes last, after warnings; a version stands in the first line.
    return done.returncode, said.splitlines()[-1 if done.returncode else 0].strip() if said else ""


CHECKS = (_system, _python, _az, _bubblewrap, _mpirun, _containers, _gpus, _ssh)

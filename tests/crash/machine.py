"""What this machine can do besides running processes: containers, mounts."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# What a machine without systemd and with few privileges needs; harmless elsewhere.
PODMAN = ("podman", "--events-backend=file", "--cgroup-manager=cgroupfs")
ULIMITS = ("--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1000:1000")
CONTAINERS = {
    "AZURE_BATCHAI_CONTAINER_COMMAND": " ".join(PODMAN),
    "AZURE_BATCHAI_CONTAINER_RUN_ARGUMENTS": " ".join(ULIMITS),
}
_IMAGE = "localhost/batchai-crash:latest"


def can_mount(folder: Path) -> bool:
    place = folder / "mount"
    place.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if mounted and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=False).returncode == 0:
        subprocess.run(["umount", str(place)], check=True)
        return True
    return False


def image(folder: Path) -> str:
    """An image made from a busybox; '' where this machine can run none."""
    busybox = shutil.which("busybox")
    if not busybox or not shutil.which("podman"):
        return ""
    root = Path(tempfile.mkdtemp(prefix="image-", dir=folder))
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc", "root"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("sh", "sleep", "echo", "kill", "true"):
        (root / "bin" / name).symlink_to("busybox")
    archive = folder / "image.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
    trial = ("run", "--rm", "--network=host", *ULIMITS, _IMAGE, "true")
    made = all(_podman(*words).returncode == 0 for words in (("import", str(archive), _IMAGE), trial))
    return _IMAGE if made else ""


def containers(mark: str) -> list[str]:
    """Names of the containers that have `mark` in them, whatever their state."""
    if not shutil.which("podman"):
        return []
    return [name for name in _podman("ps", "-a", "--format", "{{.Names}}").stdout.split() if mark in name]


def monitors(mark: str) -> list[int]:
    """Processes that watch over containers with `mark` in their names, also of those that podman has forgotten."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"conmon") and any(mark.encode() in word for word in words):
                found.append(int(entry.name))
    return found


def _podman(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*PODMAN, *words], capture_output=True, text=True, check=False)

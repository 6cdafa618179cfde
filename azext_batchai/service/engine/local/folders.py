"""Folders of jobs: made with few calls, for a job waits for them, and looked at before they are used again."""

from __future__ import annotations

import errno
import os


def make_folder(path: str) -> None:
    """What `os.makedirs` does with `exist_ok`; quicker where only the last ones are missing. Raises OSError."""
    missing: list[str] = []
    while not _made(path):
        parent = os.path.dirname(path)
        if parent == path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        missing.append(path)
        path = parent
    for path in reversed(missing):
        if not _made(path):  # somebody has removed what it was to be in, or nothing can be made there
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _made(path: str) -> bool:
    """Whether the folder is there now; False where the one that it is to be in is missing."""
    try:
        os.mkdir(path)
    except FileNotFoundError:
        return False
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    return True


def real_path(folder: str) -> str:
    """Where a folder is, links followed: the kernel knows it at once. Raises OSError where it is not there."""
    opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        return os.readlink(f"/proc/self/fd/{opened}")
    finally:
        os.close(opened)


def is_as_made(folder: str, made: tuple[int, int, int]) -> bool:
    """Whether an empty folder of this device, mode and owner is there, without an access list of its own."""
    status = os.lstat(folder)
    if (status.st_dev, status.st_mode, status.st_uid) != made or os.listdir(folder):
        return False
    return not any(name.startswith("system.posix_acl") for name in os.listxattr(folder))

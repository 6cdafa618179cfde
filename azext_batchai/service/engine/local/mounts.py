"""Volumes at their places on a node: links to folders of this machine, mounts by the user's own command."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from azext_batchai.service.engine.base import TaskError, Volume
from azext_batchai.service.engine.host import Host
from azext_batchai.service.engine.local.environment import shell
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.engine.local.host import go_with_parent

log = logging.getLogger(__name__)

_MOUNT_SECONDS = 120.0


async def mount(host: Host, root: Path, volumes: Iterable[Volume], files: FolderFiles) -> None:
    """Show each volume at its place below `root`. Raises TaskError naming the one that cannot be shown."""
    for volume in sorted(volumes, key=lambda volume: len(PurePosixPath(volume.relative_path).parts)):
        place = root / PurePosixPath(volume.relative_path)
        try:
            if volume.mount_command:
                await _run(host, volume, place)
            else:
                _link(files.folder(volume), place)
        except OSError as exc:
            raise _failed(volume, exc.strerror or str(exc)) from None


def _link(folder: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        if place.readlink() == folder:
            return  # what runs there must not miss it for a moment
        place.unlink()
    place.symlink_to(folder, target_is_directory=True)


async def _run(host: Host, volume: Volume, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    if os.path.realpath(place) in _mount_points():
        return  # by an earlier service
    line = f"{volume.mount_command} {shlex.quote(str(place))}"
    status, said = await host.call((shell(), "-c", line), _MOUNT_SECONDS)
    if status != 0:
        raise _failed(volume, said[-1000:] or f"exit code {status}", volume.mount_command)


def _failed(volume: Volume, reason: str, command: str = "") -> TaskError:
    details = {"Info": reason, **({"MountCommand": command} if command else {})}
    return TaskError("MountFailed", f"Unable to mount a volume at '{volume.relative_path}'", details)


def unmount_below(root: Path) -> None:
    """Unmount what is mounted below a folder, the deepest first."""
    for place in sorted(_mounted_below(root), key=len, reverse=True):
        subprocess.run(["umount", "-l", place], stderr=subprocess.DEVNULL, check=False)


def _mounted_below(root: Path) -> list[str]:
    mark = os.path.realpath(root) + "/"
    return [place for place in _mount_points() if place.startswith(mark)]


def _mount_points() -> list[str]:
    """Where something is mounted; os.path.ismount does not see a folder mounted on another of the same disk."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    # The kernel writes a blank in a path as \\040, and so on.
    return [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]) for line in lines]


_maker = ThreadPoolExecutor(1, thread_name_prefix="maker")
_remover = ThreadPoolExecutor(1, thread_name_prefix="remover")
_waste: deque[Path] = deque()
_WASTE_SECONDS = 0.2  # in which more may come: one program removes them all, and other threads are not held up
_MOST_WASTE = 500


def run_later(work: Callable[[], None]) -> None:
    """Do something with files that nobody waits for, while others go on."""
    _maker.submit(work)


def remove_later(root: Path) -> None:
    """Remove a folder by and by, while others go on."""
    _waste.append(root)
    _remover.submit(_remove_waste)


def _remove_waste() -> None:
    if not _waste:
        return
    time.sleep(_WASTE_SECONDS)
    roots = [_waste.popleft() for _ in range(min(len(_waste), _MOST_WASTE))]
    if not any(map(_mounted_below, {root.parent for root in roots})):
        # It goes with this service. Said by a program of its own, for the service would have to be forked for it here.
        killed_with_parent = shutil.which("setpriv")
        with_parent = [killed_with_parent, "--pdeathsig", "KILL", "--"] if killed_with_parent else []
        command = [*with_parent, "rm", "-rf", "--one-file-system", "--", *map(str, roots)]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                preexec_fn=None if with_parent else go_with_parent,
            )
        except OSError as exc:
            log.info("rm cannot be run: %s", exc)
    for root in roots:
        if os.path.lexists(root):  # read-only folders, or an rm that does not know the option
            remove_tree(root)


def remove_tree(root: Path) -> None:
    """Remove a folder with all in it, read-only folders too.

    Links are removed, not followed, and nothing is removed from a file system that is still mounted there.
    """
    mounted = _mounted_below(root)
    if mounted:
        log.error("%s is left as it is: something is still mounted at %s", root, mounted[0])
        return

    def make_writable(function: object, path: str, error: object) -> None:
        parent = os.path.dirname(path)
        try:
            os.chmod(parent, stat.S_IRWXU)
            os.chmod(path, stat.S_IRWXU)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
        except OSError:
            pass

    shutil.rmtree(root, onerror=make_writable)

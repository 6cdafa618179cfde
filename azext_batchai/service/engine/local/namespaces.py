"""Mount namespaces that are made once and entered by many tasks. Imported by the launcher: standard library only.

Making one (bubblewrap binds the whole machine anew) takes longer than everything else that a start needs together.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azext_batchai.service.engine.local.runner import Mounts

_MOST = 64  # kept at the same time, each by two descriptors at most
_SECONDS = 5.0  # for one to be made
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """One that stays, by its descriptors, after the processes in it have gone."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = descriptors

    def enter(self) -> bool:
        """Put this process, which must have one thread, into it; False where that is not allowed."""
        return not any(_libc.setns(descriptor, 0) for descriptor in self.descriptors)

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class Namespaces:
    """Those of the nodes whose tasks were started last, as long as nothing is mounted or unmounted on the machine."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts
        self._kept: dict[tuple[str, ...], Namespace] = {}

    def of(self, program: Sequence[str]) -> Namespace:
        """The namespace in which `program` runs what is appended to it. Raises OSError."""
        if self._mounts.changed():  # where mounts are private those that are kept know nothing of it
            self.close()
        key = tuple(program)
        found = self._kept.pop(key, None) or _make(key)
        self._kept[key] = found  # the last one now
        if len(self._kept) > _MOST:
            self._kept.pop(next(iter(self._kept))).close()
        return found

    def close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].close()


def _make(program: tuple[str, ...]) -> Namespace:
    """A shell in the namespace lives until it has been opened, and says which process it is."""
    hold, held = os.pipe()
    said, says = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, hold, 0), (os.POSIX_SPAWN_DUP2, says, 1)]
    try:
        shell = ("/bin/sh", "-c", "echo $$; read _")
        # bubblewrap must learn of the end of its child, which the launcher does not care for.
        os.posix_spawn(program[0], [*program, *shell], {}, file_actions=actions, setsigdef=(signal.SIGCHLD,))
        os.close(says)
        says = -1
        answered, _, _ = select.select([said], [], [], _SECONDS)
        pid = os.read(said, 32).strip() if answered else b""
        if not pid.isdigit():
            raise OSError(f"{program[0]} made no mount namespace")
        return Namespace(_opened(int(pid)))
    finally:
        for descriptor in (hold, held, said, says):
            if descriptor >= 0:
                os.close(descriptor)


def _opened(pid: int) -> list[int]:
    """The user namespace, where it is another one, comes first: it gives the right to enter the other."""
    opened = []
    for kind in ("user", "mnt"):
        path = f"/proc/{pid}/ns/{kind}"
        if os.stat(path).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
            opened.append(os.open(path, os.O_RDONLY))
    return opened

"""How many files and sockets this process may have open, and those that it starts."""

from __future__ import annotations

from collections.abc import Sequence

_given: tuple[int, int] | None = None  # soft and hard limit as this process got them


def raise_limit() -> int:
    """Take as many as this process may have; returns how many that is."""
    global _given
    import resource

    _given = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_given[1], _given[1]))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def give_usual_limit(pid: int) -> None:
    """Let a process that was started, and what it starts, have what this one was given: some programs close as many
    files as they might have open, one by one."""
    import resource

    if _given:
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _given)
        except OSError:
            pass  # it has ended, or is not ours to limit


def with_usual_limit(argv: Sequence[str]) -> Sequence[str]:
    """The command that is `argv` with the limit that this process was given, from its first moment on."""
    if not _given:
        return argv
    return ("/bin/sh", "-c", 'ulimit -Sn "$0" && exec "$@"', _shown(_given[0]), *argv)


def _shown(limit: int) -> str:
    return "unlimited" if limit < 0 else str(limit)

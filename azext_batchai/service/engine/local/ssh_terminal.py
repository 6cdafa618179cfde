"""Pseudo-terminals of SSH sessions: made, sized, set to the client's modes (RFC 4254, section 8)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Terminal(NamedTuple):
    """What the client asked for; width and height are pixels (0: unknown), modes are RFC 4254 opcodes."""

    kind: str
    columns: int
    rows: int
    width: int
    height: int
    modes: Mapping[int, int]


# Opcode of the first name, then the names in the order of the RFC; termios lacks some of them on some systems.
_CHARACTERS = (1, "VINTR VQUIT VERASE VKILL VEOF VEOL VEOL2 VSTART VSTOP VSUSP VDSUSP VREPRINT VWERASE VLNEXT")
_FLAGS = (  # with the index of the flags in what tcgetattr() returns
    (0, 30, "IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IUCLC IXON IXANY IXOFF IMAXBEL IUTF8"),
    (3, 50, "ISIG ICANON XCASE ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP IEXTEN ECHOCTL ECHOKE PENDIN"),
    (1, 70, "OPOST OLCUC ONLCR OCRNL ONOCR ONLRET"),
)
_UNSET_CHARACTER = 255


def open_pair(terminal: Terminal) -> tuple[int, int]:
    """Open a terminal as the client wants it; return the descriptors of both ends, the program's last."""
    master, slave = os.openpty()
    try:
        set_size(master, terminal.columns, terminal.rows, terminal.width, terminal.height)
        _set_modes(slave, terminal.modes)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave


def controlling(name: str, argv: Sequence[str]) -> list[str]:
    """Return the command that makes terminal `name` the controlling one of its new session and becomes `argv`.

    A session leader without a controlling terminal gets the one that it opens; doing it in a shell spares the
    service a preexec_fn, which would make it fork.
    """
    return ["/bin/sh", "-c", 'exec <>"$0" >&0 2>&1; exec "$@"', name, *argv]


def set_size(fd: int, columns: int, rows: int, width: int, height: int) -> None:
    """Set the window size; the kernel tells the program in the foreground (SIGWINCH)."""
    import fcntl
    import struct
    import termios

    size = (min(value, 0xFFFF) for value in (rows, columns, width, height))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size))


def end_of_file(fd: int) -> bytes:
    """Return what ends the input of the program: nothing where it reads single characters."""
    import termios

    attributes = termios.tcgetattr(fd)
    if not attributes[3] & termios.ICANON:
        return b""
    character = attributes[6][termios.VEOF]
    return character if isinstance(character, bytes) else bytes([character])


def _set_modes(fd: int, modes: Mapping[int, int]) -> None:
    import termios

    attributes = termios.tcgetattr(fd)
    for field, first, names in _FLAGS:
        for opcode, name in enumerate(names.split(), first):
            flag = getattr(termios, name, 0)
            if opcode in modes:
                attributes[field] = attributes[field] | flag if modes[opcode] else attributes[field] & ~flag
    first, names = _CHARACTERS
    for opcode, name in enumerate(names.split(), first):
        index = getattr(termios, name, None)
        if opcode in modes and index is not None:
            value = modes[opcode]
            unset = os.fpathconf(fd, "PC_VDISABLE")
            attributes[6][index] = bytes([unset if value == _UNSET_CHARACTER else value & 0xFF])
    termios.tcsetattr(fd, termios.TCSANOW, attributes)

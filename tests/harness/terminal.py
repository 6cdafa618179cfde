"""A terminal with an az at it, seen from the other end."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable

from harness import az


class Terminal:
    """An az at a terminal of so many columns."""

    def __init__(self, *words: str, columns: int = 100, **env: str) -> None:
        self._leader, follower = pty.openpty()
        self.resize(24, columns)
        self._settings = termios.tcgetattr(self._leader)
        left_out = ("AZURE_CORE_NO_COLOR", "COLUMNS", "LINES", "NO_COLOR")
        inherited = {name: value for name, value in os.environ.items() if name not in left_out}
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *az.command("batchai", *words)],
            env={**inherited, "TERM": "xterm", **env},
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        self.shown = ""
        self.is_restored = False

    def read_until(self, wanted: Callable[[str], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not wanted(self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self._leader], [], [], 1)[0] and not self._read():
                raise AssertionError(f"it ended: {self.shown}")

    def resize(self, lines: int, columns: int) -> None:
        """As a window does: whoever is in front at the terminal gets SIGWINCH."""
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def press_ctrl_c(self) -> None:
        self.press("\x03")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def _as_before(self) -> bool:
        last = {switch: self.shown.rfind(f"\x1b[?{switch}") for switch in ("1049h", "1049l", "25h", "25l")}
        on_screen = last["1049h"] <= last["1049l"] and last["25l"] <= last["25h"]
        return on_screen and termios.tcgetattr(self._leader) == self._settings

    def end(self, seconds: float = 60) -> int:
        """The exit code, when all is read.

        `is_restored` tells then whether the terminal has the settings, the screen and the cursor that it had before.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and (not select.select([self._leader], [], [], 1)[0] or self._read()):
            pass
        code = self._process.wait(max(end - time.monotonic(), 1))
        self.is_restored = self._as_before()
        os.close(self._leader)
        return code

    def _read(self) -> bool:
        try:
            data = os.read(self._leader, 65536)
        except OSError:  # nobody has the other end any more
            data = b""
        self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)

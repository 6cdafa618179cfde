"""At a terminal: colours, narrow ones, and Ctrl-C at each long step; off it none of that."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import pytest

from harness import az
from harness.cluster import ok
from harness.service import Service

pytestmark = pytest.mark.invented
PLACE = ("-g", "batchai", "-w", "default", "-e", "default")
COLOUR = re.compile(r"\x1b\[3\d")


class Terminal:
    """An az at a terminal of so many columns."""

    def __init__(self, *words: str, columns: int = 100, **env: str) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
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

    def read_until(self, wanted: Callable[[str], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not wanted(self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self._leader], [], [], 1)[0] and not self._read():
                raise AssertionError(f"it ended: {self.shown}")

    def press_ctrl_c(self) -> None:
        os.write(self._leader, b"\x03")

    def end(self, seconds: float = 60) -> int:
        """The exit code, when all is read."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (not select.select([self._leader], [], [], 1)[0] or self._read()):
            pass
        code = self._process.wait(max(end - time.monotonic(), 1))
        os.close(self._leader)
        return code

    def _read(self) -> bool:
        try:
            data = os.read(self._leader, 65536)
        except OSError:  # nobody has the other end any more
            data = b""
        self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


def lines(shown: str) -> list[str]:
    """What is left on the screen, without the lines that were taken away again."""
    return [re.sub(r"\x1b\[[0-9;]*m", "", line.rpartition("\x1b[K")[2]) for line in shown.split("\n")]


@pytest.fixture(scope="module", autouse=True)
def jobs(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`done`, which has failed, and `busy`, which has written a line and runs."""
    script = tmp_path_factory.mktemp("scripts") / "train.py"
    script.write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    assert az.run("batchai", "job", "run", "-n", "done", "--", "echo no data >&2; exit 3").code == 3
    words = ("-n", "busy", "--nodes", "2", "--toolkit", "pytorch", "--detach", "--")
    ok(az.run("batchai", "job", "run", *words, "python3", str(script)))


def test_colours_at_a_terminal_only() -> None:
    terminal = Terminal("local", "doctor")
    assert terminal.end() == 0
    assert COLOUR.search(terminal.shown)
    plain = Terminal("local", "doctor", NO_COLOR="1")
    plain.end()
    assert not COLOUR.search(plain.shown)
    piped = az.run_process("batchai", "local", "doctor", env={"AZURE_CORE_NO_COLOR": "no"})
    assert "\x1b" not in piped.output + piped.stderr


def test_colours_of_ranks() -> None:
    terminal = Terminal("job", "logs", *PLACE, "-n", "busy", "--follow")
    terminal.read_until(lambda shown: shown.count("up") == 2)
    assert len(set(COLOUR.findall(terminal.shown))) == 2
    terminal.press_ctrl_c()
    assert terminal.end() == 130


@pytest.mark.parametrize("columns", [20, 60, 100])
def test_narrow_terminals(columns: int) -> None:
    doctor = Terminal("local", "doctor", columns=columns)
    doctor.end()
    assert max(map(len, lines(doctor.shown))) < columns
    table = Terminal("job", "list", *PLACE, "-o", "table", columns=columns)
    table.end()
    assert "Why" not in table.shown


def test_a_wide_terminal() -> None:
    table = Terminal("job", "list", *PLACE, "-o", "table", columns=200)
    assert table.end() == 0
    assert "exit code 3: no data" in table.shown
    assert max(map(len, lines(table.shown))) <= 200


@pytest.mark.parametrize(
    ("words", "at", "said"),
    [
        (("job", "wait", *PLACE, "-n", "busy"), "is running", "the job goes on"),
        (("job", "logs", *PLACE, "-n", "busy", "--follow"), "up", "it goes on"),
        (("job", "file", "stream", *PLACE, "-j", "busy", "-f", "stdout-0.txt"), "up", "the job goes on"),
        (("job", "run", "-n", "{}", "--", "echo going; sleep 600"), "going", "The job goes on"),
        (("local", "logs", "--follow"), "ready at", ""),
        (("cluster", "node", "exec", *PLACE[:4], "-c", "default", "-L", "0:localhost:1"), "Forwarding", ""),
    ],
    ids=["wait", "logs", "stream", "run", "local logs", "node exec"],
)
def test_ctrl_c(words: tuple[str, ...], at: str, said: str) -> None:
    terminal = Terminal(*(word.format("interrupted") for word in words))
    terminal.read_until(lambda shown: at in shown)
    terminal.press_ctrl_c()
    code = terminal.end()
    assert code in ((0, 130) if "exec" in words else (130,)), terminal.shown
    assert said in " ".join(lines(terminal.shown))
    assert "Traceback" not in terminal.shown
    assert ok(az.run("batchai", "job", "show", *PLACE, "-n", "busy"))["executionState"] == "running"


def test_the_spinner_leaves_nothing_behind() -> None:
    terminal = Terminal("job", "wait", *PLACE, "-n", "busy", columns=30)
    terminal.read_until(lambda shown: "0:02" in shown)
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    drawn = re.findall(r"\x1b\[K([-|/\\] [^\r\n]*)", terminal.shown)
    assert drawn
    assert max(map(len, drawn)) < 30
    assert not any("0:02" in line for line in lines(terminal.shown))

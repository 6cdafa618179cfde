"""The line that a person sees while something takes its time."""

import io
import sys
from types import SimpleNamespace

import pytest

from azext_batchai.command_line import progress
from azext_batchai.command_line.progress import Spinner, say

pytestmark = pytest.mark.invented


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def context(quiet: bool = False) -> SimpleNamespace:
    return SimpleNamespace(only_show_errors=quiet, config=SimpleNamespace(getboolean=lambda *_: False))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stderr = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stderr, exit=sys.exit))
    monkeypatch.setenv("COLUMNS", "30")
    return stderr


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1, "Waiting"), (2, "Waiting  0:02"), (61, "Waiting  1:01"), (3725, "Waiting  1:02:05")]
)
def test_elapsed_time(terminal, monkeypatch, seconds, shown):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    spinner = Spinner(context())
    now[0] += seconds
    spinner.show("Waiting")
    assert terminal.getvalue().rpartition("\x1b[K")[2][2:] == shown


@pytest.mark.parametrize("columns", [1, 5, 12, 30])
def test_a_narrow_terminal(terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    spinner = Spinner(context())
    now[0] += 5
    spinner.show("a long message that does not fit")
    line = terminal.getvalue().rpartition("\x1b[K")[2]
    assert line.endswith("  0:05")
    assert len(line) < max(columns, len("|   0:05") + 1)


def test_say(terminal):
    say(context(), "done")
    say(context(quiet=True), "not this")
    assert terminal.getvalue() == "done\n"


def test_ctrl_c_ends_the_wait_and_not_the_operation(terminal):
    class Poller:
        def done(self) -> bool:
            return False

        def wait(self, _: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        progress.finish(context(), Poller(), "Creating cluster c")
    assert ended.value.code == 130
    assert terminal.getvalue().endswith("\r\x1b[K")

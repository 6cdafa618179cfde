"""`az batchai local top` on a whole terminal: looks again and again, scrolls, and leaves the terminal as it was."""

from __future__ import annotations

import contextlib
import curses
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from azext_batchai.command_line import exit_status, report
from azext_batchai.local import top

_LOOK_MILLISECONDS = 200  # how soon news and a new size are shown; keys are obeyed at once
_ATTRIBUTES = {"title": curses.A_BOLD, "soft": curses.A_DIM}
_COLOURS = {
    "busy": curses.COLOR_CYAN,
    "good": curses.COLOR_GREEN,
    "waits": curses.COLOR_YELLOW,
    "bad": curses.COLOR_RED,
}


def can_show() -> bool:
    """Whether stdin and stdout are a terminal that can be written to anywhere."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        curses.setupterm()
        return bool(curses.tigetstr("cup") and curses.tigetstr("clear"))
    except curses.error:
        return False


Look = Callable[[], "dict[str, Any]"]
Explain = Callable[[Exception], str]


def show(look: Look, explain: Explain, interval: float, colour: bool) -> None:
    """Show what `look` returns until q is pressed; `explain` says why it raised.

    Raises KeyboardInterrupt for Ctrl-C, SystemExit for a signal that ends az.
    """
    news = _News(look, explain, interval)
    with _ended_by_signals():
        news.start()
        try:
            curses.wrapper(lambda window: _Screen(window, news, colour).run())
        finally:
            news.stop()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """The terminal has to be restored before the process ends."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(exit_status.of_signal(number))

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _News:
    """Looks at the service in a thread: keys are obeyed while it does not answer."""

    def __init__(self, look: Look, explain: Explain, interval: float) -> None:
        self.overview: dict[str, Any] | None = None
        self.trouble = ""
        self._look, self._explain, self._interval = look, explain, interval
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.overview, self.trouble = self._look(), ""
            except Exception as error:  # pylint: disable=broad-except  # shown, and tried again
                self.trouble = self._explain(error)
            self._stopped.wait(self._interval)


class _Screen:  # pylint: disable=too-few-public-methods
    def __init__(self, window: Any, news: _News, colour: bool) -> None:
        self._window, self._news = window, news
        self._top = 0
        self._height, self._width = window.getmaxyx()
        self._styles = dict(_ATTRIBUTES)
        window.timeout(_LOOK_MILLISECONDS)
        with contextlib.suppress(curses.error):  # a terminal that always shows its cursor
            curses.curs_set(0)
        if colour and curses.has_colors():
            curses.use_default_colors()
            for number, (style, shade) in enumerate(_COLOURS.items(), 1):
                curses.init_pair(number, shade, -1)
                self._styles[style] = curses.color_pair(number)

    def run(self) -> None:
        """Until q is pressed."""
        while True:
            self._draw()
            key = self._window.getch()
            if key in (ord("q"), ord("Q")):
                return
            self._scroll(key)

    def _scroll(self, key: int) -> None:
        page = max(self._height - 3, 1)
        steps = {
            **dict.fromkeys((curses.KEY_UP, ord("k")), -1),
            **dict.fromkeys((curses.KEY_DOWN, ord("j")), 1),
            curses.KEY_PPAGE: -page,
            **dict.fromkeys((curses.KEY_NPAGE, ord(" ")), page),
            curses.KEY_HOME: -self._top,
            curses.KEY_END: 1 << 20,
        }
        self._top += steps.get(key, 0)  # what is too far is put right when it is drawn

    def _resize(self) -> None:
        """The terminal itself is asked: the variables LINES and COLUMNS, which curses heeds, do not change with it."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(sys.stdout.fileno())
            if (size.lines, size.columns) != self._window.getmaxyx():
                curses.resizeterm(max(size.lines, 1), max(size.columns, 1))
                self._window.clear()
        self._height, self._width = self._window.getmaxyx()

    def _draw(self) -> None:
        self._resize()
        # The last column stays free: writing to the last one of the last row scrolls some terminals.
        width = self._width - 1
        overview, trouble = self._news.overview, self._news.trouble
        head: top.Line = top.headline(overview) if overview else [("Batch AI", "title")]
        body = top.lines(overview, width, max(self._height // 4, 2)) if overview else []
        room = max(self._height - 2, 0)
        self._top = max(min(self._top, len(body) - room), 0)
        shown = body[self._top : self._top + room]  # noqa: E203
        foot: top.Line = [("q quits, arrows scroll", "soft")]
        if len(body) > room:
            foot.append((f"  {self._top + 1} to {self._top + len(shown)} of {len(body)} lines", "soft"))
        if trouble:
            foot = [(trouble, "bad")]
        self._window.erase()
        self._write(0, top.fit(head, width))
        for row, line in enumerate(shown, 1):
            self._write(row, line)
        if self._height > 1:
            self._write(self._height - 1, top.fit(foot, width))
        self._window.refresh()

    def _write(self, row: int, line: top.Line) -> None:
        column = 0
        for text, style in line:
            with contextlib.suppress(curses.error):  # the terminal has become smaller meanwhile
                self._window.addstr(row, column, report.encodable(text), self._styles.get(style, 0))
            column += top.columns(text)

"""A real Chromium, driven by Playwright, and what must not happen in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import processes

NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str:
    """Why no browser can be driven here; '' where one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if program() else f"none of {', '.join(NAMES)} is on the PATH"


def program() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(folder: Path) -> Iterator[Any]:
    """A Chromium whose files are in `folder`, which it removes in the end; fails where a process of it stays.

    While it is there, this thread cannot run another event loop.
    """
    from playwright.sync_api import sync_playwright

    environment = {**os.environ, "TMPDIR": str(folder), "HOME": str(folder)}
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program(), args=options, env=environment)
            try:
                yield browser
            finally:
                browser.close()
        processes.wait_until(lambda: not processes.of_home(folder), "no process of the browser is left")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Watch:
    """What goes wrong in a context of the browser: uncaught errors, complaints of the console, foreign requests."""

    def __init__(self) -> None:
        self._faults: list[str] = []
        self._expected: list[str] = []
        self._origins: set[str] = set()

    def attach(self, context: Any) -> None:
        context.on("weberror", lambda error: self._faults.append(f"uncaught: {error.error}"))
        context.on("console", self._console)
        context.on("request", self._request)

    def allow(self, origin: str) -> None:
        """Requests may go there."""
        self._origins.add(origin)

    def expect(self, text: str) -> None:
        """The test provokes a fault whose description has `text` in it; the test fails where there is none."""
        self._expected.append(text)

    def check(self) -> None:
        """Raises AssertionError for the faults that nobody expected, and for those expected that did not happen."""
        unexpected = [fault for fault in self._faults if not any(text in fault for text in self._expected)]
        assert not unexpected, "in the browser:\n" + "\n".join(unexpected)
        absent = [text for text in self._expected if not any(text in fault for fault in self._faults)]
        assert not absent, f"expected in the browser, but it did not happen: {absent}"

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._faults.append(f"console: {message.text} ({message.location.get('url')})")

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("data", "blob", "about"):
            return
        if f"{parts.scheme}://{parts.netloc}" not in self._origins:
            self._faults.append(f"request to another origin: {request.method} {request.url}")

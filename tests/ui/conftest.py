"""Fixtures of the tests of the page: somebody who reads HTML, and a real browser.

`visitor` needs no browser. `signed_in` is `(page of Playwright, address of the service)` in a fresh context; the test
fails on an uncaught error, an error in the console and a request to another origin, unless `watch` expects it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import browser as browser_module
from harness.service import Service
from ui.visitor import Visitor, invite


@pytest.fixture
def visitor(service: Service) -> Visitor:
    """Somebody with a session, without a browser."""
    return Visitor(service).sign_in(service)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One a module: no test elsewhere can run an event loop while Playwright's runs."""
    reason = browser_module.missing()
    if reason:
        pytest.skip(reason)
    with browser_module.launched(tmp_path_factory.mktemp("browser")) as chromium:
        yield chromium


@pytest.fixture
def watch() -> browser_module.Watch:
    """`watch.expect(text)`: a fault that the test provokes; `watch.allow(origin)`: where else requests may go."""
    return browser_module.Watch()


@pytest.fixture
def new_context(browser: Any, watch: browser_module.Watch) -> Iterator[Callable[..., Any]]:
    """Contexts of the browser, watched; options as those of Playwright's `new_context`."""
    contexts = []

    def make(**options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(20_000)
        watch.attach(context)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        for page in context.pages:
            page.evaluate("1")  # what has been said until now has arrived then
        context.close()
    watch.check()


@pytest.fixture
def sign_in(new_context: Callable[..., Any], watch: browser_module.Watch) -> Callable[[Service], Any]:
    """`sign_in(service)`: a page in a context of its own that shows the overview of that service."""

    def enter(service: Service, **options: Any) -> Any:
        base = service.info["endpoint"]
        watch.allow(base)
        page = new_context(**options).new_page()
        page.goto(invite(service)["address"])
        page.wait_for_url(f"{base}/ui/")
        return page

    return enter


@pytest.fixture
def signed_in(service: Service, sign_in: Callable[[Service], Any]) -> tuple[Any, str]:
    """A page that shows the overview, and the address of the service."""
    return sign_in(service), service.info["endpoint"]

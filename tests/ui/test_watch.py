"""The watch over the browser sees what the other tests rely on it to see."""

from typing import Any

import pytest

from harness.browser import Watch
from harness.processes import wait_until

FAULTS = {
    "uncaught: of a script": "setTimeout(() => { throw new Error('of a script'); })",
    "uncaught: of a promise": "void Promise.reject(new Error('of a promise'))",
    "console: something is wrong": "console.error('something is wrong')",
    "request to another origin: GET http://127.0.0.1:9/": "fetch('http://127.0.0.1:9/').catch(() => 0)",
}


@pytest.fixture
def watched(browser: Any, watch: Watch) -> Any:
    context = browser.new_context()
    watch.attach(context)
    page = context.new_page()
    page.goto("data:text/html,<p>nothing</p>")
    yield page
    context.close()


def told(page: Any, watch: Watch) -> str:
    page.wait_for_timeout(10)  # Playwright hears of nothing while nobody asks it for something
    try:
        watch.check()
    except AssertionError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(watched: Any, watch: Watch, fault: str) -> None:
    watched.evaluate(FAULTS[fault])
    wait_until(lambda: fault in told(watched, watch), "the fault is told")


def test_an_expected_fault_passes_and_has_to_happen(watched: Any, watch: Watch) -> None:
    watched.evaluate("console.error('foreseen')")
    wait_until(lambda: told(watched, watch), "the fault is told")
    watch.expect("foreseen")
    watch.check()
    watch.expect("missing")
    with pytest.raises(AssertionError, match="missing"):
        watch.check()

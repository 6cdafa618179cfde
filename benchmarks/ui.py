"""The page in a real Chromium: how soon it shows a change, how soon it is there, what it costs while it is open."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from typing import Any

from measure import Row, cpu_ticks, milliseconds, percentile, verdict, with_load
from rig import Service, service_alone
from scale import copy_job, make_job, shut_down, start_again

CHANGES, LOADS, TURNS, JOBS = 100, 15, 20, 10_000
_PAUSE_SECONDS = 0.5  # between two changes: the page rests after each for three times as long as it took
_LIVE = "#live[data-state=live]"
# Tells in milliseconds since 1970 when the frame after a change was drawn that has `text` in it.
_SEEN = """text => new Promise(done => {
    const main = document.getElementById("main").parentNode;
    const look = () => {
        if (!main.textContent.includes(text)) return;
        watching.disconnect();
        requestAnimationFrame(() => setTimeout(() => done(performance.timeOrigin + performance.now())));
    };
    const watching = new MutationObserver(look);
    watching.observe(main, {subtree: true, childList: true, characterData: true});
    look();
})"""
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def rows() -> list[Row]:
    """Empty where no browser can be driven."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("The page is not measured: playwright is not installed (`make test` installs it).")
        return []
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        print("The page is not measured: there is no chromium on the PATH.")
        return []
    with sync_playwright() as playwright, service_alone(1) as service:
        # Chromium's sandbox refuses root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            return with_load([*_first_page(browser, service), *_live(browser, service), *_many_jobs(browser, service)])
        finally:
            browser.close()


@contextlib.contextmanager
def _signed_in(browser: Any, service: Service) -> Iterator[Any]:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(service.request("POST", "/_local/ui", {})[1]["address"])
        page.wait_for_url("**/ui/")
        page.wait_for_selector(_LIVE)
        yield page
    finally:
        context.close()


def _first_page(browser: Any, service: Service) -> list[Row]:
    """The overview in a browser that has seen nothing of it yet."""
    address, painted, sizes = f"{service.facts['endpoint']}/ui/", [], []
    with _signed_in(browser, service) as page:
        state = page.context.storage_state()
    for number in range(LOADS + 1):
        fresh = browser.new_context(storage_state=state)
        page, load = fresh.new_page(), []
        page.on("requestfinished", lambda request, load=load: load.append(request))
        page.goto(address)
        page.wait_for_selector(_LIVE)
        while not page.evaluate(_PAINTED):
            time.sleep(0.01)
        if number:  # the first one warms up
            painted.append(page.evaluate(_PAINTED) / 1000)
        sizes = [request.sizes() for request in load]
        fresh.close()
    size = sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)
    figure = statistics.median(painted)
    return [
        Row("overview, first paint", milliseconds(figure), goal="<= 300 ms", met=verdict(figure <= 0.3)),
        Row("overview, all of it", f"{size / 1000:.0f} kB", goal="<= 200 kB", met=verdict(size <= 200_000)),
    ]


def _live(browser: Any, service: Service) -> list[Row]:
    """From the answer of a PUT to the frame that shows it, and what the open page costs the service after that."""
    lags = []
    with _signed_in(browser, service) as page:
        for number in range(-3, CHANGES):
            name = f"lag{number}x"
            time.sleep(_PAUSE_SECONDS)
            seen = page.evaluate_handle(f"text => ({{shown: ({_SEEN})(text)}})", name)
            service.arm("PUT", f"bench/experiments/{name}")
            answered = time.time()
            shown = page.evaluate("seen => seen.shown", seen) / 1000
            if number >= 0:  # the first ones warm up
                lags.append(max(shown - answered, 0.0))
        time.sleep(6)  # the page rests for 5 s at most before it looks once more
        pid = service.facts["pid"]
        before = cpu_ticks(pid)
        time.sleep(10)
        ticks = cpu_ticks(pid) - before
    return [
        Row("a change -> drawn on the overview, p50", milliseconds(statistics.median(lags))),
        Row("a change -> drawn on the overview, p99", milliseconds(percentile(lags, 0.99))),
        Row("service with an open idle page, CPU in 10 s", f"{ticks} ticks", goal="0 ticks", met=verdict(ticks == 0)),
    ]


def _many_jobs(browser: Any, service: Service) -> list[Row]:
    """The table of an experiment with very many jobs: its first page, and turning pages."""
    make_job(service, "one-ended", "succeeded")
    shut_down(service)
    copy_job(service, "one-ended", JOBS)
    start_again(service)
    turns = []
    with _signed_in(browser, service) as page:
        began = time.perf_counter()
        page.goto(f"{service.facts['endpoint']}/ui/groups/bench/workspaces/bench/experiments/bench")
        page.wait_for_selector("tbody tr")
        first = time.perf_counter() - began
        page.wait_for_selector(_LIVE)
        for _ in range(TURNS):
            row = page.text_content("tbody th")
            began = time.perf_counter()
            page.click("main a >> text=Next")
            page.wait_for_function("row => document.querySelector('tbody th')?.textContent !== row", arg=row)
            turns.append(time.perf_counter() - began)
            page.wait_for_load_state("load")
    return [
        Row(f"experiment with {JOBS:,} jobs, its table", milliseconds(first)),
        Row("  a turn of the page, p50", milliseconds(statistics.median(turns))),
        Row("  a turn of the page, at most", milliseconds(max(turns))),
    ]

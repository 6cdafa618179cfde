"""The page of a job in a browser: the log as it is written, its search, and what ends the job."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.processes import wait_until
from harness.service import Service
from ui.job_log import address, output_folder
from ui.looks import looks_right
from wire.api import Api

pytestmark = pytest.mark.invented

# Writes as a file in its folder tells it to: rank by rank, line by line.
_SCRIPT = """import os, sys, time
rank = os.environ["RANK"]
print(f"rank {rank} is <b>here</b>", flush=True)
seen = 0
while True:
    try:
        lines = open(os.path.join(os.environ["AZ_BATCHAI_STDOUTERR_DIR"], "tell")).read().splitlines()
    except OSError:
        lines = []
    for line in lines[seen:]:
        who, _, text = line.partition(" ")
        if who == rank:
            print(text, flush=True)
        if text == "end":
            sys.exit(0)
    seen = len(lines)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def lab(service: Service) -> Api:
    """A workspace with a cluster of two nodes."""
    made = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    made.create_cluster(nodes=2)
    return made


@pytest.fixture(scope="module")
def ended(lab: Api) -> str:
    lab.create_job("ended", "echo done; echo oops >&2")
    lab.wait_for_job("ended")
    return "ended"


@pytest.fixture
def four(lab: Api, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """A job of four ranks that runs, and what tells them what to write; it has ended when the test has."""
    script = tmp_path / "ranks.py"
    script.write_text(_SCRIPT)
    body = lab.job_body()
    del body["properties"]["customToolkitSettings"]
    settings = {"pythonScriptFilePath": str(script), "pythonInterpreterPath": "python3", "processCount": 4}
    body["properties"].update(nodeCount=2, pyTorchSettings=settings)
    name = f"four-{uuid.uuid4().hex[:6]}"
    assert lab.call("PUT", lab.job(name), body)[0] == 202
    folder = output_folder(lab, name)
    wait_until(lambda: len(list(folder.glob("stdout-?.txt"))) == 4, "all ranks run")

    def tell(line: str) -> None:
        with (folder / "tell").open("a") as file:
            file.write(f"{line}\n")

    tell.job = name  # type: ignore[attr-defined]
    yield tell
    lab.call("POST", f"{lab.job(name)}/terminate")
    lab.wait_for_job(name)


def rows(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(".log-pane .row", "all => all.map(one => one.textContent)")
    return found


def wait_for_row(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => [...document.querySelectorAll('.log-pane .row')].some(one => one.textContent.includes(text))", arg=text
    )


def test_a_log_appears_line_by_line(signed_in: tuple[Any, str], lab: Api, four: Any) -> None:
    page, base = signed_in
    page.goto(base + address(lab, four.job))
    for rank in range(4):
        wait_for_row(page, f"[{rank}]rank {rank} is <b>here</b>")
    four("2 first")
    wait_for_row(page, "[2]first")
    four("1 \x1b[32mgreen\x1b[0m <script>alert(1)</script>")
    wait_for_row(page, "[1]green <script>alert(1)</script>")
    assert rows(page)[-2:] == ["[2]first", "[1]green <script>alert(1)</script>"]
    page.get_by_label("Search the log").fill("RANK")
    page.keyboard.press("Enter")
    page.get_by_text("4 lines have “RANK”.").wait_for()
    looks_right(page, "job-running")
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Rank").select_option("2")
    page.wait_for_function("() => document.querySelectorAll('.log-pane .row').length === 2")
    assert rows(page) == ["rank 2 is <b>here</b>", "first"]
    four("3 not for now")
    four("2 second")
    wait_for_row(page, "second")
    assert "not for now" not in page.inner_text(".log-pane")
    page.get_by_label("Rank").select_option("all")
    wait_for_row(page, "[3]not for now")
    for rank in range(4):
        four(f"{rank} end")
    page.wait_for_selector("h1 .state.succeeded")
    page.wait_for_function("() => document.querySelector('.log-state').textContent.includes('has ended')")
    assert [row for row in rows(page) if row == "[2]second"] == ["[2]second"]


def test_a_long_log_is_read_back_and_searched(signed_in: tuple[Any, str], lab: Api, ended: str) -> None:
    page, base = signed_in
    folder = output_folder(lab, ended)
    (folder / "stdout.txt").write_text("".join(f"this is line {number}\n" for number in range(30_000)))
    page.goto(base + address(lab, ended))
    wait_for_row(page, "this is line 29999")
    follow = page.get_by_role("button", name="Follow")
    assert follow.get_attribute("aria-pressed") == "true"
    before = rows(page)
    page.get_by_role("button", name="Earlier lines").click()
    page.wait_for_function("first => document.querySelector('.log-pane .row').textContent !== first", arg=before[0])
    numbers = [int(row.rpartition(" ")[2]) for row in rows(page) if row.startswith("this")]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] < int(before[0].rpartition(" ")[2]) < numbers[-1]
    assert follow.get_attribute("aria-pressed") == "false"
    page.get_by_label("Search the log").fill("LINE 1234")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("button", name="this is line 1234", exact=True).click()
    page.wait_for_selector(".log-pane .hit")
    assert page.inner_text(".log-pane .hit") == "this is line 1234"
    shown = [int(row.rpartition(" ")[2]) for row in rows(page)]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert 1200 in shown
    assert len(shown) <= 5000
    follow.click()
    wait_for_row(page, "this is line 29999")


def test_scrolling_through_a_whole_log_leaves_nothing_out(signed_in: tuple[Any, str], lab: Api, ended: str) -> None:
    page, base = signed_in
    folder = output_folder(lab, ended)
    (folder / "stdout.txt").write_text("".join(f"n {number}\n" for number in range(40_000)))
    page.goto(base + address(lab, ended))
    wait_for_row(page, "n 39999")
    page.locator(".log-bar select").last.select_option("stdout")
    wait_for_row(page, "n 39999")
    seen: set[int] = set()
    for button in (page.locator(".log-pane > button").first, page.locator(".log-pane > button").last):
        seen.clear()
        more = True
        while more:
            more = button.is_visible()
            found = [int(row.split()[1]) for row in rows(page) if row.startswith("n ")]
            assert found == list(range(found[0], found[-1] + 1))
            assert len(found) <= 5000
            seen.update(found)
            if more:
                button.dispatch_event("click")
                page.wait_for_timeout(20)
        assert (min(seen), max(seen)) == (0, 39_999)
        assert len(seen) == 40_000


def test_terminating_asks_first(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    lab.create_job("endless", "echo up; sleep 600")
    lab.wait_for_job("endless", "running")
    page.goto(base + address(lab, "endless"))
    wait_for_row(page, "up")
    page.get_by_role("button", name="Terminate…").click()
    page.get_by_text("End job endless?").wait_for()
    page.get_by_role("button", name="Cancel").first.click()
    assert lab.properties(lab.job("endless"))["executionState"] == "running"
    page.get_by_role("button", name="Terminate…").click()
    page.get_by_role("button", name="Terminate", exact=True).click()
    page.wait_for_selector("h1 .state.failed")
    assert "terminated by the user" in page.inner_text(".notice.failed")
    looks_right(page, "job-failed")
    wait_for_row(page, "up")


def test_other_jobs_look_right(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    lab.create_job("queued", nodeCount=9)
    page.goto(base + address(lab, "queued"))
    page.wait_for_selector(".notice.waits")
    page.wait_for_selector(".log-pane")
    looks_right(page, "job-queued")
    lab.call("POST", f"{lab.job('queued')}/terminate")
    lab.create_job("silent")
    lab.wait_for_job("silent")
    page.goto(base + address(lab, "silent"))
    page.get_by_text("Nothing was written.").wait_for()
    looks_right(page, "job-silent")
    page.goto(base + address(lab, "silent", "files", "stdouterr"))
    looks_right(page, "job-files")
    page.get_by_role("link", name="execution.log").click()
    page.get_by_role("region", name="Content of execution.log").wait_for()
    looks_right(page, "job-file")

"""A page stays as the service has it, without a reload and without taking anything from its reader."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.browser import Watch
from harness.processes import wait_until
from harness.service import Service
from ui.visitor import Visitor, invite
from wire.api import GROUP, Api

pytestmark = pytest.mark.invented

LIVE = "#live[data-state=live]"
WORKSPACE = f"{GROUP}/providers/Microsoft.BatchAI/workspaces"
VERSION = "?api-version=2018-05-01"


def make_workspace(service: Service, name: str) -> None:
    assert service.request("PUT", f"{WORKSPACE}/{name}{VERSION}", {"location": "eastus"})[0] == 200


def make_experiment(service: Service, name: str, workspace: str = "live") -> None:
    make_workspace(service, workspace)
    assert service.request("PUT", f"{WORKSPACE}/{workspace}/experiments/{name}{VERSION}")[0] == 200


def test_a_change_reaches_the_page_without_a_reload(service: Service, signed_in: tuple[Any, str]) -> None:
    page, _ = signed_in
    page.wait_for_selector(LIVE)
    page.evaluate("window.same = true")
    for name in ("first", "second"):
        make_experiment(service, name)
        page.wait_for_selector(f"main >> text={name}")
    assert page.evaluate("window.same")


def test_a_change_before_the_stream_is_there_is_not_missed(service: Service, signed_in: tuple[Any, str]) -> None:
    """The page was made before it and the stream begins after it."""
    page, base = signed_in
    page.route("**/ui/events*", lambda route: (make_experiment(service, "meanwhile"), route.continue_()))
    page.goto(f"{base}/ui/")
    page.wait_for_selector("main >> text=meanwhile")


def test_ten_changes_at_once_cost_fewer_requests(service: Service, signed_in: tuple[Any, str]) -> None:
    page, _ = signed_in
    page.wait_for_selector(LIVE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for number in range(30):
        make_experiment(service, f"of-many-{number}", "many")
    page.wait_for_selector("main >> text=of-many-29")
    assert len(asked) < 30


def test_the_reader_keeps_what_was_opened_typed_chosen_and_scrolled(
    service: Service, signed_in: tuple[Any, str]
) -> None:
    page, base = signed_in
    state = {"number": 0}

    def with_more(route: Any) -> None:
        answer = route.fetch()
        state["number"] += 1
        more = (
            f"<details id=opened><summary>more</summary><p>version <b id=version>{state['number']}</b></p></details>"
            "<p id=marked>some words to select</p><button type=button popovertarget=asking>ask</button>"
            "<div id=asking popover>sure?</div><input id=typed aria-label=a value=old>"
            "<input id=active aria-label=b value=old><input id=ticked type=checkbox aria-label=c>"
            "<select id=chosen aria-label=d><option selected>one<option>two</select>"
            f"<div id=scrolled tabindex=0 class=wide><table class=a>{'<tr><td>row' * 3}</table></div>"
            f"<div id=kept data-keep>{state['number']}</div>{'<p>filler</p>' * 200}"
        )
        route.fulfill(response=answer, body=answer.text().replace("</h1>", f"</h1>{more}", 1))

    page.route(re.compile(r"/ui/$"), with_more)
    page.goto(f"{base}/ui/")
    page.wait_for_selector(LIVE)
    page.evaluate("""() => {
        document.getElementById("opened").open = true;
        document.getElementById("asking").showPopover();
        document.getElementById("typed").value = "typed";
        document.getElementById("ticked").checked = true;
        document.getElementById("chosen").value = "two";
        getSelection().selectAllChildren(document.getElementById("marked"));
        document.getElementById("active").focus({preventScroll: true});
        document.getElementById("active").value = "typing";
        scrollTo(0, 700);
        window.elements = [...document.querySelectorAll("[id]")];
    }""")
    before = page.evaluate("scrollY")
    first = page.inner_text("#version")
    page.evaluate("getSelection().selectAllChildren(document.getElementById('marked'))")
    for number in range(3):
        seen = page.inner_text("#version")
        make_workspace(service, f"morph-{number}")
        page.wait_for_function("seen => document.getElementById('version').textContent !== seen", arg=seen)
    assert page.inner_text("#version") != first
    assert page.evaluate("""() => ({
        opened: document.getElementById("opened").open,
        asking: document.getElementById("asking").matches(":popover-open"),
        typed: document.getElementById("typed").value,
        ticked: document.getElementById("ticked").checked,
        chosen: document.getElementById("chosen").value,
        active: [document.activeElement.id, document.activeElement.value],
        marked: getSelection().toString(),
        scrolled: scrollY,
        kept: document.getElementById("kept").textContent,
        elements: window.elements.every(one => one.isConnected),
    })""") == {
        "opened": True,
        "asking": True,
        "typed": "typed",
        "ticked": True,
        "chosen": "two",
        "active": ["active", "typing"],
        "marked": "some words to select",
        "scrolled": before,
        "kept": first,
        "elements": True,
    }


def test_what_does_not_change_is_not_touched(service: Service, signed_in: tuple[Any, str]) -> None:
    """No flicker: the only nodes that change are those that say something else."""
    page, _ = signed_in
    make_experiment(service, "still")
    page.wait_for_selector("main >> text=still")
    page.evaluate("""() => {
        window.touched = [];
        new MutationObserver(all => window.touched.push(...all.map(one => one.type + " " + one.target.nodeName)))
            .observe(document.getElementById("main"),
                     {subtree: true, childList: true, attributes: true, characterData: true});
        window.refreshes = 0;
        document.addEventListener("refreshed", () => { window.refreshes += 1; });
    }""")
    make_workspace(service, "seen-nowhere")
    page.wait_for_function("() => window.refreshes > 0")
    touched = page.evaluate("window.touched")
    assert [one for one in touched if "TIME" not in one and "#text" not in one] == []


def test_a_hidden_page_asks_for_nothing_and_catches_up(service: Service, signed_in: tuple[Any, str]) -> None:
    page, _ = signed_in
    page.wait_for_selector(LIVE)
    asked: list[str] = []
    ended: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: ended.append(urlsplit(request.url).path))
    _hide(page, True)
    wait_until(lambda: page.evaluate("1") and "/ui/events" in ended, "the stream is closed")
    make_experiment(service, "unseen")
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert asked == []
    assert "unseen" not in page.inner_text("main")
    _hide(page, False)
    page.wait_for_selector("main >> text=unseen")


def _hide(page: Any, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_revoked_session_says_so_at_once(service: Service, signed_in: tuple[Any, str], watch: Watch) -> None:
    page, _ = signed_in
    page.wait_for_selector(LIVE)
    watch.expect("401")
    assert service.request("POST", "/_local/ui/revoke")[0] == 200
    page.wait_for_selector("#live[data-state=ended]")


def test_after_a_new_start_the_page_says_what_to_type(
    home: Path, sign_in: Callable[[Service], Any], watch: Watch
) -> None:
    service = Service(home)
    service.start()
    page = sign_in(service)
    page.wait_for_selector(LIVE)
    port = urlsplit(service.info["endpoint"]).port
    for text in ("ERR_", "401"):
        watch.expect(text)
    service.kill()
    page.wait_for_selector("#live[data-state=connecting]")
    assert page.inner_text("#live") == "reconnecting"
    assert page.inner_text("h1") == "Overview"  # what was known stays to be read
    service.start("--port", str(port))
    page.wait_for_selector("#live[data-state=ended]")
    assert page.inner_text("#live") == "session over: type az batchai local ui"
    # A new code in another tab of the same browser, and this one goes on after a reload.
    other = page.context.new_page()
    other.goto(invite(service)["address"])
    other.wait_for_url("**/ui/")
    page.reload()
    page.wait_for_selector(LIVE)


def test_the_service_stops_at_once_under_twenty_open_streams(home: Path) -> None:
    service = Service(home)
    service.start()
    visitor = Visitor(service).sign_in(service)
    streams = [_stream(visitor) for _ in range(20)]
    assert service.request("POST", "/_local/shutdown")[0] == 202
    for stream in streams:
        with stream:
            rest = b""
            while data := stream.recv(1 << 16):
                rest += data
            assert rest.endswith(b"0\r\n\r\n")  # ended in order, not cut off after a time
    assert service.leftovers() == {}
    assert "exceeded" not in service.log()
    assert "Traceback" not in service.log()


def _stream(visitor: Visitor) -> socket.socket:
    host, _, port = visitor.authority.partition(":")
    stream = socket.create_connection((host, int(port)), timeout=30)
    request = f"GET /ui/events?topic=&since=0 HTTP/1.1\r\nHost: {visitor.authority}\r\nCookie: {visitor.cookie}\r\n\r\n"
    stream.sendall(request.encode())
    head = b""
    while b"retry:" not in head:
        head += stream.recv(1 << 16)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in head
    return stream


@pytest.mark.parametrize("since", ["", "-1", "x", "9" * 30, "9" * 5000, "٣", "1.5"])
def test_a_stream_may_be_asked_for_with_nonsense(visitor: Visitor, since: str) -> None:
    from urllib.parse import quote

    host, _, port = visitor.authority.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as stream:
        path = f"/ui/events?topic=&since={quote(since)}"
        stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {visitor.authority}\r\nCookie: {visitor.cookie}\r\n\r\n".encode()
        )
        answer = b""
        while b"event: change" not in answer:
            data = stream.recv(1 << 16)
            assert data, answer
            answer += data
        assert answer.startswith(b"HTTP/1.1 200")


def test_nothing_of_the_page_is_loaded_while_nobody_looks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start and idle memory of the service are as if there was no page."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # each import gets a line in the log
    service = Service(home)
    service.start()
    api = Api(service, "quiet")
    api.create_cluster(nodes=0)
    assert service.request("GET", "/_local/status")[0] == 200
    assert "azext_batchai.service.app\n" in service.log()
    assert "azext_batchai.service.ui" not in service.log()
    invite(service)
    assert "azext_batchai.service.ui.pages\n" in service.log()

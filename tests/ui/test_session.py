"""Who gets in: a code that is good once becomes a cookie, which ends with the service."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from azext_batchai.service.ui import sessions
from azext_batchai.service.ui.sessions import CODE_SECONDS, Sessions
from harness.browser import Watch
from harness.service import Service
from ui.visitor import Visitor, invite

pytestmark = pytest.mark.invented


def enter(visitor: Visitor, address: str) -> Any:
    return visitor.get(address[len(visitor.endpoint) :])


def secrets_in(text: str, *kept: str) -> list[str]:
    return [secret for secret in kept if secret and secret in text]


def test_a_code_lets_in_once(service: Service) -> None:
    address = invite(service)["address"]
    first, second = Visitor(service), Visitor(service)
    answer = enter(first, address)
    assert answer.status == 200
    first.cookie = answer.headers["set-cookie"].partition(";")[0]
    assert first.get("/ui/").status == 200
    refused = enter(second, address)
    assert (refused.status, refused.headers["set-cookie"]) == (401, None)
    assert "az batchai local ui" in refused.shown
    assert second.get("/ui/").status == 401
    # The browser that is in loads the address again, as when it brings back its tabs.
    again = enter(first, address)
    assert (again.status, again.headers["set-cookie"]) == (200, None)


@pytest.mark.parametrize("code", ["", "x", "%00", "a" * 5000, "code=", "null"])
def test_an_unknown_code_lets_nobody_in(service: Service, code: str) -> None:
    visitor = Visitor(service)
    for address in (f"/ui/enter?code={code}", f"/ui/enter?{code}", "/ui/enter"):
        answer = visitor.get(address)
        assert (answer.status, answer.headers["set-cookie"]) == (401, None)


def test_a_code_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(sessions, "monotonic", lambda: now)
    those = Sessions(b"key", tmp_path)
    early, late = those.new_code(), those.new_code()
    now += CODE_SECONDS - 1
    assert those.redeem(early)
    now += 1
    assert those.redeem(late) is None


def test_codes_and_sessions_are_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    those = Sessions(b"key", tmp_path)
    first_code = those.new_code()
    values = [those.redeem(those.new_code()) for _ in range(100)]
    assert those.redeem(first_code)
    codes = [those.new_code() for _ in range(17)]
    assert those.redeem(codes[0]) is None
    assert those.redeem(codes[-1])
    assert those.find(values[0] or "") is None
    assert those.find(values[-1] or "") is not None


def test_two_state_folders_have_cookies_of_different_names(tmp_path: Path) -> None:
    assert Sessions(b"one", tmp_path).cookie != Sessions(b"other", tmp_path).cookie


def test_the_cookie_is_for_this_page_alone(service: Service) -> None:
    answer = enter(Visitor(service), invite(service)["address"])
    _, *attributes = answer.headers["set-cookie"].split("; ")
    assert sorted(attribute.lower() for attribute in attributes) == ["httponly", "path=/ui/", "samesite=strict"]


def test_each_session_has_a_cookie_and_a_token_of_its_own(tmp_path: Path) -> None:
    those = Sessions(b"key", tmp_path)
    values = [those.redeem(those.new_code()) or "" for _ in range(2)]
    one, other = (those.find(value) for value in values)
    assert one and other
    assert one.wrote(one.anti_forgery)
    assert not one.wrote(other.anti_forgery)
    assert not one.wrote("")
    assert not one.wrote("\ud800é")


def test_the_cookie_of_another_name_or_value_is_nobody(service: Service, visitor: Visitor) -> None:
    name, _, value = visitor.cookie.partition("=")
    for cookie in (f"{name}x={value}", f"{name}={value[:-1]}", f"{name}=", f'{name}="{value}x"', "=", ";;;", "é"):
        assert visitor.get("/ui/", cookie=cookie).status == 401
    assert visitor.get("/ui/", cookie=f"other=1; {visitor.cookie}; more=2").status == 200


def test_revoke_ends_sessions_and_codes(service: Service, visitor: Visitor) -> None:
    address = invite(service, opener=True)["address"]
    status, _, body = service.request("POST", "/_local/ui/revoke")
    assert status == 200
    assert body["ended"] >= 1
    assert visitor.get("/ui/").status == 401
    assert enter(visitor, address).status == 401
    assert not (service.home / "ui.html").exists()


def test_only_who_has_the_token_of_the_service_can_invite(service: Service) -> None:
    for token in ("wrong", "x" * 64):
        assert service.request("POST", "/_local/ui", {}, token=token)[0] == 401
        assert service.request("POST", "/_local/ui/revoke", {}, token=token)[0] == 401
    visitor = Visitor(service).sign_in(service)
    assert visitor.post("/_local/ui", b"{}").status == 401  # a session of the page is no token


def test_the_opener_is_private_and_gone_after_use(service: Service) -> None:
    invited = invite(service, opener=True)
    opener = Path(invited["opener"])
    status = opener.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.getuid()
    assert invited["address"] in opener.read_text(encoding="utf-8")
    newer = invite(service, opener=True)
    assert newer["opener"] == str(opener)
    assert newer["address"] in opener.read_text(encoding="utf-8")
    assert enter(Visitor(service), newer["address"]).status == 200
    assert not opener.exists()


def test_no_opener_is_written_where_none_is_asked_for(service: Service) -> None:
    assert set(invite(service)) == {"address"}
    assert not (service.home / "ui.html").exists()


def test_a_session_ends_with_the_service(home: Path) -> None:
    service = Service(home)
    service.start()
    port = urlsplit(service.info["endpoint"]).port
    visitor = Visitor(service).sign_in(service)
    assert visitor.get("/ui/").status == 200
    opener = Path(invite(service, opener=True)["opener"])
    token = service.info["token"]
    assert service.request("POST", "/_local/shutdown")[0] == 202
    service.leftovers()
    assert not opener.exists()
    service.start("--port", str(port))
    assert visitor.get("/ui/").status == 401
    assert service.info["token"] != token


def test_the_log_tells_no_secret(home: Path) -> None:
    service = Service(home)
    service.start()
    address = invite(service)["address"]
    code = parse_qs(urlsplit(address).query)["code"][0]
    visitor = Visitor(service)
    answer = enter(visitor, address)
    visitor.cookie = answer.headers["set-cookie"].partition(";")[0]
    assert visitor.get("/ui/").status == 200
    enter(Visitor(service), address)
    visitor.get("/ui/nothing?code=" + code)
    visitor.post("/ui/", {"token": "wrong"})
    visitor.send("GET", f"/ui/{'%ff' * 30}?code={code}", None, {})
    everything = service.log() + (home / "service.json").read_text(encoding="utf-8")
    assert not secrets_in(everything, code, visitor.cookie.partition("=")[2])
    assert not secrets_in(service.log(), service.info["token"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_of_the_machine_is_refused_even_with_the_cookie(service: Service, visitor: Visitor) -> None:
    code = invite(service)["address"]
    program = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"  # what is imported later may be in a folder of root's
        "host, _, port = sys.argv[1].partition(':')\n"
        "for path in sys.argv[4:]:\n"
        "    connection = socket.socket()\n"
        "    connection.connect((host, int(port)))\n"
        "    head = f'GET {path} HTTP/1.0\\r\\nHost: {sys.argv[1]}\\r\\nCookie: {sys.argv[2]}\\r\\n'\n"
        "    head += f'X-Forwarded-For: {sys.argv[3]}\\r\\n\\r\\n' if sys.argv[3] else '\\r\\n'\n"
        "    connection.sendall(head.encode())\n"
        "    print(connection.recv(1000).split()[1].decode())\n"
    )
    paths = ["/ui/", "/ui/static/style.css", code[len(visitor.endpoint) :]]
    host, _, port = visitor.authority.partition(":")
    with socket.create_connection((host, int(port))) as own:
        for claimed in ("", f"{host}:{own.getsockname()[1]}"):  # a connection that everybody sees in /proc/net/tcp
            arguments = [visitor.authority, visitor.cookie, claimed, *paths]
            done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
            assert done.stdout.split() == ["403"] * 3, done.stderr
    assert visitor.get("/ui/").status == 200
    assert enter(Visitor(service), code).status == 200  # what was refused has used nothing up


# In a browser


def test_the_browser_shows_no_code_and_does_not_go_back_to_it(signed_in: tuple[Any, str], watch: Watch) -> None:
    page, base = signed_in
    assert page.url == f"{base}/ui/"
    assert page.evaluate("history.length") <= 2  # the empty page of the test, and the overview
    assert page.evaluate("document.referrer") == ""
    assert page.evaluate("document.cookie") == ""
    assert "code=" not in page.content()
    page.go_back()
    assert "code=" not in page.url
    names = page.context.cookies(base + "/ui/")
    assert [(one["httpOnly"], one["sameSite"], one["path"]) for one in names] == [(True, "Strict", "/ui/")]


def test_a_private_file_leads_in(
    service: Service, new_context: Callable[..., Any], watch: Watch, tmp_path: Path
) -> None:
    """As `az batchai local ui --open` does it: the browser begins at a page with another origin."""
    watch.allow(service.info["endpoint"])
    watch.allow("file://")
    page = new_context().new_page()
    opener = Path(invite(service, opener=True)["opener"])
    page.goto(opener.as_uri())
    page.wait_for_url("**/ui/")
    page.wait_for_selector("#live[data-state=live]")
    assert not opener.exists()


def test_who_has_no_session_reads_what_to_type(service: Service, new_context: Callable[..., Any], watch: Watch) -> None:
    watch.allow(service.info["endpoint"])
    watch.expect("401")
    page = new_context().new_page()
    page.goto(f"{service.info['endpoint']}/ui/")
    assert "az batchai local ui" in page.inner_text("main")

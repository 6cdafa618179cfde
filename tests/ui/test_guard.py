"""What does not come from the page itself, from this machine and by one of its names is refused."""

import http.client
import socket
from collections.abc import Callable
from typing import Any

import pytest

from harness.browser import Watch
from harness.service import Service
from ui.forwarder import forwarded
from ui.visitor import Visitor, invite

pytestmark = pytest.mark.invented

NAVIGATION = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
FOREIGN_HOSTS = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example:80",
    "127.0.0.1@evil.example",
    "10.0.0.1",
    "0.0.0.0",
    "127.0.0.1:80:80",
    "[::2]",
    "",
    " ",
    "management.batchai.localhost",
    '<script src="x">',
)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("path", ["/ui", "/ui/", "/ui/static/style.css", "/ui/events", "/ui/enter?code=x"])
def test_a_foreign_host_name_is_refused(visitor: Visitor, host: str, path: str) -> None:
    """A name elsewhere that was made to lead here (DNS rebinding) has the cookie of nobody, and gets no page."""
    answer = visitor.get(path, host=host)
    assert answer.status in (400, 403)
    assert "Overview" not in answer.text
    assert "<script" not in answer.text


def test_a_refused_request_does_not_use_up_the_code(service: Service, visitor: Visitor) -> None:
    path = invite(service)["address"][len(visitor.endpoint) :]
    fresh = Visitor(service)
    assert fresh.get(path, host="evil.example").status == 403
    assert fresh.get(path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status == 403
    assert fresh.get(path).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "https://{authority}",
        "http://127.0.0.1:1",
        "http://localhost",
        "http://{authority}.evil.example",
        "http://{authority}/",
        None,
    ],
)
def test_a_form_of_another_origin_changes_nothing(visitor: Visitor, origin: str | None) -> None:
    sent = None if origin is None else origin.format(authority=visitor.authority)
    answer = visitor.post("/ui/anything", {"token": "x"}, origin=sent)
    assert answer.status == 403
    assert "comes from another page" in answer.shown


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "POST", "PROPFIND"])
def test_other_methods_need_the_own_origin_and_lead_nowhere(visitor: Visitor, method: str) -> None:
    assert visitor.send(method, "/ui/", b"", {}).status == 403
    preflight = {"origin": "http://evil.example", "access_control_request_method": method}
    answer = visitor.send(method, "/ui/", b"", dict(preflight))
    assert answer.status == 403
    own = visitor.send(method, "/ui/", b"", {"origin": visitor.endpoint})
    assert own.status in (403, 404)  # POST: it has no token


def test_a_foreign_origin_reads_nothing(visitor: Visitor) -> None:
    for path in ("/ui/", "/ui/events", "/ui/static/live.js"):
        answer = visitor.get(path, origin="http://evil.example")
        assert answer.status == 403
        assert visitor.get(path, origin="null").status == 403
    assert visitor.get("/ui/", origin=visitor.endpoint).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
def test_another_page_gets_no_part_of_it(visitor: Visitor, site: str) -> None:
    """`same-site` is another port of this machine."""
    for dest in ("empty", "script", "style", "image", "iframe", "frame", "object", "embed", "worker"):
        for mode in ("cors", "no-cors", "same-origin", "websocket", "navigate"):
            for path in ("/ui/", "/ui/static/live.js", "/ui/events"):
                answer = visitor.get(path, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest)
                assert answer.status == 403, (dest, mode, path)
    assert visitor.get("/ui/", sec_fetch_site=site, **NAVIGATION).status == 200  # a link that somebody follows
    form = visitor.post("/ui/", {"token": "x"}, sec_fetch_site=site, **NAVIGATION)
    assert (form.status, "comes from another page" in form.shown) == (403, True)


def test_the_browser_of_the_page_itself_gets_all_of_it(visitor: Visitor) -> None:
    for site in ("none", "same-origin"):
        assert visitor.get("/ui/", sec_fetch_site=site, **NAVIGATION).status == 200
    styles = {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "style"}
    assert visitor.get("/ui/static/style.css", sec_fetch_site="same-origin", **styles).status == 200


@pytest.mark.parametrize("token", [None, "", "x", "x" * 43, "\udcff", "é"])
def test_a_form_without_the_token_of_the_session_changes_nothing(visitor: Visitor, token: str | None) -> None:
    form = {} if token is None else {"token": token}
    answer = visitor.post("/ui/", {name: value.encode("utf-8", "replace") for name, value in form.items()})
    assert answer.status == 403
    assert "not one of this session" in answer.shown


def test_a_form_is_bounded(visitor: Visitor) -> None:
    answer = visitor.post("/ui/", b"token=" + b"x" * (1 << 17))
    assert (answer.status, "too large" in answer.shown) == (413, True)


@pytest.mark.parametrize("body", [b"\xff\xfe\0", b"a=b&a=c&&==&%", b"token=%FF%00", b"\r\n\r\n", b"{}"])
def test_a_form_may_be_nonsense(visitor: Visitor, body: bytes) -> None:
    assert visitor.post("/ui/", body).status == 403


# What every answer says to the browser


def answers(visitor: Visitor, service: Service) -> dict[str, Any]:
    etag = visitor.get("/ui/static/style.css").headers["etag"]
    nobody = Visitor(service)
    enter = invite(service)["address"][len(visitor.endpoint) :]
    return {
        "a page": visitor.get("/ui/"),
        "a page without a body": visitor.send("HEAD", "/ui/", None, {}),
        "the redirect": visitor.get("/ui"),
        "no session": nobody.get("/ui/"),
        "a code": nobody.get(enter),
        "a used code": nobody.get(enter),
        "no page": visitor.get("/ui/nothing/here"),
        "a foreign host": visitor.get("/ui/", host="evil.example"),
        "a foreign origin": visitor.get("/ui/", origin="http://evil.example"),
        "a wrong token": visitor.post("/ui/", {"token": "x"}),
        "a large form": visitor.post("/ui/", b"x" * (1 << 17)),
        "a style": visitor.get("/ui/static/style.css"),
        "a script": visitor.get("/ui/static/live.js"),
        "a picture": visitor.get("/ui/static/icon.svg"),
        "an unchanged style": visitor.get("/ui/static/style.css", if_none_match=etag),
        "no file": visitor.get("/ui/static/nothing.css"),
    }


def test_every_answer_tells_the_browser_what_to_refuse(service: Service, visitor: Visitor) -> None:
    for what, answer in answers(visitor, service).items():
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'", what
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'", what
        assert policy["form-action"] == "'self'", what
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'", what
        assert answer.headers["x-content-type-options"] == "nosniff", what
        assert answer.headers["x-frame-options"] == "DENY", what
        assert answer.headers["cross-origin-resource-policy"] == "same-origin", what
        assert answer.headers["cross-origin-opener-policy"] == "same-origin", what
        assert answer.headers["cache-control"] in ("no-store", "no-cache"), what
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")], what
    assert answers(visitor, service)["a page"].headers["cache-control"] == "no-store"


def test_no_page_has_a_script_or_a_style_in_it(service: Service, visitor: Visitor) -> None:
    for what, answer in answers(visitor, service).items():
        if answer.headers["content-type"] and "html" in answer.headers["content-type"]:
            assert "style=" not in answer.text, what
            assert "<style" not in answer.text, what
            assert " onclick" not in answer.text, what
            assert answer.text.count("<script") == answer.text.count("<script src="), what
            assert "http://" not in answer.text.replace(visitor.endpoint, ""), what
            assert "https://" not in answer.text, what


def test_a_head_has_the_headers_of_the_page_alone(visitor: Visitor) -> None:
    head, page = visitor.send("HEAD", "/ui/", None, {}), visitor.get("/ui/")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-type"] == page.headers["content-type"]
    file = visitor.send("HEAD", "/ui/static/style.css", None, {})
    assert (file.status, file.content) == (200, b"")
    assert file.headers["etag"]


def test_the_short_address_leads_to_the_page(visitor: Visitor) -> None:
    answer = visitor.get("/ui")
    assert (answer.status, answer.headers["location"]) == (308, "/ui/")


def test_an_unchanged_file_is_not_sent_again(visitor: Visitor) -> None:
    first = visitor.get("/ui/static/live.js")
    second = visitor.get("/ui/static/live.js", if_none_match=first.headers["etag"])
    assert (second.status, second.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        "../pages.py",
        "../../../_version.py",
        "..%2fpages.py",
        "%2e%2e/pages.py",
        "vendor/../../pages.py",
        "vendor/../style.css",
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "..\\pages.py",
        "style.css%00",
        "style.css%00.js",
        "style.css/",
        "vendor/",
        "vendor",
        "",
        ".",
        "..",
        "style.css%0a",
        "STYLE.CSS",
        "vendor/README.md",
        "vendor/uPlot.LICENSE",
        "%ff.css",
        "a" * 300 + ".css",
    ],
)
def test_nothing_but_the_files_of_the_page_is_served(visitor: Visitor, name: str) -> None:
    answer = visitor.get(f"/ui/static/{name}")
    assert answer.status == 404
    assert b"import" not in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/ui/%00",
        "/ui/..",
        "/ui/../_local/status",
        "/ui/%2e%2e/_local/status",
        "/ui//",
        "/ui///",
        "/ui/%",
        "/ui/%zz",
        "/ui/%ff%fe",
        "/ui/%ed%a0%80",
        "/ui/%25",
        "/ui/" + "a" * 5000,
        "/ui/" + "a/" * 500,
        "/ui/" + "%00" * 500,
        "/ui/" + "../" * 50,
        "/ui%2f",
        "/%75i/",
        "/ui/enter/",
        "/ui/enter%00?code=x",
        "/ui/EVENTS",
        "/ui/groups/%2F/workspaces/%2F/clusters/%2F",
        "/ui/groups/<b>/workspaces/\"'/clusters/x",
        "/ui/groups/a/workspaces/b/clusters/c/experiments/d/jobs/e/f/g/h",
        "/ui/groups//workspaces//clusters/",
        "/ui/groups/../workspaces/../clusters/..",
        "/ui/groups/%00/workspaces/%0a/experiments/%0d%0aSet-Cookie:x/jobs/%7f",
        "/ui/subscriptions/x/groups/y",
        "/ui/subscriptions/../groups/..",
        "/ui/subscriptions",
        "/ui/subscriptions//",
        "/ui/storage/..",
        "/ui/storage/a/../../b",
        "/ui/storage/%2e%2e/files/%2e%2e",
        "/ui/storage/acct/files/share/..%2f..%2f..%2fetc/passwd",
        "/ui/storage/acct/blobs/c/%00",
        "/ui/usage/../../x",
        "/ui/?" + "a=b&" * 1000,
        "/ui/?page=%00&sort=..&filter=%ff",
    ],
)
def test_a_hostile_address_gets_a_page_that_says_so(service: Service, visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status in (200, 400, 404), answer.text
    if not path.startswith("/ui/?"):
        assert answer.status != 200, answer.text
    assert answer.headers["content-security-policy"]
    assert answer.headers["set-cookie"] is None
    assert "<b>" not in answer.text
    assert "Traceback" not in service.log()


def test_a_line_that_is_too_long_ends_the_connection_only(visitor: Visitor) -> None:
    try:
        assert visitor.get("/ui/" + "a" * (1 << 17)).status >= 400
    except (ConnectionError, http.client.HTTPException):
        pass
    assert visitor.get("/ui/").status == 200


# Other ways to the same service


def test_it_works_through_another_port(
    service: Service, new_context: Callable[..., Any], watch: Watch
) -> None:
    """As `ssh -L` gives one: the name and port in the address are not the service's."""
    port = int(service.info["endpoint"].rpartition(":")[2])
    ways = [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), *([("::1", "[::1]")] if _has_ipv6() else [])]
    for host, name in ways:
        with forwarded(port, host) as other:
            base = f"http://{name}:{other}"
            watch.allow(base)
            page = new_context().new_page()
            page.goto(invite(service)["address"].replace(service.info["endpoint"], base))
            page.wait_for_url(f"{base}/ui/")
            page.wait_for_selector("#live[data-state=live]")
            assert page.inner_text("h1") == "Overview"
            page.context.close()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True

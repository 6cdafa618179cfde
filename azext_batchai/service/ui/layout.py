"""What every page has around it."""

from __future__ import annotations

from urllib.parse import urlencode

from azext_batchai._version import VERSION
from azext_batchai.service.ui import addresses
from azext_batchai.service.ui.html import Child, Html, document, element, joined
from azext_batchai.service.ui.view import Page

_MENU = (("Overview", addresses.ROOT), ("Storage", f"{addresses.ROOT}storage"), ("Usage", f"{addresses.ROOT}usage"))


def frame(page: Page, version: int, current: str) -> Html:
    """The whole document; `version`: that of the state which it shows, `current`: its address."""
    query = urlencode([*(("topic", topic) for topic in page.topics), ("since", version)])
    links = [
        element("a", text, href=address, aria_current="page" if address == current else None)
        for text, address in _MENU
    ]
    return document(
        _head(page),
        element(
            "body",
            element("a", "Skip to the content", href="#main", class_="skip"),
            element(
                "header",
                element("a", _LOGO, "Batch AI", href=addresses.ROOT, class_="brand"),
                element("nav", links, aria_label="Sections"),
                element("span", "connecting", id="live", role="status", data_state="connecting"),
            ),
            _trail(page),
            element("main", page.body, id="main", tabindex="-1"),
            element("footer", f"batchai {VERSION} on this machine"),
            data_events=f"{addresses.ROOT}events?{query}",
        ),
        lang="en",
    )


def plain(title: str, *body: Child, refresh: str = "") -> Html:
    """A page for somebody who has no session: nothing of the service is on it. `refresh`: where it leads at once."""
    return document(
        element(
            "head",
            *_meta(title),
            element("meta", name="referrer", content="no-referrer"),
            element("meta", http_equiv="refresh", content=f"0;url={refresh}") if refresh else None,
        ),
        element("body", element("main", element("h1", title), *body, id="main", class_="narrow")),
        lang="en",
    )


def _meta(title: str) -> list[Html]:
    return [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · Batch AI"),
        element("link", rel="icon", href=f"{addresses.ROOT}static/icon.svg", type="image/svg+xml"),
        element("link", rel="stylesheet", href=f"{addresses.ROOT}static/style.css"),
    ]


def _head(page: Page) -> Html:
    static = f"{addresses.ROOT}static/"
    return element(
        "head",
        *_meta(page.title),
        [element("link", rel="stylesheet", href=f"{static}{name}") for name in page.styles],
        [
            element("script", src=f"{static}{name}", defer=True)
            for name in ("vendor/idiomorph.min.js", *page.libraries)
        ],
        [element("script", src=f"{static}{name}", type="module") for name in ("live.js", *page.scripts)],
    )


def _trail(page: Page) -> Html | None:
    if not page.trail:
        return None
    steps = [element("li", element("a", text, href=address)) for text, address in page.trail]
    here = element("li", page.title, aria_current="page")
    return element("nav", element("ol", steps, here), class_="trail", aria_label="Where this is")


_LOGO = element(
    "svg",
    joined(
        element("rect", x="1", y="1", width="6", height="6", rx="1.5"),
        element("rect", x="9", y="1", width="6", height="6", rx="1.5"),
        element("rect", x="1", y="9", width="6", height="6", rx="1.5"),
        element("rect", x="9", y="9", width="6", height="6", rx="1.5", class_="busy"),
    ),
    viewBox="0 0 16 16",
    class_="logo",
    aria_hidden="true",
)

"""What a browser must have said before the page answers, and what it is told to refuse."""

from __future__ import annotations

from starlette.requests import Request

from azext_batchai.service import hosts, peer

# No script and no style but the files of this service; nothing from anywhere else, and in nobody's frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A job's file is shown as what it is, not as a page of ours: it can run and load nothing. Drawings (SVG) have their
# styles and pictures in themselves.
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
_COMMON = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # `no-referrer` would make the Origin of our own forms `null`
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def page_headers() -> dict[str, str]:
    return {**_COMMON, "content-security-policy": _POLICY, "cache-control": "no-store"}


def file_headers() -> dict[str, str]:
    """For content that a job has written."""
    return {**_COMMON, "content-security-policy": _FILE_POLICY, "cache-control": "no-store"}


def static_headers() -> dict[str, str]:
    """For our own files; the browser keeps them and asks whether they are still the same."""
    return {**_COMMON, "content-security-policy": _POLICY, "cache-control": "no-cache"}


def refusal(request: Request) -> str:
    """Why the request is not answered; '' where it may be.

    A page elsewhere can make a browser send requests here, under any name that leads here: the Host header tells the
    name, Origin and Sec-Fetch-Site who has asked. Other users of this machine can see a code in the arguments of a
    browser, and a cookie by a server on another port (cookies know no ports): neither is of use to them.
    """
    authority = request.headers.get("host", "")
    if not hosts.is_loopback(authority):
        return f"'{authority}' is no name of this machine: open the page as 127.0.0.1 or localhost."
    client, server = request.scope["client"], request.scope["server"]
    if not (client and server and peer.is_own_user(client, server)):
        return "The page is for the user whose service this is: open it, or run ssh -L, as that user."
    own = f"{request.scope['scheme']}://{authority}"
    origin = request.headers.get("origin")
    writes = request.method not in ("GET", "HEAD")
    if (origin or writes) and origin != own:
        return "The request comes from another page."
    site = request.headers.get("sec-fetch-site", "none")
    # Following a link from elsewhere is fine; what comes of it is not for the page that has the link.
    followed = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
    if site not in ("none", "same-origin") and not (followed and request.headers.get("sec-fetch-dest") == "document"):
        return "The request comes from another page."
    return ""

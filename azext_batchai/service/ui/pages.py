"""Which address shows which page, and what stands before all of them: the guard, the session, the frame."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from azext_batchai.service import app, hosts
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.service import Service
from azext_batchai.service.ui import (
    addresses,
    cluster,
    curves,
    experiment,
    file_server,
    files,
    guard,
    job,
    layout,
    logs,
    overview,
    storage,
    usage,
    workspace,
)
from azext_batchai.service.ui.feed import Feed
from azext_batchai.service.ui.html import Html, element
from azext_batchai.service.ui.sessions import Session, Sessions
from azext_batchai.service.ui.static_files import static_file
from azext_batchai.service.ui.view import Data, Memory, Page, Redirect, View
from azext_batchai.service.ui.wire import Wire

log = logging.getLogger(__name__)

Answer: TypeAlias = Page | Redirect | Data | Response
_MOST_FORM_BYTES = 1 << 16

_EXPERIMENT = "groups/{}/workspaces/{}/experiments/{}"
_JOB = f"{_EXPERIMENT}/jobs/{{}}"
# `{}` stands for a name, `*` at the end for whatever follows.
ROUTES: dict[tuple[str, str], Callable[[View], Awaitable[Answer]]] = {
    ("GET", ""): overview.page,
    ("GET", _EXPERIMENT): experiment.page,
    ("GET", f"{_EXPERIMENT}/curves"): experiment.curve_data,
    ("POST", f"{_EXPERIMENT}/terminate"): experiment.terminate,
    ("POST", f"{_EXPERIMENT}/delete"): experiment.delete,
    ("GET", _JOB): job.page,
    ("POST", f"{_JOB}/terminate"): job.terminate,
    ("POST", f"{_JOB}/delete"): job.delete,
    ("GET", f"{_JOB}/metrics"): curves.data,
    ("GET", f"{_JOB}/logs/events"): logs.events,
    ("GET", f"{_JOB}/logs/range"): logs.part,
    ("GET", f"{_JOB}/logs/search"): logs.search,
    ("GET", f"{_JOB}/files/{{}}/*"): files.page,
    ("GET", f"{_JOB}/raw/{{}}/*"): files.raw,
    ("GET", "groups/{}/workspaces/{}/clusters/{}"): cluster.page,
    ("POST", "groups/{}/workspaces/{}/clusters/{}/scale"): cluster.scale,
    ("POST", "groups/{}/workspaces/{}/clusters/{}/delete"): cluster.delete,
    ("GET", "groups/{}/workspaces/{}/fileservers/{}"): file_server.page,
    ("POST", "groups/{}/workspaces/{}/fileservers/{}/delete"): file_server.delete,
    ("GET", "groups/{}/workspaces/{}"): workspace.page,
    ("GET", "usage"): usage.page,
    ("GET", "storage"): storage.page,
    ("GET", "storage/{}"): storage.account_page,
    ("GET", "storage/{}/files/{}/*"): storage.share_page,
    ("GET", "storage/{}/blobs/{}/*"): storage.container_page,
}


class Pages:
    """The page of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sessions = Sessions(service.vault.derive("ui"), service.settings.home)
        self._feed = Feed(service.store)
        self._memory = Memory()

    def invite(self, opener: bool) -> dict[str, str]:
        """An address that lets its first reader in; with `opener` also a private file that leads there."""
        address = f"{self._service.base_url}{addresses.ROOT}enter?code={self._sessions.new_code()}"
        if not opener:
            return {"address": address}
        return {"address": address, "opener": str(self._sessions.write_opener(address))}

    def revoke(self) -> dict[str, int]:
        """End all sessions, with the streams that are open."""
        self._feed.close()
        self._memory.close()
        self._feed, self._memory = Feed(self._service.store), Memory()
        return {"ended": self._sessions.revoke()}

    def close(self) -> None:
        """The service stops: end what goes on and on, and all sessions."""
        self._feed.close()
        self._sessions.revoke()
        self._memory.close()

    async def answer(self, request: Request) -> Response:
        """The answer to a request below /ui/."""
        refusal = guard.refusal(request)
        if refusal:
            return _html(layout.plain("Refused", element("p", refusal)), 403)
        raw = request.scope["raw_path"].decode("ascii", "replace")
        if raw == addresses.ROOT.rstrip("/"):
            return RedirectResponse(addresses.ROOT, 308, guard.page_headers())
        # Only the names of files may be bytes that are no text.
        words = [unquote(word, errors="surrogateescape") for word in raw[len(addresses.ROOT) :].split("/")]
        if words[0] == "static" and request.method in ("GET", "HEAD"):
            return static_file("/".join(words[1:]), request.headers.get("if-none-match", ""))
        if words == ["enter"] and request.method == "GET":
            return self._enter(request)
        session = self._session(request)
        if not session:
            return _html(_NO_SESSION, 401)
        if words == ["events"] and request.method == "GET":
            return self._events(request)
        return await self._page(request, words, session)

    def _enter(self, request: Request) -> Response:
        value = self._sessions.redeem(request.query_params.get("code", ""))
        if not value and not self._session(request):  # who is in already may load the address again
            return _html(_NO_SESSION, 401)
        # No redirect: the cookie would not be sent along by it where another page has led here.
        response = _html(
            layout.plain("Welcome", element("p", element("a", "Go on", href=addresses.ROOT)), refresh=addresses.ROOT)
        )
        response.headers["referrer-policy"] = "no-referrer"
        if value:
            response.set_cookie(self._sessions.cookie, value, path=addresses.ROOT, httponly=True, samesite="strict")
        return response

    def _session(self, request: Request) -> Session | None:
        return self._sessions.find(request.cookies.get(self._sessions.cookie, ""))

    def _events(self, request: Request) -> Response:
        since = request.query_params.get("since", "")
        topics = tuple(request.query_params.getlist("topic"))[:16]
        return StreamingResponse(
            self._feed.events(topics, int(since) if since.isdecimal() and len(since) < 20 else -1),
            headers=guard.page_headers(),
            media_type="text/event-stream",
        )

    async def _page(self, request: Request, words: list[str], session: Session) -> Response:
        version = self._feed.version  # before anything is read: what changes meanwhile is told of
        try:
            answer = await self._answer(request, words, session)
        except ClientDisconnect:
            raise
        except Exception as exc:
            answer = _failure(app.failure(self._service, exc, request.method, request.url.path))
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, Redirect):
            return RedirectResponse(answer.address, 303, guard.page_headers())
        if isinstance(answer, Data):
            content = json.dumps(answer.content, separators=(",", ":"), allow_nan=False)
            return Response(content, 200, guard.page_headers(), "application/json")
        return _html(layout.frame(answer, version, request.url.path), answer.status)

    async def _answer(self, request: Request, words: list[str], session: Session) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        form = await _form(request) if method == "POST" else {}
        if method == "POST" and not session.wrote(form.get("token", "")):
            raise ArmError(403, "Forbidden", "The form is not one of this session: load the page again.")
        subscription = self._service.subscription
        if words[0] == "subscriptions" and len(words) > 2 and all(words[1:3]):
            subscription, words = words[1], words[2:]
        found = _find(method, words)
        if not found:
            raise ArmError(404, "PageNotFound", "There is no such page.")
        handler, names, tail = found
        base_url = hosts.base_url(request.scope["scheme"], request.headers.get("host", ""))
        wire = Wire(self._service, subscription.lower(), base_url)
        query = dict(request.query_params)
        view = View(self._service, wire, session, names, tail, query, request.headers, form, self._memory)
        return await handler(view)


def _find(
    method: str, words: list[str]
) -> tuple[Callable[[View], Awaitable[Answer]], tuple[str, ...], str] | None:
    for (wanted, pattern), handler in ROUTES.items():
        parts = pattern.split("/")
        open_end = parts[-1] == "*"
        head = parts[:-1] if open_end else parts
        if wanted != method or len(words) < len(head) or (len(words) > len(head) and not open_end):
            continue
        if all(part in ("{}", word) for part, word in zip(head, words)):
            names = tuple(word for part, word in zip(head, words) if part == "{}")
            if all(name.isprintable() and name for name in names):
                return handler, names, "/".join(words[len(head) :])
    return None


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM_BYTES:
            raise ArmError(413, "RequestEntityTooLarge", "The form is too large.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _failure(exc: ArmError) -> Page:
    title = "Not found" if exc.status == 404 else "That did not work"
    back = element("p", element("a", "To the overview", href=addresses.ROOT))
    return Page(title, element("div", element("h1", title), element("p", exc.message), back), status=exc.status)


def _html(page: Html, status: int = 200) -> Response:
    return Response(page, status, guard.page_headers(), "text/html")


_NO_SESSION = layout.plain(
    "No session",
    element("p", "This address is for whoever owns the service. It lets nobody in twice, and not after ten minutes."),
    element("p", "Type ", element("code", "az batchai local ui"), " in a terminal and open the address it prints."),
)

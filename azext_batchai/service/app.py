"""Routes: which request goes to which handler, and nothing else but the HTTP around it."""

from __future__ import annotations

import errno
import hmac
import json
import logging
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from azext_batchai.service import hosts, peer
from azext_batchai.service.arm import content
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.arm.ids import check_names, key_of, parse_path
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.azure import login
from azext_batchai.service.azure import routes as azure_routes
from azext_batchai.service.clock import monotonic
from azext_batchai.service.resources import (
    clusters,
    experiments,
    file_servers,
    groups,
    jobs,
    output_files,
    provider_operations,
    storage_accounts,
    usages,
    workspaces,
)
from azext_batchai.service.service import Service
from azext_batchai.service.settings import API_VERSION
from azext_batchai.service.storage import links
from azext_batchai.service.storage.data_plane import DataPlane
from azext_batchai.service.storage.downloads import download
from azext_batchai.service.store import DamagedRecord, Trace, trace
from azext_batchai.service.store_checks import disk_full
from azext_batchai.service.tokens import Tokens

log = logging.getLogger(__name__)

Handler = Callable[[Service, Call], Awaitable[Reply]]
MAX_BODY = 8 << 20
_MOST_DRAINED = 64 << 20  # read to its end, for a client whose connection is cut while it sends sees no answer


async def poll_operation(service: Service, call: Call) -> Reply:
    return await service.operations.poll(f"{call.base_url}{call.raw_path}", call.name)


_SUBSCRIPTION = "subscriptions/{}"
_GROUP = "subscriptions/{}/resourcegroups/{}"
_BATCHAI = "providers/microsoft.batchai"
_WORKSPACES = f"{_GROUP}/{_BATCHAI}/workspaces"
_WORKSPACE = f"{_WORKSPACES}/{{}}"
_CLUSTER = f"{_WORKSPACE}/clusters/{{}}"
_EXPERIMENT = f"{_WORKSPACE}/experiments/{{}}"
_JOB = f"{_EXPERIMENT}/jobs/{{}}"
_FILE_SERVER = f"{_WORKSPACE}/fileservers/{{}}"
_LOCATION = f"{_SUBSCRIPTION}/{_BATCHAI}/locations/{{}}"
_STORAGE = "providers/microsoft.storage/storageaccounts"
_ACCOUNT = f"{_GROUP}/{_STORAGE}/{{}}"
_SHARES = f"{_ACCOUNT}/fileservices/{{}}/shares"
_CONTAINERS = f"{_ACCOUNT}/blobservices/{{}}/containers"

ROUTES: dict[tuple[str, str], Handler] = {
    ("PUT", _WORKSPACE): workspaces.create,
    ("GET", _WORKSPACE): workspaces.get,
    ("PATCH", _WORKSPACE): workspaces.update,
    ("DELETE", _WORKSPACE): workspaces.delete,
    ("GET", _WORKSPACES): workspaces.list_by_group,
    ("GET", f"{_SUBSCRIPTION}/{_BATCHAI}/workspaces"): workspaces.list_by_subscription,
    ("PUT", _CLUSTER): clusters.create,
    ("GET", _CLUSTER): clusters.NESTED.get,
    ("PATCH", _CLUSTER): clusters.update,
    ("DELETE", _CLUSTER): clusters.NESTED.delete,
    ("GET", f"{_WORKSPACE}/clusters"): clusters.NESTED.list_by_workspace,
    ("POST", f"{_CLUSTER}/listremotelogininformation"): clusters.list_remote_login,
    ("PUT", _EXPERIMENT): experiments.create,
    ("GET", _EXPERIMENT): experiments.NESTED.get,
    ("DELETE", _EXPERIMENT): experiments.NESTED.delete,
    ("GET", f"{_WORKSPACE}/experiments"): experiments.NESTED.list_by_workspace,
    ("PUT", _JOB): jobs.create,
    ("GET", _JOB): jobs.get,
    ("DELETE", _JOB): jobs.delete,
    ("GET", f"{_EXPERIMENT}/jobs"): jobs.list_by_experiment,
    ("POST", f"{_JOB}/terminate"): jobs.terminate,
    ("POST", f"{_JOB}/listoutputfiles"): output_files.list_output_files,
    ("GET", f"{_JOB}/listoutputfiles"): output_files.list_output_files,  # a nextLink is followed with GET
    ("POST", f"{_JOB}/listremotelogininformation"): jobs.list_remote_login,
    ("PUT", _FILE_SERVER): file_servers.create,
    ("GET", _FILE_SERVER): file_servers.NESTED.get,
    ("DELETE", _FILE_SERVER): file_servers.NESTED.delete,
    ("GET", f"{_WORKSPACE}/fileservers"): file_servers.NESTED.list_by_workspace,
    ("GET", f"{_LOCATION}/usages"): usages.list_by_location,
    ("GET", f"{_BATCHAI}/operations"): provider_operations.list_operations,
    ("GET", f"{_LOCATION}/operationresults/{{}}"): poll_operation,
    ("GET", f"{_LOCATION}/operationstatuses/{{}}"): poll_operation,
    ("PUT", _GROUP): groups.create,
    ("GET", _GROUP): groups.get,
    ("HEAD", _GROUP): groups.exists,
    ("PATCH", _GROUP): groups.update,
    ("DELETE", _GROUP): groups.delete,
    ("GET", f"{_SUBSCRIPTION}/resourcegroups"): groups.list_groups,
    ("PUT", _ACCOUNT): storage_accounts.create,
    ("GET", _ACCOUNT): storage_accounts.get,
    ("PATCH", _ACCOUNT): storage_accounts.update,
    ("DELETE", _ACCOUNT): storage_accounts.delete,
    ("GET", f"{_GROUP}/{_STORAGE}"): storage_accounts.list_by_group,
    ("GET", f"{_SUBSCRIPTION}/{_STORAGE}"): storage_accounts.list_by_subscription,
    ("POST", f"{_ACCOUNT}/listkeys"): storage_accounts.list_keys,
    ("POST", f"{_ACCOUNT}/regeneratekey"): storage_accounts.regenerate_key,
    ("POST", f"{_SUBSCRIPTION}/providers/microsoft.storage/checknameavailability"): storage_accounts.check_name,
    ("GET", f"{_SUBSCRIPTION}/providers/microsoft.storage/locations/{{}}/usages"): storage_accounts.list_usages,
    ("PUT", f"{_SHARES}/{{}}"): storage_accounts.create_share,
    ("GET", f"{_SHARES}/{{}}"): storage_accounts.get_share,
    ("GET", _SHARES): storage_accounts.list_shares,
    ("PUT", f"{_CONTAINERS}/{{}}"): storage_accounts.create_container,
    ("GET", f"{_CONTAINERS}/{{}}"): storage_accounts.get_container,
    ("GET", _CONTAINERS): storage_accounts.list_containers,
}
_GROUP_DELETION = f"{_SUBSCRIPTION}/operationresults/"
# JavaScript's clients poll every 30 seconds unless the program says otherwise, whatever a header says.
_DEAF_POLLER = "ms-rest-azure"
_OUTCOME_SECONDS = 10.0
_PATTERNS = {pattern for _, pattern in ROUTES}


class Application:
    """The ASGI application of one service; `local` answers /_local/... requests, `pages` those below /ui."""

    def __init__(
        self,
        service: Service,
        token: str,
        local: Callable[[str, str, Any], Awaitable[Reply]],
        pages: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._service = service
        self._token = token
        self._tokens = Tokens(service.vault.derive("tokens"))
        self._local = local
        self._pages = pages
        self._signer = links.LinkSigner(service.vault.derive("links"))
        self._data_plane = DataPlane(service.storage, service.vault, self._tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response: ASGIApp
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        # Not scope["path"]: it is decoded, so that it does not tell a slash in a name from one between two names.
        raw_path = request.scope["raw_path"].decode("ascii", "replace")
        path = unquote(raw_path, errors="surrogateescape")
        traced = Trace()
        trace.set(traced)
        try:
            if path.startswith(f"{links.PREFIX}/") and request.method in ("GET", "HEAD"):
                return _apart(download(request, self._service.storage, self._signer, path[len(links.PREFIX) + 1 :]))
            if (path == "/ui" or path.startswith("/ui/")) and not hosts.storage(request.headers.get("host", "")):
                return await self._pages(request)
            answer = await self._data_plane.answer(request, raw_path)
            if answer:
                return answer if hosts.storage(request.headers.get("host", "")) else _apart(answer)
            base_url = self._base_url(request)
            known = await self._before_login(request, path, base_url)
            if known:
                return _response(known)
            self._authenticate(request)
            if path.startswith("/_local/"):
                return _response(await self._local(request.method, path[len("/_local/") :], await _json(request)))
            reply = await self._dispatch(request, raw_path, base_url)
            _spare_the_wait(request, reply)
            if traced.left_out:
                reply.headers["Warning"] = _left_out(traced.left_out)
            return _response(reply)
        except ClientDisconnect:
            raise
        except Exception as exc:
            error = failure(self._service, exc, request.method, path)
            return _response(Reply(error.status, error.body()))

    def _base_url(self, request: Request) -> str:
        """How the client names the service: links that it gets begin with it."""
        return hosts.base_url(request.scope["scheme"], request.headers.get("host", "")) or self._service.base_url

    async def _before_login(self, request: Request, path: str, base_url: str) -> Reply | None:
        """The answer to what clients ask without a token; None for all else."""
        if not login.is_token_request(request.method, path):
            return login.describe(request.method, path, request.query_params, base_url)
        body = await _content(request)
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        client, server = request.scope["client"], request.scope["server"]
        # A page in the user's browser comes from the user too: it cannot read the answer, unless its own name was made
        # to lead here, and that name is then in the Host header.
        ours = hosts.base_url(request.scope["scheme"], request.headers.get("host", ""))
        own_user = bool(ours and client and server and peer.is_own_user(client, server))
        return login.token(self._service, self._tokens, path, form, own_user)

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        known = hmac.compare_digest(token.encode(), self._token.encode()) or self._tokens.is_for_resource_manager(token)
        if scheme.lower() != "bearer" or not known:
            raise ArmError(401, "AuthenticationFailed", "Authentication failed: the bearer token is missing or wrong.")

    async def _dispatch(self, request: Request, raw_path: str, base_url: str) -> Reply:
        arm_path = parse_path(raw_path)
        pattern = arm_path.pattern if arm_path else ""
        if request.method == "GET" and pattern.startswith(_GROUP_DELETION) and arm_path:
            handler: Handler | None = groups.poll_delete
        else:
            handler = ROUTES.get((request.method, pattern))
        is_batchai = bool(handler) and _BATCHAI in pattern
        handler = handler or azure_routes.find(request.method, pattern, raw_path)
        query = {name.lower(): value for name, value in request.query_params.items()}
        if not handler or not arm_path:
            if f"/{_BATCHAI}/" in raw_path.lower():  # an old version may have had what this one has not
                _check_version(query, True)
            if pattern in _PATTERNS:
                raise ArmError(405, "MethodNotAllowed", f"{request.method} is not allowed for {raw_path}.")
            unserved = azure_routes.unserved(request.method, pattern)
            raise unserved or ArmError(404, "ResourceNotFound", f"There is no resource or operation at {raw_path}.")
        _check_version(query, is_batchai)
        if is_batchai:
            check_names(arm_path)
        engine = request.headers.get("x-batchai-engine", "")
        call = Call(request.method, arm_path, raw_path, query, await _json(request), base_url, engine)
        try:
            reply = await handler(self._service, call)
            if reply.status == 202 and _DEAF_POLLER in request.headers.get("user-agent", ""):
                reply = await self._outcome(call, reply)
            return reply
        except DamagedRecord as exc:
            # Nothing is known of it that would have to be ended first: only the record can go.
            own = request.method == "DELETE" and exc.key == key_of(unquote(raw_path))
            if not own or self._service.store.has_children(exc.key):
                raise
            with self._service.store.transaction():
                self._service.store.forget_damaged(exc.key)
            return Reply(200)

    async def _outcome(self, call: Call, accepted: Reply) -> Reply:
        """200 in place of 202 for an operation that ends soon, with the resource where one was made (both swagger)."""
        operation = accepted.headers.get("Azure-AsyncOperation", "").partition("?")[0].rsplit("/", 1)[-1]
        deadline = monotonic() + _OUTCOME_SECONDS
        while operation and monotonic() < deadline:
            status = (await self._service.operations.poll("", operation)).body["status"]
            if status == "Succeeded":
                made = ROUTES[("GET", call.path.pattern)] if call.method == "PUT" else None
                return await made(self._service, replace(call, method="GET", body=None)) if made else Reply(200)
            if status != "InProgress":
                break  # the client's own poll tells why
        return accepted


def _apart(response: Response) -> Response:
    """A file that a job wrote has the origin of our own page here: in a browser it is to run nothing."""
    response.headers["content-security-policy"] = "sandbox"
    response.headers["x-content-type-options"] = "nosniff"
    return response


def failure(service: Service, exc: Exception, method: str, path: str) -> ArmError:
    """What is answered where a request for `path` ended with `exc`; the log is told what is no fault of the client."""
    if isinstance(exc, ArmError):
        return exc
    if isinstance(exc, DamagedRecord):
        return _damaged(service, exc)
    if isinstance(exc, OSError) and exc.errno == errno.ENAMETOOLONG:
        return bad_request("A name or path in the request is too long.")
    if isinstance(exc, (sqlite3.Error, OSError)):
        log.error("%s %s: %r", method, ascii(path), exc)
        return _unwritten(service, exc)
    log.error("%s %s", method, ascii(path), exc_info=exc)
    return ArmError(500, "InternalServerError", "Encountered internal server error; see the service's log.")


def _unwritten(service: Service, exc: sqlite3.Error | OSError) -> ArmError:
    home = service.settings.home
    if disk_full(exc, home):
        message = f"The disk is full: the service has no room to write in {home}."
        advice = "Free some space, then try again."
    elif isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError):
        message = f"The state file {service.store.path} is damaged: {exc}."
        advice = "Stop the service and start it again: it says then what can be done."
    else:
        message = f"The service cannot read or write its state in {home}: {exc}."
        advice = "See the service's log."
    # An error of a file says nothing about what was done before it; the state knows.
    traced = trace.get()
    unchanged = isinstance(exc, sqlite3.Error) and not (traced and traced.commits)
    return ArmError(503, "ServiceUnavailable", f"{message} {'Nothing was changed. ' if unchanged else ''}{advice}")


def _damaged(service: Service, damage: DamagedRecord) -> ArmError:
    """409, which no client sends again by itself: it takes a person to decide."""
    below = service.store.has_children(damage.key)
    advice = "what lies below it keeps it" if below else "DELETE removes it"
    return ArmError(409, "ResourceDamaged", f"{damage} A copy of the state file brings it back; {advice}.")


def _spare_the_wait(request: Request, reply: Reply) -> None:
    """Clients made with msrest know only whole seconds and wait 30 without a header; unlike azure-core they take 0."""
    if "retry-after-ms" in reply.headers and "msrest/" in request.headers.get("user-agent", ""):
        reply.headers["Retry-After"] = "0"


def _check_version(query: dict[str, str], is_batchai: bool) -> None:
    version = query.get("api-version")
    if not version:
        raise bad_request(
            "The api-version query parameter (?api-version=) is required for all requests.",
            "api-version",
            code="MissingApiVersionParameter",
        )
    if is_batchai and version != API_VERSION:
        raise bad_request(
            f"The api-version '{version}' is not supported. The supported version is '{API_VERSION}'.",
            "api-version",
            code="InvalidApiVersionParameter",
        )


async def _json(request: Request) -> Any:
    """The body of a request; None where it has none. Raises ArmError for one that is too large or no JSON."""
    return content.parse(await _content(request))


async def _content(request: Request) -> bytearray:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY:
            body += chunk
        elif size > _MOST_DRAINED:
            break
    if size > MAX_BODY:
        raise ArmError(413, "RequestEntityTooLarge", f"A request body may have {MAX_BODY} bytes at most.")
    return body


def _left_out(damage: list[DamagedRecord]) -> str:
    """A list is never silently shorter: clients of this service show what a Warning header says."""
    names = ", ".join(sorted({one.key.rsplit("/", 1)[1] for one in damage})[:10])
    text = f"{len(damage)} damaged records are left out, among them: {names}. GET one of them to see what is wrong."
    return f'199 batchai "{text.encode("ascii", "replace").decode()}"'


def _response(reply: Reply) -> Response:
    """With the headers that the real service sent (wire.md 1.0)."""
    identifier = str(uuid.uuid4())
    headers = {
        "cache-control": "no-cache",
        "pragma": "no-cache",
        "expires": "-1",
        "x-content-type-options": "nosniff",
        "request-id": identifier,
        "x-ms-request-id": identifier,
        **reply.headers,
    }
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    headers["content-type"] = "application/json; charset=utf-8"
    return Response(json.dumps(reply.body, separators=(",", ":")), reply.status, headers)

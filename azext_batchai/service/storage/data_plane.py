"""The data plane of storage accounts: who may do what, and which operation a request asks for."""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from azext_batchai.service import hosts
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.storage import (
    access_policies,
    blobs_rest,
    blocks_rest,
    copies,
    delegation,
    files_rest,
    properties_rest,
    shared_access,
    shared_key,
)
from azext_batchai.service.storage.account_keys import KEY_NAMES, account_keys
from azext_batchai.service.storage.content import number
from azext_batchai.service.storage.faults import StorageFault, bad_input, forbidden, not_implemented
from azext_batchai.service.storage.grants import CONTAINER, EVERYTHING, OBJECT, SERVICE, Grant
from azext_batchai.service.storage.kept import META
from azext_batchai.service.storage.layout import BLOBS, FILES, StorageLayout
from azext_batchai.service.storage.properties_rest import RENAME_HEADER
from azext_batchai.service.storage.storage_call import StorageCall, settle_service, take
from azext_batchai.service.tokens import Tokens

log = logging.getLogger(__name__)

SERVICE_VERSION = "2026-04-06"
_DRAINED = 256 << 20


@dataclass(frozen=True)
class Operation:
    """`letters`: the permissions of a signature of which one is needed; `type`: the type of resource it must be for."""

    handler: Callable[[StorageCall], Awaitable[Response]]
    letters: str
    type: str
    account_only: bool = False
    takes: str = ""  # a header, or the beginning of headers, that asks for something only here

    def also(self, *headers: str) -> Operation:
        """The same with what these headers ask for."""
        return replace(self, takes=" ".join((self.takes, *headers)).strip())


_QUOTA = "x-ms-share-quota"
_DELEGATION = Operation(delegation.make_key, "w", SERVICE, True)
# Method; whether an account (""), a share or container ("/") or what is in one ("/*") is named; restype; comp.
_Pattern = tuple[str, str, str, str]
_FILES: dict[_Pattern, Operation] = {
    ("GET", "", "", "list"): Operation(files_rest.list_shares, "l", SERVICE, True),
    ("PUT", "/", "share", ""): Operation(files_rest.create_share, "cw", CONTAINER, True).also(_QUOTA, META),
    ("PUT", "/", "share", "properties"): Operation(properties_rest.set_quota, "w", CONTAINER, True).also(_QUOTA),
    ("PUT", "/", "share", "metadata"): Operation(properties_rest.set_root_metadata, "w", CONTAINER, True).also(META),
    ("GET", "/", "share", "metadata"): Operation(files_rest.share_properties, "r", CONTAINER, True),
    ("GET", "/", "share", "stats"): Operation(properties_rest.share_stats, "r", CONTAINER, True),
    ("GET", "/", "share", "acl"): Operation(access_policies.read, "r", CONTAINER, True),
    ("PUT", "/", "share", "acl"): Operation(access_policies.write, "w", CONTAINER, True),
    ("POST", "", "service", "userdelegationkey"): _DELEGATION,
    ("GET", "/", "share", ""): Operation(files_rest.share_properties, "r", CONTAINER, True),
    ("DELETE", "/", "share", ""): Operation(files_rest.delete_share, "d", CONTAINER, True),
    ("GET", "/", "directory", ""): Operation(files_rest.directory_properties, "r", OBJECT),
    ("GET", "/", "directory", "list"): Operation(files_rest.list_directory, "l", CONTAINER),
    ("PUT", "/*", "directory", ""): Operation(files_rest.create_directory, "cw", OBJECT).also(META),
    ("PUT", "/*", "directory", "metadata"): Operation(properties_rest.set_metadata, "w", OBJECT).also(META),
    ("PUT", "/*", "directory", "rename"): Operation(properties_rest.rename, "w", OBJECT).also(RENAME_HEADER),
    ("GET", "/*", "directory", ""): Operation(files_rest.directory_properties, "r", OBJECT),
    ("GET", "/*", "directory", "list"): Operation(files_rest.list_directory, "l", CONTAINER),
    ("DELETE", "/*", "directory", ""): Operation(files_rest.delete_directory, "d", OBJECT),
    ("PUT", "/*", "", ""): Operation(files_rest.create_file, "cw", OBJECT).also(copies.HEADER, META),
    ("PUT", "/*", "", "range"): Operation(files_rest.put_range, "w", OBJECT).also(copies.HEADER),
    ("PUT", "/*", "", "properties"): Operation(files_rest.set_file_properties, "w", OBJECT),
    ("PUT", "/*", "", "metadata"): Operation(properties_rest.set_metadata, "w", OBJECT).also(META),
    ("GET", "/*", "", "metadata"): Operation(properties_rest.metadata, "r", OBJECT),
    ("PUT", "/*", "", "rename"): Operation(properties_rest.rename, "w", OBJECT).also(RENAME_HEADER),
    ("PUT", "/*", "", "copy"): Operation(copies.abort, "w", OBJECT),
    ("GET", "/*", "", "rangelist"): Operation(files_rest.list_ranges, "r", OBJECT),
    ("GET", "/*", "", ""): Operation(files_rest.get_file, "r", OBJECT),
    ("DELETE", "/*", "", ""): Operation(files_rest.delete_file, "d", OBJECT),
}
_BLOBS: dict[_Pattern, Operation] = {
    ("GET", "", "", "list"): Operation(blobs_rest.list_containers, "l", SERVICE, True),
    ("PUT", "/", "container", ""): Operation(blobs_rest.create_container, "cw", CONTAINER, True).also(META),
    ("PUT", "/", "container", "metadata"): Operation(
        properties_rest.set_root_metadata, "w", CONTAINER, True
    ).also(META),
    ("GET", "/", "container", "metadata"): Operation(blobs_rest.container_properties, "r", CONTAINER, True),
    ("GET", "/", "container", "acl"): Operation(access_policies.read, "r", CONTAINER, True),
    ("PUT", "/", "container", "acl"): Operation(access_policies.write, "w", CONTAINER, True),
    ("POST", "", "service", "userdelegationkey"): _DELEGATION,
    ("GET", "/", "container", ""): Operation(blobs_rest.container_properties, "r", CONTAINER, True),
    ("DELETE", "/", "container", ""): Operation(blobs_rest.delete_container, "d", CONTAINER, True),
    ("GET", "/", "container", "list"): Operation(blobs_rest.list_blobs, "l", CONTAINER),
    ("PUT", "/*", "", ""): Operation(blobs_rest.put_blob, "cw", OBJECT).also(copies.HEADER, META),
    ("PUT", "/*", "", "block"): Operation(blocks_rest.put_block, "cw", OBJECT).also(copies.HEADER),
    ("GET", "/*", "", "blocklist"): Operation(blocks_rest.get_block_list, "r", OBJECT),
    ("PUT", "/*", "", "blocklist"): Operation(blocks_rest.put_block_list, "cw", OBJECT).also(META),
    ("PUT", "/*", "", "properties"): Operation(properties_rest.set_content, "w", OBJECT),
    ("PUT", "/*", "", "metadata"): Operation(properties_rest.set_metadata, "w", OBJECT).also(META),
    ("GET", "/*", "", "metadata"): Operation(properties_rest.metadata, "r", OBJECT),
    ("PUT", "/*", "", "copy"): Operation(copies.abort, "w", OBJECT),
    ("GET", "/*", "", ""): Operation(blobs_rest.get_blob, "r", OBJECT),
    ("DELETE", "/*", "", ""): Operation(blobs_rest.delete_blob, "d", OBJECT),
}
_OPERATIONS = {FILES: _FILES, BLOBS: _BLOBS}

# Headers that ask for what is not kept or done here, with the values that ask for nothing.
_UNSUPPORTED = {
    "x-ms-access-tier": set[str](),
    "x-ms-blob-public-access": set(),
    "x-ms-content-crc64": set(),
    copies.HEADER: set(),
    "x-ms-encryption-key": set(),
    "x-ms-encryption-scope": set(),
    "x-ms-file-permission": {"inherit", "preserve"},
    "x-ms-file-permission-key": set(),
    "x-ms-file-attributes": {"none", "archive", "directory", "preserve"},
    "x-ms-file-creation-time": {"now", "preserve"},
    "x-ms-file-last-write-time": {"now", "preserve"},
    RENAME_HEADER: set(),
    "x-ms-group": set(),
    "x-ms-if-tags": set(),
    "x-ms-immutability-policy-until-date": set(),
    "x-ms-legal-hold": {"false"},
    "x-ms-mode": set(),
    "x-ms-owner": set(),
    "x-ms-range-get-content-crc64": {"false"},
    _QUOTA: set(),
    "x-ms-source-content-md5": set(),
    "x-ms-source-if-match": set(),
    "x-ms-source-if-modified-since": set(),
    "x-ms-source-if-none-match": set(),
    "x-ms-source-if-unmodified-since": set(),
    "x-ms-structured-body": set(),
    "x-ms-tags": set(),
}


class DataPlane:
    """Answers requests to the shares and containers of accounts."""

    def __init__(self, layout: StorageLayout, vault: Vault, tokens: Tokens) -> None:
        self._layout = layout
        self._vault = vault
        self._tokens = tokens

    async def answer(self, request: Request, raw_path: str) -> Response | None:
        """The answer to a request to a storage account; None for any other request."""
        try:
            call = take(request, self._layout, raw_path)
            if not call:
                return None
            response = await self._answer(call)
        except StorageFault as exc:
            response = await _refuse(request, exc)
        except ArmError as exc:
            response = await _refuse(request, StorageFault(exc.status, exc.code, exc.message))
        except OSError as exc:
            fault = _of_disk(exc)
            if fault.status >= 500:
                log.exception("%s %s", request.method, raw_path)
            response = await _refuse(request, fault)
        response.headers["x-ms-request-id"] = str(uuid.uuid4())
        response.headers["x-ms-version"] = request.headers.get("x-ms-version") or SERVICE_VERSION
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id:
            response.headers["x-ms-client-request-id"] = client_id
        return response

    async def _answer(self, call: StorageCall) -> Response:
        call.grant = self._authorize(call)
        call.vault, call.source = self._vault, lambda url: self._source(call, url)
        settle_service(call)
        operation = _find(call)
        if operation.account_only and "sig" in call.query and "ss" not in call.query:
            raise forbidden(
                "This operation needs the account's key or its signature.", "AuthorizationPermissionMismatch"
            )
        call.grant.require(operation.letters, operation.type)
        _check_headers(call, operation.takes)
        return await operation.handler(call)

    def _authorize(self, call: StorageCall) -> Grant:
        keys = self._keys(call.account)
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not self._tokens.is_for_storage(token.strip()):
                message = "The access token is not this service's, or too old."
                raise StorageFault(401, "InvalidAuthenticationInfo", message)
            if not self._layout.account(call.account).is_dir():
                raise StorageFault(404, "ResourceNotFound", f"There is no storage account '{call.account}'.")
            call.holder = self._tokens.holder(token.strip())
            return EVERYTHING
        names = call.account_names
        if scheme:
            query = call.request.scope["query_string"].decode("latin-1")
            shared_key.check(call.method, call.headers, call.raw_path, query, names, keys)
            return EVERYTHING
        if "sig" in call.query:
            return shared_access.check(call, names, keys, self._vault)
        raise forbidden("Server failed to authenticate the request: it has neither an Authorization header nor a SAS.")

    def _source(self, call: StorageCall, url: str) -> StorageCall:
        """What a request names as the source of a copy. Raises StorageFault where it must not read it."""
        try:
            parts = urlsplit(url)
            here = hosts.base_url(parts.scheme, parts.netloc)
        except ValueError:
            here = ""
        ours = here and (parts.netloc.lower() == call.headers.get("host", "").lower() or hosts.storage(parts.netloc))
        if not ours:
            raise not_implemented("A copy is made within this service: its source must be an account here.")
        scope = {
            **call.request.scope,
            "method": "GET",
            "scheme": parts.scheme,
            "path": unquote(parts.path),
            "query_string": parts.query.encode("latin-1", "replace"),
            "headers": [(b"host", parts.netloc.encode("latin-1", "replace"))],
        }
        source = take(Request(scope), self._layout, parts.path)
        if not source:
            raise bad_input(f"The header {copies.HEADER} names no file or blob.", "InvalidHeaderValue")
        source.service = source.service or call.service
        if "sig" in source.query:
            source.grant = self._authorize(source)
        elif source.account != call.account or call.grant is not EVERYTHING:
            raise StorageFault(403, "CannotVerifyCopySource", "The source of the copy needs a signature (SAS).")
        source.grant.require("r", OBJECT)
        if not source.path or {"snapshot", "sharesnapshot", "versionid"} & source.query.keys():
            raise not_implemented("Only files and blobs are copied, no snapshots, shares or containers.")
        return source

    def _keys(self, account: str) -> list[bytes]:
        """Those of an account that is not there are nobody's: asking for it is like using a wrong key."""
        if self._layout.account(account).is_dir():
            return list(account_keys(self._vault, self._layout, account).values())
        return [secrets.token_bytes(64) for _ in KEY_NAMES]


def _find(call: StorageCall) -> Operation:
    call.path = call.path.rstrip("/") if call.service == FILES else call.path
    place = "/*" if call.path else "/" if call.name else ""
    method = "GET" if call.method == "HEAD" else call.method
    restype, comp = call.query.get("restype", "").lower(), call.query.get("comp", "").lower()
    operation = _OPERATIONS[call.service].get((method, place, restype, comp))
    if not operation:
        what = " ".join(f"{key}={value}" for key, value in (("restype", restype), ("comp", comp)) if value)
        raise not_implemented(f"{call.method} {what} is not supported here (the embedded service has docs/storage.md).")
    return operation


def _check_headers(call: StorageCall, takes: str) -> None:
    for name, value in call.headers.items():
        if takes and name.startswith(tuple(takes.split())):
            continue
        if name.startswith(META):
            raise bad_input("This operation takes no metadata.", "UnsupportedHeader")
        if name in _UNSUPPORTED and value.lower() not in _UNSUPPORTED[name]:
            raise bad_input(f"The header {name}: {value} is not supported.", "UnsupportedHeader")
    if "x-ms-lease-id" in call.headers:
        raise StorageFault(412, "LeaseNotPresentWithBlobOperation", "There is no lease: leases are not supported.")
    if {"snapshot", "sharesnapshot", "versionid"} & call.query.keys():
        raise not_implemented("Snapshots and versions are not supported.")


def _of_disk(exc: OSError) -> StorageFault:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFault(409, "InsufficientDiskSpace", "There is no room left on the disk of the embedded service.")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return forbidden(f"The file system does not permit it: {exc.strerror}.", "InsufficientAccountPermissions")
    if exc.errno == errno.EFBIG:
        return bad_input("The file system of the embedded service keeps no file of this size.", "InvalidHeaderValue")
    if exc.errno == errno.ENAMETOOLONG:
        return bad_input("The path is too long.", "InvalidResourceName")
    if exc.errno == errno.ENOENT:
        return StorageFault(404, "ResourceNotFound", "The specified resource went away meanwhile.")
    return StorageFault(500, "InternalError", f"The file system refused: {exc.strerror}; see the service's log.")


async def _refuse(request: Request, fault: StorageFault) -> Response:
    await _drain(request)
    headers = {"x-ms-error-code": fault.code, **fault.headers}
    if fault.status == 304:
        return Response(status_code=304, headers=headers)
    return Response(fault.body(), fault.status, headers, "application/xml")


async def _drain(request: Request) -> None:
    """Read a body that nobody wants: a client that cannot send it to the end does not read the answer."""
    length = number(request.headers.get("content-length", "0"))
    if length is not None and length <= _DRAINED and "expect" not in request.headers:
        with contextlib.suppress(RuntimeError):  # it was read already
            async for _ in request.stream():
                pass

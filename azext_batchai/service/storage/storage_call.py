"""A request to the storage of an account: which of its services, which share or container, which path in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers
from starlette.requests import Request

from azext_batchai.service import hosts
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.storage.content import number
from azext_batchai.service.storage.faults import StorageFault, bad_input, not_implemented
from azext_batchai.service.storage.grants import EVERYTHING, Grant
from azext_batchai.service.storage.kept import Kept
from azext_batchai.service.storage.layout import ACCOUNT_PATTERN, BLOBS, FILES, StorageLayout
from azext_batchai.service.storage.tree import Tree

# Not accounts, whatever their names: Resource Manager's paths begin with these.
_ARM = {"subscriptions", "providers", "tenants", "metadata"}
_FIRST = re.compile(r"/([a-z0-9]{3,24})(?:\.(blob|file))?(?=/|$)")
_SERVICES = {"blob": BLOBS, "file": FILES}
_OF_FILES = {"restype": {"share", "directory"}, "comp": {"range", "rangelist"}, "sr": {"f", "s"}, "ss": {"f"}}
_OF_BLOBS = {"restype": {"container"}, "comp": {"block", "blocklist"}, "sr": {"b", "c"}, "ss": {"b"}}


@dataclass
class StorageCall:
    """`service` is FILES, BLOBS, or '' where the request does not tell; `grant` is what its credential allows.

    `endpoint` is the first segment of the path where that names the account, and '' where the host does. `vault` makes
    keys of delegation; `source` finds what a URL in the request names, where the request may read it.
    """

    request: Request
    layout: StorageLayout
    raw_path: str
    account: str
    endpoint: str
    service: str
    name: str
    path: str
    query: dict[str, str]
    grant: Grant = field(default=EVERYTHING)
    vault: Vault | None = None
    source: Callable[[str], StorageCall] = field(default=lambda _: _no_source())
    holder: tuple[str, str] | None = None  # object and tenant of the login that the request comes with

    @property
    def headers(self) -> Headers:
        return self.request.headers

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def account_names(self) -> tuple[str, ...]:
        """Under which the client may know the account: some take the first segment of the path for it."""
        return (self.account, self.endpoint) if self.endpoint else (self.account,)

    @property
    def folder(self) -> Path:
        return self.layout.folder(self.account, self.service, self.name)

    @cached_property
    def kept(self) -> Kept:
        return Kept(self.layout.account(self.account))

    @property
    def place(self) -> str:
        """Under which `kept` knows what the request is about."""
        return self.place_of(self.path)

    def place_of(self, path: str) -> str:
        return "/".join(filter(None, (self.service, self.name, path)))

    @cached_property
    def tree(self) -> Tree:
        """The share's or container's folder. Raises StorageFault where there is none."""
        if not self.folder.is_dir():
            noun = "share" if self.service == FILES else "container"
            raise StorageFault(404, f"{noun.title()}NotFound", f"The specified {noun} does not exist.")
        return Tree(self.folder)

    @property
    def range(self) -> str | None:
        return self.headers.get("x-ms-range") or self.headers.get("range")

    @property
    def page_size(self) -> int:
        size = number(self.query.get("maxresults", "5000"))
        if not size:
            raise bad_input("'maxresults' must be a positive number.", "OutOfRangeQueryParameterValue")
        return min(size, 5000)

    @property
    def marker(self) -> str:
        """The path or name at which this page begins."""
        return unquote(self.query.get("marker", ""), errors="surrogateescape")


def _no_source() -> StorageCall:
    raise not_implemented("There is no copying here.")


def take(request: Request, layout: StorageLayout, raw_path: str) -> StorageCall | None:
    """The request as one to a storage account, whether there is one or not; None for any other.

    The account is named by the host (`ACCOUNT.file.core.localhost`) or by the path. At the endpoint that serves both
    files and blobs, a request is one to storage where it has storage's credentials. Raises StorageFault where the host
    names what no account can be.
    """
    named = hosts.storage(request.headers.get("host", ""))
    if named:
        account, kind = named
        endpoint, inside = "", raw_path[1:]
        _check_name(account, kind)
    else:
        match = _FIRST.match(raw_path)
        if not match or (match[1] in _ARM and not match[2]):
            return None
        account, kind = match[1], match[2] or ""
        endpoint, inside = match[0][1:], raw_path[match.end() + 1 :]
    name, _, path = unquote(inside, errors="surrogateescape").partition("/")
    query: dict[str, str] = {}
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    for key, value in pairs:
        query.setdefault(key.lower(), value)
    if not kind and "sig" not in query and not _has_key(request.headers):
        return None
    call = StorageCall(request, layout, raw_path, account, endpoint, _SERVICES.get(kind, ""), name, path, query)
    call.service = call.service or _told(call)
    return call


def _has_key(headers: Headers) -> bool:
    return headers.get("authorization", "").partition(" ")[0].lower().startswith("sharedkey")


def _check_name(account: str, kind: str) -> None:
    if kind not in _SERVICES:
        raise not_implemented(f"The local cloud has no storage service '{kind}': it has {' and '.join(_SERVICES)}.")
    if not ACCOUNT_PATTERN.fullmatch(account):
        raise StorageFault(404, "ResourceNotFound", f"There is no storage account '{account}' in the local cloud.")


def settle_service(call: StorageCall) -> None:
    """Choose the service by what exists, where neither endpoint nor request tells it. Raises StorageFault."""
    if call.service:
        return
    there = [service for service in (BLOBS, FILES) if call.name in call.layout.names(call.account, service)]
    if len(there) == 1:
        call.service = there[0]
        return
    raise bad_input(
        f"This request may be meant for files or for blobs. Send it to /{call.account}.file/ or /{call.account}.blob/.",
        "AmbiguousService",
    )


def _told(call: StorageCall) -> str:
    def has(marks: dict[str, set[str]]) -> bool:
        return any(call.query.get(key) in values for key, values in marks.items())

    if has(_OF_FILES) or call.headers.get("x-ms-type") == "file":
        return FILES
    return BLOBS if has(_OF_BLOBS) or "x-ms-blob-type" in call.headers else ""

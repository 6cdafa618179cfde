"""User delegation: keys made of a login, and what signatures under such a key say.

https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.clock import utc_now
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.storage import uploads
from azext_batchai.service.storage.dates import signed_date
from azext_batchai.service.storage.faults import bad_input, forbidden
from azext_batchai.service.storage.layout import FILES
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.xml_body import parsed

_LONGEST = timedelta(days=7)
# What a key is made of, as a signature under it names it.
KEY_FIELDS = ("skoid", "sktid", "skt", "ske", "sks", "skv")
_DELEGATED = ("skdutid", "sduoid")
# Since when the text to sign has these fields.
_WITH_SCOPE, _WITH_DELEGATED, _WITH_REQUEST = "2020-12-06", "2025-07-05", "2026-04-06"


def key(vault: Vault, account: str, fields: tuple[str, ...]) -> bytes:
    return vault.derive("\n".join(["user delegation", account, *fields]), 32)


async def make_key(call: StorageCall) -> Response:
    """Raises StorageFault for a request that has no login, and for a time that is none."""
    holder = call.holder
    if not holder or not call.vault:
        raise forbidden("Only a login can be delegated: ask with --auth-mode login.", "AuthorizationFailure")
    body = await uploads.whole(call.request, uploads.MAX_RANGE)
    start, expiry = _times(body)
    version = call.headers.get("x-ms-version", "")
    service = _letter(call)
    value = base64.b64encode(key(call.vault, call.account, (*holder, start, expiry, service, version))).decode()
    root = ElementTree.Element("UserDelegationKey")
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion", "Value")
    for name, text in zip(names, (*holder, start, expiry, service, version, value)):
        ElementTree.SubElement(root, name).text = text
    return Response(ElementTree.tostring(root, "utf-8", xml_declaration=True), media_type="application/xml")


def _times(body: bytearray) -> tuple[str, str]:
    root = parsed(body, "The body is no valid XML.")
    start = signed_date(root.findtext("Start") or "") or utc_now()
    expiry = signed_date(root.findtext("Expiry") or "")
    if not expiry or not start < expiry <= utc_now() + _LONGEST:
        raise bad_input("A delegation key has an Expiry, within seven days.", "InvalidXmlNodeValue")
    return start.strftime("%Y-%m-%dT%H:%M:%SZ"), expiry.strftime("%Y-%m-%dT%H:%M:%SZ")


def texts(call: StorageCall, names: tuple[str, ...], path: str, replies: list[str]) -> Iterator[str]:
    """The text to sign, for each name of the account. Raises StorageFault for what is not supported."""
    query, version = call.query, call.query.get("sv", "")
    if version < _WITH_SCOPE:
        raise forbidden("A signature by user delegation needs version 2020-12-06 or newer.")
    if any(query.get(name) for name in ("saoid", "suoid", "srh", "srq", *_DELEGATED)):
        raise forbidden("Signatures for one user or for certain headers are not supported.")
    files = call.service == FILES
    for account in names:
        fields = [query.get("sp", ""), query.get("st", ""), query.get("se", "")]
        fields += [f"/{'file' if files else 'blob'}/{account}/{path}", *(query.get(name, "") for name in KEY_FIELDS)]
        if not files:
            fields += ["", "", query.get("scid", "")]
        if version >= _WITH_DELEGATED:
            fields += ["", ""]
        fields += [query.get("sip", ""), query.get("spr", ""), version]
        if not files:
            fields += [query.get("sr", ""), query.get("snapshot", ""), query.get("ses", "")]
            if version >= _WITH_REQUEST:
                fields += ["", ""]
        yield "\n".join([*fields, *replies])


def _letter(call: StorageCall) -> str:
    return "f" if call.service == FILES else "b"


def check_key(call: StorageCall) -> None:
    """Raises StorageFault where the key is not valid now, or was given by the other service."""
    query = call.query
    if query.get("sks") != _letter(call):
        raise forbidden("The user delegation key is of another service.")
    start, expiry = signed_date(query.get("skt", "")), signed_date(query.get("ske", ""))
    if not start or not expiry or not start <= utc_now() < expiry:
        raise forbidden("The user delegation key is not valid any more, or not yet.")

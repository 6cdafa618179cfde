"""Shared access signatures (SAS) of an account and of one share, file, container or blob.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas and .../create-account-sas
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime

from azext_batchai.service.clock import utc_now
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.storage import delegation
from azext_batchai.service.storage.dates import signed_date
from azext_batchai.service.storage.faults import StorageFault, bad_input, forbidden
from azext_batchai.service.storage.grants import CONTAINER, OBJECT, Grant
from azext_batchai.service.storage.layout import FILES
from azext_batchai.service.storage.shared_key import is_signed
from azext_batchai.service.storage.storage_call import StorageCall, settle_service

# Signature parameters that replace headers of the answer to a download.
_REPLIES = {
    "rscc": "cache-control",
    "rscd": "content-disposition",
    "rsce": "content-encoding",
    "rscl": "content-language",
    "rsct": "content-type",
}
# Since when the text to sign has these fields.
_WITH_RESOURCE, _WITH_SCOPE = "2018-11-09", "2020-12-06"


def check(call: StorageCall, names: tuple[str, ...], keys: Iterable[bytes], vault: Vault) -> Grant:
    """What the signature in the query allows. Raises StorageFault where it is not valid here and now."""
    query, keys = call.query, list(keys)
    terms = query
    if "ss" in query:
        texts: Iterable[str] = (_account_text(query, name) for name in names)
        grant = Grant(query.get("sp", ""), query.get("srt", ""))
    else:
        if query.get("skoid"):
            fields = tuple(query.get(name, "") for name in delegation.KEY_FIELDS)
            keys = [delegation.key(vault, call.account, fields)]
            delegation.check_key(call)
        terms = _terms(call)
        texts = _service_texts(call, names)
        grant = Grant(terms.get("sp", ""), CONTAINER + OBJECT, tuple(_replies(query)))
    if not is_signed(query["sig"], keys, texts):
        raise forbidden("Signature did not match: the shared access signature is not one of this account's for this.")
    _check_time(terms)
    _check_origin(call)
    settle_service(call)  # now, and not before: who may not know what there is does not learn it by asking
    if "ss" in query and (call.service == FILES and "f" or "b") not in query["ss"]:
        raise forbidden(
            "This request is not authorized to perform this operation using this service.",
            "AuthorizationServiceMismatch",
        )
    return grant


def _account_text(query: dict[str, str], account: str) -> str:
    fields = [account, *(query.get(key, "") for key in ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv"))]
    if query.get("sv", "") >= _WITH_SCOPE:
        fields.append(query.get("ses", ""))
    return "\n".join([*fields, ""])


def _service_texts(call: StorageCall, names: tuple[str, ...]) -> Iterator[str]:
    query, version = call.query, call.query.get("sv", "")
    kind = query.get("sr", "")
    if not call.service or kind not in (("f", "s") if call.service == FILES else ("b", "c")):
        raise forbidden(f"A shared access signature for resources of kind '{kind}' is not valid here.")
    path = f"{call.name}/{call.path}" if kind in "fb" else call.name
    if query.get("skoid"):
        yield from delegation.texts(call, names, path, [query.get(key, "") for key in _REPLIES])
        return
    service = "file" if call.service == FILES else "blob"
    for account in names:
        fields = [query.get("sp", ""), query.get("st", ""), query.get("se", ""), f"/{service}/{account}/{path}"]
        fields += [query.get("si", ""), query.get("sip", ""), query.get("spr", ""), version]
        if call.service != FILES and version >= _WITH_RESOURCE:
            fields += [kind, query.get("snapshot", "")]
            if version >= _WITH_SCOPE:
                fields.append(query.get("ses", ""))
        yield "\n".join([*fields, *(query.get(key, "") for key in _REPLIES)])


def _terms(call: StorageCall) -> dict[str, str]:
    """Permissions and times: those of the stored access policy that the signature names, and its own."""
    own = {key: value for key, value in call.query.items() if key in ("sp", "st", "se") and value}
    name = call.query.get("si")
    if not name:
        return own
    folder = call.folder if call.service else None
    policies = call.kept.get(call.place_of(""), folder.stat()).policies if folder and folder.is_dir() else {}
    if name not in policies:
        raise forbidden("The signature names an access policy that there is not.")
    if own.keys() & policies[name].keys():
        raise forbidden("The signature and its access policy both say permissions or a time.")
    return {**policies[name], **own}


def _replies(query: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Headers of the answer. Raises StorageFault for what cannot stand in one."""
    for key, header in _REPLIES.items():
        value = query.get(key, "").strip()
        if not all(" " <= character <= "\xff" and character != "\x7f" for character in value):
            raise bad_input(f"'{key}' cannot be the value of a header.", "InvalidQueryParameterValue")
        if value:
            yield header, value


def _check_time(query: dict[str, str]) -> None:
    if not query.get("se"):
        raise forbidden("The shared access signature has no expiry (se).")
    if _moment(query["se"]) <= utc_now():
        raise forbidden(f"The shared access signature expired at {query['se']}.")
    if query.get("st") and _moment(query["st"]) > utc_now():
        raise forbidden(f"The shared access signature is not valid before {query['st']}.")


def _moment(text: str) -> datetime:
    moment = signed_date(text)
    if not moment:
        raise bad_input(f"'{text}' is not a date.", "InvalidQueryParameterValue")
    return moment


def _check_origin(call: StorageCall) -> None:
    protocols = call.query.get("spr", "")
    if protocols and call.request.scope["scheme"] not in protocols.split(","):
        raise _mismatch(f"protocol: it is for {protocols} alone", "Protocol")
    addresses = call.query.get("sip", "")
    if addresses:
        first, _, last = addresses.partition("-")
        host = call.request.client.host if call.request.client else ""
        try:
            inside = _address(first) <= _address(host) <= _address(last or first)
        except ValueError:
            inside = False
        if not inside:
            raise _mismatch("source IP", "SourceIP")


def _address(text: str) -> int:
    return int(ipaddress.IPv4Address(text))


def _mismatch(what: str, code: str) -> StorageFault:
    return forbidden(
        f"This request is not authorized to perform this operation using this {what}.", f"Authorization{code}Mismatch"
    )

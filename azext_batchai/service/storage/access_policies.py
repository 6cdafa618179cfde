"""Stored access policies of shares and containers: terms that signatures name instead of having their own.

https://learn.microsoft.com/rest/api/storageservices/define-stored-access-policy
"""

from __future__ import annotations

from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.storage import content, uploads
from azext_batchai.service.storage.faults import bad_input
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.xml_body import parsed

_MOST = 5
_TERMS = {"Start": "st", "Expiry": "se", "Permission": "sp"}


async def read(call: StorageCall) -> Response:
    status = call.tree.root.stat()
    root = ElementTree.Element("SignedIdentifiers")
    for name, terms in call.kept.get(call.place, status).policies.items():
        entry = ElementTree.SubElement(root, "SignedIdentifier")
        ElementTree.SubElement(entry, "Id").text = name
        policy = ElementTree.SubElement(entry, "AccessPolicy")
        for tag, key in _TERMS.items():
            if terms.get(key):
                ElementTree.SubElement(policy, tag).text = terms[key]
    body = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return Response(body, media_type="application/xml", headers=content.identity(status))


async def write(call: StorageCall) -> Response:
    status = call.tree.root.stat()
    body = await uploads.whole(call.request, uploads.MAX_RANGE)
    said = call.kept.get(call.place, status)
    said.policies = _parse(body) if body else {}
    call.kept.put(call.place, status, said)
    return Response(headers=content.identity(status))


def _parse(body: bytearray) -> dict[str, dict[str, str]]:
    root = parsed(body, "The access policies are no valid XML.")
    policies = {}
    for entry in root.iterfind("SignedIdentifier"):
        name = entry.findtext("Id") or ""
        if not 0 < len(name) <= 64:
            raise bad_input("An access policy has an Id of 1 to 64 characters.", "InvalidXmlNodeValue")
        found = {key: (entry.findtext(f"AccessPolicy/{tag}") or "").strip() for tag, key in _TERMS.items()}
        policies[name] = {key: value for key, value in found.items() if value}
    if len(policies) > _MOST:
        raise bad_input(f"There may be {_MOST} access policies at most.", "InvalidXmlDocument")
    return policies

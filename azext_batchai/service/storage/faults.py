"""Errors as Azure Storage writes them: an XML body, and the code in a header too (HEAD has no body)."""

from __future__ import annotations

from xml.etree import ElementTree

from azext_batchai.service.storage.xml_text import legible


class StorageFault(Exception):
    """A refusal that the client gets as a storage error."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def body(self) -> bytes:
        error = ElementTree.Element("Error")
        ElementTree.SubElement(error, "Code").text = self.code
        ElementTree.SubElement(error, "Message").text = legible(self.message)
        body: bytes = ElementTree.tostring(error, "utf-8", xml_declaration=True)
        return body


def bad_input(message: str, code: str = "InvalidInput") -> StorageFault:
    return StorageFault(400, code, message)


def forbidden(message: str, code: str = "AuthenticationFailed") -> StorageFault:
    return StorageFault(403, code, message)


def not_implemented(message: str) -> StorageFault:
    """501, which clients do not retry: never a silent success for something this service cannot do."""
    return StorageFault(501, "NotImplemented", message)

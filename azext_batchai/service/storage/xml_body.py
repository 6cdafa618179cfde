"""XML that comes with a request."""

from __future__ import annotations

from xml.etree import ElementTree

from azext_batchai.service.storage.faults import bad_input


def parsed(body: bytearray, refusal: str) -> ElementTree.Element:
    """The root of a request's XML. Raises StorageFault with the refusal for what is none."""
    try:
        text = body.decode("utf-8-sig")
        if "<!" in text:  # no document type: entities could be defined there and grow without bound
            raise ValueError
        return ElementTree.fromstring(text)
    except (ValueError, ElementTree.ParseError):
        raise bad_input(refusal, "InvalidXmlDocument") from None

"""Text in XML: not every file name can stand there."""

from __future__ import annotations

import re
from urllib.parse import quote
from xml.etree import ElementTree

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legible(text: str) -> str:
    """The text with a question mark for each character that XML cannot have."""
    return _NOT_XML.sub("?", text)


def add_name(parent: ElementTree.Element, name: str, tag: str = "Name") -> None:
    """A child with a name; percent-encoded, and marked so, where XML cannot have one of its characters."""
    child = ElementTree.SubElement(parent, tag)
    if _NOT_XML.search(name) or "\r" in name:
        child.set("Encoded", "true")
        child.text = quote(name, errors="surrogateescape")
    else:
        child.text = name

"""HTML that cannot be broken out of: every text is escaped unless it was built here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, TypeAlias

_VOID = {"br", "col", "hr", "img", "input", "link", "meta", "path", "rect", "circle", "line", "polyline", "polygon"}


class Html(str):
    """Markup that is safe as it stands; made by `element` and `document` only."""


Child: TypeAlias = "None | bool | str | int | float | Html | Iterable[Child]"


def element(tag: str, /, *children: Child, **attributes: Any) -> Html:
    """`<tag ...>children</tag>`. None and False are left out, other things than Html escaped, lists joined.

    `class_` is `class`, `data_x` is `data-x`; an attribute that is None or False is left out, True has no value.
    """
    text = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _VOID and not children:
        return Html(f"<{tag}{text}>" if tag in _HTML_VOID else f"<{tag}{text}/>")
    return Html(f"<{tag}{text}>{joined(children)}</{tag}>")


_HTML_VOID = {"br", "col", "hr", "img", "input", "link", "meta"}


def joined(*children: Child) -> Html:
    """The children behind each other, without an element around them."""
    return Html("".join(_texts(children)))


def document(*children: Child, **attributes: Any) -> Html:
    """A whole page."""
    return Html(f"<!doctype html>\n{element('html', *children, **attributes)}")


def _texts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None or isinstance(child, bool):
            continue
        if isinstance(child, Html):
            yield child
        elif isinstance(child, (str, int, float)):
            yield escape(_printable(str(child)))
        else:
            yield from _texts(child)


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(_printable(str(value)))}"'


def _printable(text: str) -> str:
    """Without what no HTML document may hold: NUL, halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")

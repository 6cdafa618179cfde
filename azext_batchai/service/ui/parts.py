"""What several pages show: states, times, sizes, tables, lines to copy, questions before something ends."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import View


def state(name: str) -> Html:
    """The state of a job, a node, a cluster or a file server."""
    return element("span", name, class_=f"state {name.lower()}")


def moment(text: str | None) -> Html | None:
    """A time of the wire; the page says how long ago it is, its title exactly when."""
    if not text:
        return None
    shown = text.replace("T", " ").partition(".")[0].removesuffix("Z")
    return element("time", f"{shown} UTC", datetime=text, class_="ago")


def duration(seconds: float) -> str:
    """`3.2 s`, `4 min 5 s`, `2 h 7 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {smaller}"
    raise AssertionError(seconds)


def size(number: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def table(heads: Sequence[Child], rows: Iterable[Sequence[Child]], caption: str, class_: str | None = None) -> Html:
    """A table that scrolls sideways by itself where it is too wide; the first cell of a row is its head."""
    body = [
        element("tr", element("th", row[0], scope="row"), [element("td", cell) for cell in row[1:]]) for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", [element("th", head, scope="col") for head in heads])),
            element("tbody", body),
            class_=class_,
        ),
        class_="wide",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values, those without a value left out."""
    shown = [
        element("div", element("dt", name), element("dd", value))
        for name, value in pairs
        if value is not None and value != ""
    ]
    return element("dl", shown, class_="facts")


def section(title: str, *body: Child, id_: str | None = None, more: Child = None) -> Html:
    """`more` stands beside the title."""
    return element("section", element("div", element("h2", title), more, class_="head"), *body, id=id_)


def empty(text: str, *more: Child) -> Html:
    """What stands where there is nothing to show."""
    return element("p", text, *more, class_="empty")


def line(*words: str) -> str:
    """A command as one types it."""
    return shlex.join(("az", "batchai", *words))


def command(*words: str) -> Html:
    """The `az batchai` line for something, to be copied."""
    return copyable(line(*words))


def copyable(text: str) -> Html:
    return element(
        "div",
        element("code", text),
        element("button", "Copy", type="button", data_copy=text, aria_label=f"Copy: {text[:120]}"),
        class_="command",
    )


def ask(view: View, verb: str, address: str, question: str, *words: str) -> Html:
    """A button that asks before it changes something; `words`: the `az batchai` line that does the same."""
    name = f"ask-{verb.lower()}"
    form = element(
        "form",
        element("input", type="hidden", name="token", value=view.session.anti_forgery),
        element("button", verb, type="submit", class_="danger"),
        element("button", "Cancel", type="button", popovertarget=name, popovertargetaction="hide"),
        method="post",
        action=address,
        class_="actions",
    )
    return question_box(name, f"{verb}…", question, command(*words), form)


def question_box(name: str, button: str, question: str, *body: Child, keep: bool = False) -> Html:
    """A button that opens a question; `keep`: what is typed there stays while the page follows what happens."""
    return element(
        "div",
        element("button", button, type="button", popovertarget=name),
        element(
            "div",
            element("p", question, id=f"{name}-question"),
            body,
            id=name,
            popover=True,
            role="dialog",
            aria_labelledby=f"{name}-question",
            class_="ask",
            data_keep=keep,
        ),
        class_="asking",
    )

"""Who gets in, and that the page works for somebody who did."""

from typing import Any

from ui.looks import looks_right
from ui.visitor import Visitor


def test_the_overview_is_shown_to_who_has_signed_in(visitor: Visitor) -> None:
    answer = visitor.get("/ui/")
    assert answer.status == 200
    assert answer.shown.startswith("Overview")


def test_the_overview_looks_right(signed_in: tuple[Any, str]) -> None:
    page, _ = signed_in
    page.wait_for_selector("#live[data-state=live]")
    looks_right(page, "overview-empty")

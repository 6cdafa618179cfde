"""How a page looks: for those who see it, at every width and in both colour schemes, and for those who do not."""

from pathlib import Path
from typing import Any

from harness.sandbox import CHECKOUT

SCHEMES = ("light", "dark")
WIDTHS = (380, 1280, 2560)
FOLDER = CHECKOUT / "build" / "ui"


def looks_right(page: Any, name: str) -> None:
    """The page is accessible in light and dark and scrolls sideways nowhere; its pictures go to build/ui."""
    size = page.viewport_size
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            _settled(page)
            page.screenshot(path=picture(name, scheme, width), full_page=True)
            assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), (
                f"{name} scrolls sideways at {width} px: {page.evaluate(_WIDEST)}"
            )
            if width != WIDTHS[-1]:
                accessible(page)
    page.emulate_media(color_scheme=None, reduced_motion=None)
    page.set_viewport_size(size)


def picture(name: str, scheme: str, width: int) -> Path:
    """Where the screenshot goes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return FOLDER / f"{name}-{scheme}-{width}.png"


def accessible(page: Any) -> None:
    """axe-core finds nothing to object to."""
    from axe_playwright_python.sync_playwright import Axe

    results = Axe().run(page)
    assert not results.violations_count, f"{page.url}\n{results.generate_report()}"


def _settled(page: Any) -> None:
    """Fonts are there and the frame for the new size is drawn."""
    page.evaluate("document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => setTimeout(done))))")


_WIDEST = """[...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map(one => one.outerHTML.slice(0, 120))"""

"""Plots that are part of the page (SVG): points of a parameter against a metric, and parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.job_filter import number_of
from azext_batchai.service.ui.series import text

_DECADES = 30.0  # greatest over least from which an axis is logarithmic
_MOST_CATEGORIES = 24
_FEW = 8  # values of a parameter that each have their own tick
_LONGEST = 22  # characters of a title
_APART = 0.04  # of the axis between two ticks
_MANY = 60  # jobs whose lines would hide each other
WIDTH, HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 14, 46


@dataclass(frozen=True)
class Mark:
    """A job in a plot: where it leads, what is said of it, its values by axis (None: it has none)."""

    name: str
    address: str
    said: str
    values: tuple[float | str | None, ...]
    best: bool = False


class Axis:
    """From values to places between 0 and 1; texts stand beside each other in their order."""

    def __init__(self, title: str, values: Sequence[float | str | None], each: bool = False) -> None:
        """`each`: where there are few values, these and no others have ticks."""
        self.title = title
        numbers = [number_of(value) for value in values if value is not None]
        known = [number for number in numbers if number is not None]
        self.numeric = bool(known) and len(known) == len(numbers)
        self.logarithmic = False
        self._categories: list[str] = []
        self._few: list[float] = []  # values that are all there are
        self._low, self._high = 0.0, 1.0
        if self.numeric:
            self._few = sorted(set(known)) if each and len(set(known)) <= _FEW else []
            self._low, self._high = min(known), max(known)
            self.logarithmic = self._low > 0 and self._high / self._low >= _DECADES
        else:
            texts = {str(value) for value in values if value is not None}
            self._categories = sorted(texts, key=lambda one: (number_of(one) is None, number_of(one) or 0.0, one))

    def place(self, value: float | str | None) -> float | None:
        """None for what has no place here."""
        if value is None:
            return None
        if not self.numeric:
            if str(value) not in self._categories:
                return None
            return (self._categories.index(str(value)) + 0.5) / len(self._categories)
        number = number_of(value)
        if number is None:
            return None
        low, high = self._scaled(self._low), self._scaled(self._high)
        span = high - low
        return 0.5 if not span or not math.isfinite(span) else (self._scaled(number) - low) / span

    def _scaled(self, number: float) -> float:
        return math.log10(number) if self.logarithmic else number

    def ticks(self) -> list[tuple[float, str]]:
        """Places and what stands there."""
        if not self.numeric:
            size = len(self._categories)
            every = math.ceil(size / _MOST_CATEGORIES) if size else 1
            return [((index + 0.5) / size, self._categories[index][:14]) for index in range(0, size, every)]
        found: list[tuple[float, str]] = []
        for value in self._few or self._round_values():
            place = self.place(value)
            apart = all(place is None or abs(place - other) >= _APART for other, _ in found)
            if place is not None and -1e-9 <= place <= 1 + 1e-9 and apart:
                found.append((place, text(value)))
        return found or [(0.0, text(self._low)), (1.0, text(self._high))]

    def _round_values(self) -> list[float]:
        if self._low == self._high:
            return [self._low]
        if self.logarithmic:
            first, last = math.floor(math.log10(self._low)), math.ceil(math.log10(self._high))
            every = max((last - first) // 6, 1)
            factors = (1, 2, 5) if last - first <= 2 else (1,)
            powers = range(max(first, -300), min(last, 307) + 1, every)
            return [factor * 10.0**power for power in powers for factor in factors]
        span = self._high - self._low
        if not math.isfinite(span):
            return [self._low, 0.0, self._high]
        rough = span / 5
        power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else rough
        step: float = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), rough)
        start = math.ceil(self._low / step - 1e-9)
        return [round((start + number) * step, 12) if step > 1e-9 else (start + number) * step for number in range(12)]


def scatter(marks: Sequence[Mark], x: Axis, y: Axis) -> Html:
    """Points of two values; the best one is a ring with its name."""
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def across(place: float) -> float:
        return round(_LEFT + 12 + place * (right - _LEFT - 24), 1)

    def up(place: float) -> float:
        return round(bottom - 10 - place * (bottom - _TOP - 20), 1)

    points = []
    for mark in sorted(marks, key=lambda one: one.best):
        place, height = x.place(mark.values[0]), y.place(mark.values[1])
        if place is None or height is None:
            continue
        here, there = across(place), up(height)
        star = None
        if mark.best:
            anchor = "end" if here > WIDTH * 0.75 else "start" if here < WIDTH * 0.25 else "middle"
            above = there - 13 if there > _TOP + 30 else there + 23
            star = element("text", f"best: {mark.name}", x=here, y=above, text_anchor=anchor, class_="best")
        shape = element("circle", cx=here, cy=there, r=7 if mark.best else 5)
        points.append(_link(mark, len(marks), shape, star))
    lines = [
        *(element("g", element("line", x1=across(at), x2=across(at), y1=_TOP, y2=bottom),
                  element("text", said, x=across(at), y=bottom + 17, text_anchor="middle")) for at, said in x.ticks()),
        *(element("g", element("line", x1=_LEFT, x2=right, y1=up(at), y2=up(at)),
                  element("text", said, x=_LEFT - 7, y=up(at) + 4, text_anchor="end")) for at, said in y.ticks()),
    ]
    titles = (
        element("text", _titled(x), x=(_LEFT + right) / 2, y=HEIGHT - 6, text_anchor="middle", class_="title"),
        element("text", _titled(y), x=_LEFT, y=_TOP - 3, text_anchor="start", class_="title"),
    )
    return _svg(WIDTH, HEIGHT + 2, f"{y.title} by {x.title}, {len(points)} jobs",
                element("g", lines, class_="grid"), titles, element("g", points, class_=_class("points", points)))


def parallel(marks: Sequence[Mark], axes: Sequence[Axis]) -> Html:
    """One line a job over all axes; what is looked at, and the best, stands out."""
    width = max(WIDTH, 150 * len(axes))
    step = (width - 160) / max(len(axes) - 1, 1)
    top, bottom = 34, HEIGHT - 16
    lines = []
    for mark in sorted(marks, key=lambda one: one.best):
        places = [axis.place(value) for axis, value in zip(axes, mark.values)]
        at = [
            f"{round(80 + index * step, 1)},{round(bottom - place * (bottom - top), 1)}"
            for index, place in enumerate(places)
            if place is not None
        ]
        if len(at) > 1:
            lines.append(_link(mark, len(marks), element("polyline", points=" ".join(at))))
    frame = []
    for index, axis in enumerate(axes):
        here = round(80 + index * step, 1)
        ticks = [
            element("text", said, x=here - 6, y=round(bottom - place * (bottom - top), 1) + 4, text_anchor="end")
            for place, said in axis.ticks()
        ]
        title = element("text", _titled(axis), x=here, y=16, text_anchor="middle", class_="title")
        frame.append(element("g", element("line", x1=here, x2=here, y1=top, y2=bottom), ticks, title))
    said = f"Jobs over {', '.join(axis.title for axis in axes)}"
    paths = element("g", lines, class_=_class("paths", lines))
    return _svg(width, HEIGHT, said, paths, element("g", frame, class_="axes"))


def _class(name: str, marks: Sequence[Html]) -> str:
    return f"{name} many" if len(marks) > _MANY else name


def _titled(axis: Axis) -> str:
    title = axis.title if len(axis.title) <= _LONGEST else f"{axis.title[: _LONGEST - 1]}…"
    return f"{title} (log)" if axis.logarithmic else title


def _link(mark: Mark, number: int, *shapes: Html | None) -> Html:
    """Few are reached by the keyboard each; of many the table leads there."""
    return element(
        "a",
        element("title", mark.said),
        shapes,
        href=mark.address,
        aria_label=mark.said,
        class_="job best" if mark.best else "job",
        tabindex=None if number <= 50 or mark.best else "-1",
    )


def _svg(width: int, height: int, said: str, *children: Child) -> Html:
    svg = element("svg", children, viewBox=f"0 0 {width} {height}", role="group", aria_label=said)
    return element("div", svg, class_="svgplot wide", tabindex="0", role="region", aria_label=said)

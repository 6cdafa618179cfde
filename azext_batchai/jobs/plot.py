"""Curves: in the terminal by dots of Braille letters, or as SVG, HTML or PNG."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

Curves = Mapping[str, Sequence[tuple[float, float]]]
# Colours that are told apart in print and by most eyes.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#555555")
_ANSI = (36, 33, 32, 35, 34, 31)
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of the dots in a letter, by row and column
_LEAST_WIDTH, _MARGIN = 20, 11


def text(curves: Curves, title: str, width: int, height: int = 16, coloured: bool = False) -> str:
    """The curves as lines of text, at most `width` letters wide, with what they are called below."""
    bounds = _Bounds(curves)
    if bounds.is_empty:
        return f"{title}: nothing to draw\n"
    columns, names = max(width - _MARGIN, _LEAST_WIDTH), list(curves)
    dots = [[0] * columns for _ in range(height)]
    owner = [[0] * columns for _ in range(height)]
    for index, name in enumerate(names):
        for x, y in _line(bounds.scaled(curves[name], columns * 2 - 1, height * 4 - 1)):
            row, column = (height * 4 - 1 - y) // 4, x // 2
            dots[row][column] |= _BRAILLE[(height * 4 - 1 - y) % 4][x % 2]
            owner[row][column] = index

    def cell(row: int, column: int) -> str:
        letter = chr(0x2800 + dots[row][column]) if dots[row][column] else " "
        if not coloured or letter == " ":
            return letter
        return f"\x1b[{_ANSI[owner[row][column] % len(_ANSI)]}m{letter}\x1b[0m"

    lines = [title]
    for row in range(height):
        value = bounds.y_high if row == 0 else bounds.y_low if row == height - 1 else None
        label = "" if value is None else _number(value)
        lines.append(f"{label:>{_MARGIN - 2}} |{''.join(cell(row, column) for column in range(columns))}".rstrip())
    left, right = _number(bounds.x_low), _number(bounds.x_high)
    lines.append(f"{'':{_MARGIN - 1}}{left}{right:>{max(columns - len(left), 1)}}")
    for index, name in enumerate(names):
        mark = f"\x1b[{_ANSI[index % len(_ANSI)]}m--\x1b[0m" if coloured else "--"
        lines.append(f"{mark} {name}: {_number(curves[name][-1][1]) if curves[name] else '-'}")
    return "\n".join(lines) + "\n"


def write(path: Path, curves: Curves, title: str) -> None:
    """Write a picture; the end of its name says of which kind.

    Raises InvalidArgumentValueError for an unknown kind, FileOperationError where it cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".png":
        _write_png(path, curves, title)
        return
    if kind == ".svg":
        content = svg(curves, title)
    elif kind in (".html", ".htm"):
        content = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>\n'
            f"<body>\n{svg(curves, title)}</body></html>\n"
        )
    else:
        _refuse(f"--plot {path} is no kind of picture.", "End its name with .svg, .html or .png.")
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        _not_written(path, error)


def svg(curves: Curves, title: str, width: int = 720, height: int = 420) -> str:
    """The curves as an SVG element; each names its value where the pointer is on it."""
    bounds = _Bounds(curves)
    left, top, right, bottom = 70, 40, 20, 50 + 18 * math.ceil(len(curves) / 3)
    inner_width, inner_height = width - left - right, height - top - 50
    height = top + inner_height + bottom
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="24" font-size="15">{html.escape(title)}</text>',
    ]
    for share, x_value, y_value in bounds.ticks():
        x, y = left + share * inner_width, top + (1 - share) * inner_height
        parts += [
            f'<path d="M{left} {y:.1f}H{left + inner_width}" stroke="#ddd"/>',
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(y_value)}</text>',
            f'<text x="{x:.1f}" y="{top + inner_height + 18}" text-anchor="middle">{_number(x_value)}</text>',
        ]
    for index, (name, points) in enumerate(curves.items()):
        colour, label = _COLOURS[index % len(_COLOURS)], html.escape(name)
        places = [
            f"{left + x:.1f},{top + inner_height - y:.1f}" for x, y in bounds.scaled(points, inner_width, inner_height)
        ]
        if len(places) == 1:
            x, _, y = places[0].partition(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"><title>{label}</title></circle>')
        elif places:
            parts.append(
                f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="1.8">'
                f"<title>{label}</title></polyline>"
            )
        x, y = left + (index % 3) * inner_width / 3, top + inner_height + 42 + 18 * (index // 3)
        parts += [
            f'<path d="M{x:.0f} {y - 4:.0f}h16" stroke="{colour}" stroke-width="3"/>',
            f'<text x="{x + 22:.0f}" y="{y:.0f}">{label}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def _write_png(path: Path, curves: Curves, title: str) -> None:
    try:
        import matplotlib  # pylint: disable=import-error
    except ImportError:
        _refuse(
            "A PNG needs matplotlib, which the Python of az has not.",
            "Name a file that ends with .svg or .html, or install matplotlib for the Python that `az --version` shows.",
        )
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-error

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for name, points in curves.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, marker="o" if len(points) == 1 else None)
    axes.set_title(title)
    axes.legend()
    try:
        figure.savefig(path)
    except OSError as error:
        _not_written(path, error)
    finally:
        pyplot.close(figure)


class _Bounds:
    """The smallest and greatest finite numbers of all curves."""

    def __init__(self, curves: Curves) -> None:
        points = [point for line in curves.values() for point in line if _is_finite(point)]
        self.is_empty = not points
        self.x_low, self.x_high = _apart([x for x, _ in points] or [0.0])
        self.y_low, self.y_high = _apart([y for _, y in points] or [0.0])

    def scaled(self, points: Sequence[tuple[float, float]], width: float, height: float) -> list[tuple[float, float]]:
        """From 0 to `width` and from 0 to `height`."""
        return [
            (
                (x - self.x_low) / (self.x_high - self.x_low) * width,
                (y - self.y_low) / (self.y_high - self.y_low) * height,
            )
            for x, y in points
            if _is_finite((x, y))
        ]

    def ticks(self, count: int = 5) -> list[tuple[float, float, float]]:
        """Where a tick is, from 0 to 1, and what it says at each axis."""
        shares = [index / (count - 1) for index in range(count)]
        return [
            (share, self.x_low + share * (self.x_high - self.x_low), self.y_low + share * (self.y_high - self.y_low))
            for share in shares
        ]


def _apart(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low < high:
        return low, high
    room = abs(low) / 2 or 0.5
    return low - room, high + room


def _is_finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _line(points: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """All dots from the first point to the last."""
    found = [(round(x), round(y)) for x, y in points[:1]]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        steps = max(abs(round(x1 - x0)), abs(round(y1 - y0)), 1)
        found += [
            (round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)) for step in range(1, steps + 1)
        ]
    return found


def _number(value: float) -> str:
    return f"{value:.4g}"


def _refuse(message: str, recommendation: str) -> NoReturn:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation=recommendation)


def _not_written(path: Path, error: OSError) -> NoReturn:
    from azure.cli.core.azclierror import FileOperationError

    raise FileOperationError(
        f"{path} cannot be written: {error.strerror}.", recommendation="Check the path given with --plot."
    ) from error

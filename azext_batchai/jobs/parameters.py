"""The parameters of a sweep: which values each may have, and the points that are tried."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RANGE = re.compile(r"(?P<log>log:)?(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<step>[^:]+))?")
_MOST_POINTS = 10_000
Point = dict[str, str]


@dataclass(frozen=True)
class Parameter:
    """`values`: those of a grid, None where there are too many to try all; `low` and `high` bound what is drawn."""

    name: str
    values: tuple[str, ...] | None
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False

    def draw(self, chance: random.Random) -> str:
        if self.values is not None:
            return chance.choice(self.values)
        if self.logarithmic:
            return _text(math.exp(chance.uniform(math.log(self.low), math.log(self.high))))
        return _text(chance.uniform(self.low, self.high))


def of_options(options: Sequence[str], file: dict[str, Any]) -> list[Parameter]:
    """The parameters of `NAME=VALUES` texts, and of a file's NAME -> list or text; the command line comes first.

    Raises InvalidArgumentValueError.
    """
    found: dict[str, Parameter] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            _refuse(f"--param '{option}' says no values.")
        if name in found:
            _refuse(f"--param {name} is given twice.")
        found[name] = parse(name, text)
    for name, value in file.items():
        if name not in found:
            found[name] = _of_file(name, value)
    return list(found.values())


def _of_file(name: str, value: Any) -> Parameter:
    if isinstance(value, list) and value and all(isinstance(item, (str, int, float, bool)) for item in value):
        texts = tuple(item if isinstance(item, str) else _scalar(item) for item in value)
        return Parameter(_checked(name), texts)
    if isinstance(value, str):
        return parse(name, value)
    if isinstance(value, (int, float)):
        return Parameter(_checked(name), (_scalar(value),))
    return _refuse(f"The values of '{name}' in the file of parameters are neither a list of values nor a text.")


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(name: str, text: str) -> Parameter:
    """A parameter of `0.1,0.2`, `0..4`, `0..1:0.25`, `log:1e-5..1e-1:5`. Raises InvalidArgumentValueError."""
    _checked(name)
    values: list[str] = []
    items = [item.strip() for item in text.split(",")]
    for item in items:
        match = _RANGE.fullmatch(item)
        if not match:
            if not item:
                _refuse(f"--param '{name}={text}' has an empty value.")
            values.append(item)
            continue
        found = _of_range(name, item, match)
        if found.values is None:
            if len(items) > 1:
                _refuse(f"--param {name}: {item} has no end of values; it stands alone.")
            return found
        values += found.values
    return Parameter(name, tuple(values))


def _of_range(name: str, text: str, match: re.Match[str]) -> Parameter:
    low, high = _number(name, text, match["low"]), _number(name, text, match["high"])
    step = None if match["step"] is None else _number(name, text, match["step"])
    if low > high:
        _refuse(f"--param {name}: {text} begins above its end.")
    if match["log"]:
        if low <= 0:
            _refuse(f"--param {name}: {text} has to begin above 0, as logarithms do.")
        values = None if step is None else _log_spaced(name, text, low, high, step)
    elif step is not None or (_is_whole(match["low"]) and _is_whole(match["high"])):
        values = _stepped(name, text, low, high, Decimal(1) if step is None else step)
    else:
        values = None
    return Parameter(name, values, float(low), float(high), bool(match["log"]))


def _stepped(name: str, text: str, low: Decimal, high: Decimal, step: Decimal) -> tuple[str, ...]:
    if step <= 0:
        _refuse(f"--param {name}: the step of {text} is not above 0.")
    count = int((high - low) / step) + 1
    if count > _MOST_POINTS:
        _refuse(f"--param {name}: {text} has {count} values; {_MOST_POINTS} at most.")
    return tuple(f"{(low + step * index).normalize():f}" for index in range(count))


def _log_spaced(name: str, text: str, low: Decimal, high: Decimal, count: Decimal) -> tuple[str, ...]:
    if count != count.to_integral_value() or not 2 <= count <= _MOST_POINTS:
        _refuse(f"--param {name}: {text} takes {count} values, which is no number from 2 to {_MOST_POINTS}.")
    first, last = math.log(low), math.log(high)
    steps = int(count) - 1
    return tuple(_text(math.exp(first + (last - first) * index / steps)) for index in range(steps + 1))


def points(parameters: Sequence[Parameter], count: int | None = None, seed: int | None = None) -> list[Point]:
    """All combinations, the last parameter changing first; or `count` that are drawn, the same for the same seed.

    Raises InvalidArgumentValueError for more than can be.
    """
    if count is not None:
        chance = random.Random(seed)  # noqa: S311  # nosec B311  (what is tried is no secret)
        return _drawn(parameters, count, chance)
    for parameter in parameters:
        if parameter.values is None:
            _refuse(
                f"--param {parameter.name} has no end of values.",
                f"Draw some with --random N, or give a step as in {parameter.name}=0..1:0.25 "
                f"or a number of values as in {parameter.name}=log:1e-5..1e-1:5.",
            )
    grid = [[(parameter.name, value) for value in parameter.values or ()] for parameter in parameters]
    total = math.prod(len(values) for values in grid)
    if total > _MOST_POINTS:
        _refuse(f"These are {total} combinations; {_MOST_POINTS} at most.", "Draw some of them with --random N.")
    return [dict(point) for point in itertools.product(*grid)]


def _drawn(parameters: Sequence[Parameter], count: int, chance: random.Random) -> list[Point]:
    """No point twice, as long as there are others."""
    found: dict[tuple[str, ...], Point] = {}
    ends = [len(set(parameter.values)) if parameter.values is not None else None for parameter in parameters]
    there = None if None in ends else math.prod(end for end in ends if end is not None)
    wanted = count if there is None else min(count, there)
    while len(found) < wanted:
        point = {parameter.name: parameter.draw(chance) for parameter in parameters}
        found.setdefault(tuple(point.values()), point)
    return list(found.values())


def _text(number: float) -> str:
    return f"{number:.6g}"


def _is_whole(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d+", text))


def _number(name: str, text: str, part: str) -> Decimal:
    try:
        number = Decimal(part)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        _refuse(f"--param {name}: '{part}' of {text} is no number.")
    return number


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        _refuse(f"'{name}' is no name of a parameter: letters, digits and underscores, no digit first.")
    return name


def _refuse(message: str, recommendation: str = "Write, say, --param lr=0.1,0.01 --param seed=0..4.") -> NoReturn:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation=recommendation)

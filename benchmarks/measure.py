"""Timing: two things measured in turn, so that what disturbs the machine disturbs both."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass
class Row:
    """One line of the table. `ratio` is figure to peer (or floor); `met` says whether `goal` is."""

    what: str
    figure: str
    peer: str = ""
    ratio: str = ""
    goal: str = ""
    met: str = ""
    load: str = ""


def verdict(met: bool) -> str:
    return "yes" if met else "NO"


@dataclass(frozen=True)
class Comparison:
    """Medians of both sides, and the quartiles of the ratios ours / theirs of all rounds."""

    ours: float
    theirs: float
    low: float
    ratio: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether ours takes no longer; "equal" where the rounds cannot tell the two apart."""
        if self.low <= 1 <= self.high:
            return "equal"
        return verdict(self.ratio <= 1)


def wall(command: Sequence[str], env: dict[str, str]) -> float:
    """Seconds that `command` takes as a whole process; fails unless it succeeds."""
    started = time.perf_counter()
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr}")
    return seconds


def pairs(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Comparison:
    """Measure both in every round, in an order that alternates; one round before is thrown away."""
    ours(), theirs()
    mine, other = [], []
    for number in range(rounds):
        if number % 2:
            other.append(theirs())
            mine.append(ours())
        else:
            mine.append(ours())
            other.append(theirs())
    low, middle, high = statistics.quantiles([a / b for a, b in zip(mine, other)], n=4)
    return Comparison(statistics.median(mine), statistics.median(other), low, middle, high)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """The median and, where there are several, the least and the most."""
    middle = form(statistics.median(values))
    return f"{middle} ({form(min(values))} to {form(max(values))})" if len(values) > 1 else middle


def with_load(rows: list[Row]) -> list[Row]:
    """Note on each row how busy the machine is now: call it when they have been measured."""
    for row in rows:
        row.load = f"{os.getloadavg()[0]:.1f}"
    return rows


def family(pid: int) -> list[int]:
    """A process and its children that still run."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [pid, *map(int, file.read().split())]


def processor_seconds(pid: int) -> float:
    """Processor time of a process and of its children that still run."""
    return sum(map(cpu_ticks, family(pid))) / os.sysconf("SC_CLK_TCK")


def cpu_ticks(pid: int) -> int:
    """Clock ticks of processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident_megabytes(pid: int) -> float:
    return _memory(pid, "VmRSS")


def peak_megabytes(pid: int) -> float:
    """The most that a process ever had."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, name: str) -> float:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        [line] = [line for line in file if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def table(rows: Sequence[Row]) -> str:
    heading = ("what", "figure", "peer or floor", "ratio", "goal", "met", "load")
    lines = [heading, *((row.what, row.figure, row.peer, row.ratio, row.goal, row.met, row.load) for row in rows)]
    filled = [column for column in zip(*lines) if any(column[1:])]
    widths = [max(map(len, column)) for column in filled]
    lines = list(zip(*filled))
    lines.insert(1, tuple("-" * width for width in widths))
    return os.linesep.join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)

"""The form in which every benchmark tells its figures, for people and for machines.

A benchmark measures Fairlead and the floor (what the bare tools cost) alternately, in one run on one machine, and
ends with `show(figures, as_json=...)`. It exits 0 whenever it could measure; whether goals are met is in the output.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure's ratio to its floor, or on its value where there is no floor to compare with."""

    of: Literal["ratio", "value"]
    sign: Literal["<=", ">="]
    bound: float

    def met(self, measured: float) -> bool:
        return measured <= self.bound if self.sign == "<=" else measured >= self.bound


def at_most(bound: float, *, of: Literal["ratio", "value"] = "ratio") -> Goal:
    return Goal(of, "<=", bound)


def at_least(bound: float, *, of: Literal["ratio", "value"] = "ratio") -> Goal:
    return Goal(of, ">=", bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity. rounds, floor: one number per round, in `unit`; the figure itself is their median."""

    name: str
    unit: str
    rounds: Sequence[float]
    floor: Sequence[float] = ()
    goal: Goal | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.rounds)

    @property
    def floor_value(self) -> float | None:
        return statistics.median(self.floor) if self.floor else None

    @property
    def ratio(self) -> float | None:
        """Value by floor; None without a floor, or with one of 0."""
        return self.value / self.floor_value if self.floor_value else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or nothing to compare it with."""
        measured = self.value if self.goal and self.goal.of == "value" else self.ratio
        return self.goal.met(measured) if self.goal and measured is not None else None

    @property
    def goal_text(self) -> str | None:
        if self.goal is None:
            return None
        unit = f" {self.unit}" if self.goal.of == "value" else ""
        return f"{self.goal.sign} {self.goal.bound:g}{unit}"

    def as_json(self) -> dict[str, object]:
        return {
            "value": _rounded(self.value),
            "unit": self.unit,
            "floor": _rounded(self.floor_value),
            "ratio": _rounded(self.ratio),
            "goal": self.goal_text,
            "met": self.met,
            "rounds": [_rounded(number) for number in self.rounds],
        }

    def as_row(self) -> tuple[str, ...]:
        met = {True: "met", False: "MISSED", None: ""}[self.met]
        cells = (_cell(self.value), self.unit, _cell(self.floor_value), _cell(self.ratio), self.goal_text or "", met)
        return (self.name, *cells)


def alternate(measured: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Wall seconds of each call, `rounds` times in turn, so that a slow moment of the machine hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(rounds):
        for name, call in measured.items():
            taken[name].append(timed(call))
    return taken


def timed(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def arguments(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has: --json and --rounds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds to measure (default: %(default)s)")
    return parser


def show(figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print the figures on standard output: one JSON object keyed by name, or a table."""
    if as_json:
        print(json.dumps({figure.name: figure.as_json() for figure in figures}, indent=2))
    else:
        print(table(figures))


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned columns."""
    rows = [("figure", "value", "unit", "floor", "ratio", "goal", ""), *(figure.as_row() for figure in figures)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"

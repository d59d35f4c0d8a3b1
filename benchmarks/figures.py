"""Figures with their targets and verdicts, and the table of all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from torture.report import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Figure", "Unit", "fields", "table"]

HEADINGS = ("", "figure", "target", "verdict", "what")


class Unit(StrEnum):
    """The unit of a figure, written after it."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "µs"
    MIB = "MiB"
    BYTES = "B"
    REQUESTS = "requests"
    TIMES = "×"
    ONE_IN = "1/"  # a small share, read as "one in so many"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `value` is `None` where it could not be measured; `note` then says why.

    `target`: the most that the value may be; `None` for a figure that is only for comparison.
    """

    name: str
    what: str
    value: float | None
    unit: Unit
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Met, or missed by how much; empty where there is no target."""
        if self.value is None:
            return "not measured"
        if self.target is None:
            return ""
        if self.value <= self.target:
            return "met"
        if not self.target:
            return f"missed by {_shown(self.value, self.unit)}"
        return f"missed by {self.value / self.target - 1:.0%}"


def fields(figure: Figure) -> dict[str, Any]:
    """The figure as JSON: a share is a plain number."""
    return {**asdict(figure), "unit": figure.unit.value, "verdict": figure.verdict}


def table(figures: Iterable[Figure]) -> str:
    """All figures for people, as a Markdown table."""
    return markdown_table([HEADINGS, *map(_row, figures)])


def _row(figure: Figure) -> tuple[str, ...]:
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    target = "" if figure.target is None else f"≤ {_shown(figure.target, figure.unit)}"
    value = "–" if figure.value is None else _shown(figure.value, figure.unit)
    return figure.name, value, target, figure.verdict, what


def _shown(value: float, unit: Unit) -> str:
    if unit is Unit.ONE_IN:
        return f"1/{1 / value:.0f}" if value else "0"
    if value == int(value):
        return f"{int(value):,} {unit}"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} {unit}"

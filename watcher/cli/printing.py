"""How things look on a terminal, in a pipe and as JSON Lines: tables, times, ages, safe text.

Refuses to know what it prints. Everything shown passes through `one_line`, because model texts
come from strangers and a terminal obeys what it is sent.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import click

from watcher.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ["Column", "age", "json_line", "moment", "news_count", "say", "seconds", "table", "utc"]

_STEPS = (
    ("d", timedelta(days=1), timedelta(days=2)),
    ("h", timedelta(hours=1), timedelta(hours=2)),
    ("min", timedelta(minutes=1), timedelta(minutes=2)),
    ("s", timedelta(seconds=1), timedelta(seconds=1)),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, and whether its cells are numbers."""

    heading: str
    numeric: bool = False


def say(line: str = "") -> None:
    """Print one line of text for people."""
    click.echo(one_line(line))


def json_line(fields: Mapping[str, Any]) -> None:
    """Print one JSON object; ASCII only, so that no terminal and no encoding is in its way."""
    click.echo(json.dumps(fields, ensure_ascii=True))


def age(at: datetime, now: datetime) -> str:
    """How long ago, or in how long: `3 h ago`, `in 5 min`, `now`."""
    distance = abs(now - at)
    for name, step, least in _STEPS:
        if distance >= least:
            amount = f"{distance // step} {name}"
            return f"{amount} ago" if now >= at else f"in {amount}"
    return "now"


def moment(at: datetime | None, now: datetime) -> str:
    """A time for people: in their time zone, and how long ago."""
    if at is None:
        return "never"
    return f"{at.astimezone():%Y-%m-%d %H:%M} ({age(at, now)})"


def utc(at: datetime | None) -> str | None:
    """A time for programs: `2026-11-22T07:30:00Z`."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def news_count(count: int) -> str:
    """How much there is to tell: `1 change or notice`, `12 changes and notices`."""
    return f"{count} change or notice" if count == 1 else f"{count} changes and notices"


def seconds(took: timedelta) -> str:
    """How long something took: `0.42 s`."""
    return f"{took.total_seconds():.2f} s"


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn to the width of a terminal, or as aligned text where it is piped."""
    clean = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(columns, clean)
    else:
        _aligned(columns, clean)


def _drawn(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    # Only a terminal pays for the import.
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawing = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawing.add_column(
            Text(column.heading), justify="right" if column.numeric else "left", overflow="fold"
        )
    for row in rows:
        # Text and not str: in a str, rich would obey markup such as [red] or [link=…].
        drawing.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, emoji=False, markup=False).print(drawing)


def _aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.heading.upper() for column in columns], *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        cells = (
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        click.echo("  ".join(cells).rstrip())

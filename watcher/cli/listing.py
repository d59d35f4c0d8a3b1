"""Lists: a table for people, JSON Lines or CSV for programs. Every list is printed here."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, assert_never

import click

from watcher.cli.output import say
from watcher.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
Cell = str | int | None
Form = Literal["table", "json", "csv"]

NONE = "-"
NO_BREAK = "\N{NO-BREAK SPACE}"

# More than any table has.
MOST_COLUMNS = 100_000

# What a spreadsheet takes for the beginning of a formula.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """How things of one sort are listed.

    People get a table of `cells` under `headings`, or what `nothing` says where there are none:
    numbers stand to the right, an empty cell or none is a dash. Where the table is wider than the
    terminal, each thing has two lines: what is under the headings in `lead`, then the rest, with
    its heading where that is a number or in `labelled`. Programs get `fields`.
    """

    headings: tuple[str, ...]
    cells: Callable[[T], tuple[Cell, ...]]
    fields: Callable[[T], Mapping[str, Any]]
    nothing: str
    lead: tuple[str, ...]
    labelled: tuple[str, ...] = ()


def form_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options `--json` and `--csv` of a command that lists, as its argument `form`."""
    for form, text in (
        ("csv", "Print CSV, with a line of names."),
        ("json", "Print one JSON object a line."),
    ):
        option = click.option(f"--{form}", "form", flag_value=form, default="table", help=text)
        command = option(command)
    return command


def print_list(things: Sequence[T], listing: Listing[T], form: Form) -> None:
    """Print a list. JSON is ASCII only, so that no terminal and no encoding is in its way."""
    match form:
        case "json":
            lines = (f"{json.dumps(listing.fields(thing))}\n" for thing in things)
            click.echo("".join(lines), nl=False)
        case "csv":
            click.echo(_csv([dict(_flat(listing.fields(thing))) for thing in things]), nl=False)
        case "table" if things:
            _print_table(listing, [listing.cells(thing) for thing in things])
        case "table":
            say(listing.nothing)
        case _:
            assert_never(form)


def _print_table(listing: Listing[T], rows: Sequence[tuple[Cell, ...]]) -> None:
    """Print a table: drawn where the terminal is wide enough, or as aligned text in a pipe."""
    columns = zip(*rows, strict=True)
    is_numeric = [any(isinstance(cell, int) for cell in column) for column in columns]
    texts = [[_text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _print_aligned([[it.upper() for it in listing.headings], *texts], is_numeric)
    elif not _print_drawn(listing.headings, texts, is_numeric):
        _print_records(listing, texts, is_numeric)


def _text(cell: Cell) -> str:
    return NONE if cell is None or cell == "" else one_line(str(cell))


def _print_drawn(
    headings: Sequence[str], rows: Sequence[Sequence[str]], is_numeric: Sequence[bool]
) -> bool:
    """Draw a table, or return that the terminal is too narrow to draw it without breaking words."""
    # Only a terminal waits for this import.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawing = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading, numeric in zip(headings, is_numeric, strict=True):
        justify: Literal["right", "left"] = "right" if numeric else "left"
        drawing.add_column(Text(heading), justify=justify, no_wrap=True)
    for row in rows:
        # Text, not str: in a str, rich would interpret markup such as [red] or [link=…].
        drawing.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False, emoji=False, markup=False)
    boundless = console.options.update(max_width=MOST_COLUMNS)
    if console.measure(drawing, options=boundless).maximum > console.width:
        return False
    console.print(drawing)
    return True


def _print_records(
    listing: Listing[T], rows: Sequence[Sequence[str]], is_numeric: Sequence[bool]
) -> None:
    """Print two lines for each row, longer ones continued between words."""
    columns = get_terminal_size().columns
    for row in rows:
        lead, rest = [], []
        for heading, cell, numeric in zip(listing.headings, row, is_numeric, strict=True):
            if cell == NONE:
                continue
            if heading in listing.lead:
                lead.append(cell)
            elif numeric or heading in listing.labelled:
                rest.append(f"{heading.lower()} {cell}")
            else:
                rest.append(cell)
        for line, indent in (("  ".join(lead) or NONE, ""), (" · ".join(rest), "  ")):
            click.echo(_wrapped(line, columns, indent))


def _wrapped(line: str, columns: int, indent: str) -> str:
    """Not within a word, an id or a number: what is longer than a line, the terminal breaks."""
    # A number stays with its sign of percent.
    joined = line.replace(" %", f"{NO_BREAK}%")
    text = textwrap.fill(
        joined,
        columns,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text.replace(NO_BREAK, " ")


def _print_aligned(lines: Sequence[Sequence[str]], is_numeric: Sequence[bool]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for line in lines:
        cells = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, is_numeric, strict=True)
        )
        text.append("  ".join(cells).rstrip())
    click.echo("\n".join(text))


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every field under its whole name: what is within another has a dot in it."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _csv_text(value)


def _csv_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            value = ", ".join(map(str, value))
    text = one_line(str(value))
    # No name from outside may be run by the spreadsheet that opens the file.
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    # What is nothing in one row and has parts in another has a column for each part.
    parts = [name for name in names if not any(it.startswith(f"{name}.") for it in names)]
    lines = io.StringIO()
    if rows:
        writer = csv.DictWriter(lines, parts, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return lines.getvalue()

"""Lists as tables, as JSON Lines and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from watcher.cli.listing import Form, Listing, form_options, print_list

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Thing:
    name: str | None = "one"
    count: int | None = 1
    more: dict[str, Any] = field(default_factory=dict)


LISTING: Listing[Thing] = Listing(
    ("Name", "Count"),
    lambda it: (it.name, it.count),
    lambda it: {"name": it.name, "count": it.count, **it.more},
    "There are none.",
    lead=("Name",),
)


def printed(things: Sequence[Thing], form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    print_list(things, LISTING, form)
    return capsys.readouterr().out


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_has_numbers_to_the_right_and_a_dash_for_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    things = [Thing("seedance", 7), Thing("", 1200), Thing(None, None), Thing("zero", 0)]
    assert printed(things, "table", capsys).splitlines() == [
        "NAME      COUNT",
        "seedance      7",
        "-          1200",
        "-             -",
        "zero          0",
    ]


def test_a_table_of_nothing_says_so_and_programs_get_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed([], "table", capsys) == "There are none.\n"
    assert printed([], "json", capsys) == ""
    assert printed([], "csv", capsys) == ""


def test_csv_has_what_json_has_and_nothing_within_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    things = [
        Thing(more={"kinds": ["new", "unit"], "before": None, "after": {"usd": "0.1"}}),
        Thing(None, None, {"kinds": [], "before": {"usd": "0.2", "fal": None}, "causes": {}}),
        Thing("a, “b”\nc", 2, {"known": True}),
    ]
    first, second, third = read_csv(printed(things, "csv", capsys))
    assert list(first) == [
        "name",
        "count",
        "kinds",
        "after.usd",
        "before.usd",
        "before.fal",
        "known",
    ]
    assert first["kinds"] == "new, unit"
    assert (first["after.usd"], first["before.usd"]) == ("0.1", "")
    assert (second["name"], second["before.usd"]) == ("", "0.2")
    assert (third["name"], third["known"]) == ("a, “b”\\nc", "true")


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        "＝1+1",
        "-5x",
        "=1\n2",
    ],
)
def test_no_name_is_a_formula_in_a_spreadsheet(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = read_csv(printed([Thing(name)], "csv", capsys))
    assert row["name"][0] not in "=+-@＝ \t\r"


@pytest.mark.parametrize("name", ["-12.50", "+3", "0.005", "seedance-2", "a=b"])
def test_a_number_or_a_name_is_left_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    [row] = read_csv(printed([Thing(name)], "csv", capsys))
    assert row["name"] == name


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_nothing_that_a_terminal_acts_on_is_printed(
    form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed([Thing("a\x1b[2Jb\rc\nd\x9b")], form, capsys)
    assert not set(text) & set("\x1b\r\x9b")
    assert len(text.splitlines()) == (1 if form == "json" else 2)


@pytest.mark.parametrize(
    ("arguments", "form"),
    [([], "table"), (["--json"], "json"), (["--csv"], "csv"), (["--json", "--csv"], "csv")],
)
def test_the_last_option_says_the_form(arguments: list[str], form: str) -> None:
    import click  # noqa: PLC0415

    @click.command()
    @form_options
    def command(form: Form) -> None:
        click.echo(form)

    assert CliRunner().invoke(command, arguments).output == f"{form}\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WIDE: Listing[int] = Listing(
    ("Number", "Alert", "Price", "Next attempt"),
    lambda it: (
        it,
        "7k2mw9xcq4tz",
        "kling-3.0 text-to-video 1080p with audio for 7.25 credits",
        "in 5 min",
    ),
    lambda it: {"id": it},
    "There are none.",
    lead=("Number", "Alert"),
    labelled=("Next attempt",),
)


@pytest.mark.parametrize("columns", [24, 60, 80, 160])
def test_no_terminal_is_so_narrow_that_a_word_a_number_or_an_id_is_broken(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    print_list([7, 1200], WIDE, "table")
    lines = terminal.getvalue().splitlines()
    assert all(len(line) <= columns for line in lines)
    words = {word for thing in (7, 1200) for word in " ".join(map(str, WIDE.cells(thing))).split()}
    assert words <= set(terminal.getvalue().split())


def test_a_number_stays_with_its_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = replace(LISTING, cells=lambda it: (it.name, "a price of 37.5 % more or less"))
    assert printed_at(18, listing, monkeypatch) == [
        "one",
        "  a price of",
        "  37.5 % more or",
        "  less",
    ]


def printed_at(columns: int, listing: Listing[Thing], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    print_list([Thing()], listing, "table")
    return terminal.getvalue().splitlines()


def test_where_a_table_is_too_wide_each_thing_has_two_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "90")
    print_list([7], WIDE, "table")
    assert terminal.getvalue().splitlines() == [
        "7  7k2mw9xcq4tz",
        "  kling-3.0 text-to-video 1080p with audio for 7.25 credits · next attempt in 5 min",
    ]

"""The results of trials as a table, and as a page for the documentation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from torture.machine import machine
from torture.trial import Finding, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from torture.trial import Trial

__all__ = ["fields", "from_fields", "markdown_table", "report", "table"]

HEADINGS = ("trial", "runs", "of", "seeds", "took", "findings")
_HEAD = """# Proof: trials for bad days

What is promised for bad days, tried by `make torture`. This page is the report of the last run and
is written by `python -m torture --report docs/proof.md`.

{at:%Y-%m-%d %H:%M} UTC, {machine}. {seconds:.0f} s for all together, {jobs} trials at once.
A trial ends at its count or when its part of the time is over: *runs* is what was done, *of* the
long form.

{table}

The same seeds do the same again, except in *kill*, which depends on the operating system too.
`python -m torture NAME --seed N` begins with seed N. A short form of each trial is in the test
suite."""
_WHAT = {
    "kill": (
        "The real daemon in a process of its own, with a simulated API and two receivers over"
        " sockets (one of which fails now and then). It is ended by SIGKILL while it starts, reads"
        " or sends, and started again. At the end every change was announced, a message came twice"
        " only where its acknowledgement had not been recorded, with the same id and the same text,"
        " messages came in order, and the database is sound."
    ),
    "torn": (
        "The real client, poller and store; the catalogue is edited between any two replies. A run"
        " is one sweep during which it was edited. Each announced change is checked against a"
        " ledger of what was listed when: nothing was announced that did not happen, and at the end"
        " the announced changes lead to the truth."
    ),
    "garbage": (
        "Good replies spoiled at random: flipped bits, cut short, types swapped, huge numbers, deep"
        " nesting, wrong encodings, compressed bombs, endless bodies, slow bodies and broken HTTP"
        " (4 of 100 over a real socket). Nothing crashed, nothing was announced that no sound row"
        " said, and good polls restored everything. A flipped bit that makes another sound price of"
        " a price is announced, since no reader can recognise that. It is counted."
    ),
    "state": (
        "A byte at a random place of the database is changed to a random other one, and the state"
        " is read as commands read it, opened, and polled while nothing changes. It was refused in"
        " words, or nothing came of the byte: no traceback, no change, no message. What was refused"
        " as damaged, `--rebuild` moves aside. After each 40 bytes the file is taken from a running"
        " daemon in one of four ways: removed, another one put in its place, an older copy written"
        " over it, cut. It recorded nothing, was not ready, ended, and wrote nothing to"
        " the file."
    ),
    "lies": (
        "The real client, poller and store; the listing is wrong for hours about a part of the"
        " catalogue, always or at every second reading, while other models are really edited, and"
        " the watcher is started again now and then. Each run is one of eight, by its seed: a flood"
        " (a field left out or set for a third of the models), a flood that is true, other names"
        " for a third, descriptions that cannot be read, pages of uneven sizes or shifted, replies"
        " from a cache, wrong USD prices for less than half an hour, and other credits (which is"
        " true). Nothing that only the lie said was announced, and at the end everything"
        " that is true."
    ),
    "outage": (
        "Each run is one of nine, by its seed: the API down in nineteen ways in turn, its name"
        " not resolved, the receivers failing in six ways in turn (a dead message is retried, as a"
        " person would), the wall clock set forward and back by minutes, days and years, receivers"
        " that take everything and never answer for nine days (no message comes more than 18 times,"
        " and repeats are two a day after the first day), a full"
        " disk (a file system of 2 MB), a disk that fails or lets no file grow, a read-only state,"
        " and the state's lock or the database held by another process. After each, every change"
        " was announced and every message sent."
    ),
    "crowd": (
        "The real daemon in a process of its own, with fifty receivers that hang before and after"
        " the connection, drip their header, body, handshake, banner or last word a byte a second,"
        " answer, greet or continue without end, send a bomb, or have a name that is never"
        " resolved; a quarter of them at a service that Apprise serves unchanged. One good receiver"
        " each of Slack, Discord, Telegram, e-mail, JSON and ntfy gets every message within two"
        " seconds, six seconds after the last. All processes stay within the unit's TasksMax and"
        " MemoryMax, and what never left the machine is not said to have arrived perhaps. The times"
        " are those of a machine with other work."
    ),
    "flapping": (
        "The real client, poller, outbox and store; for a day each poll is answered by one of two"
        " backends, by chance, whose snapshots differ in ten promotions, reference prices or"
        " prices, in a unit, in what a credit is worth, in three models or their names, or in all"
        " of that. The daemon is started again in the middle. Then one of them stays, now and then"
        " without a model that flapped. What each receiver was told leads to the truth, in at most"
        " six messages for each value."
    ),
    "soak": (
        "One daemon in simulated time over 570 models, at ten times the real rate of change, two"
        " receivers, retention as by default. Now and then, at rest, the state is compared with the"
        " catalogue. Bounds: memory grows by less than 24 MiB, the state stays under 24 MB, no"
        " query takes longer than 50 ms at its best."
    ),
    "year": (
        "The same market, polled only every half hour: as many changes, so the state has a year of"
        " them after a sixth of the polls. The bounds are the same."
    ),
}


def table(results: Iterable[Result]) -> str:
    """All results for a person, as a table that is Markdown too."""
    return markdown_table([HEADINGS, *map(_row, results)])


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first row being the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruler = tuple("-" * width for width in widths)
    lines = (*rows[:1], ruler, *rows[1:])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def report(results: Sequence[Result], at: datetime, seconds: float, jobs: int) -> str:
    """The page: what was run, when and on which machine, the results, and what each trial is."""
    where = f"{machine()}, load {os.getloadavg()[0]:.1f} at the end"
    head = _HEAD.format(at=at, machine=where, seconds=seconds, jobs=jobs, table=table(results))
    return "\n".join([head, *(line for result in results for line in _section(result)), ""])


def fields(result: Result) -> dict[str, Any]:
    """A result as plain JSON."""
    return {
        "wanted": result.wanted,
        "runs": result.runs,
        "seeds": [result.seeds.start, result.seeds.stop],
        "took": result.took,
        "findings": [[it.seed, it.what] for it in result.findings],
        "figures": dict(result.figures),
    }


def from_fields(trial: Trial, given: Mapping[str, Any]) -> Result:
    """The result that `fields` gave."""
    findings = tuple(Finding(seed, what) for seed, what in given["findings"])
    return Result(
        trial=trial,
        wanted=given["wanted"],
        runs=given["runs"],
        seeds=range(*given["seeds"]),
        took=given["took"],
        findings=findings,
        figures=given["figures"],
    )


def _row(result: Result) -> tuple[str, ...]:
    seeds = f"{result.seeds.start}–{result.seeds.stop - 1}"
    done = f"{result.runs:,} {result.trial.unit}"
    found = str(len(result.findings)) if result.findings else "none"
    return result.trial.name, done, f"{result.wanted:,}", seeds, f"{result.took:.0f} s", found


def _section(result: Result) -> list[str]:
    figures = [f"- {name}: {_shown(value)}" for name, value in result.figures.items()]
    found = [f"- FOUND with seed {it.seed}: {it.what}" for it in result.findings]
    return ["", f"## {result.trial.name}", "", _WHAT[result.trial.name], "", *figures, *found]


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"

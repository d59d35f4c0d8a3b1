"""What trials came to, as a table, and as a page for the documentation.

Refuses to know how anything is tried.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from typing import TYPE_CHECKING, Any

from torture.trial import Finding, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from torture.trial import Trial

__all__ = ["fields", "from_fields", "machine", "report", "table"]

HEADINGS = ("trial", "runs", "of", "seeds", "took", "findings")
_HEAD = """# Proof under fire

What was promised for bad days, tried by `make torture`. This page is the report of the last run and
is written by `python -m torture --report docs/proof.md`.

{at:%Y-%m-%d %H:%M} UTC, {machine}. {seconds:.0f} s for all together, {jobs} trials at once.
A trial ends at its count or when its part of the time is over: *runs* is what was done, *of* the
long form.

{table}

The same seeds give the same worlds, but for *kill*, where the operating system has a say.
`python -m torture NAME --seed N` begins with seed N. A short form of each is in the test suite."""
_WHAT = {
    "kill": (
        "The real daemon in a process of its own, a simulated API and two receivers over sockets"
        " (one of which has bad moments), SIGKILL while it starts, reads or tells, and a new start."
        " In the end every change that was made was announced, a message came twice only where it"
        " was in flight, under the same id and to the letter, and the database is sound."
    ),
    "torn": (
        "The real client, poller, intake and store; the catalogue is edited between any two"
        " replies. A run is one reading of the whole catalogue during which it was edited. Each"
        " announcement is held against a ledger of what stood there and when: nothing was announced"
        " that was not so, and in the end what was announced led to the truth."
    ),
    "garbage": (
        "Good replies spoiled by chance: flipped bits, cut short, types swapped, huge numbers, deep"
        " nesting, wrong encodings, compressed bombs, endless bodies, slow drips and broken HTTP"
        " (4 of 100 over a real socket). Nothing crashed, nothing was announced that no sound row"
        " said, and all was as before after good polls. A flipped bit that makes another sound"
        " price of a price is announced: nobody can tell. It is counted."
    ),
    "outage": (
        "Each run is one of eight, by its seed: the API down in nineteen ways by turns, its name"
        " not resolved, the receivers failing in six ways by turns (a dead letter is retried, as a"
        " person does), the wall clock set forth and back by up to six days at a time, a full disk"
        " (a file system of 2 MB), a disk that fails or lets no file grow, a read-only state, and"
        " the state's lock or the database held by another. Each ended with everything told."
    ),
    "soak": (
        "One watcher by an injected clock over 570 models, ten times the real rate of change, two"
        " receivers, pruning as by default. At rest, now and then, what is believed is held"
        " against the catalogue. Bounds: memory grows by less than 24 MiB, the state stays under"
        " 20 MB, no query takes longer than 50 ms at its best."
    ),
    "year": (
        "The same market, looked at every half hour only: as many changes, so what a year leaves in"
        " the state is there after a sixth of the polls. The bounds are the same."
    ),
}


def table(results: Iterable[Result]) -> str:
    """All results for a person, as a table that is Markdown too."""
    rows = [HEADINGS, *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruler = tuple("-" * width for width in widths)
    lines = (*rows[:1], ruler, *rows[1:])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def report(results: Sequence[Result], at: datetime, seconds: float, jobs: int) -> str:
    """The page: what was run on what and when, what came of it, and what each trial is."""
    head = _HEAD.format(at=at, machine=machine(), seconds=seconds, jobs=jobs, table=table(results))
    return "\n".join([head, *(line for result in results for line in _section(result)), ""])


def machine() -> str:
    """What it ran on."""
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {versions}, {load}"


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

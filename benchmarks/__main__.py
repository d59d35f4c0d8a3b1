"""Measures what is promised and prints it: `python -m benchmarks [NAME…] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks import latency, messages, quiet, scale, start, sweep
from benchmarks.figures import Figure, fields, table
from torture.machine import machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

# In the order of the table; `quiet` has the memory too.
MEASURES: Mapping[str, Callable[[], AsyncIterator[Figure]]] = {
    "quiet": quiet.measure,
    "latency": latency.measure,
    "size": sweep.measure,
    "scale": scale.measure,
    "start": start.measure,
    "messages": messages.measure,
}

# Load average. Of two cores one runs the program, the other the simulated API: both are needed.
BUSY = 0.5


def main() -> int:
    """Exit 0 whatever the verdicts are, 1 where a measurement failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    where = describe_machine()
    say(where)
    figures, failed = asyncio.run(_all(chosen.names or list(MEASURES)))
    if chosen.json:
        for figure in figures:
            print(json.dumps(fields(figure), ensure_ascii=False))
    else:
        print(f"{where}\n\n{table(figures)}")
    return int(failed)


async def _all(names: list[str]) -> tuple[list[Figure], bool]:
    figures, failed = list[Figure](), False
    for name in names:
        started = perf_counter()
        say(f"{name} …")
        try:
            figures += [figure async for figure in MEASURES[name]()]
        except Exception as error:  # noqa: BLE001 - the other measurements go on
            say(f"{name}: FAILED: {error}")
            failed = True
        say(f"{name}: {perf_counter() - started:.0f} s")
    return figures, failed


def describe_machine() -> str:
    """The machine, and whether it has other work."""
    load = os.getloadavg()[0]
    busy = f"; BUSY with other work (load {load:.1f}): times are longer than the program's own"
    return f"{machine()}{busy if load >= BUSY else ''}"


def say(text: str) -> None:
    """Print progress to stderr: the table goes to stdout."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

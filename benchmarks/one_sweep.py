"""One process that prepares, or runs and measures, one sweep of a huge catalogue.

The real poller, client and store. Only the network is left out: replies are read from files,
compressed as the API sends them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import structlog

from benchmarks.one_percent import edit_one_percent
from benchmarks.processes import Daemon
from watcher.catalog.confirm import ConfirmRules
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import KieClient
from watcher.kie.responses import Body
from watcher.observer import PollOutcome
from watcher.poller import Poller, PollRules
from watcher.routing.rules import RoutingRules, Silence
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.store.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.kie.client import Sweep
    from watcher.simulator.catalogue import Row
    from watcher.store.values import Commit, Recorded, StoredSilence

PAGE_SIZE = 100
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
# Removals and renames are confirmed at once, so that one sweep commits all changes.
NO_HOLDS = ConfirmRules(removals=timedelta(0))


class FileClient(KieClient):
    """The client with replies from files; `seconds` is the duration of the last sweep."""

    __slots__ = ("folder", "seconds")

    def __init__(self) -> None:
        async def no_pause(_: timedelta) -> None:
            return

        super().__init__(cast("Any", None), SourceSettings(), PollSettings(), no_pause)
        self.folder = Path()
        self.seconds = 0.0

    async def sweep(self, last: Any) -> Sweep:
        started = perf_counter()
        swept = await super().sweep(last)
        self.seconds = perf_counter() - started
        return swept

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        name = "count" if call.payload is None else str(call.payload["pageNum"])
        body = Body(call.name, "gzip")
        body.feed((self.folder / name).read_bytes())
        return body.text(), None


class TimedStore(Store):
    """The same database; `seconds` is the duration of the last commit."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._database)  # noqa: SLF001
        self.seconds = 0.0

    async def record(self, commit: Commit) -> Recorded:
        started = perf_counter()
        recorded = await super().record(commit)
        self.seconds = perf_counter() - started
        return recorded


def _no_silence(stored: StoredSilence) -> Silence:
    raise LookupError(f"there is no silence here: {stored.id}")


class TimedPoller:
    """The poller with one folder of replies after another, a day between two polls."""

    def __init__(self, store: Store, began_at: datetime) -> None:
        self.client = FileClient()
        self.store = TimedStore(store)
        self._now = began_at
        rules = PollRules(NO_HOLDS, RoutingRules(("bench",)), _no_silence)
        self._poller = Poller(
            self.client,
            self.store,
            PollSettings(),
            rules,
            now=lambda: self._now,
            rng=Random(1),
        )

    async def poll(self, folder: Path, expected: PollOutcome) -> int:
        """Poll once; returns the number of changes. Raises where the outcome is not `expected`."""
        self._now += timedelta(days=1)
        self.client.folder = folder
        report = await self._poller.poll()
        if report.outcome is not expected:
            raise RuntimeError(f"the poll was {report.outcome.value}: {report.why}")
        return len(report.changes)


async def prepare(place: Path, size: int) -> None:
    """Write all replies before and after the edits, and a state with the baseline before."""
    rows = generate(seed=1, size=size)
    _write(place / "before", rows)
    _write(place / "after", edit_one_percent(rows, Random(1)))
    async with open_store(place / "baseline.db") as store:
        await TimedPoller(store, BEGINNING).poll(place / "before", PollOutcome.BASELINE)


def _write(folder: Path, rows: Sequence[Row]) -> None:
    folder.mkdir(parents=True)
    _pack(folder / "count", Catalogue(rows).counts())
    for number, start in enumerate(range(0, len(rows), PAGE_SIZE), start=1):
        page = {"records": rows[start : start + PAGE_SIZE], "total": len(rows)}
        _pack(folder / str(number), page)


def _pack(file: Path, data: object) -> None:
    text = json.dumps({"code": 200, "msg": "success", "data": data}, ensure_ascii=False)
    file.write_bytes(gzip.compress(text.encode(), compresslevel=6))


async def measure(place: Path) -> dict[str, Any]:
    """Measure the sweep with the changes, as in a daemon that has run for a while."""
    async with open_store(place / "state.db") as store:
        poller = TimedPoller(store, BEGINNING + timedelta(days=1))
        await poller.poll(place / "before", PollOutcome.UNCHANGED)
        started = perf_counter()
        changes = await poller.poll(place / "after", PollOutcome.CHANGED)
        seconds = perf_counter() - started
    read, committed = poller.client.seconds, poller.store.seconds
    parts = {"read": read, "match and diff": seconds - read - committed, "commit": committed}
    peak = Daemon("self").peak()
    return {"seconds": seconds, "parts": parts, "changes": changes, "peak_mib": peak}


def main() -> None:
    """`prepare PLACE SIZE`, or `measure PLACE`, which prints one line of JSON."""
    # The parent process reads one line of output.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    match sys.argv[1:]:
        case ["prepare", place, size]:
            asyncio.run(prepare(Path(place), int(size)))
        case ["measure", place]:
            print(json.dumps(asyncio.run(measure(Path(place)))))
        case _:
            sys.exit(main.__doc__)


if __name__ == "__main__":
    main()

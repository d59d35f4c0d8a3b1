"""One process that makes ready, or takes and measures, one sweep of a huge catalogue.

The real poller, client and store. Only the network is left out: replies come off the disk, packed
as they would come off the wire.
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

from benchmarks.one_percent import changed
from benchmarks.processes import Daemon
from watcher.catalog.confirm import Policy
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import KieClient
from watcher.kie.responses import Body
from watcher.poller import Poller, PollOutcome, Rules
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
# Removals and renames are believed at once: all that changed is committed by the one sweep.
NO_WAITING = Policy(removals=timedelta(0))


class FromDisk(KieClient):
    """The client, its replies read from files; notes how long a sweep takes."""

    __slots__ = ("folder", "seconds")

    def __init__(self) -> None:
        async def go_on(_: timedelta) -> None:
            return

        super().__init__(cast("Any", None), SourceSettings(), PollSettings(), go_on)
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


class Timed:
    """A store that notes how long its last commit took."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, commit: Commit) -> Recorded:
        started = perf_counter()
        recorded = await self._store.record(commit)
        self.seconds = perf_counter() - started
        return recorded


def _no_silence(stored: StoredSilence) -> Silence:
    raise LookupError(f"there are no silences here, least of all {stored.id}")


class Watch:
    """The poller on one folder of replies after another, a day between any two polls."""

    def __init__(self, store: Store, began_at: datetime) -> None:
        self.client = FromDisk()
        self.store = Timed(store)
        self._now = began_at
        rules = Rules(NO_WAITING, RoutingRules(("bench",)), _no_silence)
        self._poller = Poller(
            self.client,
            cast("Store", self.store),
            PollSettings(),
            rules,
            now=lambda: self._now,
            rng=Random(1),
        )

    async def poll(self, folder: Path, expected: PollOutcome) -> int:
        """One poll, which must end as expected; gives the number of changes."""
        self._now += timedelta(days=1)
        self.client.folder = folder
        report = await self._poller.poll()
        if report.outcome is not expected:
            raise RuntimeError(f"the poll was {report.outcome.value}: {report.why}")
        return len(report.changes)


async def prepare(place: Path, size: int) -> None:
    """Write all replies before and after the changes, and a state that knows those before."""
    rows = generate(seed=1, size=size)
    _write(place / "before", rows)
    _write(place / "after", changed(rows, Random(1)))
    async with open_store(place / "baseline.db") as store:
        await Watch(store, BEGINNING).poll(place / "before", PollOutcome.BASELINE)


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
    """Take the sweep with the changes as a daemon would that has been running for a while."""
    async with open_store(place / "state.db") as store:
        watch = Watch(store, BEGINNING + timedelta(days=1))
        await watch.poll(place / "before", PollOutcome.UNCHANGED)
        started = perf_counter()
        changes = await watch.poll(place / "after", PollOutcome.CHANGED)
        seconds = perf_counter() - started
    read, committed = watch.client.seconds, watch.store.seconds
    parts = {"read": read, "match and diff": seconds - read - committed, "commit": committed}
    peak = Daemon("self").peak()
    return {"seconds": seconds, "parts": parts, "changes": changes, "peak_mib": peak}


def main() -> None:
    """`prepare PLACE SIZE`, or `measure PLACE`, which prints one line of JSON."""
    # Whoever reads the output wants the one line.
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

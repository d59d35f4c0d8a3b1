"""One sweep of a huge catalogue after an edit for every hundredth row: CPU time and memory.

Each sweep is made by a new process with a copy of the same state, which has made one unchanged
sweep before, as a running daemon has. The poller, the client and the store are the real ones. Only
the network is left out: replies are read from files, compressed as the API sends them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Any, cast

from benchmarks.figures import Figure, Unit
from benchmarks.processes import run_to_end
from torture.machine import peak_memory
from watcher.catalog.confirm import ConfirmRules
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import KieClient
from watcher.kie.responses import Body
from watcher.poller import Poller, PollRules
from watcher.routing.rules import RoutingRules, Silence
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.simulator.random_edits import Meaning, random_edit
from watcher.store.store import Store, open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from watcher.kie.client import Sweep
    from watcher.simulator.catalogue import Row
    from watcher.store.values import Commit, Recorded, StoredSilence

__all__ = ["measure"]

NAME = "size"
MODELS, ROUNDS = 100_000, 5
PAGE_SIZE = 100
EDITED_ONE_IN = 100
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
# Removals and renames are confirmed at once, so that one sweep commits all changes.
NO_HOLDS = ConfirmRules(removals=timedelta(0))


async def measure() -> AsyncIterator[Figure]:
    """CPU time, also by record, and memory: the median of several sweeps."""
    with TemporaryDirectory(prefix="kie-watcher-bench-") as name:
        place = Path(name)
        await _run("prepare", place)
        sweeps = [json.loads(await _run("sweep", place)) for _ in range(ROUNDS)]

    def of_all(part: str) -> float:
        return float(median(sweep[part] for sweep in sweeps))

    what = f"sweep of {MODELS:,} records, {sweeps[0]['changes']:,} changes"
    parts = ", ".join(f"{part} {of_all(part):.2f}" for part in ("read", "compare", "commit"))
    note = f"{parts}; most of {ROUNDS}: {max(sweep['all'] for sweep in sweeps):.2f}"
    yield Figure(NAME, f"CPU of a {what}", of_all("all"), Unit.SECONDS, 2.5, note)
    yield Figure(NAME, "the same for each record", of_all("all") / MODELS * 1e6, Unit.MICROSECONDS)
    peak = max(sweep["peak_mib"] for sweep in sweeps)
    yield Figure(NAME, f"most resident memory in a {what}", peak, Unit.MIB, 500)


async def _run(step: str, place: Path) -> str:
    """The last line that a process with this step prints."""
    used = await run_to_end(sys.executable, "-m", "benchmarks.sweep", step, place)
    return used.output.rpartition("\n")[0].rpartition("\n")[2]


# What the processes do


class FileClient(KieClient):
    """The client with replies from the files in `folder`; `cpu` is that of the last sweep."""

    __slots__ = ("cpu", "folder")

    def __init__(self, folder: Path) -> None:
        async def no_pause(_: timedelta) -> None:
            return

        super().__init__(cast("Any", None), SourceSettings(), PollSettings(), no_pause)
        self.folder = folder
        self.cpu = 0.0

    async def sweep(self, last: Any) -> Sweep:
        started = process_time()
        swept = await super().sweep(last)
        self.cpu = process_time() - started
        return swept

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        name = "count" if call.payload is None else str(call.payload["pageNum"])
        body = Body(call.name, "gzip")
        body.feed((self.folder / name).read_bytes())
        return body.text(), None


class TimedStore(Store):
    """The same database; `cpu` is that of the last commit."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._database)  # noqa: SLF001
        self.cpu = 0.0

    async def record(self, commit: Commit) -> Recorded:
        started = process_time()
        recorded = await super().record(commit)
        self.cpu = process_time() - started
        return recorded


def _no_silence(stored: StoredSilence) -> Silence:
    raise LookupError(f"there is no silence here: {stored.id}")


class TimedPoller:
    """The poller, a day between two polls."""

    def __init__(self, store: Store, began_at: datetime) -> None:
        self.client = FileClient(Path())
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


async def prepare(place: Path) -> None:
    """Write all replies before and after the edits, and a state with the baseline before."""
    rows = generate(seed=1, size=MODELS)
    _write(place / "before", rows)
    _write(place / "after", edit_some(rows, Random(1)))
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


async def sweep(place: Path) -> None:
    """Sweep, and sweep again with the changes; print what the second one took."""
    state = place / "state.db"
    shutil.copy(place / "baseline.db", state)
    async with open_store(state) as store:
        poller = TimedPoller(store, BEGINNING + timedelta(days=1))
        await poller.poll(place / "before", PollOutcome.UNCHANGED)
        started = process_time()
        changes = await poller.poll(place / "after", PollOutcome.CHANGED)
        cpu = process_time() - started
    state.unlink()
    read, commit = poller.client.cpu, poller.store.cpu
    parts = {"all": cpu, "read": read, "compare": cpu - read - commit, "commit": commit}
    print(json.dumps({**parts, "changes": changes, "peak_mib": peak_memory()}))


def edit_some(rows: Sequence[Row], rng: Random) -> list[Row]:
    """The rows after one edit for every hundred of them, all in the first tenth."""
    tenth = len(rows) // 10
    edited = Catalogue(rows[:tenth])
    edits = 0
    while edits < len(rows) // EDITED_ONE_IN:
        chosen = random_edit(rng, edited)
        if chosen.meaning is not Meaning.NOTHING:
            chosen.edit.apply(edited)
            edits += 1
    return [*edited.rows, *rows[tenth:]]


if __name__ == "__main__":
    # The parent process reads the last line of output.
    asyncio.run({"prepare": prepare, "sweep": sweep}[sys.argv[1]](Path(sys.argv[2])))

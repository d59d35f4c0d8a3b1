"""One sweep of a huge catalogue with one row in a hundred edited: time, memory, and their growth.

Each sweep in a new process, `benchmarks.one_sweep`, with a copy of the same state. Of several the
fastest counts: other work on the machine disturbed it least.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, Unit
from benchmarks.processes import ROOT, python, run_to_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

NAME = "size"
SMALL, LARGE = 10_000, 100_000
# The small sweeps take little time, so that other work disturbs them more.
SMALL_SWEEPS_A_ROUND, ROUNDS = 2, 3


@dataclass(frozen=True, slots=True)
class _Runs:
    """The sweeps of one size."""

    size: int
    taken: list[dict[str, Any]]

    @property
    def fastest(self) -> dict[str, Any]:
        """The sweep that counts."""
        return min(self.taken, key=lambda run: float(run["seconds"]))

    @property
    def what(self) -> str:
        """What was done, in words."""
        return f"sweep of {self.size:,} records, {self.fastest['changes']:,} changes"

    @property
    def note(self) -> str:
        """The parts of the time, and the slowest sweep."""
        parts = self.fastest["parts"].items()
        listed = ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts)
        slowest = max(run["seconds"] for run in self.taken)
        return f"{listed}; slowest of {len(self.taken)}: {slowest:.2f}"


async def measure() -> AsyncIterator[Figure]:
    """Time and memory of both sizes, and the ratio of the times; the sizes in turn."""
    small, large = _Runs(SMALL, []), _Runs(LARGE, [])
    with TemporaryDirectory(prefix="kie-watcher-bench-") as place:
        for runs in (small, large):
            await _prepare(Path(place), runs.size)
        for _ in range(ROUNDS):
            for runs in (*[small] * SMALL_SWEEPS_A_ROUND, large):
                runs.taken.append(await _swept(Path(place), runs.size))
    peak = max(run["peak_mib"] for run in large.taken)
    ratio = large.fastest["seconds"] / small.fastest["seconds"]
    yield Figure(NAME, large.what, large.fastest["seconds"], Unit.SECONDS, 5, large.note)
    yield Figure(NAME, f"{large.what}: most resident memory", peak, Unit.MIB, 500)
    yield Figure(NAME, small.what, small.fastest["seconds"], Unit.SECONDS, note=small.note)
    yield Figure(NAME, "time of the large sweep, in times of the small one", ratio, Unit.TIMES, 12)


async def _prepare(place: Path, size: int) -> None:
    await run_to_end(python("benchmarks.one_sweep", "prepare", place / str(size), str(size)), ROOT)


async def _swept(place: Path, size: int) -> dict[str, Any]:
    state = place / str(size) / "state.db"
    shutil.copy(state.with_name("baseline.db"), state)
    used = await run_to_end(python("benchmarks.one_sweep", "measure", place / str(size)), ROOT)
    state.unlink()
    taken: dict[str, Any] = json.loads(used.output.splitlines()[-1])
    return taken

"""A trial: runs from one seed after another, until a count or a time is reached."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from torture.machine import peak_memory, resident_memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["BrokenPromise", "Budget", "Finding", "Result", "Tally", "Trial", "run_trial"]

# A trial stops here: the first findings show what is broken.
MOST_FINDINGS = 5
SAY_EVERY = 15.0


class BrokenPromise(Exception):  # noqa: N818 - not an error of the trial, but a finding
    """The watcher did what it promised never to do, or failed to do what it promised."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one seed may do: so many runs, and no new ones after `until` (`monotonic`).

    A seed with few runs ignores the time, so that it always does the same. One with many calls
    `progress` from time to time with the runs it has done.
    """

    runs: int
    until: float
    progress: Callable[[int], None] = lambda _: None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class Tally:
    """What one seed gave: its runs, figures, and what was wrong without stopping it.

    Figures of several seeds are added up, except that of names beginning with "most" the largest
    counts.
    """

    runs: int
    figures: Mapping[str, float] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


# Does the runs of one seed.
RunSeed: TypeAlias = "Callable[[int, Budget], Awaitable[Tally]]"


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried. `count` of `unit` is the long form; `share` is its part of the time given.

    `parallel` seeds run at once. `growth`: by how many MiB this process may grow from a tenth of
    the count to its end; `None` where its memory is not the watcher's.
    """

    name: str
    unit: str
    count: int
    share: float
    run_seed: RunSeed
    parallel: int = 1
    growth: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, and the seed that shows it again."""

    seed: int
    what: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial gave."""

    trial: Trial
    wanted: int
    runs: int
    seeds: range
    took: float
    findings: tuple[Finding, ...]
    figures: Mapping[str, float]


@dataclass(slots=True)
class _Sum:
    """The sum of all seeds so far."""

    next_seed: int
    said_at: float
    runs: int = 0
    memory_at_a_tenth: float = 0
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, tally: Tally, seed: int) -> None:
        self.runs += tally.runs
        self.findings += [Finding(seed, what) for what in tally.wrong]
        for name, value in tally.figures.items():
            before = self.figures.get(name, 0)
            most = name.startswith("most")
            self.figures[name] = max(before, value) if most else before + value


async def run_trial(
    trial: Trial, *, seed: int, count: int, seconds: float, say: Callable[[str], None]
) -> Result:
    """Run seed after seed from `seed` on, until `count` is reached, or the time is up."""
    started = monotonic()
    so_far = _Sum(seed, said_at=started)
    until = started + seconds

    def progress(more: int) -> None:
        if monotonic() - so_far.said_at > SAY_EVERY:
            so_far.said_at = monotonic()
            say(f"{trial.name}: {so_far.runs + more:,} of {count:,} {trial.unit}")

    async def work() -> None:
        while so_far.runs < count and monotonic() < until and len(so_far.findings) < MOST_FINDINGS:
            number, so_far.next_seed = so_far.next_seed, so_far.next_seed + 1
            await _run_seed(trial, number, Budget(count - so_far.runs, until, progress), so_far)
            if not so_far.memory_at_a_tenth and so_far.runs >= count / 10:
                so_far.memory_at_a_tenth = resident_memory()
            progress(0)

    await asyncio.gather(*(work() for _ in range(trial.parallel)))
    _check_memory(trial, so_far)
    return Result(
        trial=trial,
        wanted=count,
        runs=so_far.runs,
        seeds=range(seed, so_far.next_seed),
        took=monotonic() - started,
        findings=tuple(so_far.findings),
        figures=dict(so_far.figures),
    )


async def _run_seed(trial: Trial, seed: int, budget: Budget, so_far: _Sum) -> None:
    try:
        so_far.add(await trial.run_seed(seed, budget), seed)
    except BrokenPromise as broken:
        so_far.findings.append(Finding(seed, str(broken)))
    except Exception as error:  # noqa: BLE001 - a crash is a finding like any other
        where = "".join(traceback.format_exception(error)[-3:])
        so_far.findings.append(Finding(seed, f"crashed: {where}"))


def _check_memory(trial: Trial, so_far: _Sum) -> None:
    if trial.growth is None or not so_far.memory_at_a_tenth:
        return
    grown, last = resident_memory() - so_far.memory_at_a_tenth, so_far.next_seed - 1
    wrong = (f"memory grew by {grown:.0f} MiB up to this seed",) if grown > trial.growth else ()
    figures = {"memory grew by, MiB": grown, "most memory there ever was, MiB": peak_memory()}
    so_far.add(Tally(0, figures, wrong), last)

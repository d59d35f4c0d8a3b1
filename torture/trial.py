"""A trial: worlds made from seeds, one after the other, until a count or a time is reached.

Knows counting, time and findings. Refuses to know what is tried.
"""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from torture.place import high_water, resident

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Finding", "Limits", "Objection", "Result", "Trial", "World", "conduct"]

# Whatever is broken shows in the first few.
MOST_FINDINGS = 5
SAY_EVERY = 15.0


class Objection(Exception):  # noqa: N818 - not an error of the trial: what it looks for
    """The watcher did what it promised never to do, or failed to do what it promised."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one world may do: so many runs, and no new ones after `until` (`monotonic`).

    A world of few runs does not look at the time: the same seed then gives the same world. One of
    many tells `progress` now and then how many it has done.
    """

    runs: int
    until: float
    progress: Callable[[int], None] = lambda _: None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class World:
    """What one world came to: runs counted, figures, and what was wrong though it went on.

    Figures of several worlds are added up, but of those that begin with "most" the most is taken.
    """

    runs: int
    figures: Mapping[str, float] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


# One world, from its seed.
Worldly: TypeAlias = "Callable[[int, Limits], Awaitable[World]]"


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried. `count` of `unit` is the long form; `share` is its part of the time given.

    `abreast` worlds are under way at once. `growth` is by how many MiB this process may grow from a
    tenth of the count on to its end; `None` where its memory is not the watcher's.
    """

    name: str
    unit: str
    count: int
    share: float
    world: Worldly
    abreast: int = 1
    growth: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, and the seed that brings it about again."""

    seed: int
    what: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial came to."""

    trial: Trial
    wanted: int
    runs: int
    seeds: range
    took: float
    findings: tuple[Finding, ...]
    figures: Mapping[str, float]


@dataclass(slots=True)
class _Score:
    """What has been counted so far, over all the worlds under way."""

    next_seed: int
    said_at: float
    runs: int = 0
    begun_with: float = 0
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, world: World, seed: int) -> None:
        self.runs += world.runs
        self.findings += [Finding(seed, what) for what in world.wrong]
        for name, value in world.figures.items():
            before = self.figures.get(name, 0)
            most = name.startswith("most")
            self.figures[name] = max(before, value) if most else before + value


async def conduct(
    trial: Trial, *, seed: int, count: int, seconds: float, say: Callable[[str], None]
) -> Result:
    """Try world after world from `seed` on, until `count` is reached, or the time is up."""
    started = monotonic()
    score = _Score(seed, said_at=started)
    until = started + seconds

    def progress(more: int) -> None:
        if monotonic() - score.said_at > SAY_EVERY:
            score.said_at = monotonic()
            say(f"{trial.name}: {score.runs + more:,} of {count:,} {trial.unit}")

    async def work() -> None:
        while score.runs < count and monotonic() < until and len(score.findings) < MOST_FINDINGS:
            number, score.next_seed = score.next_seed, score.next_seed + 1
            await _one(trial, number, Limits(count - score.runs, until, progress), score)
            if not score.begun_with and score.runs >= count / 10:
                score.begun_with = resident()
            progress(0)

    await asyncio.gather(*(work() for _ in range(trial.abreast)))
    _look_at_memory(trial, score)
    return Result(
        trial=trial,
        wanted=count,
        runs=score.runs,
        seeds=range(seed, score.next_seed),
        took=monotonic() - started,
        findings=tuple(score.findings),
        figures=dict(score.figures),
    )


async def _one(trial: Trial, seed: int, limits: Limits, score: _Score) -> None:
    try:
        score.add(await trial.world(seed, limits), seed)
    except Objection as objection:
        score.findings.append(Finding(seed, str(objection)))
    except Exception as error:  # noqa: BLE001 - a crash is a finding like any other
        where = "".join(traceback.format_exception(error)[-3:])
        score.findings.append(Finding(seed, f"crashed: {where}"))


def _look_at_memory(trial: Trial, score: _Score) -> None:
    if trial.growth is None or not score.begun_with:
        return
    grown, last = resident() - score.begun_with, score.next_seed - 1
    wrong = (f"memory grew by {grown:.0f} MiB up to this seed",) if grown > trial.growth else ()
    figures = {"memory grew by, MiB": grown, "most memory there ever was, MiB": high_water()}
    score.add(World(0, figures, wrong), last)

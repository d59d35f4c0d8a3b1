"""The demo: the real daemon against the simulator's market, alerts on the terminal as they happen.

A composition root like `daemon`, with time run faster. Refuses to know anything the daemon does:
what it says at the end is read from the store, like everything an operator can ask.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from watcher.config.settings import Settings
from watcher.service import run
from watcher.simulator import Market, Simulator, demo_script, generate
from watcher.store import MessageState, open_reader
from watcher.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.changes import RecordedChange

__all__ = ["DemoReport", "demo"]

MODELS = 570
SEED = 11
# After the last scene: what it did is found, told, and what waits is settled. The API's request to
# come back later is in real seconds, however fast the story is told.
TAIL = timedelta(seconds=4)
SHORTEST_TAIL = timedelta(seconds=2)
# Seconds at speed 1, as the story of the simulator is written for.
TIMES = {
    "poll": {"interval": 1.0, "full_sweep_every": 1.0, "settle_delay": 0.1, "max_backoff": 2.0},
    "confirm": {"removals": 5.0, "implausible": 8.0, "collapse": 20.0},
}


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo came to: what the market did, what was found, and what was said of it."""

    played: int
    requests: int
    changes: Mapping[str, int]
    quiet: int
    unsent: int

    def lines(self) -> list[str]:
        """The account, for people."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.changes.items())
        return [
            f"The market did {self.played} things; the watcher made {self.requests} requests.",
            f"It found {sum(self.changes.values())} changes ({kinds})",
            f"and {'told all of them' if not self.unsent else f'could not tell {self.unsent}'}.",
            f"It kept {self.quiet} to itself, where only labels or listings were tidied,",
            "and said nothing of the model that came back, the absurd price that was put right,",
            "the page torn in the middle, and the outage: none of these changed a price.",
        ]


async def demo(speed: float, *, terminal: TextIO, stop: asyncio.Event | None = None) -> DemoReport:
    """Play the market once, `speed` times as fast as it is written, and report."""
    stop = stop or asyncio.Event()
    rows = generate(seed=SEED, size=MODELS)
    played: list[str] = []

    def tell(line: str) -> None:
        played.append(line)
        print(f"  market · {line}", file=terminal, flush=True)

    with tempfile.TemporaryDirectory(prefix="kie-watcher-demo-") as folder:
        async with Simulator(rows) as simulator:
            settings = _settings(simulator.url, Path(folder) / "demo.db", speed)
            market = Market(simulator, demo_script(rows), speed, tell=tell)
            daemon = asyncio.create_task(run(settings, stop=stop, terminal=terminal))
            try:
                await market.play(stop)
                await first_of(stop, within=max(TAIL / speed, SHORTEST_TAIL))
            finally:
                stop.set()
                await daemon
            return await _report(settings.state.path, len(played), len(simulator.requests))


def _settings(url: str, state: Path, speed: float) -> Settings:
    sections = {
        section: {key: timedelta(seconds=seconds / speed) for key, seconds in times.items()}
        for section, times in TIMES.items()
    }
    return Settings.model_validate({"source": {"url": url}, "state": {"path": state}, **sections})


async def _report(state: Path, played: int, requests: int) -> DemoReport:
    async with open_reader(state) as views:
        changes = await views.changes(since=datetime.min.replace(tzinfo=UTC))
        outbox = await views.outbox()
    told = [it for it in changes if set(it.change.kinds) & Settings().announce]
    unsent = sum(message.state is not MessageState.SENT for message in outbox.messages)
    return DemoReport(
        played=played,
        requests=requests,
        changes=_by_leading_kind(told),
        quiet=len(changes) - len(told),
        unsent=unsent + sum(waiting.items for waiting in outbox.waiting),
    )


def _by_leading_kind(changes: list[RecordedChange]) -> dict[str, int]:
    return dict(Counter(it.change.kinds[0].value for it in changes).most_common())

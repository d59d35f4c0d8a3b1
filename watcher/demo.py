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
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from watcher.app import Time, run
from watcher.config.settings import Settings
from watcher.notify.receiver import TerminalReceiver
from watcher.schedule import first_of
from watcher.simulator.generator import generate
from watcher.simulator.market import Market, demo_script
from watcher.simulator.server import Simulator
from watcher.store.store import open_reader
from watcher.store.values import MessageState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.catalog.changes import RecordedChange
    from watcher.notify.receiver import Outcome

MODELS = 570
SEED = 11
# At speed 1 a second of the demo is an hour of the market.
HOUR = 3600.0
NOON = 12
# The last scene is told the next morning, and the last digest two hours later.
END = timedelta(seconds=46)

_PHONE, _LETTER = "phone", "letter"
# The story of the simulator is written for these times.
SETTINGS: Mapping[str, Any] = {
    "poll": {
        "interval": "1h",
        "jitter": "0",
        "full_sweep_every": "1h",
        "settle_delay": "6m",
        "max_backoff": "2h",
    },
    "confirm": {"removals": "5h", "implausible": "8h", "collapse": "20h"},
    # Never opened: the demo brings receivers of its own by these names.
    "receivers": {_PHONE: {"url": "json://localhost"}, _LETTER: {"url": "json://localhost"}},
    "routes": [
        {
            "name": "what matters",
            "match": {"min_change": "5%"},
            "receivers": [_PHONE],
            "continue": "true",
        },
        {"name": "daily", "match": {}, "receivers": [_LETTER], "digest": "0 9 * * *"},
    ],
    "quiet_hours": [{"name": "nights", "from": "22:00", "to": "07:00", "receivers": [_PHONE]}],
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
            "The phone slept from 22:00 to 07:00 and then had one message of what the night came",
            "to; of the price that drifted it heard in steps of 5 %. The letter came at 09:00.",
        ]


async def demo(speed: float, *, terminal: TextIO, stop: asyncio.Event | None = None) -> DemoReport:
    """Play the market once, `speed` times as fast as it is written, and report."""
    stop = stop or asyncio.Event()
    rows = generate(seed=SEED, size=MODELS)
    time = _time(HOUR * speed)
    played: list[str] = []

    def tell(line: str) -> None:
        played.append(line)
        print(f"{time.now():%a %H:%M}  market · {line}", file=terminal, flush=True)

    with tempfile.TemporaryDirectory(prefix="kie-watcher-demo-") as folder:
        async with Simulator(rows) as simulator:
            settings = _settings(simulator.url, Path(folder) / "demo.db")
            receivers = tuple(_Paper(terminal, name, time) for name in (_PHONE, _LETTER))
            market = Market(simulator, demo_script(rows), speed, tell=tell)
            daemon = asyncio.create_task(
                run(settings, stop=stop, terminal=terminal, receivers=receivers, time=time)
            )
            started = perf_counter()
            try:
                await market.play(stop)
                left = END / speed - timedelta(seconds=perf_counter() - started)
                await first_of(stop, within=left)
            finally:
                stop.set()
                await daemon
            return await _report(settings.state.path, len(played), len(simulator.requests))


class _Paper(TerminalReceiver):
    """A receiver that prints under its name and the hour."""

    def __init__(self, stream: TextIO, name: str, time: Time) -> None:
        super().__init__(stream, name=name, indent="    ")
        self._head = f"  to the {name} ▸"
        self._paper = stream
        self._time = time

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        print(f"{self._time.now():%a %H:%M}{self._head}", file=self._paper)
        return await super().send(title, body, alert_id, markup, picture)


def _time(pace: float) -> Time:
    """A clock that starts at noon and runs `pace` times as fast as ours."""
    noon = datetime.now(UTC).replace(hour=NOON, minute=0, second=0, microsecond=0)
    started = perf_counter()
    return Time(lambda: noon + timedelta(seconds=(perf_counter() - started) * pace), pace)


def _settings(url: str, state: Path) -> Settings:
    return Settings.model_validate({"source": {"url": url}, "state": {"path": state}, **SETTINGS})


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

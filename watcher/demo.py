"""The demo: the real daemon against the simulator's market, with messages on the terminal.

A composition root like `app`, with faster time. What it reports at the end is read from the state,
as a command would read it.
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

from watcher.config.settings import Settings
from watcher.daemon import Clock, run
from watcher.notify.receiver import TerminalReceiver
from watcher.schedule import first_of
from watcher.simulator.generator import generate
from watcher.simulator.market import Market, demo_script
from watcher.simulator.server import Simulator
from watcher.store.queries import open_reader
from watcher.store.values import MessageState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.notify.outcome import Outcome

MODELS = 570
SEED = 11
# At speed 1 a second of the demo is an hour of the market.
HOUR = 3600.0
NOON = 12
# The last change is announced the next morning, and the last digest is sent two hours later.
END = timedelta(seconds=46)

_PHONE, _MAIL = "phone", "mail"
# The simulator's demo script is written for these times.
SETTINGS: Mapping[str, Any] = {
    "poll": {
        "interval": "1h",
        "jitter": "0",
        "full_sweep_every": "1h",
        "settle_delay": "6m",
        "max_backoff": "2h",
    },
    "confirm": {"removals": "5h", "implausible": "8h", "collapse": "20h"},
    # Never opened: the demo has receivers of its own with these names.
    "receivers": {_PHONE: {"url": "json://localhost"}, _MAIL: {"url": "json://localhost"}},
    "routes": [
        {
            "name": "what matters",
            "match": {"min_change": "5%"},
            "receivers": [_PHONE],
            "continue": "true",
        },
        {"name": "daily", "match": {}, "receivers": [_MAIL], "digest": "0 9 * * *"},
    ],
    "quiet_hours": [{"name": "nights", "from": "22:00", "to": "07:00", "receivers": [_PHONE]}],
}


@dataclass(frozen=True, slots=True)
class DemoReport:
    """How many steps the market played, and what the watcher found and sent.

    `changes`: announced changes by their first kind; `quiet`: changes that were only recorded.
    """

    played: int
    requests: int
    changes: Mapping[str, int]
    quiet: int
    unsent: int

    def lines(self) -> list[str]:
        """The report, for people."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.changes.items())
        return [
            f"The market did {self.played} things; the watcher made {self.requests} requests.",
            f"It found {sum(self.changes.values())} changes ({kinds})",
            f"and {'sent all of them' if not self.unsent else f'could not send {self.unsent}'}.",
            f"It only recorded {self.quiet} others, where a label or a listing was corrected,",
            "and announced nothing for the model that came back, the implausible price that was",
            "corrected, the sweep during which rows moved, and the outage: no price changed.",
            "The phone was quiet from 22:00 to 07:00 and then got the net effect of the night in",
            "one message, and the price that drifted in steps of 5 %. The e-mail came at 09:00.",
        ]


async def demo(speed: float, *, terminal: TextIO, stop: asyncio.Event | None = None) -> DemoReport:
    """Play the demo script once, `speed` times as fast as it is written, and report."""
    stop = stop or asyncio.Event()
    rows = generate(seed=SEED, size=MODELS)
    clock = _clock(HOUR * speed)
    played: list[str] = []

    def on_step(description: str) -> None:
        played.append(description)
        print(f"{clock.now():%a %H:%M}  market · {description}", file=terminal, flush=True)

    with tempfile.TemporaryDirectory(prefix="kie-watcher-demo-") as folder:
        async with Simulator(rows) as simulator:
            settings = _settings(simulator.url, Path(folder) / "demo.db")
            receivers = tuple(_NamedTerminal(terminal, name, clock) for name in (_PHONE, _MAIL))
            market = Market(simulator, demo_script(rows), speed, on_step=on_step)
            daemon = asyncio.create_task(
                run(settings, stop=stop, terminal=terminal, receivers=receivers, clock=clock)
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


class _NamedTerminal(TerminalReceiver):
    """A receiver on the terminal that prints its name and the time before each message."""

    def __init__(self, stream: TextIO, name: str, clock: Clock) -> None:
        super().__init__(stream, name=name, indent="    ")
        self._heading = f"  to the {name} ▸"
        self._clock = clock

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        print(f"{self._clock.now():%a %H:%M}{self._heading}", file=self._stream)
        return await super().send(title, body, alert_id, markup, picture)


def _clock(pace: float) -> Clock:
    """A clock that starts at noon and runs `pace` times as fast as real time."""
    noon = datetime.now(UTC).replace(hour=NOON, minute=0, second=0, microsecond=0)
    started = perf_counter()
    return Clock(lambda: noon + timedelta(seconds=(perf_counter() - started) * pace), pace)


def _settings(url: str, state: Path) -> Settings:
    return Settings.model_validate({"source": {"url": url}, "state": {"path": state}, **SETTINGS})


async def _report(state: Path, played: int, requests: int) -> DemoReport:
    async with open_reader(state) as views:
        changes = await views.changes(since=datetime.min.replace(tzinfo=UTC))
        outbox = await views.outbox()
    announced = [it for it in changes if set(it.change.kinds) & Settings().announce]
    unsent = sum(message.state is not MessageState.SENT for message in outbox.messages)
    return DemoReport(
        played=played,
        requests=requests,
        changes=dict(Counter(it.change.kinds[0].value for it in announced).most_common()),
        quiet=len(changes) - len(announced),
        unsent=unsent + sum(waiting.items for waiting in outbox.waiting),
    )

"""Kill: the real daemon, SIGKILL at random moments, started again; and in the end all is told.

A process of its own, over real sockets, by the real clock. What it watches and whom it tells live
on here. Only processes started here are ended, each by its number.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from torture.inbox import HttpInbox, Inbox, Mood
from torture.judge import Judge
from torture.place import scratch
from torture.reckoning import look, must_be_sound, must_have_been_told
from torture.trial import Objection, Trial, World
from torture.truth import Ledger, as_read
from watcher.simulator.chance import random_edit
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.connection import NoStateError
from watcher.store.rows import read_known
from watcher.store.store import open_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from torture.trial import Limits
    from watcher.store.values import KnownModel

__all__ = ["KILL"]

ROOT = Path(__file__).resolve().parent.parent
KILLS_EACH = 25
MODELS = 60
# Whatever has not happened by then does not happen.
PATIENCE = 60.0
# A life that has not asked for anything yet is shorter than this, in seconds.
STARTING = 1.0
A_BREATH = 0.025
SHOWN_OF_LOG = 2000


class _Moment:
    """The moment at which the daemon dies: so many events from now, as seen from outside."""

    def __init__(self) -> None:
        self._left = 0
        self._come = asyncio.Event()

    def set(self, events: int) -> None:
        self._left = events
        self._come.clear()

    def nearer(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._come.set()

    async def come(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the moment, or for a process that did not live to see it."""
        waiters = [asyncio.create_task(self._come.wait()), asyncio.create_task(process.wait())]
        done, _ = await asyncio.wait(waiters, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiters:
            waiter.cancel()
        if not done:
            raise Objection(f"the daemon did nothing for {PATIENCE:.0f} s")


class _World:
    """A market, two inboxes of which one has bad moments, and a daemon that keeps dying."""

    def __init__(self, seed: int, place: Path, simulator: Simulator) -> None:
        self.rng = Random(seed)
        self.ledger = Ledger(simulator.catalogue)
        self.state = place / "state.db"
        self.inboxes: tuple[Inbox, ...] = ()
        self.kills = 0
        self.moves = True
        self._log = place / "log"
        self._config = place / "config.yaml"
        self._asked, self._posted = _Moment(), _Moment()
        simulator.between_pages(self._was_asked)

    def tell(self, source: str, *inboxes: HttpInbox) -> None:
        """Write the configuration: who is watched, and who is told."""
        self.inboxes = inboxes
        quick = {"interval": "0.05s", "full_sweep_every": "0.1s", "settle_delay": "0.01s"}
        content = {
            "source": {"url": source, "page_size": 15, "probe_size": 5, "timeout": "5s"},
            "poll": {**quick, "max_backoff": "0.1s"},
            "confirm": {"removals": "0.3s", "implausible": "0.5s", "collapse": "2s"},
            # What flaps would wait for a day.
            "flap": {"changes": 1000},
            "state": {"path": str(self.state)},
            "receivers": {inbox.name: {"url": inbox.url} for inbox in inboxes},
            "log": {"level": "info", "format": "json"},
        }
        self._config.write_text(json.dumps(content), "utf-8")  # JSON is YAML
        for inbox in inboxes:
            inbox.posted = self._posted.nearer
        inboxes[-1].mood = self._mood

    def stir(self, often: float) -> None:
        while self.rng.random() < often:
            self.ledger.play(random_edit(self.rng, self.ledger.catalogue).edit)

    async def short_life(self) -> None:
        """From a start to SIGKILL: while it starts, while it reads, or while it tells."""
        self._asked.set(self.rng.randint(1, 25))
        self._posted.set(self.rng.randint(1, 3))
        async with self._daemon() as process:
            match self.rng.choice(["starts", "reads", "tells", "tells"]):
                case "starts":
                    await asyncio.sleep(self.rng.random() * STARTING)
                case "reads":
                    await self._asked.come(process)
                case _:
                    await self._posted.come(process)
            await asyncio.sleep(self.rng.choice([0, self.rng.random() * A_BREATH]))
            if process.returncode is not None:
                raise Objection(f"ended by itself: {self._last_words()}")
            process.kill()
            self.kills += 1

    async def last_life(self) -> None:
        """Let it come to rest, and end it as a service manager would."""
        self.moves = False
        self._asked.set(1)
        async with self._daemon() as process:
            await self._asked.come(process)
            try:
                async with asyncio.timeout(PATIENCE):
                    while not await self._at_rest():  # noqa: ASYNC110 - another process, no event
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise Objection(f"it never came to rest: {self._last_words()}") from None
            process.terminate()
            if status := await process.wait():
                raise Objection(f"stopped with {status}: {self._last_words()}")

    async def reckon(self) -> int:
        """Weigh everything; returns how many changes were announced."""
        async with open_reader(self.state) as views:
            changes = await views.changes(newest_first=False)
            models = (await views.models()).models
        judge = Judge(self.ledger)
        judge.begin(self._baseline())
        judge.hear(changes, since=0)
        judge.settle((known.record for known, _ in models), self.ledger.catalogue)
        must_be_sound(self.state)
        must_have_been_told(self.state, self.inboxes)
        return judge.heard

    def _baseline(self) -> list[KnownModel]:
        """The models that were never announced as new, as they were first recorded."""
        rows = look(
            self.state,
            "SELECT models.id, first_seen_at, last_changed_at, NULL, record"
            " FROM models JOIN history ON history.model_id = models.id"
            " WHERE history.id = (SELECT min(id) FROM history WHERE model_id = models.id)"
            " AND models.id NOT IN (SELECT model_id FROM changes WHERE kinds LIKE '%\"new\"%')",
        )
        return [read_known(row) for row in rows]

    @asynccontextmanager
    async def _daemon(self) -> AsyncIterator[asyncio.subprocess.Process]:
        for inbox in self.inboxes:
            inbox.life += 1
        command = (sys.executable, "-m", "watcher", "--config", str(self._config), "run")
        with self._log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def _at_rest(self) -> bool:
        try:
            async with open_reader(self.state) as views:
                status, catalogue = await views.status(), await views.models()
        except NoStateError:
            return False
        waiting = sum(it.waiting + it.open + it.dead for it in status.receivers)
        believed = {known.record for known, _ in catalogue.models}
        return not waiting and not status.holds and believed == set(as_read(self.ledger.catalogue))

    def _was_asked(self, *_: object) -> None:
        """A page was asked for: the market moves while somebody reads it."""
        self._asked.nearer()
        if self.moves:
            self.stir(0.25)

    def _mood(self) -> Mood:
        bad = [Mood.FAILS, Mood.HANGS_UP, Mood.TAKES_AND_HANGS_UP, Mood.TAKES_AND_FAILS]
        return self.rng.choice(bad) if self.moves and self.rng.random() < 0.1 else Mood.ACCEPTS

    def _last_words(self) -> str:
        return self._log.read_text("utf-8", errors="replace")[-SHOWN_OF_LOG:]


async def _world(seed: int, limits: Limits) -> World:
    with scratch() as place:
        async with (
            Simulator(generate(seed=seed, size=MODELS)) as simulator,
            HttpInbox("team") as team,
            HttpInbox("rough") as rough,
        ):
            world = _World(seed, place, simulator)
            world.tell(simulator.url, team, rough)
            # A world cut short by the time repeats what it did, but for its end.
            while world.kills < min(KILLS_EACH, limits.runs) and not limits.over:
                world.stir(0.5)
                await world.short_life()
            await world.last_life()
            announced = await world.reckon()
    figures = {
        "edits": world.ledger.tick,
        "changes announced": announced,
        "messages": len(team.taken) + len(rough.taken),
        "of them again": team.repeated + rough.repeated,
    }
    return World(world.kills, figures)


KILL = Trial("kill", "kills", 500, 5, _world, abreast=2)

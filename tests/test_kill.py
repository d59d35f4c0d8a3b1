"""The real daemon, killed at random moments and started again: nothing is lost, nothing invented.

A process of its own, over real sockets, by the real clock; what it watches and whom it tells live on
in the test. Only processes started here are ended, and by their number.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

from inbox import Inbox, Mood, must_have_been_told_everything
from remembering import look
from watcher.simulator.chance import random_edit
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.connection import NoStateError
from watcher.store.rows import read_known
from watcher.store.store import open_reader
from watcher.store.values import KnownModel
from worlds import Judge, Ledger

# More make the test longer, a second or so each, and change nothing else.
KILLS = 12
SEED = 7
# Whatever has not happened by then does not happen.
PATIENCE = 60.0
# The first life has not asked for anything within this.
STARTING = timedelta(seconds=1)
A_BREATH = timedelta(milliseconds=25)

CONFIGURATION = """
source: {{url: "{source}", page_size: 15, probe_size: 5, timeout: 5s}}
poll: {{interval: 0.05s, full_sweep_every: 0.1s, settle_delay: 0.01s, max_backoff: 0.1s}}
confirm: {{removals: 0.8s, implausible: 0.5s, collapse: 2s}}
state: {{path: "{state}"}}
receivers: {{team: {{url: "{team}"}}, rough: {{url: "{rough}"}}}}
log: {{level: debug, format: json}}
"""


class Moment:
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
        assert done, "the daemon does nothing"
        for waiter in waiters:
            waiter.cancel()


class World:
    """A market, two inboxes of which one has a rough start, and a daemon that keeps dying."""

    def __init__(self, place: Path, simulator: Simulator, team: Inbox, rough: Inbox) -> None:
        self.rng = Random(SEED)
        self.ledger = Ledger(simulator.catalogue)
        self.state = place / "state.db"
        self.inboxes = {"team": team, "rough": rough}
        self._place = place
        self._asked, self._posted = Moment(), Moment()
        addresses = {name: inbox.url for name, inbox in self.inboxes.items()}
        (place / "config.yaml").write_text(
            CONFIGURATION.format(source=simulator.url, state=self.state, **addresses)
        )
        bad = [self.rng.choice([Mood.FAILS, Mood.HANGS_UP, Mood.ACCEPTS_AND_HANGS_UP])]
        rough.mood = lambda: bad.pop() if bad else Mood.ACCEPTS
        for inbox in self.inboxes.values():
            inbox.posted = self._posted.nearer
        self.moves = True
        simulator.between_pages(self._was_asked)

    def _was_asked(self, *_: object) -> None:
        """A page was asked for: the market moves while somebody reads it."""
        self._asked.nearer()
        if self.moves:
            self.stir(0.25)

    def stir(self, often: float) -> None:
        while self.rng.random() < often:
            self.ledger.play(random_edit(self.rng, self.ledger.catalogue).edit)

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[asyncio.subprocess.Process]:
        command = (sys.executable, "-m", "watcher", "--config", self._place / "config.yaml", "run")
        with (self._place / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def short_life(self) -> None:
        """From a start to SIGKILL: while it starts, while it reads, or while it tells."""
        self._asked.set(self.rng.randint(1, 25))
        self._posted.set(self.rng.randint(1, 3))
        async with self.daemon() as process:
            match self.rng.choice(["starts", "reads", "tells", "tells"]):
                case "starts":
                    await asyncio.sleep(self.rng.random() * STARTING.total_seconds())
                case "reads":
                    await self._asked.come(process)
                case _:
                    await self._posted.come(process)
            await asyncio.sleep(self.rng.choice([0, self.rng.random() * A_BREATH.total_seconds()]))
            assert process.returncode is None, (self._place / "log").read_text()
            process.kill()

    async def last_life(self) -> int | None:
        """Let it come to rest, and end it as a service manager would; returns how it ended."""
        self._asked.set(1)
        async with self.daemon() as process:
            await self._asked.come(process)
            async with asyncio.timeout(PATIENCE):
                while not await self._at_rest():  # noqa: ASYNC110  another process, no event
                    await asyncio.sleep(0.05)
            process.terminate()
            return await process.wait()

    async def _at_rest(self) -> bool:
        try:
            async with open_reader(self.state) as views:
                status, catalogue = await views.status(), await views.models()
        except NoStateError:
            return False
        waiting = sum(it.waiting + it.open for it in status.receivers)
        believed = {known.record for known, _ in catalogue.models}
        return not waiting and not status.holds and believed == set(self.ledger.now())

    def baseline(self) -> list[KnownModel]:
        """The models that were never announced as new, as they were first recorded."""
        rows = look(
            self.state,
            "SELECT models.id, first_seen_at, last_changed_at, NULL, record"
            " FROM models JOIN history ON history.model_id = models.id"
            " WHERE history.id = (SELECT min(id) FROM history WHERE model_id = models.id)"
            " AND models.id NOT IN (SELECT model_id FROM changes WHERE kinds LIKE '%\"new\"%')",
        )
        return [read_known(row) for row in rows]


async def test_a_daemon_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    rows = generate(seed=SEED, size=60)
    async with Simulator(rows) as simulator, Inbox() as team, Inbox() as rough:
        world = World(tmp_path, simulator, team, rough)
        for _ in range(KILLS):
            world.stir(0.5)
            await world.short_life()
        world.moves = False
        assert await world.last_life() == 0

    async with open_reader(world.state) as views:
        changes = await views.changes(newest_first=False)
        models = (await views.models()).models
    judge = Judge(world.ledger, f"seed {SEED}")
    judge.begin(world.baseline())
    judge.hear(changes, since=0)
    judge.settle(known.record for known, _ in models)
    assert look(world.state, "PRAGMA integrity_check") == [("ok",)]
    for name, inbox in world.inboxes.items():
        must_have_been_told_everything(world.state, name, inbox, f"seed {SEED}")
    assert team.repeated() <= KILLS

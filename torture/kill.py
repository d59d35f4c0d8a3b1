"""Kill: the real daemon, ended by SIGKILL at random moments and started again.

The daemon is a process of its own, over real sockets, by the real clock. The simulated API and the
receivers are in this process. Only processes started here are ended, each by its number.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from torture.checkers import LedgerChecker
from torture.inboxes import Answer, HttpInbox, Inbox
from torture.ledger import Ledger, parse_catalogue
from torture.machine import below, temporary_directory, until_gone
from torture.market import Market
from torture.state_checks import check_deliveries, check_integrity, check_order, query
from torture.trial import BrokenPromise, Tally, Trial
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.connection import NoStateError
from watcher.store.queries import open_reader
from watcher.store.rows import KNOWN_MODEL_COLUMNS, read_known_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from torture.trial import Budget
    from watcher.store.values import KnownModel

__all__ = ["KILL", "KillWorld"]

ROOT = Path(__file__).resolve().parent.parent
KILLS_EACH = 25
MODELS = 60
# In seconds: what has not happened by then will not.
PATIENCE = 60.0
# In seconds: a process has not made a request yet for about as long.
STARTUP = 1.0
LONGEST_DELAY = 0.025
SHOWN_OF_LOG = 2000
# Of the event loop, in which it takes what has been sent to it.
TURNS = 10


class _Countdown:
    """Counts events outside the daemon, and says when there were enough of them."""

    def __init__(self) -> None:
        self._left = 0
        self._reached = asyncio.Event()

    def start(self, events: int) -> None:
        self._left = events
        self._reached.clear()

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._reached.set()

    async def wait(self, process: asyncio.subprocess.Process) -> None:
        """Wait for enough events, or for the end of the process."""
        waiters = [asyncio.create_task(self._reached.wait()), asyncio.create_task(process.wait())]
        done, _ = await asyncio.wait(waiters, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiters:
            waiter.cancel()
        if not done:
            raise BrokenPromise(f"the daemon did nothing for {PATIENCE:.0f} s")


class KillWorld:
    """A market, two inboxes of which the last can fail, and a daemon that is killed repeatedly."""

    def __init__(self, seed: int, place: Path, simulator: Simulator) -> None:
        self.rng = Random(seed)
        self.ledger = Ledger(simulator.catalogue)
        self.market = Market(self.ledger, self.rng)
        self.state = place / "state.db"
        self.inboxes: tuple[Inbox, ...] = ()
        self.kills = 0
        self.market_moves = True
        self._unanswered = 0
        self._log = place / "log"
        self._config = place / "config.yaml"
        self._requests, self._messages = _Countdown(), _Countdown()
        simulator.between_pages(self._on_page)

    def configure(self, source: str, *inboxes: HttpInbox) -> None:
        """Write the configuration, with this source and these receivers."""
        self.inboxes = inboxes
        quick = {"interval": "0.05s", "full_sweep_every": "0.1s", "settle_delay": "0.01s"}
        content = {
            "source": {"url": source, "page_size": 15, "probe_size": 5, "timeout": "5s"},
            "poll": {**quick, "max_backoff": "0.1s"},
            "confirm": {"removals": "0.3s", "implausible": "0.5s", "collapse": "2s"},
            # Prices that go back and forth would wait for a day.
            "flap": {"within": "0"},
            "state": {"path": str(self.state)},
            "receivers": {inbox.name: {"url": inbox.url} for inbox in inboxes},
            "log": {"level": "info", "format": "json"},
        }
        self._config.write_text(json.dumps(content), "utf-8")  # JSON is YAML
        for inbox in inboxes:
            inbox.on_message = self._messages.count
        inboxes[-1].next_answer = self._choose_answer

    async def run_and_kill(self) -> None:
        """Start the daemon, and kill it while it starts, while it reads, or while it sends."""
        self._requests.start(self.rng.randint(1, 25))
        self._messages.start(self.rng.randint(1, 3))
        async with self._daemon() as process:
            match self.rng.choice(["starts", "reads", "sends", "sends"]):
                case "starts":
                    await asyncio.sleep(self.rng.random() * STARTUP)
                case "reads":
                    await self._requests.wait(process)
                case _:
                    await self._messages.wait(process)
            await asyncio.sleep(self.rng.choice([0, self.rng.random() * LONGEST_DELAY]))
            if process.returncode is not None:
                raise BrokenPromise(f"ended by itself: {self._end_of_log()}")
            process.kill()
            self.kills += 1

    async def run_to_rest(self) -> None:
        """Start the daemon, let it finish everything, and end it with SIGTERM.

        Then there is one more edit: it may have been killed each time before its baseline.
        """
        self.market_moves = False
        self._requests.start(1)
        async with self._daemon() as process:
            await self._requests.wait(process)
            await self._wait_for_rest()
            self.market.edit_a_row()
            await self._wait_for_rest()
            process.terminate()
            if status := await process.wait():
                raise BrokenPromise(f"stopped with {status}: {self._end_of_log()}")

    async def check(self) -> int:
        """Check the state and all messages; returns how many changes were announced."""
        async with open_reader(self.state) as views:
            changes = await views.changes(newest_first=False)
            models = (await views.models()).models
        checker = LedgerChecker(self.ledger)
        checker.begin(self._baseline())
        checker.check(changes, since=0)
        checker.check_end((known for known, _ in models), self.ledger.catalogue)
        check_integrity(self.state)
        check_deliveries(self.state, self.inboxes)
        check_order(self.state, self.inboxes)
        return checker.checked

    def _baseline(self) -> list[KnownModel]:
        """The models that were never announced as new, as they were first recorded."""
        rows = query(
            self.state,
            f"SELECT {KNOWN_MODEL_COLUMNS}"
            " FROM models JOIN history ON history.model_id = models.id"
            " WHERE history.id = (SELECT min(id) FROM history WHERE model_id = models.id)"
            " AND models.id NOT IN (SELECT model_id FROM changes WHERE kinds LIKE '%\"new\"%')",
        )
        return [replace(read_known_model(row), gone_at=None) for row in rows]

    @asynccontextmanager
    async def _daemon(self) -> AsyncIterator[asyncio.subprocess.Process]:
        for inbox in self.inboxes:
            inbox.sender += 1
        command = (sys.executable, "-m", "watcher", "--config", str(self._config), "run")
        with self._log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                senders = below(process.pid)
                if process.returncode is None:
                    process.kill()
                await process.wait()
                # What it was sending came from it, and not from the next one.
                await until_gone(*senders, within=PATIENCE)
                for _ in range(TURNS):
                    await asyncio.sleep(0)

    async def _wait_for_rest(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self._at_rest():  # noqa: ASYNC110 - another process, no event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise BrokenPromise(f"it never came to rest: {self._end_of_log()}") from None

    async def _at_rest(self) -> bool:
        try:
            async with open_reader(self.state) as views:
                status, catalogue = await views.status(), await views.models()
        except NoStateError:
            return False
        waiting = sum(it.waiting + it.open + it.dead for it in status.receivers)
        stored = {known.record for known, _ in catalogue.models}
        truth = set(parse_catalogue(self.ledger.catalogue))
        return not waiting and not status.holds and stored == truth

    def _on_page(self, *_: object) -> None:
        """A page was asked for: the market moves while the daemon reads it."""
        self._requests.count()
        if self.market_moves:
            self.market.edit_at_random(0.25)

    def _choose_answer(self) -> Answer:
        bad = [
            Answer.FAILS,
            Answer.HANGS_UP,
            Answer.RECEIVES_AND_HANGS_UP,
            Answer.RECEIVES_AND_FAILS,
        ]
        fails = self.market_moves and self.rng.random() < 0.1
        answer = self.rng.choice(bad) if fails else Answer.ACCEPTS
        # After a third one the daemon would wait for hours.
        if answer.is_ambiguous and self._unanswered == 2:
            answer = Answer.FAILS
        if answer is Answer.ACCEPTS:
            self._unanswered = 0
        self._unanswered += answer.is_ambiguous
        return answer

    def _end_of_log(self) -> str:
        return self._log.read_text("utf-8", errors="replace")[-SHOWN_OF_LOG:]


async def _run_seed(seed: int, budget: Budget) -> Tally:
    with temporary_directory() as place:
        async with (
            Simulator(generate(seed=seed, size=MODELS)) as simulator,
            HttpInbox("team") as team,
            HttpInbox("rough") as rough,
        ):
            world = KillWorld(seed, place, simulator)
            world.configure(simulator.url, team, rough)
            # Where the time is up, the same seed does the same, only less of it.
            while world.kills < min(KILLS_EACH, budget.runs) and not budget.over:
                world.market.edit_at_random(0.5)
                await world.run_and_kill()
            await world.run_to_rest()
            announced = await world.check()
    figures = {
        "edits": world.ledger.tick,
        "changes announced": announced,
        "messages": len(team.received) + len(rough.received),
        "repeated messages": team.repeated + rough.repeated,
    }
    return Tally(world.kills, figures)


KILL = Trial("kill", "kills", 500, 5, _run_seed, parallel=2)

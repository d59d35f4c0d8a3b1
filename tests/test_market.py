"""The whole way, over real sockets, through a market that moves and an API that fails in every way.

Each poll is a `check` of its own, so that all that is waited for outlives a restart; the clock is
the test's.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr

from logs import capture_logs
from torture.checkers import LedgerChecker, on_sale
from torture.inboxes import Answer, HttpInbox
from torture.ledger import Ledger
from torture.state_checks import check_deliveries, check_order
from watcher import app
from watcher.app import CheckReport
from watcher.catalog.changes import NoticeKind
from watcher.config.settings import (
    PollSettings,
    ReceiverSettings,
    Settings,
    SourceSettings,
    StateSettings,
)
from watcher.notify.outcome import Verdict
from watcher.simulator.catalogue import Promotion, Remove, Reprice
from watcher.simulator.faults import (
    Bomb,
    CountsOff,
    Drip,
    Drop,
    Empty,
    Envelope,
    Fault,
    HalfJson,
    Hang,
    Html,
    Huge,
    PageCap,
    Raw,
    Redirect,
    Shape,
    Shift,
    Status,
    TotalOff,
    WrongShape,
)
from watcher.simulator.generator import generate
from watcher.simulator.random_edits import random_edit
from watcher.simulator.server import Simulator
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
MARKETS = 3
ABOUT_THE_CATALOGUE = (NoticeKind.BASELINE, NoticeKind.COLLAPSE, NoticeKind.RECOVERED)
# Faults that replace a good reply, and faults that alter what it says.
FAULTS: tuple[Fault, ...] = (
    Status(500),
    Status(403),
    Status(429, retry_after=timedelta(minutes=1)),
    Envelope(),
    Envelope(429, "slow down", retry_after="60"),
    Hang(),
    Drip(),
    HalfJson(),
    HalfJson(share=0.99),
    Html(),
    *[Shape(shape) for shape in WrongShape],
    Huge(),
    Bomb(),
    Redirect(),
    Drop(),
    Drop(after=200),
    Raw(b""),
    Raw(b"\xff\xfe\x00"),
    Raw(b"null"),
    Raw(b"not gzip", content_encoding="gzip"),
    Raw(b'{"code":200,"msg":"success","data":{"records":[],"total":0}}'),
    PageCap(7),
    Shift(1, page=2),
    Shift(-1, page=2),
    Shift(2, page=3),
    CountsOff(2),
    CountsOff(-1, "video"),
    TotalOff(1, page=2),
    TotalOff(-1),
    Empty(),
    Empty(call="page"),
    Empty(call="count"),
)


class World:
    """A market on loopback, two receivers of which one can fail, and the time of `check`."""

    def __init__(self, seed: int, simulator: Simulator, inboxes: tuple[HttpInbox, ...]) -> None:
        self.case = f"seed {seed}"
        self.rng = Random(seed)
        self.simulator = simulator
        self.ledger = Ledger(simulator.catalogue)
        self.checker = LedgerChecker(self.ledger)
        self.inboxes = inboxes
        self.minutes = 0.0
        self.notices: list[NoticeKind] = []

    def settings(self, path: Path, timeout: timedelta) -> Settings:
        return Settings(
            source=SourceSettings(
                url=self.simulator.url, page_size=20, probe_size=10, timeout=timeout
            ),
            poll=PollSettings(settle_delay=timedelta(milliseconds=1)),
            state=StateSettings(path=path),
            receivers={
                inbox.name: ReceiverSettings(url=SecretStr(inbox.url)) for inbox in self.inboxes
            },
        )

    async def check(self, settings: Settings) -> CheckReport:
        """One poll and one round of delivery, checked at once."""
        since = self.ledger.tick
        report = await app.check(settings, terminal=io.StringIO(), now=self._now, rng=self.rng)
        if report.poll.outcome is PollOutcome.BASELINE:
            async with open_store(settings.state.path) as store:
                self.checker.begin(await on_sale(store))
        if not report.poll.outcome.is_good:
            assert report.changes == (), self.case
        self.checker.check(report.changes, since)
        kinds = (notice.kind for notice in report.poll.notices)
        self.notices += [kind for kind in kinds if kind in ABOUT_THE_CATALOGUE]
        outcomes = {outcome.verdict for outcome in report.deliveries["steady"]}
        assert outcomes <= {Verdict.ACCEPTED}, f"{self.case}: {report.deliveries}"
        self.minutes += 5
        return report

    async def go_through(self, faults: Sequence[Fault], settings: Settings) -> None:
        """Poll once with each of the faults, with edits before the poll and during it."""
        self.simulator.between_pages(lambda *_: self.edit_at_random(0.03))
        for fault in faults:
            self.edit_at_random(0.6)
            self._plan(fault)
            await self.check(settings)
            self.simulator.faults.clear()
        self.simulator.between_pages(None)

    async def poll_to_rest(self, settings: Settings) -> None:
        """Poll without edits and failures until nothing waits."""
        until = self.minutes + 60
        report = await self.check(settings)
        while report.poll.holds or self.minutes < until or not report.ok:
            report = await self.check(settings)

    def _plan(self, fault: Fault) -> None:
        """Plan a fault once or for the whole poll, at the first call or a later one."""
        plan = self.simulator.faults
        if fault == Empty():
            plan.always(fault)
            return
        if fault.call is None and fault.page is None and self.rng.random() < 0.5:
            fault = replace(fault, page=self.rng.randint(1, 4))
        self.rng.choice([plan.next, plan.always])(fault)

    def edit_at_random(self, probability: float) -> None:
        while self.rng.random() < probability:
            self.ledger.play(random_edit(self.rng, self.simulator.catalogue).edit)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


class RandomAnswers:
    """The answers of an inbox that sometimes fails."""

    def __init__(self, rng: Random) -> None:
        self.failures = [Answer.FAILS, Answer.HANGS_UP, Answer.RECEIVES_AND_HANGS_UP]
        self._rng = rng
        self._next: list[Answer] = []

    def __call__(self) -> Answer:
        if not self._next and self.failures:
            failures = self._rng.choices(self.failures, k=self._rng.randrange(4))
            self._next = [*failures, *[Answer.ACCEPTS] * self._rng.randint(1, 6)]
        return self._next.pop() if self._next else Answer.ACCEPTS


@asynccontextmanager
async def world_of(seed: int, size: int) -> AsyncIterator[World]:
    async with (
        Simulator(generate(seed, size=size)) as simulator,
        HttpInbox("steady") as steady,
        HttpInbox("shaky") as shaky,
    ):
        yield World(seed, simulator, (steady, shaky))


@pytest.mark.parametrize("seed", range(MARKETS))
async def test_through_every_fault_all_that_happens_is_told_and_nothing_else(
    tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    answers = RandomAnswers(rng)
    path = tmp_path / "state.db"
    async with world_of(seed, size=70) as world:
        steady, shaky = world.inboxes
        shaky.next_answer = answers
        hasty = world.settings(path, timeout=timedelta(seconds=0.25))
        patient = world.settings(path, timeout=timedelta(seconds=20))
        with capture_logs():
            await world.check(patient)
            await world.go_through(rng.sample(FAULTS, k=len(FAULTS)), hasty)
            answers.failures = []
            await world.poll_to_rest(patient)
        async with open_store(path) as store:
            world.checker.check_end(await on_sale(store), world.ledger.catalogue)

    collapses = world.notices[1:]
    assert world.notices[0] is NoticeKind.BASELINE
    assert len(collapses) >= 2, f"{world.case}: an empty catalogue caused no warning"
    pairs = [NoticeKind.COLLAPSE, NoticeKind.RECOVERED] * (len(collapses) // 2)
    assert collapses == pairs, world.case
    check_deliveries(path, world.inboxes)
    check_order(path, world.inboxes)
    assert steady.repeated == 0


async def test_a_collapse_that_lasts_is_warned_of_at_once_and_believed_in_the_end(
    tmp_path: Path,
) -> None:
    async with world_of(5, size=40) as world:
        settings = world.settings(tmp_path / "state.db", timeout=timedelta(seconds=20))
        with capture_logs():
            await world.check(settings)
            gone = world.simulator.catalogue.rows[5:25]
            world.ledger.play(*[Remove(row["modelDescription"]) for row in gone])
            announced = []
            for world.minutes in (5, 10, 180, 364, 365):
                report = await world.check(settings)
                announced.append(len(report.changes))
                assert world.notices[1:] == [NoticeKind.COLLAPSE]
            await world.poll_to_rest(settings)

    assert announced == [0, 0, 0, 0, 20]
    assert world.notices == [NoticeKind.BASELINE, NoticeKind.COLLAPSE]


async def test_a_slip_of_the_keyboard_that_is_mended_in_time_is_never_told(tmp_path: Path) -> None:
    async with world_of(6, size=40) as world:
        settings = world.settings(tmp_path / "state.db", timeout=timedelta(seconds=20))
        with capture_logs():
            await world.check(settings)
            row = next(row for row in world.simulator.catalogue.rows if row["falPrice"])
            name, price = row["modelDescription"], Decimal(row["creditPrice"])
            world.ledger.play(Reprice(name, price * 100))
            held = await world.check(settings)
            world.ledger.play(Reprice(name, price), Promotion(name, not row["discountPrice"]))
            corrected = await world.check(settings)

    assert (held.changes, held.poll.holds) == ((), 1)
    assert [len(it.change.kinds) for it in corrected.changes] == [1]
    assert corrected.poll.holds == 0

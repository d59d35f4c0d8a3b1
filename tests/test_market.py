"""The whole way, over real sockets, through a market that moves and an API that fails in every way.

Each poll is a `check` of its own, so that all that is waited for outlives a restart; the clock is
the test's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from inbox import Inbox, Mood, must_have_been_told_everything
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
from watcher.notify.receiver import Verdict
from watcher.poller import PollOutcome
from watcher.simulator.catalogue import Promotion, Remove, Reprice
from watcher.simulator.chance import random_edit
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
from watcher.simulator.server import Simulator
from watcher.store.store import open_store
from worlds import Judge, Ledger

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
MARKETS = 3
ABOUT_THE_CATALOGUE = (NoticeKind.BASELINE, NoticeKind.COLLAPSE, NoticeKind.RECOVERED)
# Faults that never take the place of a good reply unnoticed, and those that alter what it says.
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
    """A market on loopback, two receivers of which one has bad days, and a watcher by the clock."""

    def __init__(self, seed: int, simulator: Simulator, steady: Inbox, shaky: Inbox) -> None:
        self.case = f"seed {seed}"
        self.rng = Random(seed)
        self.simulator = simulator
        self.ledger = Ledger(simulator.catalogue)
        self.judge = Judge(self.ledger, self.case)
        self.inboxes = {"steady": steady, "shaky": shaky}
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
                name: ReceiverSettings(url=SecretStr(inbox.url))
                for name, inbox in self.inboxes.items()
            },
        )

    async def check(self, settings: Settings) -> CheckReport:
        """One poll and one round of delivery, weighed as soon as they are over."""
        since = self.ledger.tick
        report = await app.check(settings, terminal=io.StringIO(), now=self._now, rng=self.rng)
        if report.poll.outcome is PollOutcome.BASELINE:
            async with open_store(settings.state.path) as store:
                known = await store.believed()
            assert known is not None
            self.judge.begin(known.models)
        if not report.poll.outcome.is_good:
            assert report.changes == (), self.case
        self.judge.hear(report.changes, since)
        said = (notice.kind for notice in report.poll.notices)
        self.notices += [kind for kind in said if kind in ABOUT_THE_CATALOGUE]
        outcomes = {outcome.verdict for outcome in report.deliveries["steady"]}
        assert outcomes <= {Verdict.ACCEPTED}, f"{self.case}: {report.deliveries}"
        self.minutes += 5
        return report

    async def go_through(self, faults: Sequence[Fault], settings: Settings) -> None:
        """A poll under each of the faults, the market going on before it and while it reads."""
        self.simulator.between_pages(lambda *_: self.stir(0.03))
        for fault in faults:
            self.stir(0.6)
            self._bring(fault)
            await self.check(settings)
            self.simulator.faults.clear()
        self.simulator.between_pages(None)

    async def calm(self, settings: Settings) -> None:
        """Nothing moves and nothing fails any more; polls go on until nothing is waited for."""
        until = self.minutes + 60
        report = await self.check(settings)
        while report.poll.holds or self.minutes < until or not report.ok:
            report = await self.check(settings)

    def _bring(self, fault: Fault) -> None:
        """Once or for as long as the poll lasts, at the first call or deeper in."""
        plan = self.simulator.faults
        if fault == Empty():
            plan.always(fault)
            return
        if fault.call is None and fault.page is None and self.rng.random() < 0.5:
            fault = replace(fault, page=self.rng.randint(1, 4))
        self.rng.choice([plan.next, plan.always])(fault)

    def stir(self, often: float) -> None:
        while self.rng.random() < often:
            self.ledger.play(random_edit(self.rng, self.simulator.catalogue).edit)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


class Moods:
    """Good and bad days of an inbox, by chance."""

    def __init__(self, rng: Random) -> None:
        self.bad = [Mood.FAILS, Mood.HANGS_UP, Mood.ACCEPTS_AND_HANGS_UP]
        self._rng = rng
        self._days: list[Mood] = []

    def __call__(self) -> Mood:
        if not self._days and self.bad:
            rough = self._rng.choices(self.bad, k=self._rng.randrange(4))
            self._days = [*rough, *[Mood.ACCEPTS] * self._rng.randint(1, 6)]
        return self._days.pop() if self._days else Mood.ACCEPTS


@pytest.mark.parametrize("seed", range(MARKETS))
async def test_through_every_fault_all_that_happens_is_told_and_nothing_else(
    tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    moods = Moods(rng)
    path = tmp_path / "state.db"
    async with Simulator(generate(seed, size=70)) as simulator, Inbox() as one, Inbox(moods) as two:
        world = World(seed, simulator, one, two)
        hasty = world.settings(path, timeout=timedelta(seconds=0.25))
        patient = world.settings(path, timeout=timedelta(seconds=20))
        with capture_logs():
            await world.check(patient)
            await world.go_through(rng.sample(FAULTS, k=len(FAULTS)), hasty)
            moods.bad = []
            await world.calm(patient)
        async with open_store(path) as store:
            believed = await store.believed()

    assert believed is not None
    world.judge.settle(model.record for model in believed.models)
    collapses = world.notices[1:]
    assert world.notices[0] is NoticeKind.BASELINE
    assert len(collapses) >= 2, f"{world.case}: an empty catalogue caused no warning"
    pairs = [NoticeKind.COLLAPSE, NoticeKind.RECOVERED] * (len(collapses) // 2)
    assert collapses == pairs, world.case
    for name, inbox in world.inboxes.items():
        must_have_been_told_everything(path, name, inbox, world.case)
    assert one.repeated() == 0


async def test_a_collapse_that_lasts_is_warned_of_at_once_and_believed_in_the_end(
    tmp_path: Path,
) -> None:
    async with Simulator(generate(5, size=40)) as simulator, Inbox() as one, Inbox() as two:
        world = World(5, simulator, one, two)
        settings = world.settings(tmp_path / "state.db", timeout=timedelta(seconds=20))
        with capture_logs():
            await world.check(settings)
            gone = simulator.catalogue.rows[5:25]
            world.ledger.play(*[Remove(row["modelDescription"]) for row in gone])
            told = []
            for world.minutes in (5, 10, 180, 364, 365):
                report = await world.check(settings)
                told.append(len(report.changes))
                assert world.notices[1:] == [NoticeKind.COLLAPSE]
            await world.calm(settings)

    assert told == [0, 0, 0, 0, 20]
    assert world.notices == [NoticeKind.BASELINE, NoticeKind.COLLAPSE]


async def test_a_slip_of_the_keyboard_that_is_mended_in_time_is_never_told(tmp_path: Path) -> None:
    async with Simulator(generate(6, size=40)) as simulator, Inbox() as one, Inbox() as two:
        world = World(6, simulator, one, two)
        settings = world.settings(tmp_path / "state.db", timeout=timedelta(seconds=20))
        with capture_logs():
            await world.check(settings)
            row = next(row for row in simulator.catalogue.rows if row["falPrice"])
            name, price = row["modelDescription"], Decimal(row["creditPrice"])
            world.ledger.play(Reprice(name, price * 100))
            held = await world.check(settings)
            world.ledger.play(Reprice(name, price), Promotion(name, not row["discountPrice"]))
            mended = await world.check(settings)

    assert (held.changes, held.poll.holds) == ((), 1)
    assert [len(it.change.kinds) for it in mended.changes] == [1]
    assert mended.poll.holds == 0

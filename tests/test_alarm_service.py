"""From polls and tries to messages in the outbox: kept, told once, and told when nothing keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog

from watcher.catalog.changes import Notice, NoticeKind
from watcher.catalog.confirm import Hold, HoldReason
from watcher.monitor.alarms import AlarmRules
from watcher.monitor.alerting import AlarmService, time_since_boot
from watcher.notify.receiver import Outcome, Verdict
from watcher.outbox import SendAttempt
from watcher.poller import PollOutcome, PollReport
from watcher.store.connection import StateError
from watcher.store.values import OpenHold, ReceiverStatus, Status

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CALM = Status(None, START, Decimal("0.005"), {"video": 7}, (), ())
HELD = OpenHold(Hold(HoldReason.COLLAPSE, None, "", START, START), None)
DOWN = PollReport(PollOutcome.FAILED, "GET model-pricing/count: status 500", "status")
WELL = PollReport(PollOutcome.UNCHANGED, "full sweep due")
RULES = AlarmRules(operators=("ops", "me"), receivers=("ops", "me", "team"))


@dataclass
class FakeState:
    """As much of a store as alarms need: everything of a transaction, or nothing."""

    standing: Status = CALM
    kept: Mapping[str, Any] = field(default_factory=dict)
    queued: list[tuple[Notice, tuple[str, ...]]] = field(default_factory=list)
    full: bool = False
    unreadable: bool = False
    writes: int = 0

    async def status(self) -> Status:
        if self.unreadable:
            raise StateError("kie-watcher.db: the database is damaged")
        return self.standing

    async def alarms(self) -> Mapping[str, Any]:
        return self.kept

    async def keep_alarms(
        self,
        alarms: Mapping[str, Any],
        notices: Sequence[tuple[Notice, tuple[str, ...]]],
        at: datetime,
    ) -> None:
        await asyncio.sleep(0)
        if self.full or self.unreadable:
            raise StateError("kie-watcher.db: the disk is full")
        self.writes += 1
        self.kept = json.loads(json.dumps(alarms))
        self.queued.extend(notices)

    def says(self) -> list[str]:
        """What was queued since the last time, and for whom."""
        told, self.queued = self.queued, []
        return [f"{said(notice)} → {' '.join(to)}" for notice, to in told]


@dataclass
class Scene:
    """An alarm service with its state, clocks that only the test moves, and receivers at hand."""

    state: FakeState = field(default_factory=FakeState)
    rules: AlarmRules = RULES
    now: datetime = START
    up: float = 1000.0
    deaf: set[str] = field(default_factory=set)
    direct: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    woken: int = 0

    async def begin(self) -> AlarmService:
        """A process starts, on what the one before it kept."""
        alarm_service = AlarmService(
            self.state,
            self.rules,
            send=self.send,
            now=lambda: self.now,
            clock=lambda: self.up,
            on_notice=lambda notice: self.heard.append(said(notice)),
            on_queued=self.wake,
        )
        await alarm_service.restore()
        return alarm_service

    async def send(self, receiver: str, notice: Notice) -> bool:
        await asyncio.sleep(0)
        if receiver in self.deaf:
            return False
        self.direct.append(f"{said(notice)} → {receiver}")
        return True

    def wake(self) -> None:
        self.woken += 1

    def passes(self, minutes: float) -> None:
        self.now += minutes * MINUTE
        self.up += minutes * 60


def said(notice: Notice) -> str:
    over = " over" if notice.kind is NoticeKind.ALARM_OVER else ""
    about = notice.detail["about"]
    return f"{notice.detail['alarm']}{f' {about}' if about else ''}{over}"


def attempt(verdict: Verdict, receiver: str = "ops") -> SendAttempt:
    return SendAttempt(receiver, "k7m2q9xr", Outcome(verdict, "it failed"), MINUTE, 1, died=False)


async def test_an_outage_is_told_once_over_restarts_and_so_is_its_end() -> None:
    scene = Scene()
    for _ in range(3):
        alarm_service = await scene.begin()
        for _ in range(5):
            alarm_service.polled(DOWN)
            await alarm_service.update()
            scene.passes(5)
    assert scene.state.says() == ["blind → ops me"]
    assert [alarm.kind.value for alarm in alarm_service.raised] == ["blind"]
    alarm_service.polled(WELL)
    await alarm_service.update()
    assert scene.state.says() == ["blind over → ops me"]
    assert (scene.woken, alarm_service.raised) == (2, ())
    assert scene.heard == ["blind", "blind over"]


async def test_what_does_not_change_is_not_written() -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    for _ in range(10):
        alarm_service.polled(WELL)
        alarm_service.attempted(attempt(Verdict.ACCEPTED))
        await alarm_service.update()
        scene.passes(5)
    assert scene.state.writes <= 1


async def test_a_failing_operator_is_told_of_to_the_other_one() -> None:
    scene = Scene(FakeState(replace(CALM, receivers=(receiver("ops", open=1),))))
    alarm_service = await scene.begin()
    for verdict in (Verdict.RETRY, Verdict.REFUSED, Verdict.RETRY):
        alarm_service.attempted(attempt(verdict))
        alarm_service.polled(WELL)
        await alarm_service.update()
        scene.passes(30)
    assert scene.state.says() == ["receiver ops → me"]
    alarm_service.polled(WELL)
    alarm_service.attempted(attempt(Verdict.ACCEPTED))
    await alarm_service.update()
    assert scene.state.says() == ["receiver ops over → me"]


async def test_a_dead_letter_is_found_even_where_nobody_saw_it_die() -> None:
    scene = Scene(FakeState(replace(CALM, receivers=(receiver("me", dead=2),))))
    await (await scene.begin()).update()
    assert scene.state.says() == ["dead_letter me → ops"]
    await (await scene.begin()).update()
    assert scene.state.says() == []
    scene.state.standing = CALM
    await (await scene.begin()).update()
    assert scene.state.says() == ["dead_letter me over → ops"]


async def test_of_a_collapse_operators_hear_only_what_not_everybody_hears() -> None:
    scene = Scene(FakeState(replace(CALM, holds=(HELD,))))
    alarm_service = await scene.begin()
    collapse = Notice(NoticeKind.COLLAPSE, START, {})
    alarm_service.polled(replace(WELL, notices=(collapse,)))
    await alarm_service.update()
    assert [alarm.kind.value for alarm in alarm_service.raised] == ["collapse"]
    assert scene.state.says() == []
    scene.state.standing = CALM
    alarm_service.polled(WELL)
    await alarm_service.update()
    assert scene.state.says() == ["collapse over → ops me"]


async def test_a_collapse_that_everybody_hears_the_end_of_is_not_told_twice() -> None:
    scene = Scene(FakeState(replace(CALM, holds=(HELD,))))
    alarm_service = await scene.begin()
    alarm_service.polled(WELL)
    await alarm_service.update()
    scene.state.standing = CALM
    alarm_service.polled(replace(WELL, notices=(Notice(NoticeKind.RECOVERED, START, {}),)))
    await alarm_service.update()
    assert (scene.state.says(), alarm_service.raised) == ([], ())


async def test_a_full_disk_is_told_past_the_outbox_once_and_its_end_through_it() -> None:
    scene = Scene(FakeState(full=True), deaf={"me"})
    alarm_service = await scene.begin()
    for _ in range(4):
        alarm_service.polled(replace(DOWN, why="kie-watcher.db: the disk is full", reason="state"))
        await alarm_service.update()
        scene.passes(5)
    assert scene.direct == ["state → ops"]
    scene.deaf = set()
    await alarm_service.update()
    assert scene.direct == ["state → ops", "state → me"]
    scene.state.full = False
    alarm_service.polled(WELL)
    await alarm_service.update()
    assert scene.state.says() == []
    scene.passes(11)
    await alarm_service.update()
    assert scene.state.says() == ["state over → ops me"]
    assert scene.state.kept == {"troubles": []}
    assert len(scene.direct) == 2


async def test_what_could_not_be_told_while_the_disk_was_full_is_queued_afterwards() -> None:
    scene = Scene(FakeState(full=True), deaf={"ops", "me"})
    alarm_service = await scene.begin()
    alarm_service.polled(replace(DOWN, reason="state"))
    await alarm_service.update()
    scene.state.full = False
    await alarm_service.update()
    assert scene.state.says() == ["state → ops me"]
    assert scene.direct == []


async def test_a_damaged_state_is_told_although_nothing_can_be_read() -> None:
    scene = Scene(FakeState(unreadable=True))
    alarm_service = await scene.begin()
    await alarm_service.update()
    assert scene.direct == ["state → ops", "state → me"]


async def test_a_refused_configuration_is_told_and_a_start_with_a_good_one_ends_it() -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    alarm_service.configured("config.yaml:3:9: poll.interval: is zero")
    await alarm_service.update()
    assert scene.state.says() == ["reload → ops me"]
    await (await scene.begin()).update()
    assert scene.state.says() == ["reload over → ops me"]


async def test_a_clock_that_is_set_is_told_and_no_trouble_lasts_longer_for_it() -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    alarm_service.polled(DOWN)
    await alarm_service.update()
    scene.passes(5)
    scene.now += timedelta(hours=7)
    alarm_service.polled(DOWN)
    await alarm_service.update()
    assert scene.state.says() == ["clock → ops me"]
    scene.passes(5)
    scene.now -= timedelta(hours=7)
    await alarm_service.update()
    assert scene.state.says() == ["clock over → ops me"]


async def test_a_clock_that_is_slowly_put_right_is_no_jump() -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    for _ in range(100):
        scene.passes(1)
        scene.now += timedelta(seconds=5)
        alarm_service.polled(WELL)
        await alarm_service.update()
    assert scene.state.says() == []


async def test_without_operators_alarms_are_logged_and_queued_for_nobody() -> None:
    scene = Scene(rules=AlarmRules(operators=(), receivers=("team",)))
    alarm_service = await scene.begin()
    with structlog.testing.capture_logs() as lines:
        alarm_service.configured("is zero")
        await alarm_service.update()
    assert (scene.state.says(), scene.heard) == ([], ["reload"])
    assert lines == [
        {
            "event": "alarm.raised",
            "log_level": "warning",
            "alarm": "reload",
            "why": "is zero",
            "receivers": [],
        }
    ]


async def test_a_new_policy_holds_from_the_next_look() -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    alarm_service.use_rules(AlarmRules(operators=("team",), receivers=("team",)))
    alarm_service.configured("is zero")
    await alarm_service.update()
    assert scene.state.says() == ["reload → team"]


async def test_it_runs_until_stopped_and_takes_what_came_last() -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    stop = asyncio.Event()
    running = asyncio.create_task(alarm_service.run(stop))
    await asyncio.sleep(0)
    alarm_service.configured("is zero")
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert scene.state.says() == ["reload → ops me"]


async def test_a_mistake_of_its_own_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    alarm_service = await scene.begin()
    scene.state.standing = None  # type: ignore[assignment]
    alarm_service.polled(WELL)
    stop = asyncio.Event()
    monkeypatch.setattr(scene.state, "status", lambda: 1 / 0)
    with structlog.testing.capture_logs() as lines:
        running = asyncio.create_task(alarm_service.run(stop))
        await asyncio.sleep(0.01)
        stop.set()
        await running
    assert {line["event"] for line in lines} == {"alarms.crashed"}


def test_the_clock_that_nobody_sets_goes_on() -> None:
    assert 0 < time_since_boot() <= time_since_boot()


def receiver(name: str, **fields: Any) -> ReceiverStatus:
    return replace(ReceiverStatus(name, 0, 0, 0, None, None, "it failed"), **fields)

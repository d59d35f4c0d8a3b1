"""From polls and tries to messages in the outbox: kept, told once, and told when nothing keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from logs import capture_logs
from watcher.catalog.changes import Notice, NoticeKind
from watcher.config.settings import Settings
from watcher.monitor.monitor import Monitor, time_since_boot
from watcher.notify.outcome import Outcome, Verdict
from watcher.observer import PollReport, SendAttempt
from watcher.render.markup import Markup, Service
from watcher.store.connection import StateError
from watcher.store.values import PollOutcome, ReceiverStatus, Status

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CALM = Status(None, START, Decimal("0.005"), {"video": 7}, (), ())
DOWN = PollReport(PollOutcome.FAILED, "GET model-pricing/count: status 500", "status")
WELL = PollReport(PollOutcome.UNCHANGED, "full sweep due")


def settings(*operators: str, receivers: Sequence[str] = ("ops", "me", "team")) -> Settings:
    urls = {name: {"url": "json://localhost"} for name in receivers}
    keys = {"receivers": urls, "operator": list(operators)}
    return Settings.model_validate({key: value for key, value in keys.items() if value})


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
class Inbox:
    """A receiver that keeps what is sent to it, unless it is deaf."""

    name: str
    received: list[str] = field(default_factory=list)
    is_deaf: bool = False
    service: Service = field(default_factory=lambda: Service("test", Markup.TEXT, 500, 0, None))

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        await asyncio.sleep(0)
        if self.is_deaf:
            return Outcome(Verdict.RETRY, "no answer")
        self.received.append(body)
        return Outcome(Verdict.ACCEPTED, "")


@dataclass
class Broken(Inbox):
    """A receiver with a mistake in it."""

    async def send(self, *_: Any, **__: Any) -> Outcome:
        raise RuntimeError("broken")


@dataclass
class Pulse:
    """As much of a heartbeat as alarms need."""

    alarms: list[str] = field(default_factory=list)

    def polled(self, report: PollReport) -> None:
        """Polls are the heartbeat's own business."""

    def alarmed(self, notice: Notice) -> None:
        self.alarms.append(said(notice))


@dataclass
class Scene:
    """A monitor with its state, clocks that only the test moves, and receivers at hand."""

    state: FakeState = field(default_factory=FakeState)
    settings: Settings = field(default_factory=lambda: settings("ops", "me"))
    now: datetime = START
    up: float = 1000.0
    ops: Inbox = field(default_factory=lambda: Inbox("ops"))
    me: Inbox = field(default_factory=lambda: Inbox("me"))
    pulse: Pulse = field(default_factory=Pulse)
    woken: int = 0

    async def begin(self) -> Monitor:
        """A process starts, on what the one before it kept."""
        monitor = Monitor(
            self.state,
            self.settings,
            (self.ops, self.me, Inbox("team")),
            now=lambda: self.now,
            rng=Random(0),
            uptime=lambda: self.up,
        )
        monitor.heartbeat = self.pulse  # type: ignore[assignment]
        monitor.wake_outbox = self.wake
        await monitor.restore()
        return monitor

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
        monitor = await scene.begin()
        for _ in range(5):
            monitor.polled(DOWN)
            await monitor.update()
            scene.passes(5)
    assert scene.state.says() == ["blind → ops me"]
    assert [alarm.kind.value for alarm in monitor.raised] == ["blind"]
    monitor.polled(WELL)
    await monitor.update()
    assert scene.state.says() == ["blind over → ops me"]
    assert (scene.woken, monitor.raised) == (2, ())
    assert scene.pulse.alarms == ["blind", "blind over"]


async def test_what_does_not_change_is_not_written() -> None:
    scene = Scene()
    monitor = await scene.begin()
    for _ in range(10):
        monitor.polled(WELL)
        monitor.attempted(attempt(Verdict.ACCEPTED))
        await monitor.update()
        scene.passes(5)
    assert scene.state.writes <= 1


async def test_a_failing_operator_is_told_of_to_the_other_one() -> None:
    scene = Scene(FakeState(replace(CALM, receivers=(receiver("ops", open=1),))))
    monitor = await scene.begin()
    for verdict in (Verdict.RETRY, Verdict.REFUSED, Verdict.RETRY):
        monitor.attempted(attempt(verdict))
        monitor.polled(WELL)
        await monitor.update()
        scene.passes(30)
    assert scene.state.says() == ["receiver ops → me"]
    monitor.polled(WELL)
    monitor.attempted(attempt(Verdict.ACCEPTED))
    await monitor.update()
    assert scene.state.says() == ["receiver ops over → me"]


async def test_a_receiver_that_gives_no_answers_is_told_of_at_the_third() -> None:
    scene = Scene(FakeState(replace(CALM, receivers=(receiver("ops", open=1),))))
    monitor = await scene.begin()
    said = []
    for number in range(1, 7):
        monitor.attempted(replace(attempt(Verdict.RETRY), unanswered=number))
        monitor.polled(WELL)
        await monitor.update()
        said.append(scene.state.says())
        scene.passes(0.1)
    assert said == [[], [], ["receiver ops → me"], [], [], []]


async def test_a_receiver_that_turns_messages_down_for_good_works() -> None:
    scene = Scene(FakeState(replace(CALM, receivers=(receiver("ops", open=1),))))
    monitor = await scene.begin()
    for _ in range(3):
        monitor.attempted(attempt(Verdict.REFUSED))
        monitor.polled(WELL)
        await monitor.update()
        scene.passes(45)
    assert scene.state.says() == []


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
    scene = Scene()
    monitor = await scene.begin()
    collapse = Notice(NoticeKind.COLLAPSE, START, {})
    monitor.polled(replace(WELL, notices=(collapse,), collapse_held=True))
    await monitor.update()
    assert [alarm.kind.value for alarm in monitor.raised] == ["collapse"]
    assert scene.state.says() == []
    monitor.polled(DOWN)
    await monitor.update()
    monitor.polled(replace(WELL, collapse_held=False))
    await monitor.update()
    assert scene.state.says() == ["collapse over → ops me"]


async def test_a_collapse_that_everybody_hears_the_end_of_is_not_told_twice() -> None:
    scene = Scene()
    monitor = await scene.begin()
    monitor.polled(replace(WELL, collapse_held=True))
    await monitor.update()
    recovered = Notice(NoticeKind.RECOVERED, START, {})
    monitor.polled(replace(WELL, notices=(recovered,), collapse_held=False))
    await monitor.update()
    assert (scene.state.says(), monitor.raised) == ([], ())


async def test_a_full_disk_is_told_past_the_outbox_once_and_its_end_through_it() -> None:
    scene = Scene(FakeState(full=True), me=Inbox("me", is_deaf=True))
    monitor = await scene.begin()
    for _ in range(4):
        monitor.polled(replace(DOWN, why="kie-watcher.db: the disk is full", reason="state"))
        await monitor.update()
        scene.passes(5)
    assert len(scene.ops.received) == 1
    scene.me.is_deaf = False
    await monitor.update()
    assert len(scene.ops.received) == 1
    (body,) = scene.me.received
    assert "the disk is full" in body
    scene.state.full = False
    monitor.polled(WELL)
    await monitor.update()
    assert scene.state.says() == []
    scene.passes(11)
    await monitor.update()
    assert scene.state.says() == ["state over → ops me"]
    assert scene.state.kept == {"alarms": []}
    assert (len(scene.ops.received), len(scene.me.received)) == (1, 1)


async def test_what_could_not_be_told_while_the_disk_was_full_is_queued_afterwards() -> None:
    scene = Scene(FakeState(full=True))
    scene.ops.is_deaf = scene.me.is_deaf = True
    monitor = await scene.begin()
    monitor.polled(replace(DOWN, reason="state"))
    await monitor.update()
    scene.state.full = False
    await monitor.update()
    assert scene.state.says() == ["state → ops me"]
    assert scene.ops.received == scene.me.received == []


async def test_a_receiver_that_breaks_gets_nobody_else_the_same_again_and_again() -> None:
    scene = Scene(FakeState(full=True), me=Broken("me"))
    monitor = await scene.begin()
    with capture_logs() as lines:
        for _ in range(3):
            monitor.polled(replace(DOWN, reason="state"))
            await monitor.update()
    assert len(scene.ops.received) == 1
    assert {line["event"] for line in lines} == {"alarm.raised", "alarm.send_failed"}


async def test_a_damaged_state_is_told_although_nothing_can_be_read() -> None:
    scene = Scene(FakeState(unreadable=True))
    monitor = await scene.begin()
    await monitor.update()
    assert len(scene.ops.received) == len(scene.me.received) == 1


async def test_a_refused_configuration_is_told_and_a_start_with_a_good_one_ends_it() -> None:
    scene = Scene()
    monitor = await scene.begin()
    monitor.configured("config.yaml:3:9: poll.interval: is zero")
    await monitor.update()
    assert scene.state.says() == ["reload → ops me"]
    await (await scene.begin()).update()
    assert scene.state.says() == ["reload over → ops me"]


async def test_a_clock_that_is_set_is_told_and_no_trouble_lasts_longer_for_it() -> None:
    scene = Scene()
    monitor = await scene.begin()
    monitor.polled(DOWN)
    await monitor.update()
    scene.passes(5)
    scene.now += timedelta(hours=7)
    monitor.polled(DOWN)
    await monitor.update()
    assert scene.state.says() == ["clock → ops me"]
    scene.passes(5)
    scene.now -= timedelta(hours=7)
    await monitor.update()
    assert scene.state.says() == ["clock over → ops me"]


async def test_a_clock_that_is_slowly_put_right_is_no_jump() -> None:
    scene = Scene()
    monitor = await scene.begin()
    for _ in range(100):
        scene.passes(1)
        scene.now += timedelta(seconds=5)
        monitor.polled(WELL)
        await monitor.update()
    assert scene.state.says() == []


async def test_without_operators_alarms_are_logged_and_queued_for_nobody() -> None:
    scene = Scene(settings=settings(receivers=["team"]))
    monitor = await scene.begin()
    with capture_logs() as lines:
        monitor.configured("is zero")
        await monitor.update()
    assert (scene.state.says(), scene.pulse.alarms) == ([], ["reload"])
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
    monitor = await scene.begin()
    monitor.follow(settings("team", receivers=["team"]), ())
    monitor.configured("is zero")
    await monitor.update()
    assert scene.state.says() == ["reload → team"]


async def test_it_runs_until_stopped_and_takes_what_came_last() -> None:
    scene = Scene()
    monitor = await scene.begin()
    stop = asyncio.Event()
    running = asyncio.create_task(monitor.run(stop))
    await asyncio.sleep(0)
    monitor.configured("is zero")
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert scene.state.says() == ["reload → ops me"]


async def test_a_mistake_of_its_own_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    monitor = await scene.begin()
    scene.state.standing = None  # type: ignore[assignment]
    monitor.polled(WELL)
    stop = asyncio.Event()
    monkeypatch.setattr(scene.state, "status", lambda: 1 / 0)
    with capture_logs() as lines:
        running = asyncio.create_task(monitor.run(stop))
        await asyncio.sleep(0.01)
        stop.set()
        await running
    assert {line["event"] for line in lines} == {"alarms.crashed"}


def test_the_clock_that_nobody_sets_goes_on() -> None:
    assert 0 < time_since_boot() <= time_since_boot()


def receiver(name: str, **fields: Any) -> ReceiverStatus:
    return replace(ReceiverStatus(name, 0, 0, 0, None, None, "it failed"), **fields)

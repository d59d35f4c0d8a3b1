"""From queued deliveries to messages that are sent."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from itertools import chain, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from build import model, record
from logs import capture_logs
from stored import due_to, receivers_due
from watcher.catalog.changes import Kind, ModelChange
from watcher.config.rules import parse_silence
from watcher.notify.outcome import Outcome, Verdict
from watcher.observer import Observer
from watcher.outbox import Batcher, MessageRules, Outbox, new_alert_id
from watcher.render.markup import Markup, Service
from watcher.routing.calendar import QuietWindow
from watcher.routing.match import Matcher
from watcher.routing.plan import Dispatch
from watcher.routing.rules import Route, RoutingRules
from watcher.store import requests
from watcher.store.connection import StateError
from watcher.store.requests import DiscardMessages, Request, RetryMessages
from watcher.store.store import Store, open_store
from watcher.store.values import Commit, MessageState

INBOX = Service("inbox", Markup.TEXT, 10_000, 200, None)
START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
TELLING = MessageRules(RoutingRules(("team", "mail")), parse_silence)
ACCEPTED = Outcome(Verdict.ACCEPTED, "")
BUSY = Outcome(Verdict.RETRY, "the service failed (503)")
UNANSWERED = Outcome(Verdict.RETRY, "no answer in time; it may have arrived", ambiguous=True)
GONE = Outcome(Verdict.REFUSED, "refused with 404: the address is gone or wrong")


@dataclass
class Inbox:
    """A receiver that gives the answers it was given, and keeps what it accepted."""

    name: str
    answers: list[Outcome] = field(default_factory=list)
    accepted: list[tuple[str, str, str]] = field(default_factory=list)
    tried: list[tuple[str, str, str]] = field(default_factory=list)
    service: Service = INBOX

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        self.tried.append((title, body, alert_id))
        answer = self.answers.pop(0) if self.answers else ACCEPTED
        if answer.verdict is Verdict.ACCEPTED:
            self.accepted.append((title, body, alert_id))
        return answer

    def copies(self) -> list[int]:
        """How often each message was tried, in the order of their first try."""
        return list(Counter(alert_id for *_, alert_id in self.tried).values())

    def names(self) -> list[list[str]]:
        """Per message accepted, which of the models A to Z it speaks of."""
        return [
            [letter for letter in "ABCDEF" if f"Reel {letter}" in body]
            for _, body, _ in self.accepted
        ]


def outbox(desk: Desk, rng: Random, *inboxes: Inbox) -> Outbox:
    batcher = Batcher(desk.store, TELLING, now=desk.now, rng=rng)
    return Outbox(
        desk.store, inboxes, batcher, give_up_after=timedelta(days=7), now=desk.now, rng=rng
    )


@dataclass
class Desk:
    """A store, an outbox over it, and a clock in seconds."""

    store: Store
    team: Inbox
    mail: Inbox
    seconds: float = 0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def outbox(self, *inboxes: Inbox) -> Outbox:
        return outbox(self, Random(self.seconds), *(inboxes or (self.team, self.mail)))

    async def happens(self, *letters: str, to: tuple[str, ...] = ("team", "mail")) -> None:
        changes = tuple(
            (ModelChange((Kind.NEW,), None, model(f"Reel {letter}")), due_to(*to))
            for letter in letters
        )
        await self.store.record(Commit(self.now(), model().usd_per_credit, {}, changes=changes))

    async def live(self, hours: float) -> list[datetime]:
        """Let time pass for the team's task; when it tried something."""
        outbox, end, tries = self.outbox(self.team), self.seconds + hours * 3600, []
        while self.seconds < end:
            outcome, wait = await outbox.deliver(self.team)
            if outcome is not None:
                tries.append(self.now())
            left = end - self.seconds
            self.seconds += left if wait is None else min(wait.total_seconds(), left)
        return tries

    async def round(self, at: float) -> None:
        self.seconds = at
        await self.outbox().deliver_all()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_store(tmp_path / "state.db") as store:
        await store.record(Commit(START, model().usd_per_credit, {}, baseline=(record("Reel"),)))
        yield Desk(store, Inbox("team"), Inbox("mail"))


async def test_everything_a_poll_found_is_one_message_for_each_receiver(desk: Desk) -> None:
    await desk.happens("A", "B", "C")

    await desk.round(at=0)

    assert desk.team.names() == desk.mail.names() == [["A", "B", "C"]]


async def test_a_service_gets_no_two_messages_sooner_than_it_wants(desk: Desk) -> None:
    slow = Inbox("team", service=replace(INBOX, pace=timedelta(seconds=5.5)))
    sending = desk.outbox(slow)
    await desk.happens("A")
    assert (await sending.deliver(slow))[0] == ACCEPTED
    await desk.happens("B")

    desk.seconds = 2
    assert await sending.deliver(slow) == (None, timedelta(seconds=3.5))
    desk.seconds = 5.5
    assert (await sending.deliver(slow))[0] == ACCEPTED
    assert slow.names() == [["A"], ["B"]]


async def test_a_clock_that_is_set_back_makes_nobody_wait(desk: Desk) -> None:
    slow = Inbox("team", service=replace(INBOX, pace=timedelta(seconds=5.5)))
    sending = desk.outbox(slow)
    await desk.happens("A", "B")
    await sending.deliver(slow)
    await desk.happens("C")

    desk.seconds = -86_400
    assert (await sending.deliver(slow))[0] == ACCEPTED


async def test_one_round_waits_as_long_as_the_service_wants_and_no_longer(desk: Desk) -> None:
    slow = Inbox("team", [BUSY], service=replace(INBOX, pace=timedelta(seconds=0.01)))
    await desk.happens("A")
    await desk.outbox(slow).deliver_all()
    await desk.happens("B")

    desk.seconds = 60
    outcomes = await desk.outbox(slow).deliver_all()
    assert outcomes == {"team": (ACCEPTED, ACCEPTED)}
    assert slow.names() == [["A"], ["B"]]


async def test_what_was_told_is_not_told_again(desk: Desk) -> None:
    await desk.happens("A")
    await desk.round(at=0)
    await desk.round(at=60)

    assert desk.team.names() == [["A"]]


async def test_a_receiver_hears_only_what_is_due_to_it(desk: Desk) -> None:
    await desk.happens("A", to=("mail",))

    await desk.round(at=0)

    assert (desk.team.names(), desk.mail.names()) == ([], [["A"]])


async def test_a_retry_sends_the_same_text_under_the_same_id(desk: Desk) -> None:
    desk.team.answers = [BUSY, BUSY]
    await desk.happens("A")
    await desk.round(at=0)
    await desk.happens("B")
    await desk.round(at=60)
    await desk.round(at=600)

    first, second, third, fourth = desk.team.tried
    assert first == second == third
    assert first[2] in first[1]
    assert fourth != first


async def test_what_is_found_while_a_receiver_fails_gathers_into_its_next_message(
    desk: Desk,
) -> None:
    desk.team.answers = [BUSY]
    await desk.happens("A")
    await desk.round(at=0)
    await desk.happens("B")
    await desk.happens("C")

    await desk.round(at=3600)

    assert desk.team.names() == [["A"], ["B", "C"]]


async def test_a_failing_receiver_holds_up_no_other(desk: Desk) -> None:
    desk.team.answers = [BUSY] * 50
    for number, letter in enumerate("ABC"):
        await desk.happens(letter)
        await desk.round(at=number)

    assert desk.mail.names() == [["A"], ["B"], ["C"]]


async def test_a_message_is_not_tried_before_its_time(desk: Desk) -> None:
    desk.team.answers = [BUSY]
    await desk.happens("A")
    await desk.round(at=0)
    await desk.round(at=4)

    assert len(desk.team.tried) == 1


async def test_a_clock_set_back_by_days_does_not_put_a_retry_off_by_days(desk: Desk) -> None:
    desk.team.answers = [BUSY]
    await desk.happens("A", to=("team",))
    await desk.round(at=6 * 24 * 3600)
    await desk.round(at=0)

    assert [len(desk.team.tried), desk.team.names()] == [2, [["A"]]]


async def test_a_clock_set_back_before_the_first_try_does_not_put_it_off(desk: Desk) -> None:
    await desk.happens("A", to=("team",))
    desk.seconds = 6 * 24 * 3600
    batcher = Batcher(desk.store, TELLING, now=desk.now, rng=Random(0))
    await batcher.next_message(desk.team)

    await desk.round(at=0)

    assert desk.team.names() == [["A"]]


class ShortOfSpace:
    """A store that cannot take in, for a while, what became of a message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.full = True

    def __getattr__(self, name: str) -> Any:
        if self.full and name.startswith("mark_"):
            raise StateError("the disk is full")
        return getattr(self._store, name)


@pytest.mark.parametrize("answer", [ACCEPTED, BUSY, GONE], ids=lambda it: it.verdict.value)
async def test_an_answer_that_could_not_be_noted_is_not_asked_for_again(
    desk: Desk, answer: Outcome
) -> None:
    desk.team.answers = [answer]
    short: Any = ShortOfSpace(desk.store)
    batcher = Batcher(desk.store, TELLING, now=desk.now, rng=Random(0))
    workers = Outbox(
        short, [desk.team], batcher, give_up_after=timedelta(days=7), now=desk.now, rng=Random(0)
    )
    await desk.happens("A", to=("team",))
    for desk.seconds in (0, 30, 60):
        with pytest.raises(StateError):
            await workers.deliver(desk.team)
    short.full = False
    outcome, _ = await workers.deliver(desk.team)

    assert outcome == answer
    assert len(desk.team.tried) == 1


async def test_a_message_that_failed_in_the_evening_wakes_nobody_at_night(tmp_path: Path) -> None:
    night = QuietWindow("nights", time(22), time(7))
    rules = MessageRules(RoutingRules(("team",), quiet=(night,)), parse_silence)
    tried = []
    async with open_store(tmp_path / "state.db") as store:
        team = Inbox("team", [BUSY])
        desk = Desk(store, team, Inbox("mail"), seconds=14.9 * 3600)  # 21:54
        batcher = Batcher(store, rules, now=desk.now, rng=Random(1))
        outbox = Outbox(
            store, [team], batcher, give_up_after=timedelta(days=7), now=desk.now, rng=Random(1)
        )
        await desk.happens("A", to=("team",))
        for hour in (14.9, 15.1, 18, 23.9, 24.1):
            desk.seconds = hour * 3600
            await outbox.deliver_all()
            tried.append(len(team.tried))

    assert tried == [1, 1, 1, 1, 2]


async def test_the_schedule_of_retries_survives_a_restart(tmp_path: Path) -> None:
    team = Inbox("team", [Outcome(Verdict.RETRY, "told to slow down (429)", timedelta(hours=3))])
    tries = []
    for hour in (0, 2.9, 3.1):
        async with open_store(tmp_path / "state.db") as store:
            desk = Desk(store, team, Inbox("mail"), seconds=hour * 3600)
            if not hour:
                await desk.happens("A", to=("team",))
            await desk.outbox().deliver_all()
            tries.append(len(team.tried))

    assert tries == [1, 1, 2]


async def test_retries_get_rarer_up_to_a_quarter_of_an_hour(desk: Desk) -> None:
    desk.team.answers = [BUSY] * 14
    await desk.happens("A", to=("team",))
    waits: list[timedelta] = []
    outbox = desk.outbox()
    for _ in range(14):
        _, wait = await outbox.deliver(desk.team)
        assert wait is not None
        waits.append(wait)
        desk.seconds += wait.total_seconds() + 0.001

    assert timedelta(seconds=2.5) <= waits[0] <= timedelta(seconds=10)
    assert timedelta(minutes=7) <= waits[-1] <= timedelta(minutes=15)


@pytest.mark.parametrize(
    ("answers", "hours"),
    [([GONE], 1), ([BUSY] * 2000, 7.1 * 24)],
    ids=["refused", "not accepted for a week"],
)
async def test_what_cannot_succeed_becomes_a_dead_letter_and_blocks_nothing(
    desk: Desk, answers: list[Outcome], hours: float
) -> None:
    desk.team.answers = answers
    await desk.happens("A", to=("team",))
    with capture_logs() as logs:
        await desk.live(hours)
    desk.team.answers = []
    await desk.happens("B", to=("team",))
    await desk.live(1)

    (dead,) = (await desk.store.outbox()).messages
    assert dead.state is MessageState.DEAD
    assert desk.team.names() == [["B"]]
    assert [it["log_level"] for it in logs if it["event"] == "message.dead"] == ["error"]


async def test_a_receiver_that_takes_everything_and_never_answers_gets_few_copies(
    desk: Desk,
) -> None:
    desk.team.answers = [UNANSWERED] * 100
    await desk.happens("A", to=("team",))
    began = await desk.live(7.5 * 24)

    assert len(began) == 18
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert max(gaps[:2]) < timedelta(minutes=1)
    assert gaps[2] == timedelta(hours=6)
    assert set(gaps[3:]) == {timedelta(hours=12)}
    (dead,) = (await desk.store.outbox()).messages
    assert dead.state is MessageState.DEAD


async def test_each_new_text_is_tried_once_while_no_answers_come(desk: Desk) -> None:
    desk.team.answers = [UNANSWERED] * 100
    await desk.happens("A", to=("team",))
    await desk.live(1)
    for letter in "BCDEF":
        await desk.happens(letter, to=("team",))
        await desk.live(1)

    assert desk.team.copies() == [3, 1, 1, 1, 1, 1]


async def test_where_no_answer_comes_for_a_week_every_text_is_given_up(desk: Desk) -> None:
    desk.team.answers = [UNANSWERED] * 200
    for letter in "ABCDEF":
        await desk.happens(letter, to=("team",))
        await desk.live(24)
    await desk.live(8 * 24)

    assert {it.state for it in (await desk.store.outbox()).messages} == {MessageState.DEAD}
    assert max(desk.team.copies()) <= 18
    # Every try of what may have arrived, of whichever text, is 12 hours after the one before.
    assert len(desk.team.tried) <= 6 + 18 + 2 * 6


async def test_with_the_first_answer_everything_is_sent_that_may_not_have_arrived(
    desk: Desk,
) -> None:
    desk.team.answers = [UNANSWERED] * 5
    for letter in "ABC":
        await desk.happens(letter, to=("team",))
        await desk.live(1)
    await desk.happens("D", to=("team",))
    await desk.live(0.1)

    assert desk.team.names() == [["D"], ["A"], ["B"], ["C"]]
    # And it is a receiver like any other again.
    desk.team.answers = [UNANSWERED]
    await desk.happens("E", to=("team",))
    await desk.live(0.1)
    assert desk.team.names()[-1] == ["E"]


async def test_how_often_no_answer_came_survives_a_restart_and_other_failures(
    tmp_path: Path,
) -> None:
    team = Inbox("team", [UNANSWERED, BUSY, UNANSWERED, GONE, UNANSWERED, UNANSWERED])
    path, tries = tmp_path / "state.db", []
    for hour in range(6):
        async with open_store(path) as store:
            desk = Desk(store, team, Inbox("mail"), seconds=hour * 3600)
            if hour in {0, 4}:
                await desk.happens("AB"[hour // 4], to=("team",))
            await desk.outbox(team).deliver_all()
            tries.append(len(team.tried))

    # The third without an answer was that of the second text: the next comes six hours later.
    assert tries == [1, 2, 3, 4, 5, 5]


async def test_a_person_may_have_what_waits_long_tried_at_once(desk: Desk) -> None:
    desk.team.answers = [UNANSWERED] * 4
    await desk.happens("A", to=("team",))
    await desk.live(1)
    request = RetryMessages(desk.now())
    assert await desk.store.apply(request) == 1
    await desk.live(1)
    # Applied twice, it is done once.
    assert await desk.store.apply(request) == 0
    await desk.live(1)

    # One more try, not three.
    assert desk.team.copies() == [4]


@pytest.mark.parametrize("years", [-10, 10])
@pytest.mark.parametrize("answer", [BUSY, UNANSWERED], ids=["busy", "unanswered"])
async def test_a_clock_that_jumps_by_years_makes_nothing_dead_and_stops_nothing(
    desk: Desk, answer: Outcome, years: int
) -> None:
    desk.team.answers = [answer] * 4
    await desk.happens("A", to=("team",))
    await desk.live(0.01)
    desk.seconds += years * 365 * 86400
    await desk.happens("B", to=("team",))
    await desk.live(0.01)
    desk.seconds -= years * 365 * 86400
    await desk.live(0.5)

    assert {it.state for it in (await desk.store.outbox()).messages} <= {MessageState.OPEN}
    await desk.live(13)
    assert sorted(chain.from_iterable(desk.team.names())) == ["A", "B"]


async def test_a_machine_that_sleeps_for_weeks_between_two_tries_makes_nothing_dead(
    desk: Desk,
) -> None:
    desk.team.answers = [BUSY] * 3
    await desk.happens("A", to=("team",))
    for _ in range(4):
        await desk.live(0.001)
        desk.seconds += 30 * 86400

    assert desk.team.names() == [["A"]]


async def test_a_dead_letter_can_be_sent_again_with_its_text(desk: Desk) -> None:
    desk.team.answers = [GONE]
    await desk.happens("A", to=("team",))
    await desk.round(at=0)
    await desk.store.apply(RetryMessages(desk.now()))

    await desk.round(at=1)

    assert desk.team.accepted == desk.team.tried[:1]


async def test_a_failing_receiver_is_logged_once_and_so_is_its_recovery(desk: Desk) -> None:
    desk.team.answers = [BUSY] * 3
    await desk.happens("A", to=("team",))
    outbox = desk.outbox(desk.team)
    with capture_logs() as logs:
        for hour in range(5):
            desk.seconds = hour * 3600
            await outbox.deliver_all()

    seen = [(it["event"], it["log_level"]) for it in logs]
    assert seen == [
        ("message.failed", "warning"),
        ("message.failed", "debug"),
        ("message.failed", "debug"),
        ("message.sent", "info"),
        ("receiver.recovered", "info"),
    ]


async def test_an_alert_id_that_is_taken_is_drawn_again(desk: Desk) -> None:
    for letter in "AB":
        await desk.happens(letter, to=("team",))
        # The same seed each time: the same first id.
        await outbox(desk, Random(5), desk.team).deliver_all()

    ids = [alert_id for _, _, alert_id in desk.team.accepted]
    assert len(set(ids)) == 2


def test_an_alert_id_is_short_and_can_be_read_out() -> None:
    ids = [new_alert_id(Random(n)) for n in range(200)]
    assert all(re.fullmatch("[a-z2-9]{8}", it) for it in ids)


async def until(truth: Callable[[], bool]) -> None:
    while not truth():  # noqa: ASYNC110 - a turn of the loop, not a wait
        await asyncio.sleep(0)


class Patient(Inbox):
    """A receiver that takes as long as it is made to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        self.begun.set()
        await self.may_end.wait()
        return await super().send(title, body, alert_id, markup, picture)


async def test_a_slow_receiver_holds_up_no_other_in_the_daemon(desk: Desk) -> None:
    slow, stop = Patient("team"), asyncio.Event()
    outbox = desk.outbox(slow, desk.mail)
    await desk.happens("A")
    working = asyncio.create_task(outbox.run(stop))
    await asyncio.wait_for(slow.begun.wait(), 10)

    await desk.happens("B")
    outbox.wake()
    await until(lambda: desk.mail.names() == [["A"], ["B"]])

    assert slow.accepted == []
    slow.may_end.set()
    await until(lambda: len(slow.accepted) == 2)
    stop.set()
    await working


class Waits(Observer):
    """When each task begins a round, and when it rests."""

    def __init__(self) -> None:
        self.asked: list[timedelta | None] = []

    def check_in(self, who: str, within: timedelta | None) -> None:
        if who.startswith("outbox:"):
            self.asked.append(within)


async def test_what_waits_for_days_is_looked_at_again_as_the_clock_may_jump(
    tmp_path: Path,
) -> None:
    weekly = Route("weekly", Matcher(), ("team",), digest="0 8 * * 1")
    rules = MessageRules(RoutingRules(("team",), routes=(weekly,)), parse_silence)
    async with open_store(tmp_path / "state.db") as store:
        team = Inbox("team")
        desk = Desk(store, team, Inbox("mail"))
        batcher = Batcher(store, rules, now=desk.now, rng=Random(1))
        outbox = Outbox(
            store,
            [team],
            batcher,
            give_up_after=timedelta(days=7),
            now=desk.now,
            rng=Random(1),
            # The quarter of an hour is a tenth of a second then, the days are a minute.
            pace=9000,
            observer=(waits := Waits()),
        )
        await outbox.deliver(team)
        change = ModelChange((Kind.NEW,), None, model("Reel A")), (Dispatch("team", "weekly"),)
        desk.seconds = 2 * 86400
        await store.record(Commit(desk.now(), model().usd_per_credit, {}, changes=(change,)))
        _, wait = await outbox.deliver(team)
        assert wait is not None
        assert wait > timedelta(days=5)
        stop = asyncio.Event()
        working = asyncio.create_task(outbox.run(stop))
        await until(lambda: len(waits.asked) == 2)
        desk.seconds += 7 * 86400
        await asyncio.wait_for(until(lambda: bool(team.accepted)), 20)
        stop.set()
        await working


async def test_a_receiver_that_breaks_inside_is_tried_again_and_takes_nothing_down(
    desk: Desk,
) -> None:
    class Broken(Inbox):
        async def send(
            self,
            title: str,
            body: str,
            alert_id: str,
            markup: str | None = None,
            picture: bytes | None = None,
        ) -> Outcome:
            self.tried.append((title, body, alert_id))
            raise RuntimeError("a bug of ours")

    broken, stop = Broken("team"), asyncio.Event()
    outbox = desk.outbox(broken, desk.mail)
    await desk.happens("A")
    with capture_logs() as logs:
        working = asyncio.create_task(outbox.run(stop))
        await until(lambda: bool(broken.tried and desk.mail.accepted))
        await until(lambda: any(it["event"] == "outbox.crashed" for it in logs))
        stop.set()
        await working

    assert desk.mail.names() == [["A"]]
    (kept,) = (await desk.store.outbox()).messages
    assert kept.state is MessageState.OPEN


async def test_whoever_asks_is_told_of_once_it_is_done(desk: Desk, tmp_path: Path) -> None:
    request = DiscardMessages(START)
    heard: list[list[Request]] = []
    rng = Random(1)
    outbox = Outbox(
        desk.store,
        (desk.team, desk.mail),
        Batcher(desk.store, TELLING, now=desk.now, rng=rng),
        give_up_after=timedelta(days=7),
        now=desk.now,
        rng=rng,
        requested=lambda asked: heard.append(list(asked)),
    )
    await desk.happens("A")
    requests.leave_request(tmp_path / "state.db", request)

    await outbox.take_requests()
    await outbox.take_requests()

    assert heard == [[request]]
    assert await receivers_due(desk.store) == ()


async def test_a_mistake_over_requests_does_not_end_the_sending(desk: Desk, tmp_path: Path) -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("a bug of ours")

    rng, stop = Random(1), asyncio.Event()
    outbox = Outbox(
        desk.store,
        (desk.team,),
        Batcher(desk.store, TELLING, now=desk.now, rng=rng),
        give_up_after=timedelta(days=7),
        now=desk.now,
        rng=rng,
        requested=breaks,
    )
    requests.leave_request(tmp_path / "state.db", RetryMessages(START))
    with capture_logs() as logs:
        working = asyncio.create_task(outbox.run(stop))
        await until(lambda: any(it["event"] == "outbox.requests_crashed" for it in logs))
        await desk.happens("A")
        outbox.wake()
        await until(lambda: bool(desk.team.accepted))
        stop.set()
        await working

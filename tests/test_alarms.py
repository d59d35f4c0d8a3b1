"""What operators are told of, when, once each, and that it is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import methodcaller

import pytest

from watcher.catalog.changes import Notice, NoticeKind
from watcher.monitor.alarms import AlarmKind, AlarmRules, Alarms, recipients
from watcher.render.markup import Markup, Service
from watcher.render.message import render
from watcher.render.outline import Envelope
from watcher.store.values import ReceiverStatus

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RULES = AlarmRules(operators=("ops",), receivers=("ops", "team"))

# Something that happens: a method of `Alarms`, with what it gets.
Fact = Callable[[Alarms], None]


def poll_failed(reason: str, why: str, status: int | None = None) -> Fact:
    return methodcaller("poll_failed", why, reason, status)


def configured(problem: str | None = None) -> Fact:
    return methodcaller("configured", problem)


def jumped(by: timedelta) -> Fact:
    return methodcaller("clock_jumped", by)


def collapse(held: bool | None, recovered: bool = False, models: int = 0) -> Fact:
    return methodcaller("follow_collapse", held, recovered=recovered, models=models)


def unreadable(*problems: str) -> Fact:
    return methodcaller("follow_unreadable", problems)


UNREADABLE = unreadable("'Reel 2, 1080p': creditPrice: '1,200' can be read in two ways")
READABLE = unreadable()
GOOD = methodcaller("poll_succeeded")
SLOW = "GET model-pricing/count: no complete reply within 20 s"
TIMEOUT = poll_failed("transport", SLOW)
SHAPE = poll_failed("shape", "GET model-pricing/count: data has no 'all'")
SCHEMA = poll_failed(
    "schema",
    "sweep: 570 of 570 records cannot be understood, such as 'creditPrice: missing'; "
    "the API seems to have changed",
)
REGION = poll_failed(
    "envelope",
    "GET model-pricing/count: code 4030, 'Not supported in the current region.'",
    4030,
)
FORBIDDEN = poll_failed("status", "POST model-pricing/page (page 1): status 403 Forbidden", 403)
TOO_MANY = poll_failed("status", "GET model-pricing/count: status 429 Too Many Requests", 429)
FULL = "/var/lib/kie-watcher/db: the disk is full. Make room"
QUOTING = poll_failed("envelope", "sweep: code 500, 'upstream: status 403'", 500)
DISK = poll_failed("state", FULL)
STATE_FAILED = methodcaller("state_failed", FULL)
STATE_WRITTEN = methodcaller("state_written")
TIME_PASSED = methodcaller("time_passed")
FAILED = methodcaller("send_failed", "team", "the service failed (503)")
UNANSWERED = methodcaller("send_unanswered", "team", "no answer in time; it may have arrived")
ACCEPTED = methodcaller("send_accepted", "team")


class Watch:
    """A watch at work: facts at minutes in, notices out; what is kept survives `restart`."""

    def __init__(self) -> None:
        self.now = START
        self.told: list[tuple[Notice, tuple[str, ...]]] = []
        self.alarms = Alarms(RULES, lambda: self.now)

    def learns(self, minute: float, *facts: Fact) -> list[str]:
        self.now = START + timedelta(minutes=minute)
        told: list[tuple[Notice, tuple[str, ...]]] = []
        for fact in facts:
            fact(self.alarms)
            told.extend(self.alarms.take_notices())
        self.told.extend(told)
        return [said(notice) for notice, _ in told]

    def restart(self, minute: float) -> None:
        self.now = START + timedelta(minutes=minute)
        kept = json.loads(json.dumps(self.alarms.to_json()))
        self.alarms = Alarms(RULES, lambda: self.now)
        self.alarms.restore(kept)


def said(notice: Notice) -> str:
    over = " over" if notice.kind is NoticeKind.ALARM_OVER else ""
    about = notice.detail["about"]
    return f"{notice.detail['alarm']}{f' {about}' if about else ''}{over}"


def waits(dead: int = 0, waiting: int = 1) -> Fact:
    status = ReceiverStatus("team", waiting, 0, dead, None, None, "refused with 403")
    return methodcaller("follow_receivers", [status])


# Each alarm: the facts that raise it, minute by minute, and those that end it.
ALARMS: dict[str, tuple[dict[float, Fact], dict[float, Fact]]] = {
    "blind": ({5: TIMEOUT, 15: TIMEOUT, 30: TIMEOUT}, {40: GOOD}),
    "blind, told between two polls": ({5: TIMEOUT, 30: TIME_PASSED}, {40: GOOD}),
    "blind, no poll ends": ({5: GOOD, 20: TIME_PASSED, 35: TIME_PASSED}, {40: GOOD}),
    "shape": ({5: SHAPE, 10: SHAPE}, {15: GOOD}),
    "shape, of the records": ({5: SCHEMA, 10: SCHEMA}, {15: GOOD}),
    "refused, the region": ({5: REGION, 10: REGION}, {15: GOOD}),
    "refused, by status": ({5: FORBIDDEN, 10: REGION}, {15: TIMEOUT, 20: GOOD}),
    "unreadable": ({0: UNREADABLE, 30: UNREADABLE, 60: UNREADABLE}, {70: READABLE}),
    "unreadable, told between two sweeps": (
        {0: UNREADABLE, 59: GOOD, 61: TIME_PASSED},
        {70: READABLE},
    ),
    "receiver": ({0: FAILED, 30: FAILED, 60: FAILED}, {70: ACCEPTED}),
    "receiver, told between two tries": (
        {0: FAILED, 50: FAILED, 59: GOOD, 61: TIME_PASSED},
        {65: ACCEPTED},
    ),
    "receiver, no answers": ({0: FAILED, 1: UNANSWERED}, {361: ACCEPTED}),
    "receiver, nothing waits": ({0: FAILED, 60: FAILED}, {70: waits(waiting=0)}),
    "dead_letter": ({5: waits(dead=1)}, {9: waits(dead=0)}),
    "state": ({5: STATE_FAILED}, {16: STATE_WRITTEN}),
    "state, found by a poll": ({5: DISK}, {6: GOOD, 16: STATE_WRITTEN}),
    "reload": ({5: configured("line 3: poll.interval: is zero")}, {9: configured()}),
    "clock": ({5: jumped(timedelta(hours=3))}, {9 - 180: jumped(timedelta(hours=-3))}),
}


@pytest.mark.parametrize(("raising", "ending"), ALARMS.values(), ids=ALARMS.keys())
def test_each_trouble_is_told_once_and_its_end_once(
    raising: dict[float, Fact],
    ending: dict[float, Fact],
    request: pytest.FixtureRequest,
) -> None:
    name = request.node.callspec.id.split(",")[0]
    watch = Watch()
    *first, last = raising.items()
    assert list(chain.from_iterable(watch.learns(at, fact) for at, fact in first)) == []
    told = watch.learns(*last)
    about = " team" if name in {"receiver", "dead_letter"} else ""
    assert told == [f"{name}{about}"]
    # The same jump a second time is another time to be at.
    assert name == "clock" or watch.learns(*last) == []
    *first, last = ending.items()
    assert list(chain.from_iterable(watch.learns(at, fact) for at, fact in first)) == []
    assert watch.learns(*last) == [f"{name}{about} over"]
    assert name == "clock" or watch.learns(*last) == []


@pytest.mark.parametrize(("raising", "ending"), ALARMS.values(), ids=ALARMS.keys())
def test_a_restart_repeats_nothing_and_forgets_nothing(
    raising: dict[float, Fact],
    ending: dict[float, Fact],
    request: pytest.FixtureRequest,
) -> None:
    watch = Watch()
    for at, fact in raising.items():
        watch.learns(at, fact)
    told = len(watch.told)
    assert told == 1
    *_, (at, fact) = raising.items()
    watch.restart(at)
    if request.node.callspec.id != "clock":
        watch.learns(at, fact, TIME_PASSED)
    assert len(watch.told) == told
    for at, fact in ending.items():
        watch.learns(at, fact)
    assert [notice.kind for notice, _ in watch.told] == [NoticeKind.ALARM, NoticeKind.ALARM_OVER]


QUIET: dict[str, dict[float, Fact]] = {
    "one failed poll": {5: TIMEOUT, 10: GOOD, 60: GOOD},
    "failed polls that end in time": {5: TIMEOUT, 29: TIMEOUT, 29.9: GOOD},
    "one odd answer": {5: SHAPE, 10: GOOD, 15: SHAPE, 20: GOOD},
    "odd answers with another failure between": {5: SHAPE, 10: TIMEOUT, 15: SHAPE},
    "a limit of the API is no refusal": {5: TOO_MANY, 10: TOO_MANY},
    "a text that quotes a refusal is none": {5: QUOTING, 10: QUOTING},
    "a price that is readable within the hour": {0: UNREADABLE, 59: READABLE, 61: UNREADABLE},
    "a receiver that recovers": {0: FAILED, 59: ACCEPTED, 62: FAILED, 120: ACCEPTED},
    "nothing dead": {5: waits(dead=0)},
    "a good configuration": {5: configured()},
    "a collapse, which every receiver is told of": {
        5: collapse(held=True),
        10: collapse(held=True),
        15: collapse(held=False, recovered=True),
    },
    "a collapse that nobody can see": {5: collapse(held=True), 10: collapse(held=None)},
}


@pytest.mark.parametrize("facts", QUIET.values(), ids=QUIET.keys())
def test_what_is_no_trouble_is_not_told(facts: dict[float, Fact]) -> None:
    watch = Watch()
    assert list(chain.from_iterable(watch.learns(at, fact) for at, fact in facts.items())) == []


def test_without_operators_every_receiver_is_told_once_of_two_days_without_a_look() -> None:
    watch = Watch()
    watch.alarms.rules = AlarmRules(operators=(), receivers=("me", "team"))
    torn = poll_failed("torn", "sweep: 3 attempts gave no complete catalogue")
    hours = 60
    told = [it for hour in range(1, 48) for it in watch.learns(hour * hours, torn, TIME_PASSED)]
    assert told == ["blind"]
    watch.restart(47.5 * hours)
    watch.alarms.rules = AlarmRules(operators=(), receivers=("me", "team"))
    told = [it for hour in range(48, 99) for it in watch.learns(hour * hours, torn, TIME_PASSED)]
    assert told == ["unseen"]
    assert watch.learns(100 * hours, GOOD) == ["blind over", "unseen over"]
    due = {said(notice): receivers for notice, receivers in watch.told}
    assert due == {
        "blind": (),
        "unseen": ("me", "team"),
        "blind over": (),
        "unseen over": ("me", "team"),
    }
    lines = [body(notice).splitlines()[0] for notice, receivers in watch.told if receivers]
    since, meanwhile = (
        "Nothing seen of Kie.ai since 2026-11-22 12:00 UTC.",
        "What changes meanwhile",
    )
    assert lines == [
        f"{since} {meanwhile} is told once its prices can be read again.",
        "Kie.ai's prices can be read again, after 4 days. What changed meanwhile is told as usual.",
    ]


def test_with_operators_they_alone_are_told() -> None:
    watch = Watch()
    told = [it for hour in range(1, 99) for it in watch.learns(hour * 60, TIMEOUT, TIME_PASSED)]
    assert told == ["blind"]
    assert watch.learns(99 * 60, GOOD) == ["blind over"]


def test_a_restart_during_an_outage_does_not_start_the_clock_anew() -> None:
    watch = Watch()
    watch.learns(5, TIMEOUT)
    watch.restart(20)
    assert watch.learns(30, TIMEOUT) == ["blind"]


def test_a_watcher_that_was_switched_off_is_not_blind_at_its_first_failed_poll() -> None:
    watch = Watch()
    watch.learns(5, GOOD)
    watch.restart(5000)
    assert watch.learns(5001, TIMEOUT, TIME_PASSED) == []


def test_the_reason_told_is_the_latest_and_the_time_that_of_the_last_good_poll() -> None:
    watch = Watch()
    watch.learns(3, GOOD)
    watch.learns(8, TOO_MANY)
    watch.learns(40, TIMEOUT)
    ((notice, receivers),) = watch.told
    assert notice.detail == {
        "alarm": "blind",
        "about": None,
        "since": "2026-11-22T12:03:00Z",
        "why": SLOW,
        "count": 0,
    }
    assert receivers == ("ops",)


def test_a_collapse_held_to_its_end_is_told_to_operators() -> None:
    watch = Watch()
    watch.learns(5, collapse(held=True))
    watch.restart(60)
    assert watch.learns(400, collapse(held=False, models=160)) == ["collapse over"]
    assert "160 models on sale" in body(watch.told[-1][0])


def test_another_unreadable_row_must_last_an_hour_as_well() -> None:
    watch = Watch()
    watch.learns(0, UNREADABLE)
    watch.learns(60, UNREADABLE)

    assert watch.learns(70, unreadable("one", "two")) == []
    assert watch.learns(129, unreadable("one", "two")) == []
    assert watch.learns(130, unreadable("one", "two")) == ["unreadable"]
    assert watch.learns(140, UNREADABLE) == []
    assert watch.learns(150, READABLE) == ["unreadable over"]


def test_more_dead_messages_are_told_a_day_later_and_not_each() -> None:
    watch = Watch()
    assert watch.learns(0, waits(dead=1)) == ["dead_letter team"]
    assert watch.learns(60, waits(dead=2)) == []
    assert watch.learns(24 * 60, waits(dead=3)) == ["dead_letter team"]
    assert watch.told[-1][0].detail["count"] == 3
    assert watch.learns(72 * 60, waits(dead=3)) == []
    assert watch.learns(73 * 60, waits(dead=2)) == []
    assert watch.learns(74 * 60, waits(dead=3)) == ["dead_letter team"]
    assert watch.learns(75 * 60, methodcaller("follow_receivers", [])) == ["dead_letter team over"]


def test_a_failing_receiver_whose_messages_died_is_not_said_to_work() -> None:
    watch = Watch()
    watch.learns(0, FAILED)
    watch.learns(60, FAILED)
    assert watch.learns(70, waits(dead=1, waiting=0)) == ["dead_letter team"]
    assert watch.learns(80, ACCEPTED) == ["receiver team over"]


def test_of_a_receiver_that_gives_no_answers_it_is_said_how_rarely_it_is_tried() -> None:
    watch = Watch()
    watch.learns(0, FAILED, UNANSWERED)
    assert "tried again, but as it may have arrived, only after 6 h" in body(watch.told[-1][0])


def test_a_disk_that_has_room_now_and_then_is_one_trouble() -> None:
    watch = Watch()
    told = [watch.learns(minute, STATE_FAILED) for minute in range(0, 60, 5)]
    told += [watch.learns(minute + 1, STATE_WRITTEN) for minute in range(55, 64, 4)]
    assert list(chain.from_iterable(told)) == ["state"]
    assert watch.learns(66, STATE_WRITTEN) == ["state over"]


def test_another_mistake_in_the_configuration_is_told_again() -> None:
    watch = Watch()
    assert watch.learns(0, configured("line 3: is zero")) == ["reload"]
    assert watch.learns(1, configured("line 3: is zero")) == []
    assert watch.learns(2, configured("line 4: is no kind")) == ["reload"]
    assert watch.learns(3, configured()) == ["reload over"]


@pytest.mark.parametrize("hours", [30, -30])
def test_a_clock_that_jumps_makes_nothing_last_longer_or_shorter(hours: int) -> None:
    watch = Watch()
    watch.learns(0, FAILED, TIMEOUT)
    jump = timedelta(hours=hours)
    after = hours * 60
    assert watch.learns(10 + after, jumped(jump)) == ["clock"]
    assert watch.learns(29 + after, TIMEOUT, FAILED, TIME_PASSED) == []
    assert watch.learns(30 + after, TIMEOUT) == ["blind"]
    assert watch.learns(59 + after, FAILED) == []
    assert watch.learns(60 + after, FAILED) == ["receiver team"]


def test_a_clock_set_back_by_years_between_two_processes_puts_no_alarm_off_for_years() -> None:
    watch = Watch()
    watch.learns(10 * 365 * 24 * 60, FAILED)
    watch.restart(0)
    assert watch.learns(59, FAILED) == []
    assert watch.learns(60, FAILED) == ["receiver team"]


def test_a_clock_that_jumps_to_and_fro_is_one_trouble_and_a_day_later_another() -> None:
    watch = Watch()
    hour = timedelta(hours=1)
    assert watch.learns(0, jumped(hour)) == ["clock"]
    assert watch.learns(1, jumped(2 * hour), jumped(-hour)) == []
    assert watch.learns(2, GOOD, TIME_PASSED) == []
    assert watch.learns(30 * 60, GOOD, TIME_PASSED) == []
    assert watch.learns(30 * 60 + 1, jumped(-hour)) == ["clock"]


AUDIENCES = {
    "about nobody": (None, ("ops", "me"), ("ops", "me", "team"), ("ops", "me")),
    "about an operator": ("ops", ("ops", "me"), ("ops", "me", "team"), ("me",)),
    "about the only operator": ("ops", ("ops",), ("ops", "me", "team"), ("me", "team")),
    "about the only receiver": ("ops", ("ops",), ("ops",), ()),
    "about another": ("team", ("ops",), ("ops", "team"), ("ops",)),
    "no operators": ("team", (), ("ops", "team"), ()),
}


@pytest.mark.parametrize(
    ("about", "operators", "receivers", "told"), AUDIENCES.values(), ids=AUDIENCES.keys()
)
def test_a_message_about_a_receiver_never_goes_only_there(
    about: str | None,
    operators: tuple[str, ...],
    receivers: tuple[str, ...],
    told: tuple[str, ...],
) -> None:
    assert recipients(about, operators, receivers) == told


def test_troubles_of_a_receiver_that_left_the_configuration_end_in_silence() -> None:
    watch = Watch()
    watch.learns(0, FAILED, waits(dead=1))
    watch.alarms.rules = AlarmRules(operators=("ops",), receivers=("ops",))
    assert watch.learns(1, waits(dead=1)) == []
    assert watch.alarms.to_json() == {"alarms": []}


def test_a_book_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    watch = Watch()
    watch.learns(0, waits(dead=1))
    known = watch.alarms.to_json()
    later = {"alarms": [{"kind": "flood"}, *known["alarms"], {"kind": "state"}, 7]}
    watch.alarms = Alarms(RULES, lambda: START)
    watch.alarms.restore(later)
    assert watch.alarms.to_json() == known


# Words


def body(notice: Notice, markup: Markup = Markup.TEXT, limit: int = 2000) -> str:
    return render([notice], Service("test", markup, limit, 200, None), Envelope("k7m2q9xr")).body


def notices() -> dict[str, Notice]:
    found = {}
    for facts, ends in ALARMS.values():
        watch = Watch()
        for at, fact in {**facts, **ends}.items():
            watch.learns(at, fact)
        found |= {said(notice): notice for notice, _ in watch.told}
    return found


def test_each_alarm_is_said_in_words(golden: Callable[[str, str], None]) -> None:
    service = Service("test", Markup.TEXT, 2000, 200, None)
    sms = Service("test", Markup.TEXT, 160, 0, None)
    lines = []
    for name, notice in notices().items():
        long, short = (render([notice], s, Envelope("k7m2q9xr")) for s in (service, sms))
        lines += [f"== {name}", long.title, "--", long.body, "--", short.body, ""]
    golden("alarms.txt", "\n".join(lines))


# What machines read is data, and names things as they are.
@pytest.mark.parametrize("markup", ["markdown", "text", "html", "terminal"])
def test_what_the_api_says_acts_on_nothing_in_an_operator_s_message(markup: str) -> None:
    nasty = "@everyone <b>x</b> [a](https://evil.example) `rm` \x1b[31m " * 5
    detail = {
        "alarm": AlarmKind.SHAPE.value,
        "about": "@here",
        "since": "x",
        "why": nasty,
        "count": 1,
    }
    text = body(Notice(NoticeKind.ALARM, START, detail), Markup(markup))
    assert "\x1b" not in text
    for acting in ("@everyone", "@here", "<b>", "](", "https://", "`rm`", "evil.example"):
        if markup != "terminal" or "@" not in acting:
            assert acting not in text


@pytest.mark.parametrize("kind", [NoticeKind.ALARM, NoticeKind.ALARM_OVER])
def test_an_alarm_of_a_later_version_is_said_all_the_same(kind: NoticeKind) -> None:
    text = body(Notice(kind, START, {"alarm": "flood", "why": "water"}))
    assert ("water" in text) == (kind is NoticeKind.ALARM)


@pytest.mark.parametrize("kind", list(AlarmKind))
def test_the_longest_alarm_is_said_in_the_smallest_message(kind: AlarmKind) -> None:
    detail = {"alarm": kind.value, "about": "n" * 200, "why": "words " * 100, "count": 10**6}
    notice = Notice(NoticeKind.ALARM, START, {**detail, "since": "2026-11-22T09:00:00Z"})
    for limit in (140, 160, 500, 600):
        message = render(
            [notice], Service("test", Markup.TEXT, limit, 0, None), Envelope("k7m2q9xr")
        )
        assert (message.shown, message.hidden) == (1, 0), message.body
        assert len(message.body) <= limit
        assert "something is wrong" not in message.body

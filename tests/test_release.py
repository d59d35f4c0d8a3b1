"""When it is told, and as part of what: quiet hours, digests, silences and flapping over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_market import (
    DAY,
    HOUR,
    START,
    Market,
    patterns,
    percent,
    route,
    rules,
    silence,
    simulate,
    summaries,
    summary,
)
from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind, RecordedChange
from watcher.routing.calendar import EVERY_DAY, QuietWindow
from watcher.routing.match import Matcher
from watcher.routing.net_effect import change_since
from watcher.routing.plan import Anchor, crossed_marks
from watcher.routing.release import Deferral, DeferredBy, QueuedItem, Release, release
from watcher.routing.rules import Flap, FlapRule, Route, RoutingRules, Silence
from watcher.routing.simulate import SimulatedMessage, Simulation

FIVE = {"min_up": percent("5"), "min_down": percent("5")}
URGENT = Matcher(kinds=frozenset({Kind.REMOVED}), min_up=percent("25"), min_down=percent("25"))
EVENING = START.replace(hour=22)
MORNING = START.replace(day=3, hour=7)


def nights(**rest: Any) -> QuietWindow:
    return QuietWindow("nights", time(22), time(7), **rest)


def by_night(*routes: Route, **rest: Any) -> RoutingRules:
    return rules(*(routes or (route(),)), quiet=(nights(**rest),))


def at_night() -> Market:
    """A market that opened by day and moves from eleven in the evening on, every ten minutes."""
    market = Market(step=timedelta(minutes=10)).opens_with().opens_with("10", 2)
    return market.wait(11 * HOUR)


def when(told: list[SimulatedMessage]) -> list[datetime]:
    return [message.at for message in told]


NIGHTS: list[tuple[str, Callable[[Market], Market], list[str]]] = [
    ("one move", lambda m: m.costs("110"), ["100→110"]),
    ("A → B → A is nothing", lambda m: m.costs("110", "100"), []),
    ("two moves are one", lambda m: m.costs("110", "120"), ["100→120"]),
    ("new and then removed is nothing", lambda m: m.launches(3, "5").drops(3), []),
    ("removed and then returned is nothing", lambda m: m.drops().returns("100"), []),
    ("rename and rise", lambda m: m.costs("100", name="Reel X").costs("120"), ["Reel 1, 1080p=>Reel X 100→120"]),
    ("a credit there and back", lambda m: m.credit_is_worth("0.006").credit_is_worth("0.005"), []),
    ("two models, one message", lambda m: m.costs("110").costs("12", number=2), ["100→110 10→12"]),
    ("one stays, one goes back", lambda m: m.costs("110").costs("12", number=2).costs("100"), ["10→12"]),
    ("a false alarm", lambda m: m.says(NoticeKind.COLLAPSE).says(NoticeKind.RECOVERED), []),
    ("an alarm", lambda m: m.says(NoticeKind.COLLAPSE), ["collapse"]),
    ("an alarm that ended before", lambda m: m.says(NoticeKind.RECOVERED), ["recovered"]),
    ("an alarm, its end, an alarm", lambda m: m.says(NoticeKind.COLLAPSE).says(NoticeKind.RECOVERED).says(NoticeKind.COLLAPSE), ["collapse"]),
    ("the baseline", lambda m: m.says(NoticeKind.BASELINE), ["baseline"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("play", "told"), [case[1:] for case in NIGHTS], ids=[case[0] for case in NIGHTS]
)
def test_a_night_comes_to_one_message_in_the_morning(
    play: Callable[[Market], Market], told: list[str]
) -> None:
    messages = simulate(play(at_night()), by_night())
    assert summaries(messages) == told
    assert when(messages) == [MORNING] * len(told)


def test_by_day_everything_is_told_as_it_comes() -> None:
    market = Market().opens_with().costs("110", "100")
    told = simulate(market, by_night())
    assert summaries(told) == ["100→110", "110→100"]
    assert when(told) == [START, START + HOUR]


def test_each_receiver_has_its_own_night() -> None:
    laid_down = by_night(route("all", "team", "mail"), receivers=frozenset({"team"}))
    told = simulate(at_night().costs("110", "100"), laid_down)
    assert [(each.receiver, *summaries([each])) for each in told] == [
        ("mail", "100→110"),
        ("mail", "110→100"),
    ]


def test_what_is_urgent_breaks_through_and_takes_along_what_waits_of_the_same_model() -> None:
    market = at_night().costs("110").costs("12", number=2).drops()
    told = simulate(market, by_night(urgent=URGENT))
    assert summaries(told) == ["-1", "10→12"]
    assert when(told)[0] < MORNING
    assert when(told)[1] == MORNING


@pytest.mark.parametrize(
    ("prices", "told", "at_once"),
    [
        (["126"], ["100→126"], True),
        (["124"], ["100→124"], False),
        (["74"], ["100→74"], True),
        (["115", "130"], ["100→130"], True),  # together they are urgent
        (["126", "100"], ["100→126", "126→100"], None),  # the way back is a fifth: it waits
    ],
)
def test_urgency_is_judged_by_what_the_night_came_to(
    prices: list[str], told: list[str], at_once: bool | None
) -> None:
    messages = simulate(at_night().costs(*prices), by_night(urgent=URGENT))
    assert summaries(messages) == told
    if at_once is not None:
        assert (messages[0].at < MORNING) is at_once


def test_of_two_windows_both_must_let_it_through() -> None:
    deep = QuietWindow("deep", time(23), time(5))
    laid_down = rules(route(), quiet=(nights(urgent=URGENT), deep))
    told = simulate(at_night().drops(), laid_down)
    # The deep night ends first; then it is urgent enough for what is left.
    assert when(told) == [START.replace(day=3, hour=5)]


def test_a_night_that_was_taken_out_of_the_rules_holds_nothing_back() -> None:
    market = at_night().costs("110")
    (item,) = queued(market)
    now = item.queued_at + HOUR
    assert release([item], by_night(), receiver="team", now=now).batches == ()
    (batch,) = release([item], rules(route()), receiver="team", now=now).batches
    assert batch.deliveries == (1,)


def queued(market: Market, **rest: Any) -> list[QueuedItem]:
    """The market's changes as they wait for one receiver."""
    return [
        QueuedItem(number, change, change.at, **{"route": "all"} | rest)
        for number, change in enumerate(market.changes, start=1)
    ]


def test_what_waited_only_because_the_receiver_failed_is_told_as_it_happened() -> None:
    items = queued(Market().opens_with().costs("110", "100", "105"))
    released = release(items, by_night(), receiver="team", now=START + 5 * HOUR)
    (batch,) = released.batches
    assert [summary(each) for each in batch.contents] == ["100→110", "110→100", "100→105"]
    assert batch.deliveries == (1, 2, 3)
    assert released.netted == ()
    assert released.next_at is None


@pytest.mark.parametrize(
    ("rest", "laid_down", "why"),
    [
        ({"silence_id": 1}, rules(route()), Deferral(DeferredBy.SILENCE, START + DAY)),
        ({"silence_id": 2}, rules(route()), None),
        ({"flap": Flap.HELD}, rules(route()), Deferral(DeferredBy.FLAP, START + DAY)),
        ({}, rules(route(digest="0 18 * * *")), Deferral(DeferredBy.DIGEST, START + 6 * HOUR)),
        ({}, rules(route(), quiet=(QuietWindow("siesta", time(11), time(15)),)), Deferral(DeferredBy.QUIET, START + 3 * HOUR)),
        ({}, rules(route()), None),
    ],
    ids=["a silence", "a silence that is over", "flapping", "a digest", "quiet hours", "nothing"],
)  # fmt: skip
def test_what_waits_says_for_what_and_until_when(
    rest: dict[str, Any], laid_down: RoutingRules, why: Deferral | None
) -> None:
    items = queued(Market().opens_with().costs("110"), **rest)
    released = release(items, laid_down, receiver="team", now=START, silences=[silence(START, DAY)])
    assert released.deferred.get(1) == why
    assert len(released.batches) == (why is None)


@pytest.mark.parametrize(
    ("rest", "laid_down", "told_at"),
    [
        ({}, rules(route(digest="0 18 * * *")), START + 6 * HOUR),
        ({"silence_id": 1}, rules(route(digest="0 18 * * *")), START + 6 * HOUR),
        ({"silence_id": 1}, rules(route()), START),
        ({"flap": Flap.HELD, "still_since": START + 3650 * DAY}, rules(route()), START),
        ({}, rules(route()), START),
    ],
    ids=["a digest", "a silence over a digest", "a silence", "flapping", "nothing"],
)  # fmt: skip
def test_what_was_queued_before_the_clock_was_set_back_by_years_does_not_wait_for_years(
    rest: dict[str, Any], laid_down: RoutingRules, told_at: datetime
) -> None:
    market = Market().wait(3650 * DAY).opens_with().costs("110")
    items, told = queued(market, **rest), []
    silences = [silence(START + 3650 * DAY, DAY)]
    digests: Mapping[str, datetime] = {"all": START + 3649 * DAY}
    now: datetime | None = START
    while now is not None and not told:
        released = release(
            items, laid_down, receiver="team", now=now, silences=silences, digests=digests
        )
        told = [now for _ in released.batches]
        now, digests = released.next_at, released.digests
    assert told == [told_at]


def test_the_same_change_from_two_routes_is_told_once() -> None:
    (item,) = queued(Market().opens_with().costs("110"))
    items = [item, replace(item, delivery_id=2, route="other")]
    laid_down = rules(route("all"), route("other"))
    (batch,) = release(items, laid_down, receiver="team", now=START + HOUR).batches
    assert len(batch.contents) == 1
    assert batch.deliveries == (1, 2)


def test_what_came_to_nothing_is_done_with_and_named() -> None:
    items = queued(at_night().costs("110", "100").costs("12", number=2))
    released = release(items, by_night(), receiver="team", now=MORNING)
    assert released.netted == (1, 2)
    assert released.batches[0].deliveries == (3,)


def test_it_is_known_when_to_look_again() -> None:
    items = queued(at_night().costs("110"))
    assert release(items, by_night(), receiver="team", now=items[0].queued_at).next_at == MORNING
    assert release([], by_night(), receiver="team", now=items[0].queued_at).next_at is None


def test_a_night_and_what_comes_in_the_morning_are_one_message() -> None:
    market = at_night().costs("110")
    market.wait(MORNING - market.now).costs("100")
    assert simulate(market, by_night()) == []


@pytest.mark.parametrize(
    ("zone", "evening", "morning"),
    [
        ("Europe/Berlin", "2026-03-28T21:30", "2026-03-29T05:00"),
        ("Europe/Berlin", "2026-10-24T20:30", "2026-10-25T06:00"),
        ("America/New_York", "2026-03-08T03:30", "2026-03-08T11:00"),
        ("America/New_York", "2026-11-01T02:30", "2026-11-01T12:00"),
    ],
)
def test_the_morning_of_a_clock_change_is_at_seven_too(
    zone: str, evening: str, morning: str
) -> None:
    market = Market(step=timedelta(hours=2)).opens_with()
    market.now = datetime.fromisoformat(evening).replace(tzinfo=UTC)
    market.costs("110", "120")
    told = simulate(market, replace(by_night(), zone=ZoneInfo(zone)), begun_at=market.now - DAY)
    assert summaries(told) == ["100→120"]
    assert when(told) == [datetime.fromisoformat(morning).replace(tzinfo=UTC)]


# Thresholds and nights: what the route took is not the last word.

DRIFTS_BY_NIGHT = [
    ("as far as it went", ["106"], [], ["100→106"]),
    ("further", ["106", "112"], [], ["100→112"]),
    ("a little back", ["112", "108"], [], ["100→108"]),
    ("back under the threshold", ["106", "102"], [], []),
    ("back under it, and up again by day", ["106", "102"], ["104", "105"], ["100→105"]),
    ("back under it, and further back by day", ["106", "102"], ["99", "95"], ["100→95"]),
    ("a little back, and up again by day", ["112", "108"], ["113", "114"], ["100→108", "108→114"]),
    ("to and fro", ["106", "100", "106", "100"], [], []),
    ("under it all night", ["101", "102", "103"], ["104", "105"], ["100→105"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("night", "day", "alerts"),
    [case[1:] for case in DRIFTS_BY_NIGHT],
    ids=[case[0] for case in DRIFTS_BY_NIGHT],
)
def test_a_threshold_holds_over_the_night(
    night: list[str], day: list[str], alerts: list[str]
) -> None:
    market = at_night().costs(*night)
    market.wait(DAY - 12 * HOUR + timedelta(hours=1)).costs(*day)
    calm = replace(by_night(route("mine", **FIVE)), flap=FlapRule(within=timedelta(0)))
    assert summaries(simulate(market, calm)) == alerts


def test_one_receiver_sleeps_and_the_other_does_not() -> None:
    laid_down = by_night(route("mine", "team", "mail", **FIVE), receivers=frozenset({"team"}))
    market = at_night().costs("106", "102")
    market.wait(12 * HOUR).costs("105", "107.2")
    told = simulate(market, laid_down)
    assert summaries(each for each in told if each.receiver == "team") == ["100→105"]
    assert summaries(each for each in told if each.receiver == "mail") == ["100→106"]


def test_a_route_that_hears_only_of_rises_does_not_tell_one_that_is_gone() -> None:
    rises = route("rises", kinds=frozenset({Kind.PRICE_UP}))
    assert simulate(at_night().costs("110", "100"), by_night(rises)) == []
    assert summaries(simulate(at_night().costs("110", "104"), by_night(rises))) == ["100→104"]


def test_a_mark_that_was_passed_there_and_back_by_night_is_not_told() -> None:
    mark = route("mark", usd_below=Decimal("0.48"))
    assert simulate(at_night().costs("95", "97"), by_night(mark)) == []
    assert summaries(simulate(at_night().costs("95", "90"), by_night(mark))) == ["100→90"]


@pytest.mark.parametrize(
    ("values", "prices", "expected"),
    [
        (["0.006"], [], ["credit_value"]),
        (["0.006", "0.005"], [], []),
        (["0.006"], ["101"], ["price_up+discount_down+credit_value"]),
    ],
    ids=["passed", "there and back", "and another price"],
)
def test_a_mark_that_the_value_of_a_credit_passed_by_night_is_told_in_the_morning(
    values: list[str], prices: list[str], expected: list[str]
) -> None:
    laid_down = by_night(route("mark", usd_above=Decimal("0.55")))
    market = at_night()
    for value in values:
        before = market.on_sale[1]
        market.credit_is_worth(value)
        crossing = crossed_marks([(1, before, market.on_sale[1])], laid_down)
        market.news += [RecordedChange(100, market.now, it) for it in crossing]
    told = simulate(market.costs(*prices), laid_down)
    changes = [
        it.change
        for message in told
        for it in message.batch.contents
        if isinstance(it, RecordedChange)
    ]
    assert ["+".join(sorted(change.kinds, key=list(Kind).index)) for change in changes] == expected


def test_a_mark_is_said_once_for_each_time_it_is_passed() -> None:
    mark = rules(route("mark", usd_below=Decimal("0.48")))
    market = Market(step=DAY).opens_with().costs("97", "96", "95", "90", "97", "96", "80")
    assert summaries(simulate(market, mark)) == ["97→96", "97→96"]


def test_what_only_was_relabelled_in_the_end_is_told_to_nobody() -> None:
    market = at_night().costs("110").costs("100", anchor="https://kie.ai/other")
    assert simulate(market, by_night()) == []


def test_the_anchor_goes_back_where_nothing_was_told() -> None:
    market = at_night().costs("106", "102")
    items = queued(market, route="mine", current=market.on_sale[1])
    laid_down = by_night(route("mine", **FIVE))
    released = release(items[:1], laid_down, receiver="team", now=MORNING)
    change = market.changes[0].change
    assert isinstance(change, ModelChange)
    assert change.before is not None
    assert released.netted == (1,)
    assert released.anchors == (Anchor("mine", "team", 1, change.before),)


# Digests

MONDAYS = "0 9 * * 1"
NEXT_MONDAY = START.replace(day=9, hour=9)


def weekly(**rest: Any) -> Route:
    return route("weekly", "mail", digest=MONDAYS, **rest)


def test_a_digest_gathers_to_its_moment_and_tells_the_net_effect() -> None:
    market = Market(step=DAY).opens_with().opens_with("10", 2).opens_with("1", 3)
    market.costs("110").costs("12", number=2).costs("120").costs("10", number=2).costs(
        "0.5", number=3
    )
    told = simulate(market, rules(weekly()))
    assert summaries(told) == ["100→120 1→0.5"]
    assert when(told) == [NEXT_MONDAY]
    (message,) = told
    assert message.batch.digest is not None
    digest = message.batch.digest
    assert (digest.route, digest.since_at, digest.until_at) == ("weekly", START - HOUR, NEXT_MONDAY)
    assert [summary(each) for each in digest.rises] == ["100→120"]
    assert [summary(each) for each in digest.falls] == ["1→0.5"]
    assert digest.counts[Kind.PRICE_UP] == 1
    assert digest.counts[Kind.PRICE_DOWN] == 1
    assert Kind.NEW not in digest.counts
    assert digest.change_count == 5
    assert len(message.batch.deliveries) == 3


def test_the_biggest_moves_come_first_and_are_few() -> None:
    market = Market(step=HOUR)
    for number in range(1, 20):
        market.opens_with("100", number)
    for number in range(1, 20):
        market.costs(str(100 + number * (1 if number % 2 else -1)), number=number)
    (message,) = simulate(market, rules(weekly()))
    assert message.batch.digest is not None
    assert [summary(each) for each in message.batch.digest.rises] == [
        f"100→{price}" for price in (119, 117, 115, 113, 111)
    ]
    assert [summary(each) for each in message.batch.digest.falls] == [
        f"100→{price}" for price in (82, 84, 86, 88, 90)
    ]


def test_a_week_goes_from_one_digest_to_the_next() -> None:
    market = Market(step=7 * DAY).opens_with().costs("110", "120", "130")
    told = simulate(market, rules(weekly()), until=START + 22 * DAY)
    assert summaries(told) == ["100→110", "110→120", "120→130"]
    periods = [
        (each.batch.digest.since_at, each.batch.digest.until_at)
        for each in told
        if each.batch.digest
    ]
    assert periods == [
        (START - HOUR, NEXT_MONDAY),
        (NEXT_MONDAY, NEXT_MONDAY + 7 * DAY),
        (NEXT_MONDAY + 7 * DAY, NEXT_MONDAY + 14 * DAY),
    ]


@pytest.mark.parametrize("late", [HOUR, 3 * DAY, 30 * DAY])
def test_a_digest_that_fell_into_downtime_is_sent_once_at_the_next_start(late: timedelta) -> None:
    items = queued(Market().opens_with().costs("110", "120"), route="weekly")
    now = NEXT_MONDAY + late
    digests = {"weekly": START - HOUR}
    first = release(items, rules(weekly()), receiver="mail", now=now, digests=digests)
    assert [len(batch.contents) for batch in first.batches] == [1]
    again = release([], rules(weekly()), receiver="mail", now=now, digests=first.digests)
    assert again.batches == ()


def test_what_came_after_the_moment_waits_for_the_next() -> None:
    market = Market().opens_with()
    market.now = NEXT_MONDAY - HOUR
    items = queued(market.costs("110", "120").wait(HOUR).costs("130"), route="weekly")
    released = release(items, rules(weekly()), receiver="mail", now=NEXT_MONDAY + 5 * HOUR)
    assert [summary(each) for batch in released.batches for each in batch.contents] == ["100→110"]
    assert released.next_at == NEXT_MONDAY + 7 * DAY


def test_an_empty_digest_is_sent_only_where_it_is_asked_for() -> None:
    until = START + 15 * DAY
    assert simulate(Market(), rules(weekly()), until=until) == []
    told = simulate(Market(), rules(weekly(empty=True)), until=until)
    assert summaries(told) == ["", ""]
    assert when(told) == [NEXT_MONDAY, NEXT_MONDAY + 7 * DAY]
    assert all(each.batch.digest is not None for each in told)


def test_a_digest_that_comes_to_nothing_is_empty() -> None:
    market = Market(step=HOUR).opens_with().costs("110", "100")
    assert simulate(market, rules(weekly()), until=START + 8 * DAY) == []
    (message,) = simulate(market, rules(weekly(empty=True)), until=START + 8 * DAY)
    assert message.batch.contents == ()
    assert message.batch.digest is not None
    assert message.batch.digest.change_count == 2


def test_a_digest_that_is_new_does_not_look_back() -> None:
    released = release([], rules(weekly(empty=True)), receiver="mail", now=START)
    assert released.batches == ()
    assert released.digests == {"weekly": START}
    assert released.next_at == NEXT_MONDAY


def test_digests_and_news_are_messages_of_their_own() -> None:
    laid_down = rules(
        weekly(continues=True),
        route("daily", "mail", digest="0 18 * * *", continues=True),
        route("now", "mail"),
    )
    told = simulate(
        Market(step=HOUR).opens_with().costs("110", "100", "105"), laid_down, until=START + 8 * DAY
    )
    assert summaries(told) == ["100→110", "110→100", "100→105", "100→105", "100→105"]
    assert [each.batch.digest and each.batch.digest.route for each in told] == [
        None, None, None, "daily", "weekly",
    ]  # fmt: skip


def test_a_digest_whose_moment_falls_into_a_night_comes_in_the_morning() -> None:
    laid_down = by_night(route("daily", digest="0 3 * * *"), urgent=Matcher())
    told = simulate(at_night().costs("110"), laid_down, until=START + 2 * DAY)
    assert when(told) == [MORNING]


def test_a_digest_comes_by_the_local_clock() -> None:
    market = Market(step=7 * DAY).opens_with()
    market.now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    market.costs("110", "120")
    laid_down = rules(weekly(), zone=ZoneInfo("Europe/Berlin"))
    told = simulate(market, laid_down, begun_at=market.now - 30 * DAY, until=market.now)
    assert [at.hour for at in when(told)] == [8, 7]


def test_a_route_that_is_no_longer_there_holds_nothing_back() -> None:
    items = queued(Market().opens_with().costs("110", "120"), route="weekly")
    (batch,) = release(items, rules(route("now", "mail")), receiver="mail", now=START + DAY).batches
    assert [summary(each) for each in batch.contents] == ["100→120"]
    assert batch.digest is None


def test_a_digest_that_became_a_route_like_others_holds_nothing_back() -> None:
    items = queued(Market().opens_with().costs("110"), route="weekly")
    (batch,) = release(
        items, rules(route("weekly", "mail")), receiver="mail", now=START + DAY
    ).batches
    assert batch.digest is None


def test_a_threshold_holds_over_a_digest() -> None:
    laid_down = rules(weekly(**FIVE))
    market = Market(step=DAY).opens_with().costs("106", "102")
    assert simulate(market, laid_down, until=START + 8 * DAY) == []
    market.wait(7 * DAY).costs("104", "106")
    told = simulate(market, laid_down, until=START + 22 * DAY)
    assert summaries(told) == ["100→106"]


# Silences


def test_what_a_silence_caught_comes_as_its_net_effect_at_its_end() -> None:
    market = Market(step=HOUR).opens_with().opens_with("10", 2)
    market.costs("110").costs("12", number=2).costs("100")
    told = simulate(market, rules(route()), silences=[silence(START, 3 * DAY)])
    assert summaries(told) == ["10→12"]
    assert when(told) == [START + 3 * DAY]


def test_what_a_silence_does_not_match_is_told_meanwhile() -> None:
    market = Market(step=HOUR).opens_with().opens_with("10", 2).costs("110").costs("12", number=2)
    first = silence(START, DAY, matcher=Matcher(model=patterns("reel 1,*")))
    told = simulate(market, rules(route()), silences=[first])
    assert summaries(told) == ["10→12", "100→110"]


def test_a_silence_that_drops_leaves_nothing_for_its_end() -> None:
    market = Market(step=HOUR).opens_with().costs("110").wait(DAY).costs("120")
    assert summaries(
        simulate(market, rules(route()), silences=[silence(START, DAY, drop=True)])
    ) == ["110→120"]


def test_what_a_silence_dropped_does_not_come_back_with_the_next_move() -> None:
    market = Market(step=HOUR).opens_with().costs("150").wait(DAY).costs("151", "160")
    quiet = silence(START, DAY, drop=True)
    assert summaries(simulate(market, rules(route("mine", **FIVE)), silences=[quiet])) == [
        "150→160"
    ]


def test_a_silence_that_is_ended_early_holds_nothing_longer() -> None:
    market = Market(step=HOUR).opens_with().costs("110")
    quiet = silence(START, 3 * DAY, ended_at=START + 2 * HOUR)
    told = simulate(market, rules(route()), silences=[quiet])
    assert when(told) == [START + 2 * HOUR]


def test_a_silence_that_nobody_knows_any_more_holds_nothing() -> None:
    items = queued(Market().opens_with().costs("110"), silence_id=99)
    assert len(release(items, rules(route()), receiver="team", now=START).batches) == 1


@pytest.mark.parametrize(
    ("ends_at", "told_at"),
    [
        (START.replace(day=3, hour=3), MORNING),  # in the night: then it is still quiet
        (START.replace(day=3, hour=12), START.replace(day=3, hour=12)),
    ],
)
def test_a_silence_over_a_night_and_a_night_over_a_silence(
    ends_at: datetime, told_at: datetime
) -> None:
    quiet = silence(START, ends_at - START)
    told = simulate(at_night().costs("110", "120"), by_night(), silences=[quiet])
    assert summaries(told) == ["100→120"]
    assert when(told) == [told_at]


def test_a_silence_over_the_moment_of_a_digest_puts_it_off_to_the_next() -> None:
    market = Market().opens_with().costs("110")
    quiet = silence(START, 10 * DAY)
    told = simulate(market, rules(weekly()), silences=[quiet], until=START + 20 * DAY)
    assert when(told) == [NEXT_MONDAY + 7 * DAY]


def test_a_removal_that_no_silence_caught_leaves_nothing_to_say_at_its_end() -> None:
    prices = Matcher(kinds=frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN}))
    market = Market(step=HOUR).opens_with().costs("110").drops()
    told = simulate(market, rules(route()), silences=[silence(START, DAY, matcher=prices)])
    assert summaries(told) == ["-1"]
    assert told[0].batch.deliveries == (1, 2)


# Flapping


def flapping(*prices: str, step: timedelta = HOUR) -> Market:
    return Market(step=step).opens_with("1").costs(*prices)


def test_a_price_that_flaps_is_announced_once_and_told_when_it_stood_still() -> None:
    market = flapping("2", "1", "2", "1", "2", "1", "2", "1", "3")
    told = simulate(market, rules(route()))
    assert summaries(told) == ["1→2", "2→1", "1→2", "2→1", "1→2", "2→3"]
    assert [bool(each.batch.flapping) for each in told] == [False] * 4 + [True, False]
    assert told[-1].at == market.now - HOUR + DAY
    assert told[4].batch.flapping == {5}


def test_a_price_that_flaps_back_to_what_was_announced_is_nothing_more() -> None:
    told = simulate(flapping("2", "1", "2", "1", "2", "1", "2"), rules(route()))
    assert summaries(told) == ["1→2", "2→1", "1→2", "2→1", "1→2"]


def test_four_times_to_and_fro_is_not_flapping() -> None:
    told = simulate(flapping("2", "1", "2", "1"), rules(route()))
    assert not any(each.batch.flapping for each in told)
    assert len(told) == 4


def test_a_price_that_climbs_all_day_does_not_flap() -> None:
    told = simulate(flapping(*map(str, range(2, 12))), rules(route()))
    assert len(told) == 10


def test_a_price_that_flaps_again_is_announced_again() -> None:
    market = (
        flapping("2", "1", "2", "1", "2", "1").wait(3 * DAY).costs("2", "1", "2", "1", "2", "1")
    )
    told = simulate(market, rules(route()))
    assert sum(bool(each.batch.flapping) for each in told) == 2


def test_a_price_that_never_stands_still_is_never_told_again() -> None:
    market = flapping("2", "1", "2", "1", "2")
    for _ in range(20):
        market.wait(10 * HOUR).costs("1").wait(10 * HOUR).costs("2")
    told = simulate(market, rules(route()))
    assert len(told) == 5


def test_a_model_that_flapped_and_went_is_told_to_be_gone_at_once() -> None:
    market = flapping("2", "1", "2", "1", "2", "1", "3").drops()
    told = simulate(market, rules(route()))
    assert summaries(told)[-1] == "-1"
    assert told[-1].at == market.now - HOUR
    assert told[-1].batch.deliveries == (6, 7, 8)


def test_a_price_that_began_to_flap_by_night_is_announced_in_the_morning() -> None:
    market = at_night().costs("12", "10", "12", "10", "12", "10", "12", number=2)
    told = simulate(market, by_night())
    assert summaries(told) == ["10→12"]
    assert told[0].batch.flapping == {5}
    assert when(told) == [MORNING]


def test_a_route_that_sees_only_rises_is_told_of_the_flapping_too() -> None:
    rises = rules(route("rises", kinds=frozenset({Kind.PRICE_UP})))
    told = simulate(flapping("0.5", "1", "0.5", "1", "0.5", "1", "0.5", "1"), rises)
    assert [bool(each.batch.flapping) for each in told] == [False, False, True, False]
    assert told[-1].at > told[-2].at + DAY


def test_what_flaps_holds_nothing_else_back() -> None:
    market = flapping("2", "1", "2", "1", "2", "1").opens_with("10", 2).costs("12", number=2)
    told = simulate(market, rules(route()))
    assert "10→12" in summaries(told)
    assert next(each for each in told if summaries([each]) == ["10→12"]).at == market.now - HOUR


# Everything together: properties

Happening = tuple[str, int, int, int]
happenings = st.lists(
    st.tuples(
        st.sampled_from(["price", "price", "price", "promotion", "gone", "back", "new", "credit"]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.integers(0, 30),
    ),
    max_size=16,
)


def happened(events: list[Happening]) -> Market:
    market = Market(step=timedelta(minutes=20)).opens_with("10", 1).opens_with("20", 2)
    for what, number, to, hours in events:
        market.wait(hours * HOUR).plays(what, number, to)
    return market


def deferring(digest: str | None) -> RoutingRules:
    return rules(
        Route("all", Matcher(), ("team",), digest=digest),
        quiet=(nights(urgent=URGENT),),
        zone=ZoneInfo("Europe/Berlin"),
    )


@given(happenings, st.sampled_from([None, "0 9 * * 1", "0 */6 * * *"]), st.booleans())
def test_whatever_is_deferred_what_is_told_leads_to_how_things_stand(
    events: list[Happening], digest: str | None, silenced: bool
) -> None:
    market = happened(events)
    silences = [silence(START + 5 * HOUR, 2 * DAY)] if silenced else []
    start = {
        number: str(each.record.credits)
        for number, each in Market().opens_with("10").opens_with("20", 2).on_sale.items()
    }
    told = simulate(market, deferring(digest), silences=silences, until=market.now + 30 * DAY)
    for message in told:
        for content in message.batch.contents:
            assert isinstance(content, RecordedChange)
            change = content.change
            if not isinstance(change, ModelChange):
                continue
            number = change.model_id or 0
            if change.after is None:
                del start[number]
            else:
                assert (number in start) is not bool({Kind.NEW, Kind.RETURNED} & set(change.kinds))
                start[number] = str(change.after.record.credits)
    assert start == {number: str(each.record.credits) for number, each in market.on_sale.items()}


@given(happenings, st.sampled_from([None, "0 9 * * 1"]))
def test_every_delivery_is_told_or_netted_once_and_none_waits_for_ever(
    events: list[Happening], digest: str | None
) -> None:
    market = happened(events)
    simulation = Simulation(deferring(digest), begun_at=START - HOUR)
    told = list(simulation.run(market.news, market.now + 30 * DAY))
    done = [number for message in told for number in message.batch.deliveries]
    assert len(done) == len(set(done))
    assert len(done) + simulation.netted == len(market.changes)
    assert simulation.waiting() == 0
    assert all(message.batch.contents for message in told)


@given(
    happenings,
    st.sampled_from([None, "0 9 * * 1", "0 */6 * * *"]),
    st.integers(0, 100),
    st.lists(
        st.sampled_from([(None, Flap.STEADY), (1, Flap.STEADY), (None, Flap.HELD)]), min_size=9
    ),
)
def test_each_delivery_is_sent_or_netted_or_waits_for_a_reason(
    events: list[Happening],
    digest: str | None,
    hours: int,
    marks: list[tuple[int | None, Flap]],
) -> None:
    market = happened(events)
    now = START + hours * HOUR
    items = [
        replace(item, silence_id=silence_id, flap=flap)
        for item, (silence_id, flap) in zip(queued(market), cycle(marks), strict=False)
        if item.queued_at <= now
    ]
    quiet = silence(START + 5 * HOUR, 2 * DAY)
    released = release(
        items, deferring(digest), receiver="team", now=now, silences=[quiet] if digest else []
    )
    ended = [number for batch in released.batches for number in batch.deliveries]
    ended += [*released.netted, *released.deferred]
    assert sorted(ended) == [item.delivery_id for item in items]
    ends = [why.until for why in released.deferred.values() if why.until is not None]
    assert all(end > now for end in ends)
    assert released.next_at == min(ends, default=None)


@given(happenings)
def test_in_the_night_only_what_is_urgent_is_told(events: list[Happening]) -> None:
    laid_down = deferring(None)
    for message in simulate(happened(events), laid_down):
        hour = message.at.astimezone(laid_down.zone).hour
        if 7 <= hour < 22:
            continue
        for content in message.batch.contents:
            assert isinstance(content, RecordedChange)
            assert URGENT.refusal(content.change, announce=laid_down.announce) is None


@given(happenings, st.lists(st.integers(0, 200), max_size=20))
def test_looking_more_often_tells_the_same(events: list[Happening], looks: list[int]) -> None:
    market = happened(events)
    until = market.now + 10 * DAY
    lazy = Simulation(deferring(None), begun_at=START - HOUR)
    eager = Simulation(deferring(None), begun_at=START - HOUR)
    first = list(lazy.run(market.news, until))
    extra = sorted(START + timedelta(hours=hours) for hours in looks)
    second: list[SimulatedMessage] = []
    for content in market.news:
        while extra and extra[0] < content.at:
            second += eager.run([], extra.pop(0))
        second += eager.run([content], content.at)
    second += eager.run([], until)
    assert second == first


def test_a_year_of_changes_runs_through_in_a_moment() -> None:
    market = Market(step=timedelta(hours=4)).opens_with("50").opens_with("70", 2)
    for turn in range(365 * 3):
        market.costs(str(50 + turn * 7 % 40)).costs(str(70 + turn * 11 % 30), number=2)
    laid_down = rules(
        route("mine", "team", **FIVE, continues=True),
        weekly(continues=True),
        route("all", "ops"),
        quiet=(nights(receivers=frozenset({"team"}), urgent=URGENT),),
        zone=ZoneInfo("Europe/Berlin"),
    )
    told = simulate(market, laid_down, until=market.now + 8 * DAY)
    digests = [each for each in told if each.batch.digest]
    assert 51 <= len(digests) <= 54
    assert {each.receiver for each in told} == {"team", "mail", "ops"}


def test_rules_are_those_of_today_and_nothing_of_a_window_is_kept() -> None:
    items = queued(at_night().costs("110", "120"))
    now = items[0].queued_at + HOUR
    later = QuietWindow("later", time(22), time(9), EVERY_DAY)
    held: Release = release(items, rules(route(), quiet=(later,)), receiver="team", now=now)
    assert held.next_at == MORNING + 2 * HOUR
    told = release(items, rules(route(), quiet=(later,)), receiver="team", now=MORNING)
    assert told.batches == ()


def test_an_item_is_told_from_where_its_route_last_told_it() -> None:
    market = Market(step=DAY).opens_with().costs("103", "106")
    before = market.changes[0].change
    assert isinstance(before, ModelChange)
    told = replace(market.changes[1], change=change_since(market.changes[1].change, before.before))
    item = QueuedItem(1, told, told.at, "mine", None, Flap.STEADY)
    (batch,) = release([item], rules(route("mine", **FIVE)), receiver="team", now=told.at).batches
    assert [summary(each) for each in batch.contents] == ["100→106"]


def test_notices_wait_by_night_and_go_with_the_rest() -> None:
    market = at_night().says(NoticeKind.BASELINE).costs("110")
    (message,) = simulate(market, by_night(urgent=Matcher()), until=MORNING)[-1:]
    assert isinstance(message.batch.contents[0], Notice)
    assert message.at == MORNING


def test_silences_are_values() -> None:
    quiet = Silence(1, Matcher(), START, START + DAY)
    assert quiet.ends_at == START + DAY
    assert replace(quiet, ended_at=START + 2 * DAY).ends_at == START + DAY
    assert not quiet.is_active(START - HOUR)


@given(
    st.lists(st.tuples(st.integers(90, 112), st.integers(0, 9)), max_size=25),
    st.sampled_from([None, "0 */6 * * *"]),
)
def test_nobody_awake_is_ever_further_behind_than_the_threshold(
    steps: list[tuple[int, int]], digest: str | None
) -> None:
    market = Market(step=timedelta(minutes=20)).opens_with()
    for percentage, hours in steps:
        here = market.on_sale[1].record.credits or Decimal(1)
        market.wait(hours * HOUR).costs(str(max(Decimal(1), round(here * percentage / 100))))
    laid_down = replace(
        by_night(
            route("mine", "team", "mail", digest=digest, **FIVE), receivers=frozenset({"team"})
        ),
        flap=FlapRule(within=timedelta(0)),
    )
    told = simulate(market, laid_down, until=market.now + DAY)
    for receiver in ("team", "mail"):
        known = Decimal(100)
        for message in told:
            for change in map(_model_change, message.batch.contents):
                if message.receiver == receiver:
                    assert change.before is not None
                    assert change.before.price == known, "each shows the whole move since the last"
                    assert abs(_price(change) / known - 1) >= FIVE["min_up"]
                    known = _price(change)
        stands = market.on_sale[1].price or Decimal(0)
        assert abs(stands / known - 1) < FIVE["min_up"]


def _model_change(content: RecordedChange | Notice) -> ModelChange:
    assert isinstance(content, RecordedChange)
    assert isinstance(content.change, ModelChange)
    return content.change


def _price(change: ModelChange) -> Decimal:
    assert change.after is not None
    return change.after.price or Decimal(0)

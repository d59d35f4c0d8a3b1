"""What goes back and forth is said once, and again when it stood still: one rule for every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_market import (
    DAY,
    HOUR,
    START,
    Market,
    percent,
    route,
    rules,
    simulate,
    summaries,
)
from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    RecordedChange,
)
from watcher.catalog.record import Model
from watcher.routing.flapping import still_since, turns, values_moved
from watcher.routing.plan import NO_HISTORY, History, plan
from watcher.routing.rules import Flap, FlapRule
from watcher.routing.simulate import SimulatedMessage, Simulation

PRICE = next(iter(values_moved([Kind.PRICE_UP])))


def priced_at(*steps: tuple[float, str]) -> list[RecordedChange]:
    """Changes of a price that was 1, each with its hour."""
    market = Market(step=timedelta(0)).opens_with("1")
    for hour, price in steps:
        market.now = START + timedelta(hours=hour)
        market.costs(price)
    return market.changes


# What a turn is


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], 0),
        ([(1, "2")], 0),
        ([(1, "2"), (2, "1")], 1),
        ([(1, "2"), (2, "1"), (3, "2"), (4, "1"), (5, "2")], 4),
        ([(hour, str(hour + 1)) for hour in range(1, 23)], 0),
        ([(1, "2"), (2, "1.5"), (3, "2.5"), (4, "1.7")], 0),
        ([(1, "2"), (2, "3"), (3, "1"), (4, "2"), (5, "3"), (6, "1")], 4),
        ([(0, "2"), (24, "1")], 0),
        ([(0, "2"), (23.9, "1")], 1),
        ([(1, "2"), (2, "1"), (3, "2"), (26.5, "1")], 2),
        ([(1, "2"), (2, "1"), (30, "2"), (31, "1")], 1),
    ],
    ids=[
        "nothing",
        "a new value",
        "back",
        "to and fro",
        "it climbs",
        "up and down, never to the same",
        "three values in turn",
        "back after a day",
        "back within a day",
        "turns of more than a day ago are over",
        "it stood still between",
    ],
)
def test_a_turn_is_a_return_to_a_value_held_within_a_day(
    steps: list[tuple[float, str]], expected: int
) -> None:
    assert turns(priced_at(*steps), PRICE, DAY) == expected


def test_moves_that_are_too_small_for_a_route_are_no_turns() -> None:
    changes = priced_at((1, "1.01"), (2, "1"), (3, "1.01"), (4, "1"), (5, "2"), (6, "1"))
    assert turns(changes, PRICE, DAY) == 4
    assert turns(changes, PRICE, DAY, percent("5")) == 1


def test_every_kind_moves_one_value() -> None:
    assert {kind for value in map(values_moved, ([kind] for kind in Kind)) for kind in value}
    assert sorted(kind for value in values_moved(Kind) for kind in value) == sorted(Kind)


def test_it_stands_still_since_its_last_move_and_the_first_that_does_counts() -> None:
    moved_at = {
        Kind.PRICE_UP: START,
        Kind.PRICE_DOWN: START + HOUR,
        Kind.DISCOUNT_UP: START + 5 * HOUR,
    }
    assert still_since([Kind.PRICE_UP], moved_at) == START + HOUR
    assert still_since([Kind.PRICE_UP, Kind.DISCOUNT_DOWN], moved_at) == START + HOUR
    assert still_since([Kind.UNIT], moved_at) is None


# Every kind of change


def by_promotion(market: Market, there: bool) -> None:
    market.costs("100", discountPrice=there)


def by_reference(market: Market, there: bool) -> None:
    market.costs("100", falPrice="0.6" if there else "0.4")


def by_listed_reference(market: Market, there: bool) -> None:
    market.costs("100", falPrice="" if there else "0.4")


def by_unit(market: Market, there: bool) -> None:
    market.costs("100", creditUnit="per video" if there else "per second")


def by_price(market: Market, there: bool) -> None:
    market.costs("120" if there else "100")


def by_presence(market: Market, there: bool) -> None:
    market.drops() if there else market.returns("100")


def by_name(market: Market, there: bool) -> None:
    market.costs("100", name="Reel 1 Plus, 1080p" if there else "Reel 1, 1080p")


def by_credit(market: Market, there: bool) -> None:
    market.credit_is_worth("0.006" if there else "0.005")


def by_correction(market: Market, there: bool) -> None:
    market.costs("100", **{"usdPrice": "0.7"} if there else {})


def by_label(market: Market, there: bool) -> None:
    market.costs("100", **{"provider": "Other"} if there else {})


EVERY_WAY = [
    by_promotion,
    by_reference,
    by_listed_reference,
    by_unit,
    by_price,
    by_presence,
    by_name,
    by_credit,
    by_correction,
    by_label,
]
ALL_KINDS = rules(route("all", kinds=frozenset(Kind)))
Way = Callable[[Market, bool], None]


def opened() -> Market:
    return Market(step=HOUR).opens_with("100")


def to_and_fro(way: Way, moves: int, market: Market | None = None) -> Market:
    market = market or opened()
    for number in range(moves):
        way(market, number % 2 == 0)
    return market


def marks(told: list[SimulatedMessage]) -> list[bool]:
    return [bool(each.batch.flapping) for each in told]


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda way: way.__name__)
def test_whatever_goes_back_and_forth_is_said_once_and_told_when_it_stood_still(way: Way) -> None:
    market = to_and_fro(way, 40)
    told = simulate(market, ALL_KINDS)
    assert marks(told) == [False] * 4 + [True, False]
    assert told[-1].at == market.now - HOUR + DAY


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda way: way.__name__)
def test_whatever_ends_as_it_was_last_told_is_not_told_again(way: Way) -> None:
    told = simulate(to_and_fro(way, 41), ALL_KINDS)
    assert marks(told) == [False] * 4 + [True]


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda way: way.__name__)
def test_four_times_to_and_fro_is_told_four_times(way: Way) -> None:
    assert marks(simulate(to_and_fro(way, 4), ALL_KINDS)) == [False] * 4


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda way: way.__name__)
def test_what_flaps_again_after_it_stood_still_is_said_again(way: Way) -> None:
    market = to_and_fro(way, 6).wait(3 * DAY)
    assert sum(marks(simulate(to_and_fro(way, 6, market), ALL_KINDS))) == 2


# Nothing is lost by it


def test_a_model_that_comes_and_goes_is_told_as_gone_if_it_is() -> None:
    told = simulate(to_and_fro(by_presence, 41), rules(route()))
    assert summaries(told) == ["-1", "~1", "-1", "~1", "-1"]
    back_in_between = simulate(to_and_fro(by_presence, 6).wait(2 * DAY).drops(), rules(route()))
    assert summaries(back_in_between)[-2:] == ["~1", "-1"]


@pytest.mark.parametrize("way", [by_promotion, by_unit, by_price, by_name, by_reference])
def test_a_model_that_flaps_and_goes_is_told_to_be_gone_at_once(way: Way) -> None:
    market = to_and_fro(way, 8).drops()
    told = simulate(market, rules(route()))
    assert summaries(told)[-1] == "-1"
    assert told[-1].at == market.now - HOUR


def test_a_route_that_asks_for_no_removals_learns_that_what_flapped_is_gone() -> None:
    prices = rules(route("prices", kinds=frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN})))
    told = simulate(to_and_fro(by_price, 8).drops(), prices)
    assert summaries(told)[-1] == "-1"
    assert len(told) == 6


def test_what_flaps_holds_no_other_news_of_the_model_back() -> None:
    market = to_and_fro(by_price, 7)
    market.costs("120", discountPrice=True)
    told = simulate(market, rules(route()))
    assert summaries(told)[-1] == "promotion_started"
    assert told[-1].at == market.now - HOUR


def test_other_news_says_how_the_model_stands_and_what_flaps_is_told_from_there() -> None:
    market = to_and_fro(by_price, 7).costs("100")
    market.costs("100", discountPrice=True).costs("120", discountPrice=True)
    told = simulate(market, rules(route()))
    assert summaries(told)[4:] == ["100→120", "120→100 promotion_started", "100→120"]


def test_a_value_that_lasts_is_told_though_another_of_the_model_still_flaps() -> None:
    """A price that stood still is told after a day, though the discount goes on with Fal's."""
    market = to_and_fro(by_price, 7).costs("150")
    stood_still_at = market.now - HOUR + DAY
    for number in range(60):
        market.costs("150", falPrice="0.4" if number % 2 else "0.6")
    told = simulate(market, rules(route()))
    assert [each.at for each in told if "→150" in summaries([each])[0]] == [stood_still_at]


def test_what_flaps_in_one_kind_does_not_hold_another_back_that_moved_once() -> None:
    """What is held is only what was said to flap: here the promotion was not."""
    market = to_and_fro(by_price, 4)
    market.costs("120", discountPrice=True).costs("120")
    told = simulate(market, rules(route()))
    assert marks(told) == [False] * 4 + [True, False]
    assert summaries(told)[4:] == ["100→120 promotion_started", "promotion_ended"]


def test_many_models_that_flap_together_share_each_message() -> None:
    market = Market(step=timedelta(0))
    for number in range(1, 11):
        market.opens_with("100", number)
    for turn in range(40):
        for number in range(1, 11):
            market.costs("100", number=number, discountPrice=turn % 2 == 0)
        market.wait(HOUR)
    told = simulate(market, rules(route()))
    assert marks(told) == [False] * 4 + [True, False]
    assert [len(each.batch.contents) for each in told] == [10] * 6


def test_what_flaps_for_days_keeps_two_deliveries_waiting() -> None:
    market = to_and_fro(by_price, 200)
    simulation = Simulation(rules(route()), begun_at=START - HOUR)
    for recorded in market.changes:
        list(simulation.run([recorded], recorded.at))
        assert simulation.waiting() <= 2
    assert simulation.netted == 200 - 5 - 2
    (told,) = simulation.run([], market.now + 2 * DAY)
    assert summaries([told]) == ["120→100"]


def test_each_receiver_is_told_once() -> None:
    """Of a fall only the one, of both the other: each hears of the flapping by what it gets."""
    falls = route("falls", "mail", kinds=frozenset({Kind.PRICE_DOWN}), continues=True)
    told = simulate(to_and_fro(by_price, 40), rules(falls, route("all", "team")))
    for receiver in ("team", "mail"):
        own = [each for each in told if each.receiver == receiver]
        assert sum(marks(own)) == 1
        assert len(own) <= 6


def test_a_threshold_measures_from_what_was_told_after_the_flapping_too() -> None:
    market = to_and_fro(by_price, 7).wait(2 * DAY).costs("123").costs("127")
    told = simulate(market, rules(route("big", min_up=percent("5"), min_down=percent("5"))))
    assert summaries(told)[4:] == ["100→120", "120→127"]


# What is planned


def flapped(market: Market) -> tuple[Any, History]:
    """The last change of a market, and what is known before it."""
    *recent, last = market.changes
    return last.change, History(recent=tuple(recent))


def test_the_first_move_that_flaps_says_so_and_the_next_are_held() -> None:
    change, history = flapped(to_and_fro(by_price, 5))
    now = START + 5 * HOUR
    both = rules(route("a", "team", "mail"))
    assert [it.flap for it in plan(change, both, now=now, history=history).dispatches] == [
        Flap.ANNOUNCED,
        Flap.ANNOUNCED,
    ]
    said = {("team", kind): now for kind in (Kind.PRICE_DOWN, Kind.DISCOUNT_UP)}
    history = replace(history, flapping_sent=said)
    assert [it.flap for it in plan(change, both, now=now, history=history).dispatches] == [
        Flap.HELD,
        Flap.ANNOUNCED,
    ]
    history = replace(history, flapping_sent={("team", Kind.PRICE_DOWN): now - DAY})
    assert plan(change, both, now=now, history=history).dispatches[0].flap is Flap.ANNOUNCED


def test_which_kinds_flap_is_known_of_a_change_of_several() -> None:
    market = to_and_fro(by_price, 4)
    market.costs("120", discountPrice=True)
    change, history = flapped(market)
    (dispatch,) = plan(change, rules(route()), now=market.now, history=history).dispatches
    assert dispatch.flap is Flap.ANNOUNCED
    assert dispatch.flapping == {Kind.PRICE_UP, Kind.DISCOUNT_DOWN}


def test_a_clock_that_was_wrong_holds_nothing_back() -> None:
    change, history = flapped(to_and_fro(by_price, 5))
    history = replace(history, flapping_sent={("team", Kind.PRICE_UP): START + 999 * DAY})
    (dispatch,) = plan(change, rules(route()), now=START + 5 * HOUR, history=history).dispatches
    assert dispatch.flap is Flap.ANNOUNCED


def test_what_just_appeared_has_no_past_to_flap_in() -> None:
    change = ModelChange((Kind.NEW,), None, Market().model(1, "100"))
    (dispatch,) = plan(change, rules(route()), now=START, history=NO_HISTORY).dispatches
    assert dispatch.flap is Flap.STEADY


def test_a_digest_takes_what_flaps_as_it_comes() -> None:
    change, history = flapped(to_and_fro(by_price, 5))
    weekly = rules(route("weekly", digest="0 9 * * 1"))
    (dispatch,) = plan(change, weekly, now=START + 5 * HOUR, history=history).dispatches
    assert dispatch.flap is Flap.STEADY


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FlapRule(changes=2), [False, False, True, False]),
        (FlapRule(changes=1), [False, True]),
        (FlapRule(changes=2, within=HOUR), [False] * 6),
        (FlapRule(within=timedelta(0)), [False] * 6),
    ],
)
def test_flapping_can_be_turned_off_and_tuned(rule: FlapRule, expected: list[bool]) -> None:
    assert marks(simulate(to_and_fro(by_promotion, 6), rules(route(), flap=rule))) == expected


def test_the_value_of_a_credit_is_turned_back_and_forth_too() -> None:
    values = [Decimal(it) for it in ("0.005", "0.006", "0.005", "0.006")]
    changes = [
        RecordedChange(number, START + number * HOUR, CreditValueChange(*pair))
        for number, pair in enumerate(pairwise(values))
    ]
    (value,) = values_moved([Kind.CREDIT_VALUE])
    assert turns(changes, value, DAY) == 2


# Whatever happens

happenings = st.lists(
    st.tuples(
        st.sampled_from(["price", "promotion", "reference", "name", "gone", "back", "credit"]),
        st.integers(1, 2),
        st.integers(1, 2),
        st.integers(0, 600),
    ),
    max_size=80,
)


@given(happenings, st.integers(1, 4))
def test_in_the_end_everybody_knows_how_things_stand(
    events: list[tuple[str, int, int, int]], changes: int
) -> None:
    market = Market(step=timedelta(minutes=5)).opens_with("10").opens_with("20", 2)
    known: dict[int, Any] = {number: essence(it) for number, it in market.on_sale.items()}
    worth = market.worth
    for what, number, to, minutes in events:
        market.wait(timedelta(minutes=minutes)).plays(what, number, to)
    told = simulate(market, replace(ALL_KINDS, flap=FlapRule(changes)))
    for message in told:
        for content in message.batch.contents:
            assert isinstance(content, RecordedChange)
            match content.change:
                case CreditValueChange(_, after):
                    worth = after
                case ModelChange(_, _, None, _, number):
                    del known[number or 0]
                case ModelChange(kinds, _, after, _, number):
                    assert (number in known) is (Kind.RETURNED not in kinds)
                    known[number or 0] = essence(content.change.model)
    assert known == {number: essence(it) for number, it in market.on_sale.items()}
    assert worth == market.worth


def essence(it: Model) -> Any:
    record = it.record
    return record.description, record.credits, record.promotion, record.reference


@given(st.lists(st.sampled_from([0, 1, 2]), max_size=200), st.sampled_from(EVERY_WAY))
def test_however_chance_has_it_a_day_of_two_values_makes_few_messages(
    backends: list[int], way: Way
) -> None:
    market = Market(step=timedelta(minutes=5)).opens_with("100")
    there = False
    for backend in backends:
        if bool(backend) is there:
            market.wait(market.step)
        else:
            there = bool(backend)
            way(market, there)
    assert len(simulate(market, ALL_KINDS)) <= 6

"""What several changes come to in the end, and what a change is to those who last heard earlier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_market import Market, summary
from watcher.catalog.changes import (
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    RecordedChange,
    change_percent,
)
from watcher.catalog.record import Model
from watcher.routing.net_effect import Subject, change_since, net_change, subject


def net_effect(changes: Sequence[RecordedChange]) -> tuple[RecordedChange, ...]:
    """What changes come to, subject by subject, as a message that was held back shows them."""
    groups: dict[Subject, list[RecordedChange]] = {}
    for recorded in changes:
        groups.setdefault(subject(recorded.change), []).append(recorded)
    return tuple(net for group in groups.values() if (net := net_change(group)) is not None)


CASES: list[tuple[str, Callable[[Market], Market], list[str]]] = [
    ("one move is itself", lambda m: m.costs("110"), ["100→110"]),
    ("A → B → A is nothing", lambda m: m.costs("110", "100"), []),
    ("two moves are one", lambda m: m.costs("110", "120"), ["100→120"]),
    ("up and further down", lambda m: m.costs("110", "90"), ["100→90"]),
    ("to free and back", lambda m: m.costs("0", "100"), []),
    ("new and then removed", lambda m: m.launches(2, "5").drops(2), []),
    ("new, moved and removed", lambda m: m.launches(2, "5").costs("7", number=2).drops(2), []),
    ("new and moved is new as it is", lambda m: m.launches(2, "5").costs("7", number=2), ["+2"]),
    ("removed", lambda m: m.drops(), ["-1"]),
    ("removed and returned the same", lambda m: m.drops().returns("100"), []),
    ("removed and returned dearer", lambda m: m.drops().returns("120"), ["100→120"]),
    ("moved and removed", lambda m: m.costs("120").drops(), ["-1"]),
    ("removed, returned, removed", lambda m: m.drops().returns("120").drops(), ["-1"]),
    ("new, removed, returned", lambda m: m.launches(2, "5").drops(2).returns("6", 2), ["+2"]),
    ("renamed and dearer", lambda m: m.costs("100", name="Reel 1 New").costs("120"), ["Reel 1, 1080p=>Reel 1 New 100→120"]),
    ("dearer and renamed", lambda m: m.costs("120").costs("120", name="Reel 1 New"), ["Reel 1, 1080p=>Reel 1 New 100→120"]),
    ("renamed there and back", lambda m: m.costs("100", name="Reel 1 New").costs("100", name="Reel 1, 1080p"), []),
    ("renamed twice is once", lambda m: m.costs("100", name="Reel A").costs("100", name="Reel B"), ["Reel 1, 1080p=>Reel B"]),
    ("a credit there and back", lambda m: m.credit_is_worth("0.006").credit_is_worth("0.005"), []),
    ("a credit in two steps", lambda m: m.credit_is_worth("0.006").credit_is_worth("0.007"), ["0.005=>0.007"]),
    ("a promotion there and back", lambda m: m.costs("100", discountPrice=True).costs("100"), []),
    ("a promotion with a lower price", lambda m: m.costs("80", discountPrice=True), ["100→80 promotion_started"]),
    ("a promotion, then a lower price", lambda m: m.costs("100", discountPrice=True).costs("80", discountPrice=True), ["100→80 promotion_started"]),
    ("a move over a credit there and back", lambda m: m.costs("110").credit_is_worth("0.006").costs("120").credit_is_worth("0.005"), ["100→120"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("play", "net"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_changes_come_to_what_differs_in_the_end(
    play: Callable[[Market], Market], net: list[str]
) -> None:
    assert [summary(each) for each in net_effect(play(Market().opens_with()).changes)] == net


def test_a_model_that_was_gone_when_it_began_returns_once() -> None:
    market = Market().opens_with().drops()
    gone = len(market.news)
    market.returns("120").costs("130")
    (net,) = net_effect(market.changes[gone:])
    assert summary(net) == "~1 100→130"
    market.drops()
    assert net_effect(market.changes[gone:]) == ()


def test_a_net_change_carries_the_number_and_time_of_the_last() -> None:
    market = Market().opens_with().costs("110", "120")
    (net,) = net_effect(market.changes)
    assert (net.id, net.at) == (market.changes[-1].id, market.changes[-1].at)


def test_models_keep_apart_and_in_the_order_of_their_first_change() -> None:
    market = Market().opens_with().opens_with("10", 2).opens_with("7", 3)
    market.costs("8", number=3).costs("110").costs("11", number=2).costs("9", number=3)
    assert [summary(each) for each in net_effect(market.changes)] == ["7→9", "100→110", "10→11"]


def test_what_was_removed_is_shown_as_it_was_last_seen() -> None:
    (net,) = net_effect(Market().opens_with().costs("120").drops().changes)
    assert isinstance(net.change, ModelChange)
    assert net.change.before is not None
    assert net.change.before.price == 120


def test_changes_may_end_where_the_model_stands_now() -> None:
    market = Market().opens_with().costs("110")
    net = net_change(market.changes, market.model(1, "104"))
    assert net is not None
    assert summary(net) == "100→104"
    assert net_change(market.changes, market.model(1, "100")) is None


# What happens in a market of three models: what, which, and to what.
Event = tuple[str, int, int]
events = st.lists(
    st.tuples(
        st.sampled_from(
            ["price", "promotion", "name", "reference", "gone", "back", "new", "credit"]
        ),
        st.integers(1, 3),
        st.integers(1, 3),
    ),
    max_size=14,
)


def played(happenings: list[Event]) -> tuple[dict[int, Model], Market]:
    """The state before the first event, and the market after the last."""
    market = Market().opens_with("10", 1).opens_with("20", 2)
    start = dict(market.on_sale)
    for happening in happenings:
        market.plays(*happening)
    return start, market


def replayed(state: dict[int, Model], worth: Decimal, changes: list[RecordedChange]) -> object:
    """What changes make of a state."""
    state = dict(state)
    for recorded in changes:
        change = recorded.change
        if isinstance(change, CreditValueChange):
            assert change.before == worth
            worth = change.after
        elif change.after is None:
            del state[change.model_id or 0]
        else:
            assert ((change.model_id or 0) in state) is not bool(
                {Kind.NEW, Kind.RETURNED} & set(change.kinds)
            )
            state[change.model_id or 0] = change.after
    return worth, {
        number: (
            each.record.identity_key,
            each.record.credits,
            each.record.promotion,
            each.record.reference,
        )
        for number, each in state.items()
    }


@given(events)
def test_the_net_effect_done_to_the_old_state_gives_the_new_one(happenings: list[Event]) -> None:
    start, market = played(happenings)
    net = list(net_effect(market.changes))
    old = Market().worth
    assert replayed(start, old, net) == replayed(start, old, market.changes)


@given(events)
def test_the_net_effect_tells_of_no_model_twice_and_of_none_that_is_the_same(
    happenings: list[Event],
) -> None:
    start, market = played(happenings)
    net = net_effect(market.changes)
    about = [each.change.model_id for each in net if isinstance(each.change, ModelChange)]
    assert len(about) == len(set(about))
    same = {number for number, each in start.items() if _same(each, market.on_sale.get(number))}
    assert not same & set(about)


def _same(before: Model, after: Model | None) -> bool:
    return after is not None and after.record == before.record


@given(events, st.integers(0, 14))
def test_netting_in_two_parts_comes_to_the_same_as_at_once(
    happenings: list[Event], cut: int
) -> None:
    start, market = played(happenings)
    halves = [*net_effect(market.changes[:cut]), *net_effect(market.changes[cut:])]
    old = Market().worth
    assert replayed(start, old, halves) == replayed(start, old, list(net_effect(market.changes)))


@given(events)
def test_what_is_net_is_net(happenings: list[Event]) -> None:
    net = net_effect(played(happenings)[1].changes)
    assert net_effect(net) == net


def only_change(market: Market) -> ModelChange:
    change = market.changes[-1].change
    assert isinstance(change, ModelChange)
    return change


def test_a_change_is_told_from_where_the_price_was_last_told() -> None:
    market = Market().opens_with()
    since = market.on_sale[1]
    change = change_since(only_change(market.costs("103", "106")), since)
    assert isinstance(change, ModelChange)
    assert change_percent(change) == 6
    assert change.kinds == (Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    assert change.causes == {Kind.DISCOUNT_DOWN: Cause.PRICE}


def test_what_else_happens_with_a_move_is_told_as_it_happens() -> None:
    market = Market().opens_with("100", discountPrice=True)
    since = market.on_sale[1]
    market.costs("103").costs("106", discountPrice=True)
    change = change_since(only_change(market), since)
    assert Kind.PROMOTION_STARTED in change.kinds
    assert Kind.PRICE_UP in change.kinds


def test_a_move_back_to_what_was_told_leaves_what_else_happened() -> None:
    market = Market().opens_with()
    since = market.on_sale[1]
    market.costs("103").costs("100", discountPrice=True)
    assert change_since(only_change(market), since).kinds == (Kind.PROMOTION_STARTED,)


def test_without_an_earlier_word_a_change_is_told_as_it_is() -> None:
    change = only_change(Market().opens_with().costs("110"))
    assert change_since(change, None) is change
    assert change_since(CreditValueChange(Decimal(1), Decimal(2)), change.before).kinds == (
        Kind.CREDIT_VALUE,
    )


def test_a_price_for_another_thing_is_no_place_to_start_from() -> None:
    market = Market().opens_with("100", creditUnit="per video")
    since = market.on_sale[1]
    market.costs("100", creditUnit="per second").costs("110", creditUnit="per second")
    assert (
        summary(RecordedChange(1, market.now, change_since(only_change(market), since)))
        == "100→110"
    )

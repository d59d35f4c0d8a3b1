"""Who hears of a change: matchers, routes, drift, silences, flapping, usage, and why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

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
)
from watcher.catalog.changes import (
    ANNOUNCED_BY_DEFAULT,
    Change,
    CreditValueChange,
    Kind,
    ModelChange,
)
from watcher.catalog.record import Model
from watcher.cli.simulate import RouteTest, ask_routes
from watcher.routing.match import Matcher, Pattern
from watcher.routing.plan import NO_HISTORY, History, Plan, plan
from watcher.routing.rules import (
    RoutingRules,
    Usage,
    monthly_cost,
    usage_of,
)

CREDIT = CreditValueChange(Decimal("0.005"), Decimal("0.006"))


def last(market: Market) -> Change:
    return market.changes[-1].change


def moved(*prices: str, **wire: Any) -> Change:
    return last(Market().opens_with(prices[0], **wire).costs(*prices[1:], **wire))


def matches(matcher: Matcher, change: Change) -> bool:
    return matcher.refusal(change, announce=ANNOUNCED_BY_DEFAULT) is None


def kinds(*names: str) -> frozenset[Kind]:
    return frozenset(Kind(name) for name in names)


PLACE = {
    "name": "bytedance/seedance-2-5, 1080p no video",
    "interfaceType": "video",
    "provider": "ByteDance",
}


@pytest.mark.parametrize(
    ("asked", "is_asked_for"),
    [
        ({}, True),
        ({"interface": ["video"]}, True),
        ({"interface": ["image"]}, False),
        ({"interface": ["image", "VIDEO"]}, True),
        ({"provider": ["ByteDance", "Kling*"]}, True),
        ({"provider": ["Kling*"]}, False),
        ({"provider": ["!ByteDance"]}, False),
        ({"provider": ["!Kling*"]}, True),
        ({"model": ["*seedance*", "!*480p*"]}, True),
        ({"model": ["*seedance*", "!*1080p*"]}, False),
        ({"model": ["re:seedance-2-[0-9]"]}, True),
        ({"family": ["bytedance/seedance-2-5"]}, True),
        ({"family": ["bytedance"]}, False),
        ({"interface": ["video"], "provider": ["Kling*"]}, False),
        ({"interface": ["video"], "model": ["*1080p*"]}, True),
    ],
)
def test_every_field_that_is_given_must_fit(
    asked: dict[str, list[str]], is_asked_for: bool
) -> None:
    matcher = Matcher(**{field: patterns(*texts) for field, texts in asked.items()})
    change = moved("100", "120", **PLACE)
    assert matches(matcher, change) is is_asked_for
    # The quick way that the router takes comes to the same.
    assert (
        bool(plan(change, rules(route("r", **_fields(matcher))), now=START).dispatches)
        is is_asked_for
    )


def _fields(matcher: Matcher) -> dict[str, Any]:
    return {name: getattr(matcher, name) for name in ("interface", "provider", "model", "family")}


@pytest.mark.parametrize(("name", "heard"), [("*old*", True), ("*new*", True), ("*other*", False)])
def test_a_rename_is_news_for_those_who_know_either_name(name: str, heard: bool) -> None:
    change = last(Market().opens_with(name="Old reel").costs("100", name="New reel"))
    assert matches(Matcher(model=patterns(name)), change) is heard
    assert bool(plan(change, rules(route(model=patterns(name))), now=START).dispatches) is heard


KIND_CASES = [
    ("kinds replace what is announced", {"kinds": kinds("reference_up")}, ("100", "120"), False),
    ("a kind that is asked for", {"kinds": kinds("price_up", "removed")}, ("100", "120"), True),
    ("the other direction", {"kinds": kinds("price_down")}, ("100", "120"), False),
    ("enough in percent", {"min_up": percent("5"), "min_down": percent("5")}, ("100", "105"), True),
    ("not enough in percent", {"min_up": percent("5")}, ("100", "104.99"), False),
    ("enough downward", {"min_up": percent("50"), "min_down": percent("5")}, ("100", "95"), True),
    ("not enough downward", {"min_down": percent("5")}, ("100", "95.01"), False),
    ("a direction without a threshold", {"min_up": percent("50")}, ("100", "99"), True),
    ("enough in USD", {"min_usd": Decimal("0.01")}, ("100", "102"), True),
    ("not enough in USD", {"min_usd": Decimal("0.011")}, ("100", "102"), False),
    ("enough in USD, downward", {"min_usd": Decimal("0.01")}, ("100", "98"), True),
    ("enough in one of two", {"min_up": percent("1"), "min_usd": Decimal(1)}, ("100", "102"), False),
    ("enough in both", {"min_up": percent("1"), "min_usd": Decimal("0.01")}, ("100", "102"), True),
    ("from free is no percentage", {"min_up": percent("500")}, ("0", "1"), True),
    ("to free is all of it", {"min_down": percent("100")}, ("1", "0"), True),
    ("crossing from above", {"usd_below": Decimal("0.30")}, ("61", "60"), True),
    ("already below", {"usd_below": Decimal("0.30")}, ("60", "59"), False),
    ("not far enough", {"usd_below": Decimal("0.30")}, ("70", "61"), False),
    ("back up is no crossing", {"usd_below": Decimal("0.30")}, ("59", "61"), False),
    ("crossing upward", {"usd_above": Decimal("0.30")}, ("59", "60"), True),
    ("upward of another mark", {"usd_above": Decimal("0.30")}, ("60", "70"), False),
    ("crossing and too little", {"usd_below": Decimal("0.30"), "min_down": percent("5")}, ("61", "60"), False),
    ("crossing and enough", {"usd_below": Decimal("0.30"), "min_down": percent("5")}, ("65", "60"), True),
    ("Kie no longer cheaper than Fal", {"discount_below": Decimal(0)}, ("70", "80"), True),
    ("less cheap, but cheaper", {"discount_below": Decimal(0)}, ("70", "79"), False),
    ("dearer than before, and than Fal", {"discount_below": Decimal(0)}, ("81", "90"), False),
    ("cheaper than Fal again", {"discount_above": Decimal(1)}, ("81", "70"), True),
    ("one mark of two", {"discount_below": Decimal(0), "usd_above": Decimal("0.36")}, ("70", "73"), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "prices", "is_asked_for"),
    [case[1:] for case in KIND_CASES],
    ids=[case[0] for case in KIND_CASES],
)
def test_what_happened_must_be_what_is_asked_for(
    asked: dict[str, Any], prices: tuple[str, str], is_asked_for: bool
) -> None:
    change = moved(*prices, falPrice="0.4")
    assert matches(Matcher(**asked), change) is is_asked_for
    assert bool(plan(change, rules(route("r", **asked)), now=START).dispatches) is is_asked_for


@pytest.mark.parametrize(
    ("asked", "heard"),
    [
        ({}, True),
        ({"min_up": percent("5"), "min_down": percent("5")}, True),
        ({"kinds": kinds("removed"), "min_up": percent("25")}, True),
        ({"kinds": kinds("price_up"), "min_up": percent("5")}, False),
        ({"usd_below": Decimal("0.30")}, False),
        ({"kinds": kinds("removed", "price_down"), "usd_below": Decimal("0.30")}, True),
    ],
)
def test_a_removal_has_no_percentage_and_passes_by_its_kind(
    asked: dict[str, Any], heard: bool
) -> None:
    assert matches(Matcher(**asked), last(Market().opens_with().drops())) is heard


@pytest.mark.parametrize(
    ("prices", "urgent"), [(("100", "125"), True), (("100", "75"), True), (("100", "124"), False)]
)
def test_a_threshold_asks_for_prices_beside_the_kinds_that_are_named(
    prices: tuple[str, str], urgent: bool
) -> None:
    share = percent("25")
    matcher = Matcher(kinds=kinds("removed"), min_up=share, min_down=share)
    assert matches(matcher, moved(*prices)) is urgent


def test_a_discount_that_follows_a_small_move_is_a_small_move() -> None:
    change = moved("40", "40.5", falPrice="0.4")
    assert Kind.DISCOUNT_DOWN in change.kinds
    assert not matches(Matcher(min_up=percent("5")), change)


def test_a_discount_that_the_reference_moved_is_news_of_its_own() -> None:
    market = Market().opens_with("40", falPrice="0.4").costs("40", falPrice="0.3")
    assert matches(Matcher(min_up=percent("5")), last(market))


def test_a_promotion_with_a_small_move_is_told() -> None:
    market = Market().opens_with("100").costs("99", discountPrice=True)
    assert matches(Matcher(min_down=percent("5")), last(market))


def test_a_price_for_another_unit_crosses_nothing() -> None:
    market = Market().opens_with("100", creditUnit="per video").costs("10", creditUnit="per second")
    assert not matches(Matcher(usd_below=Decimal("0.30")), last(market))
    assert matches(Matcher(min_down=percent("5")), last(market))


def test_a_price_for_another_quantity_crosses_only_the_marks_between_the_prices_themselves() -> (
    None
):
    """$3 for ten seconds, then $0.35 for one: it rose from $0.30 to $0.35 a second."""
    market = Market().opens_with("600", creditUnit="per 10 seconds")
    dearer = last(market.costs("70", creditUnit="per second"))
    assert not matches(Matcher(usd_below=Decimal("0.50")), dearer)
    assert matches(Matcher(usd_above=Decimal("0.32")), dearer)
    assert not matches(Matcher(usd_above=Decimal("0.30")), dearer)


@pytest.mark.parametrize(
    ("asked", "heard"),
    [
        ({}, True),
        ({"kinds": kinds("credit_value")}, True),
        ({"kinds": kinds("price_up")}, False),
        ({"model": patterns("!*480p*")}, True),
        ({"model": patterns("*")}, False),
        ({"provider": patterns("Kling*")}, False),
        ({"min_up": percent("5")}, True),
        ({"usd_below": Decimal(1)}, False),
    ],
)
def test_the_worth_of_a_credit_is_about_no_model(asked: dict[str, Any], heard: bool) -> None:
    assert matches(Matcher(**asked), CREDIT) is heard
    assert bool(plan(CREDIT, rules(route(**asked)), now=START).dispatches) is heard


def receivers(change: Change, laid_down: RoutingRules, **rest: Any) -> list[str]:
    planned = plan(change, laid_down, now=START, **rest)
    return [f"{each.route}:{each.receiver}" for each in planned.dispatches]


def test_without_routes_everything_announced_goes_to_everybody() -> None:
    everyone = RoutingRules(("team", "mail"))
    assert receivers(moved("100", "101"), everyone) == [":team", ":mail"]
    relabelled = last(Market().opens_with().costs("100", anchor="https://kie.ai/other"))
    assert receivers(relabelled, everyone) == []
    asked = replace(everyone, announce=kinds("relabelled"))
    assert receivers(relabelled, asked) == [":team", ":mail"]


def test_a_change_goes_to_the_first_route_that_matches() -> None:
    laid_down = rules(
        route("removals", "mail", kinds=kinds("removed")),
        route("rises", "team", kinds=kinds("price_up")),
        route("rest", "ops"),
    )
    assert receivers(moved("100", "120"), laid_down) == ["rises:team"]
    assert receivers(moved("100", "80"), laid_down) == ["rest:ops"]
    assert receivers(last(Market().opens_with().drops()), laid_down) == ["removals:mail"]


def test_and_on_where_that_one_says_continue() -> None:
    laid_down = rules(
        route("a", "team", continues=True),
        route("b", "mail", kinds=kinds("removed")),
        route("c", "mail", continues=True),
        route("d", "ops"),
        route("e", "late"),
    )
    assert receivers(moved("100", "120"), laid_down) == ["a:team", "c:mail", "d:ops"]


def test_a_receiver_is_told_once_but_for_its_digests() -> None:
    laid_down = rules(
        route("a", "team", continues=True),
        route("weekly", "team", digest="0 9 * * 1", continues=True),
        route("b", "team", "mail"),
    )
    assert receivers(moved("100", "120"), laid_down) == ["a:team", "weekly:team", "b:mail"]


def test_what_no_route_matches_nobody_hears() -> None:
    assert plan(moved("100", "120"), rules(route(kinds=kinds("removed"))), now=START) == Plan()


# Drift: routes with thresholds against where the price was last told.

FIVE = {"min_up": percent("5"), "min_down": percent("5")}
TWO_TEN = {"min_up": percent("2"), "min_down": percent("10")}
STEPS_OF_ONE_PERCENT = [str(price) for price in range(101, 141)]

DRIFTS = [
    ("up 40 % in 1 % steps", FIVE, ["100", *STEPS_OF_ONE_PERCENT],
     ["100→105", "105→111", "111→117", "117→123", "123→130", "130→137"]),
    ("up 4 % and back", FIVE, ["100", "101", "102", "103", "104", "103", "102", "101", "100"], []),
    ("down 4 % and back", FIVE, ["100", "98", "96", "98", "100"], []),
    ("down in steps", FIVE, ["100", "98", "96", "94", "92", "90", "88"], ["100→94", "94→88"]),
    ("one leap", FIVE, ["100", "140"], ["100→140"]),
    ("told and back", FIVE, ["100", "103", "106", "103", "100"], ["100→106", "106→100"]),
    ("told, back by less", FIVE, ["100", "106", "102"], ["100→106"]),
    ("to and fro under the threshold", FIVE, ["100", "104", "100", "104", "96", "104"], []),
    ("to and fro under the threshold of another side", FIVE, ["100", "104", "95"], ["100→95"]),
    ("rises from 2 %, falls from 10 %", TWO_TEN, ["100", "101", "102", "93", "92", "91.8"], ["100→102", "102→91.8"]),
    ("in USD", {"min_usd": Decimal("0.05")}, ["100", "104", "108", "112", "101", "100"], ["100→112", "112→101"]),
    ("only rises are asked for", {"kinds": kinds("price_up"), **FIVE}, ["100", "90", "99", "104", "105"], ["90→99", "99→104"]),
    ("only falls are asked for", {"kinds": kinds("price_down"), **FIVE}, ["100", "150", "140", "120", "110", "101"], ["150→140", "140→120", "120→110", "110→101"]),
    ("a mark passed in a small step", {"usd_below": Decimal("0.48"), **FIVE}, ["100", "97", "96", "95", "94"], ["100→95"]),
    ("to free and back", FIVE, ["100", "0", "100"], ["100→0", "0→100"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "prices", "alerts"),
    [case[1:] for case in DRIFTS],
    ids=[case[0] for case in DRIFTS],
)
def test_a_threshold_is_measured_from_the_price_that_was_last_told(
    threshold: dict[str, Any], prices: list[str], alerts: list[str]
) -> None:
    # A day apart, so that nothing flaps.
    market = Market(step=2 * DAY).opens_with(prices[0]).costs(*prices[1:])
    assert summaries(simulate(market, rules(route("mine", **threshold)))) == alerts


def test_without_a_threshold_every_step_is_told() -> None:
    told = summaries(simulate(Market().opens_with().costs("101", "102", "101.5"), rules(route())))
    assert told == ["100→101", "101→102", "102→101.5"]


def test_two_routes_with_thresholds_measure_each_for_itself() -> None:
    laid_down = rules(
        route("fine", "team", min_up=percent("2"), continues=True),
        route("coarse", "mail", min_up=percent("5")),
    )
    told = simulate(
        Market(step=DAY).opens_with().costs("101", "102", "103", "104", "105", "106"), laid_down
    )
    assert summaries(each for each in told if each.receiver == "team") == ["100→102", "102→105"]
    assert summaries(each for each in told if each.receiver == "mail") == ["100→105"]


def test_a_route_that_lets_nothing_go_on_leaves_the_next_where_it_was() -> None:
    laid_down = rules(
        route("big", "team", min_up=percent("10")), route("small", "mail", min_up=percent("3"))
    )
    told = simulate(
        Market(step=DAY).opens_with().costs("103", "106", "110", "113", "114"), laid_down
    )
    assert summaries(each for each in told if each.receiver == "team") == ["100→110"]
    assert summaries(each for each in told if each.receiver == "mail") == ["100→103", "103→113"]


@pytest.mark.parametrize("credits_per", [("4.0", "per 6 images", "4.0", "per 2 images")])
def test_a_threshold_looks_at_the_price_of_one(credits_per: tuple[str, str, str, str]) -> None:
    old, old_unit, new, new_unit = credits_per
    market = Market().opens_with(old, creditUnit=old_unit).costs(new, creditUnit=new_unit)
    assert matches(Matcher(min_up=percent("199")), last(market))
    assert not matches(Matcher(min_up=percent("201")), last(market))


def test_a_unit_that_became_another_begins_anew() -> None:
    market = Market(step=DAY).opens_with("100", creditUnit="per video")
    market.costs("104", creditUnit="per video").costs("10", creditUnit="per second")
    market.costs("10.4", "10.5", creditUnit="per second")
    assert summaries(simulate(market, rules(route(**FIVE)))) == ["", "10→10.5"]


def test_what_was_away_is_measured_from_what_was_told_of_it() -> None:
    market = (
        Market(step=DAY).opens_with("100").costs("104").drops().returns("106").costs("108", "112")
    )
    assert summaries(simulate(market, rules(route(**FIVE)))) == ["-1", "~1 100→106", "106→112"]


def test_news_of_another_sort_leaves_the_drift_where_it_was() -> None:
    market = (
        Market(step=DAY).opens_with("40", falPrice="0.4").costs("41").costs("41", falPrice="0.3")
    )
    market.costs("42", falPrice="0.3")
    told = summaries(simulate(market, rules(route(**FIVE))))
    assert told == ["", "40→42"]


def test_no_anchor_yet_is_the_price_when_the_watch_began() -> None:
    change = replace(_model_change(moved("100", "101")), model_id=7)
    (anchor,) = plan(change, rules(route("mine", **FIVE)), now=START).anchors
    assert (anchor.route, anchor.receiver, anchor.model_id) == ("mine", "team", 7)
    assert anchor.model is change.before


def test_what_was_told_is_the_next_anchor() -> None:
    change = _model_change(moved("100", "106"))
    planned = plan(change, rules(route("mine", **FIVE)), now=START)
    assert planned.anchors[0].model is change.after
    assert planned.dispatches[0].since is change.before


def test_an_anchor_that_stands_is_not_written_again() -> None:
    change = _model_change(moved("100", "101"))
    assert change.before is not None
    history = History(anchors={("mine", "team"): change.before})
    assert plan(change, rules(route("mine", **FIVE)), now=START, history=history) == Plan()


def test_a_route_without_a_threshold_keeps_no_anchor() -> None:
    assert plan(moved("100", "106"), rules(route()), now=START).anchors == ()


def _model_change(change: Change) -> ModelChange:
    assert isinstance(change, ModelChange)
    return change


# Silences


def test_a_silence_catches_what_it_matches_while_it_lasts() -> None:
    change = moved("100", "120")
    asked = Matcher(kinds=kinds("price_up"))
    quiet = silence(START, DAY, matcher=asked)
    for at, caught in [(START - HOUR, None), (START, 1), (START + DAY, None)]:
        (dispatch,) = plan(change, rules(route()), now=at, silences=[quiet]).dispatches
        assert dispatch.silence_id == caught
    (dispatch,) = plan(moved("120", "100"), rules(route()), now=START, silences=[quiet]).dispatches
    assert dispatch.silence_id is None


def test_a_silence_without_matchers_catches_everything() -> None:
    for change in (moved("100", "120"), CREDIT, last(Market().opens_with().drops())):
        (dispatch,) = plan(
            change, rules(route()), now=START, silences=[silence(START, DAY)]
        ).dispatches
        assert dispatch.silence_id == 1


def test_a_silence_that_drops_leaves_nothing_due_but_counts() -> None:
    change = _model_change(moved("100", "120"))
    quiet = silence(START, DAY, drop=True)
    planned = plan(change, rules(route("mine", **FIVE)), now=START, silences=[quiet])
    assert planned.dispatches == ()
    assert [each.receiver for each in planned.suppressed] == ["team"]
    # It must not come back as part of the next move.
    assert planned.anchors[0].model is change.after


def test_of_two_silences_the_dropping_one_counts_then_the_longer() -> None:
    short_one, long_one = silence(START, HOUR), replace(silence(START, DAY), id=2)
    dropping = replace(short_one, id=3, drop=True)
    change, laid_down = moved("100", "120"), rules(route())
    (dispatch,) = plan(change, laid_down, now=START, silences=[short_one, long_one]).dispatches
    assert dispatch.silence_id == 2
    assert plan(change, laid_down, now=START, silences=[long_one, dropping]).dispatches == ()


def test_a_silence_that_was_ended_early_catches_nothing_more() -> None:
    ended = silence(START, DAY, ended_at=START + HOUR)
    for at, caught in [(START, 1), (START + HOUR, None)]:
        (dispatch,) = plan(moved("100", "120"), rules(route()), now=at, silences=[ended]).dispatches
        assert dispatch.silence_id == caught


# Usage

USES = (
    Usage(Pattern("bytedance/seedance-2-5, 1080p no video"), Decimal(12_000)),
    Usage(Pattern("*seedance*"), Decimal(10)),
)


@pytest.mark.parametrize(
    ("old", "new", "unit", "cost"),
    [
        ("40", "48", "per second", "480"),  # 8 credits are $0.04
        ("48", "40", "per second", "-480"),
        ("40", "41.6", "per second", "96"),
        ("400", "480", "per 10 seconds", "480"),
        ("40", "40", "per second", None),
    ],
)
def test_a_change_costs_what_is_used_at_the_difference(
    old: str, new: str, unit: str, cost: str | None
) -> None:
    market = Market().opens_with(old, **PLACE, creditUnit=unit)
    market.costs(new, **PLACE | {"creditUnit": unit, "discountPrice": True})
    found = monthly_cost(_model_change(last(market)), USES)
    assert found == (None if cost is None else Decimal(cost))


def test_a_smaller_quantity_for_the_same_price_costs_too() -> None:
    market = (
        Market().opens_with("4", creditUnit="per 6 images").costs("4", creditUnit="per 2 images")
    )
    use = Usage(Pattern("*"), Decimal(300))
    # 300 images: 50 × 4 credits became 150 × 4, that is $1 and $3.
    assert round(monthly_cost(_model_change(last(market)), (use,)) or Decimal(0), 9) == 2


def test_what_is_not_used_or_cannot_be_compared_costs_nothing_known() -> None:
    assert monthly_cost(_model_change(moved("40", "48")), USES) is None
    for market in (
        Market().opens_with("40", **PLACE).drops(),
        Market().launches(1, "40", **PLACE),
        Market().opens_with("40", **PLACE, creditUnit="per video").costs("4", **PLACE),
    ):
        assert monthly_cost(_model_change(last(market)), USES) is None


def test_the_first_entry_that_names_a_model_says_how_much() -> None:
    market = Market().opens_with("1", **PLACE)
    assert usage_of(market.on_sale[1].record, USES) == 12_000
    assert usage_of(market.on_sale[1].record, USES[1:]) == 10
    assert usage_of(Market().opens_with("1").on_sale[1].record, USES) is None


def test_a_model_that_is_used_stays_so_under_its_new_name() -> None:
    market = Market().opens_with("40", **PLACE).costs("48", name="Seed 3", provider="ByteDance")
    assert monthly_cost(_model_change(last(market)), USES) == 480


# Why


LADDER = rules(
    route("kling", "team", provider=patterns("Kling*", "!Kling 1*"), continues=True),
    route("falls", "team", kinds=kinds("price_down", "removed")),
    route("big", "mail", min_up=percent("25")),
    route("dear", "mail", min_usd=Decimal("0.5")),
    route("mark", "mail", usd_above=Decimal("0.90")),
    route("mine", "team", "mail", continues=True),
    route("weekly", "boss", digest="0 9 * * 1"),
    route("rest", "ops"),
)


def explained(
    change: Change, laid_down: RoutingRules, history: History = NO_HISTORY
) -> tuple[str, ...]:
    tested = RouteTest(change, tuple(ask_routes(change, laid_down, history)), ())
    return tuple(tested.lines(START))[1:]


def test_each_route_says_why_it_does_not_take_a_change() -> None:
    change = moved("100", "110", provider="ByteDance")
    assert explained(change, LADDER) == (
        "“kling”: no, its provider is “ByteDance”, and the route asks for Kling*, !Kling 1*",
        "“falls”: no, it is price_up, discount_down, and the route asks for removed, price_down",
        "“big”: no, the price moved by 10 %, and the route asks for 25 %",
        "“dear”: no, the price moved by $0.05, and the route asks for $0.5",
        "“mark”: no, it does not cross $0.9",
        "“mine”: yes, to team, mail; later routes are asked too",
        "“weekly”: yes, to boss; in its digest (0 9 * * 1)",
        "“rest”: not asked, “weekly” took it",
        "Goes to: team, mail, boss",
    )


def test_what_nobody_hears_is_said_so() -> None:
    assert explained(CREDIT, rules(route("k", model=patterns("Kling*")))) == (
        "“k”: no, it is about the whole catalogue, not a model",
        "No receiver gets it.",
    )
    assert explained(moved("1", "2"), RoutingRules(("team",))) == (
        "without routes: yes, to team",
        "Goes to: team",
    )


def test_an_explanation_knows_what_was_told_before() -> None:
    change = _model_change(moved("104", "106"))
    laid_down = rules(route("mine", **FIVE))
    assert explained(change, laid_down)[-1] == "No receiver gets it."
    earlier = Market().opens_with("100").on_sale[1]
    history = History(anchors={("mine", "team"): earlier})
    assert explained(change, laid_down, history)[-1] == "Goes to: team"
    back = History(anchors={("mine", "team"): Market().opens_with("106").on_sale[1]})
    assert explained(change, laid_down, back)[0] == (
        "“mine”: no, the price is again what it was when last reported"
    )


def test_an_explanation_names_those_who_get_it_and_no_other_receiver_of_the_route() -> None:
    change = _model_change(moved("104", "106"))
    laid_down = rules(route("mine", "team", "mail", **FIVE))
    told_100, told_105 = (Market().opens_with(price).on_sale[1] for price in ("100", "105"))
    history = History(anchors={("mine", "team"): told_100, ("mine", "mail"): told_105})
    planned = plan(change, laid_down, now=START, history=history)
    assert [each.receiver for each in planned.dispatches] == ["team"]
    assert explained(change, laid_down, history) == (
        "“mine”: yes, to team; not to mail, the price moved by 0.95 %, and the route asks for 5 %",
        "Goes to: team",
    )


CHANGES = [
    moved("100", "110", provider="ByteDance"),
    moved("100", "130", provider="Kling"),
    moved("190", "170", provider="Kling 1"),
    moved("170", "182"),
    moved("0", "5"),
    last(Market().opens_with().drops()),
    last(Market().launches(1, "5", provider="kling")),
    last(Market().opens_with().costs("100", name="Other")),
    last(Market().opens_with().costs("100", anchor="https://kie.ai/other")),
    CREDIT,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change.kinds))
def test_the_quick_way_and_the_long_way_come_to_the_same(change: Change) -> None:
    passed_over = set(LADDER.routes) - set(LADDER.candidates(change))
    assert all(it.matcher.refusal(change, announce=LADDER.announce) for it in passed_over)
    told = {name for route in ask_routes(change, LADDER, NO_HISTORY) for name in route.receivers}
    assert {each.receiver for each in plan(change, LADDER, now=START).dispatches} == told


def test_more_names_than_are_cached_are_routed_alike() -> None:
    laid_down = rules(route("even", model=patterns("*0", "*2", "*4", "*6", "*8")))
    for number in [*range(4200), 7, 8]:
        change = ModelChange((Kind.NEW,), None, Market().model(number, "5", f"Reel {number}"))
        about = laid_down.candidates(change)
        assert bool(about) is (number % 2 == 0)


def test_a_model_is_a_value_that_routing_never_touches() -> None:
    change = _model_change(moved("100", "106"))
    assert isinstance(change.before, Model)
    before = replace(change)
    plan(change, LADDER, now=START)
    assert change == before

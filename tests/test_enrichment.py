"""What is known beside a change and makes its line worth reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from build import USD_PER_CREDIT, priced
from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind, RecordedChange
from watcher.catalog.diff import diff_model
from watcher.catalog.record import Model, PriceHistory, PricePoint
from watcher.render.enrichment import Facts, enrich
from watcher.routing.match import Pattern
from watcher.routing.release import Batch
from watcher.routing.rules import Usage

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def on_sale(name: str, price: str, **wire: str) -> Model:
    return Model(priced(name, price, **wire), USD_PER_CREDIT)


def moved(before: str, after: str) -> RecordedChange:
    change = diff_model(on_sale("Reel 2, 1080p", before), on_sale("Reel 2, 1080p", after), 7)
    assert change is not None
    return RecordedChange(3, NOW, change)


def removed(name: str = "Reel 2, 1080p") -> RecordedChange:
    change = ModelChange(
        (Kind.REMOVED,), on_sale(name, "40"), None, {}, 7, NOW - timedelta(minutes=10)
    )
    return RecordedChange(3, NOW, change)


def past(*points: tuple[float, str]) -> tuple[PricePoint, ...]:
    """Prices and how many days ago each began, then the price of today."""
    return tuple((NOW - timedelta(days=days), Decimal(price)) for days, price in points)


def facts(
    recorded: RecordedChange,
    prices: Sequence[PricePoint] = (),
    others: Sequence[Model] = (),
    usage: Sequence[Usage] = (),
) -> Facts:
    (item,) = enrich(Batch((1,), (recorded,)), {7: PriceHistory(prices=prices)}, others, usage)
    assert item.facts is not None
    return item.facts


@pytest.mark.parametrize(
    ("points", "since", "ever"),
    [
        pytest.param(
            [(40, "50"), (20, "30"), (10, "60"), (0, "40")], 10, False, id="lower ten days ago"
        ),
        pytest.param([(40, "50"), (10, "60"), (0, "40")], None, True, id="never lower"),
        pytest.param([(3, "60"), (0, "40")], None, False, id="never lower in three days"),
        pytest.param([(40, "40"), (10, "60"), (0, "40")], None, True, id="as low as at the start"),
        pytest.param([(0, "40")], None, False, id="nothing known"),
    ],
)
def test_a_fall_says_how_low_that_is(
    points: list[tuple[int, str]], since: int | None, ever: bool
) -> None:
    found = facts(moved("60", "40"), past(*points))

    assert found.lowest_since == (None if since is None else NOW - timedelta(days=since))
    assert found.lowest_ever is ever
    assert (found.highest_since, found.highest_ever) == (None, False)


def test_a_rise_says_how_high_that_is() -> None:
    found = facts(moved("40", "60"), past((50, "70"), (30, "40"), (0, "60")))

    assert (found.highest_since, found.lowest_since) == (NOW - timedelta(days=30), None)


def test_a_price_that_moves_says_how_long_it_had_stood() -> None:
    assert facts(moved("40", "60"), past((50, "70"), (30, "40"), (0, "60"))).days_since_change == 30
    assert facts(moved("40", "60"), past((30, "40"), (0, "60"))).days_since_change is None


def test_steps_within_the_move_that_is_told_are_not_the_past() -> None:
    prices = past((41, "40"), (0.2, "50"), (0.1, "30"), (0, "60"))

    told = facts(moved("40", "60"), prices)

    assert (told.highest_since, told.highest_ever) == (None, True)
    assert (
        facts(moved("40", "60"), past((50, "70"), *((41, "40"), (0.2, "50")))).days_since_change
        == 40
    )


def test_lowest_since_this_morning_is_not_worth_saying() -> None:
    found = facts(moved("60", "40"), past((40, "30"), (0.4, "60"), (0, "40")))

    assert (found.lowest_since, found.lowest_ever) == (None, False)


def test_a_removal_says_what_the_family_has_left_and_the_cheapest_of_it() -> None:
    others = [
        on_sale("Reel 2, 720p", "20"),
        on_sale("reel 2 , 480p", "10"),
        on_sale("Reel 2, poster", "1", creditUnit="per image"),
        on_sale("Reel 3, 480p", "5"),
        on_sale("Reel 2, 1080p", "40"),
    ]

    found = facts(removed(), others=others)

    assert found.family_left == 3
    assert found.family_cheapest == others[1]


def test_the_last_of_a_family_leaves_nothing() -> None:
    found = facts(removed(), others=[on_sale("Aria", "3")])

    assert (found.family_left, found.family_cheapest) == (0, None)


def test_a_removal_says_when_it_was_first_missed() -> None:
    assert facts(removed()).missed_since == NOW - timedelta(minutes=10)


def test_a_change_of_a_model_in_use_says_what_it_costs_a_month() -> None:
    usage = [Usage(Pattern("reel 2, 1080p"), Decimal(12000))]

    assert facts(moved("40", "60"), usage=usage).monthly_cost_usd == Decimal(1200)


def test_a_change_that_tells_of_flapping_is_marked() -> None:
    recorded = moved("40", "60")
    batch = replace(Batch((1,), (recorded,)), flapping=frozenset({3}))

    (item,) = enrich(batch, {}, (), ())

    assert item.facts is not None
    assert item.facts.flapping


def test_a_notice_is_told_as_it_is() -> None:
    notice = Notice(NoticeKind.BASELINE, NOW, {"models": 0, "categories": {}})

    (item,) = enrich(Batch((1,), (notice,)), {}, (), ())

    assert (item.content, item.facts) == (notice, None)


def test_of_a_past_that_is_cut_nobody_says_that_it_never_was_so() -> None:
    batch, history = (
        Batch((1,), (moved("50", "40"),)),
        PriceHistory(prices=past((40, "50"), (0, "40"))),
    )
    (whole,) = enrich(batch, {7: history}, (), ())
    (cut,) = enrich(batch, {7: replace(history, is_complete=False)}, (), ())
    assert whole.facts is not None
    assert whole.facts.lowest_ever
    assert cut.facts == replace(whole.facts, lowest_ever=False)

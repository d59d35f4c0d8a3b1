"""Believe now, or wait to see it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest

from build import differences, priced, record, snapshot
from watcher.catalog.changes import Kind, ModelChange, NoticeKind
from watcher.catalog.confirm import Before, Confirmation, ConfirmRules, Hold, HoldReason, confirm
from watcher.catalog.record import Record, Snapshot

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


class Watch:
    """Sweeps in time against one believed state, as the poller would hold it."""

    def __init__(self, *records: Record, rules: ConfirmRules | None = None) -> None:
        self.believed = snapshot(*records)
        self.rules = rules or ConfirmRules()
        self.holds: Sequence[Hold] = ()

    def sees(self, *records: Record, minute: float, hidden: int = 0) -> Confirmation:
        found = differences(self.believed, snapshot(*records))
        now = START + timedelta(minutes=minute)
        before = Before(len(self.believed.records), self.holds, hidden)
        confirmation = confirm(found, before, self.rules, now)
        self.holds = confirmation.holds
        state = dict(enumerate(self.believed.records)) | dict(confirmation.updates)
        news: list[Record] = []
        for change in confirmation.changes:
            assert isinstance(change, ModelChange)
            if change.model_id is not None:
                del state[change.model_id]
            if change.after is not None:
                news.append(change.after.record)
        # Models keep their numbers only while nothing is believed; the tests need no more.
        self.believed = Snapshot((*state.values(), *news), self.believed.usd_per_credit)
        return confirmation


def told(confirmation: Confirmation) -> list[tuple[str, ...]]:
    return [tuple(kind.value for kind in change.kinds) for change in confirmation.changes]


def test_a_removal_is_told_when_a_later_sweep_still_shows_it() -> None:
    watch = Watch(record("Reel"), record("Aria"))

    assert told(watch.sees(record("Aria"), minute=0)) == []
    assert told(watch.sees(record("Aria"), minute=9)) == []
    assert told(watch.sees(record("Aria"), minute=10)) == [("removed",)]
    assert watch.holds == ()


def test_what_is_back_in_time_was_never_gone() -> None:
    watch = Watch(record("Reel"), record("Aria"))
    watch.sees(record("Aria"), minute=0)

    assert told(watch.sees(record("Reel"), record("Aria"), minute=5)) == []
    assert watch.holds == ()
    assert told(watch.sees(record("Aria"), minute=11)) == []
    assert told(watch.sees(record("Aria"), minute=21)) == [("removed",)]


def test_both_sides_of_a_rename_wait() -> None:
    watch = Watch(record("Reel, avtar"), record("Aria"))
    after = [record("Reel, avatar"), record("Aria")]

    assert told(watch.sees(*after, minute=0)) == []
    assert told(watch.sees(*after, minute=10)) == [("renamed",)]


def test_a_rename_that_turns_out_to_be_a_second_model_is_new() -> None:
    watch = Watch(record("Reel, avtar"), record("Aria"))
    watch.sees(record("Reel, avatar"), record("Aria"), minute=0)

    confirmation = watch.sees(
        record("Reel, avatar"), record("Reel, avtar"), record("Aria"), minute=5
    )

    assert told(confirmation) == [("new",)]
    assert watch.holds == ()


def test_a_rename_taken_back_is_nothing() -> None:
    watch = Watch(record("Reel, avtar"))
    watch.sees(record("Reel, avatar"), minute=0)

    assert told(watch.sees(record("Reel, avtar"), minute=5)) == []
    assert watch.holds == ()


def test_a_model_missing_since_its_rename_was_suspected_has_been_missing_all_along() -> None:
    watch = Watch(record("Reel, avtar"), record("Aria"))
    watch.sees(record("Reel, avatar"), record("Aria"), minute=0)

    watch.sees(record("Aria"), minute=6)

    assert told(watch.sees(record("Aria"), minute=10)) == [("removed",)]


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        ("10", "50", False),
        ("10", "50.1", True),
        ("10", "2", False),
        ("10", "1.9", True),
        ("10", "0", True),
        ("0", "10", True),
        ("10", "11", False),
    ],
)
def test_an_implausible_price_waits(before: str, after: str, held: bool) -> None:
    watch = Watch(priced("Reel", before, falPrice=""))
    dearer = priced("Reel", after, falPrice="")

    confirmation = watch.sees(dearer, minute=0)

    assert (told(confirmation) == []) is held
    assert [hold.reason for hold in watch.holds] == [HoldReason.PRICE] * held
    if held:
        assert told(watch.sees(dearer, minute=29)) == []
        assert told(watch.sees(dearer, minute=30)) == [
            ("price_up" if float(after) > float(before) else "price_down",)
        ]


def test_an_absurd_price_put_right_is_never_told() -> None:
    watch = Watch(priced("Reel", "10"))
    watch.sees(priced("Reel", "1000"), minute=0)

    assert told(watch.sees(priced("Reel", "10"), minute=5)) == []
    assert watch.holds == ()


def test_another_absurd_price_must_be_seen_again_itself() -> None:
    watch = Watch(priced("Reel", "10", falPrice=""))
    watch.sees(priced("Reel", "1000", falPrice=""), minute=0)
    watch.sees(priced("Reel", "900", falPrice=""), minute=20)

    assert told(watch.sees(priced("Reel", "900", falPrice=""), minute=31)) == []
    assert told(watch.sees(priced("Reel", "900", falPrice=""), minute=50)) == [("price_up",)]


def test_an_absurd_price_turned_plausible_is_told_at_once() -> None:
    watch = Watch(priced("Reel", "10", falPrice=""))
    watch.sees(priced("Reel", "1000", falPrice=""), minute=0)

    assert told(watch.sees(priced("Reel", "12", falPrice=""), minute=5)) == [("price_up",)]


def test_a_held_price_does_not_delay_what_else_is_different_about_the_model() -> None:
    watch = Watch(priced("Reel", "10", falPrice=""))
    both = priced("Reel", "1000", falPrice="", discountPrice=True)

    confirmation = watch.sees(both, minute=0)

    assert told(confirmation) == [("promotion_started",)]
    assert watch.believed.records[0].credits == 10
    assert told(watch.sees(both, minute=30)) == [("price_up",)]


def test_a_hold_delays_no_other_model() -> None:
    watch = Watch(priced("Reel", "10"), priced("Aria", "10", falPrice=""))

    confirmation = watch.sees(priced("Aria", "11", falPrice=""), priced("Sonnet", "3"), minute=0)

    assert told(confirmation) == [("price_up",), ("new",)]


def fleet(size: int) -> list[Record]:
    return [record(f"Reel {n}, {n}s", creditPrice=str(n + 1)) for n in range(size)]


def test_a_collapse_is_warned_of_once_and_believed_only_after_hours() -> None:
    models = fleet(30)
    watch = Watch(*models)

    first = watch.sees(*models[:20], minute=0)

    assert told(first) == []
    assert [notice.kind for notice in first.notices] == [NoticeKind.COLLAPSE]
    assert first.notices[0].detail == {"missing": 10, "models": 30, "until": "2026-11-22T13:00:00Z"}
    later = watch.sees(*models[:20], minute=359)
    assert (told(later), later.notices) == ([], ())
    assert told(watch.sees(*models[:20], minute=360)) == [("removed",)] * 10


def test_a_catalogue_that_recovers_was_never_gone_and_says_so() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(minute=0)

    first = watch.sees(*models, minute=60)
    assert (told(first), first.notices) == ([], ())
    confirmation = watch.sees(*models, minute=70)

    assert told(confirmation) == []
    assert [notice.kind for notice in confirmation.notices] == [NoticeKind.RECOVERED]
    assert watch.holds == ()


def test_what_is_still_missing_after_a_collapse_must_be_missed_anew() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(minute=0)

    assert told(watch.sees(*models[:28], minute=60)) == []
    assert told(watch.sees(*models[:28], minute=69)) == []
    assert told(watch.sees(*models[:28], minute=70)) == [("removed",)] * 2


def test_an_empty_catalogue_is_a_collapse_however_small_it_was() -> None:
    watch = Watch(*fleet(3))

    assert [notice.kind for notice in watch.sees(minute=0).notices] == [NoticeKind.COLLAPSE]


@pytest.mark.parametrize(
    ("models", "left", "collapse"),
    [(20, 16, False), (20, 15, True), (19, 1, False), (30, 24, False), (30, 23, True)],
)
def test_a_collapse_is_more_than_the_share_of_at_least_twenty(
    models: int, left: int, collapse: bool
) -> None:
    before = fleet(models)
    watch = Watch(*before)

    assert bool(watch.sees(*before[:left], minute=0).notices) is collapse


@pytest.mark.parametrize(
    ("rules", "before", "after", "kinds"),
    [
        pytest.param(
            {"removals": timedelta()},
            [record("Reel"), record("Aria")],
            [record("Aria")],
            [("removed",)],
            id="removals",
        ),
        pytest.param(
            {"removals": timedelta()},
            [record("Reel, avtar")],
            [record("Reel, avatar")],
            [("renamed",)],
            id="renames",
        ),
        pytest.param(
            {"implausible": timedelta()},
            [priced("R", "1", falPrice="")],
            [priced("R", "99", falPrice="")],
            [("price_up",)],
            id="prices",
        ),
        pytest.param(
            {"collapse": timedelta(), "removals": timedelta()},
            [record("R")],
            [],
            [("removed",)],
            id="collapse",
        ),
    ],
)
def test_a_waiting_of_zero_is_turned_off(
    rules: dict[str, Any], before: list[Record], after: list[Record], kinds: list[tuple[str, ...]]
) -> None:
    assert told(Watch(*before, rules=ConfirmRules(**rules)).sees(*after, minute=0)) == kinds


def test_a_clock_set_back_does_not_lengthen_a_hold_beyond_its_wait() -> None:
    watch = Watch(record("Reel"), record("Aria"))
    watch.sees(record("Aria"), minute=600)

    watch.sees(record("Aria"), minute=0)

    assert told(watch.sees(record("Aria"), minute=10)) == [("removed",)]


def test_a_price_after_a_return_is_told_with_the_return() -> None:
    found = differences(
        snapshot(),
        snapshot(priced("Reel", "1000", falPrice="")),
        departed=(priced("Reel", "10", falPrice=""),),
    )

    confirmation = confirm(found, Before(0), ConfirmRules(implausible_factor=Decimal(5)), START)

    assert told(confirmation) == [(Kind.RETURNED, Kind.PRICE_UP)]


# What many models show at once


def changed(models: Sequence[Record], count: int, **wire: Any) -> list[Record]:
    """The first ones with other values in the listing."""
    spoiled = [
        record(it.description, **{"creditPrice": str(it.credits)} | wire) for it in models[:count]
    ]
    return [*spoiled, *models[count:]]


def warnings(confirmation: Confirmation) -> list[tuple[object, ...]]:
    found = (notice for notice in confirmation.notices if notice.kind is NoticeKind.COLLAPSE)
    return [(it.detail.get("what"), it.detail.get("count")) for it in found]


FLOODS = {
    "reference": ({"falPrice": "", "discountRate": 0}, "reference_down"),
    "promotion": ({"discountPrice": True}, "promotion_started"),
    "unit": ({"creditUnit": "per request"}, "unit"),
    "labels": ({"anchor": "", "provider": ""}, "relabelled"),
    "listing": ({"usdPrice": ""}, "corrected"),
    "price": ({"creditPrice": "0", "usdPrice": "0"}, "price_down"),
}


@pytest.mark.parametrize(("flood", "wire", "kind"), [(k, *v) for k, v in FLOODS.items()])
def test_what_much_of_the_catalogue_shows_at_once_waits_like_a_collapse(
    flood: str, wire: dict[str, Any], kind: str
) -> None:
    models = fleet(100)
    watch = Watch(*models)
    after = changed(models, 30, **wire)

    first = watch.sees(*after, minute=0)

    assert (told(first), warnings(first)) == ([], [(flood, 30)])
    assert first.notices[0].detail["until"] == "2026-11-22T13:00:00Z"
    later = watch.sees(*after, minute=359)
    assert (told(later), later.notices) == ([], ())
    last = watch.sees(*after, minute=360)
    assert len(told(last)) == 30
    assert all(kind in kinds for kinds in told(last))
    assert watch.holds == ()


@pytest.mark.parametrize("wire", [wire for wire, _ in FLOODS.values()], ids=FLOODS)
def test_a_flood_that_is_taken_back_never_was(wire: dict[str, Any]) -> None:
    models = fleet(100)
    watch = Watch(*models)
    watch.sees(*changed(models, 100, **wire), minute=0)

    # It goes as it came, piece by piece.
    for minute, left in ((60, 40), (65, 15), (70, 3), (74, 0)):
        seen = watch.sees(*changed(models, left, **wire), minute=minute)
        assert (told(seen), seen.notices) == ([], ())
    assert [it.kind for it in watch.sees(*models, minute=75).notices] == [NoticeKind.RECOVERED]
    assert (watch.holds, set(watch.believed.records)) == ((), set(models))


@pytest.mark.parametrize(
    ("models", "count", "waits"),
    [(100, 20, False), (100, 21, True), (30, 19, False), (30, 20, True), (19, 19, False)],
)
def test_a_flood_is_more_than_the_share_and_no_fewer_than_twenty(
    models: int, count: int, waits: bool
) -> None:
    before = fleet(models)
    seen = Watch(*before).sees(*changed(before, count, discountPrice=True), minute=0)

    assert (told(seen) == []) is waits
    assert bool(seen.notices) is waits


def test_plausible_prices_that_move_all_at_once_are_told_at_once() -> None:
    models = [priced(f"Reel {n}, {n}s", str(n + 10)) for n in range(100)]
    dearer = [priced(f"Reel {n}, {n}s", str((n + 10) * 2)) for n in range(100)]

    seen = Watch(*models).sees(*dearer, minute=0)

    assert (len(told(seen)), seen.notices) == (100, ())


def test_a_flood_holds_only_what_it_changed() -> None:
    models = [priced(f"Reel {n}, {n}s", "10", falPrice="") for n in range(100)]
    watch = Watch(*models)
    flooded = [
        priced(f"Reel {n}, {n}s", "12" if n == 7 else "10", falPrice="", discountPrice=True)
        for n in range(100)
    ]

    seen = watch.sees(*flooded, priced("Aria", "3"), minute=0)

    assert told(seen) == [("price_up",), ("new",)]
    assert not any(it.promotion for it in watch.believed.records)


def test_credits_that_are_left_out_make_no_price_of_a_mistyped_usd() -> None:
    models = [priced(f"Reel {n}, {n}s", str(n + 10), falPrice="") for n in range(99)]
    mistyped = record("Aria", creditPrice="8", usdPrice="0.024", falPrice="")
    watch = Watch(*models, mistyped)
    left_out = [replace(it, credits=None) for it in (*models, mistyped)]

    seen = watch.sees(*left_out, minute=0)

    assert (told(seen), warnings(seen)) == ([], [("listing", 100)])


def test_two_floods_at_once_are_two_warnings_and_end_each_by_itself() -> None:
    models = fleet(100)
    watch = Watch(*models)
    both = changed(models, 50, discountPrice=True, falPrice="", discountRate=0)

    assert warnings(watch.sees(*both, minute=0)) == [("promotion", 50), ("reference", 50)]
    one = changed(models, 50, discountPrice=True)
    watch.sees(*one, minute=60)
    watch.sees(*one, minute=70)

    assert told(watch.sees(*one, minute=360)) == [("promotion_started",)] * 50


def test_models_that_all_have_other_names_wait_on_both_sides() -> None:
    models = fleet(100)
    watch = Watch(*models)
    others = [record(f"Zebra {n * n} crossing, {n}") for n in range(100)]

    first = watch.sees(*others, minute=0)

    assert (told(first), warnings(first)) == ([], [("names", 100)])
    assert told(watch.sees(*others, minute=359)) == []
    last = Counter(chain.from_iterable(told(watch.sees(*others, minute=360))))
    assert last == {"removed": 100, "new": 100}


def test_names_that_are_taken_back_were_never_others() -> None:
    models = fleet(100)
    watch = Watch(*models)
    watch.sees(*[record(f"Zebra {n * n} crossing, {n}") for n in range(100)], minute=0)

    assert told(watch.sees(*models, minute=60)) == []
    assert told(watch.sees(*models, minute=70)) == []
    assert (watch.holds, set(watch.believed.records)) == ((), set(models))


def test_models_that_are_all_renamed_wait() -> None:
    models = fleet(100)
    renamed = [
        record(it.description.replace("Reel", "Reel Pro"), creditPrice=str(it.credits))
        for it in models
    ]
    watch = Watch(*models)

    first = watch.sees(*renamed, minute=0)

    assert (told(first), [what for what, _ in warnings(first)]) == ([], ["names"])
    assert told(watch.sees(*renamed, minute=359)) == []
    assert len(told(watch.sees(*renamed, minute=360))) >= 100


def test_new_models_do_not_wait_for_a_collapse_that_they_do_not_make_up_for() -> None:
    models = fleet(100)

    assert told(Watch(*models).sees(*models[:50], record("Aria"), minute=0)) == [("new",)]


def test_many_new_models_are_no_flood() -> None:
    assert told(Watch(*fleet(30)).sees(*fleet(90), minute=0)) == [("new",)] * 60


def test_two_servers_that_disagree_are_warned_of_once_and_believed_in_the_end() -> None:
    models = fleet(100)
    watch = Watch(*models)
    other = changed(models, 60, discountPrice=True)

    seen = [watch.sees(*(models if n % 2 else other), minute=n * 5) for n in range(72)]

    assert [len(warnings(it)) for it in seen] == [1] + [0] * 71
    assert [told(it) for it in seen] == [[]] * 72
    assert len(told(watch.sees(*other, minute=360))) == 60


def test_two_servers_one_of_which_has_half_the_models_never_make_any_go() -> None:
    models = fleet(100)
    watch = Watch(*models)

    seen = [watch.sees(*(models if n % 2 else models[:50]), minute=n * 5) for n in range(288)]

    assert [told(it) for it in seen] == [[]] * 288
    assert sum(len(it.notices) for it in seen) <= 4


def test_a_flood_can_be_accepted() -> None:
    models = fleet(100)
    watch = Watch(*models)
    after = changed(models, 60, discountPrice=True)
    watch.sees(*after, minute=0)
    watch.holds = accepted(watch.holds, HoldReason.FLOOD, minute=1)

    assert len(told(watch.sees(*after, minute=2))) == 60


def test_without_a_wait_for_collapses_there_are_no_floods() -> None:
    models = fleet(100)
    watch = Watch(*models, rules=ConfirmRules(collapse=timedelta()))

    seen = watch.sees(*changed(models, 100, discountPrice=True), minute=0)

    assert (len(told(seen)), seen.notices) == (100, ())


def test_a_warning_that_is_turned_off_while_it_waits_does_not_say_that_all_is_right_again() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:20], minute=0)
    watch.rules = ConfirmRules(collapse=timedelta())

    early = watch.sees(*models[:20], minute=5)
    assert (told(early), early.notices) == ([], ())
    assert {hold.reason for hold in watch.holds} == {HoldReason.REMOVAL}
    seen = watch.sees(*models[:20], minute=10)

    assert (told(seen), seen.notices) == ([("removed",)] * 10, ())


def test_a_flood_that_waits_is_told_at_once_where_the_wait_is_turned_off() -> None:
    models = fleet(100)
    watch = Watch(*models)
    after = changed(models, 60, discountPrice=True)
    watch.sees(*after, minute=0)
    watch.rules = ConfirmRules(collapse=timedelta())

    seen = watch.sees(*after, minute=1)

    assert (len(told(seen)), seen.notices, watch.holds) == (60, (), ())
    later = watch.sees(*after, minute=20)
    assert (told(later), later.notices) == ([], ())


# What a sweep may hide


def test_as_many_as_may_be_hidden_are_not_told_as_gone_until_a_collapse_would_be() -> None:
    models = fleet(30)
    watch = Watch(*models)

    assert watch.sees(*models[:28], minute=0, hidden=2).doubted
    assert told(watch.sees(*models[:28], minute=359, hidden=2)) == []
    last = watch.sees(*models[:28], minute=360, hidden=2)
    assert (told(last), last.doubted) == ([("removed",)] * 2, False)


def test_what_was_hidden_and_is_read_again_was_never_gone() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:28], minute=0, hidden=2)

    confirmation = watch.sees(*models, minute=60)

    assert (told(confirmation), confirmation.holds) == ([], ())


def test_where_nothing_can_be_hidden_any_more_a_removal_has_waited_long_enough() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:28], minute=0, hidden=2)

    assert told(watch.sees(*models[:28], minute=60)) == [("removed",)] * 2


def test_more_missing_than_hidden_are_told_as_soon_as_usual() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:28], minute=0, hidden=2)

    assert told(watch.sees(*models[:27], minute=10, hidden=2)) == []
    assert told(watch.sees(*models[:27], minute=20, hidden=2)) == [("removed",)]


def test_where_another_one_is_hidden_in_place_of_one_that_is_back_it_is_not_gone() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:28], minute=0, hidden=2)

    assert told(watch.sees(*models[1:29], minute=10, hidden=2)) == []
    assert told(watch.sees(*models[1:29], minute=60, hidden=2)) == []


def test_what_was_missing_before_is_not_what_was_hidden_since() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:29], minute=0)

    assert told(watch.sees(*models[:28], minute=10, hidden=1)) == [("removed",)]
    assert told(watch.sees(*models[:28], minute=369, hidden=1)) == []
    assert told(watch.sees(*models[:28], minute=370, hidden=1)) == [("removed",)]


def test_a_model_that_may_be_hidden_is_not_told_as_renamed() -> None:
    watch = Watch(record("Reel, avtar"), record("Aria"))
    after = [record("Reel, avatar"), record("Aria")]

    assert told(watch.sees(*after, minute=0, hidden=1)) == []
    assert told(watch.sees(*after, minute=359, hidden=1)) == []
    assert told(watch.sees(*after, minute=360, hidden=1)) == [("renamed",)]


def test_a_removal_that_may_be_hidden_can_be_accepted() -> None:
    models = fleet(30)
    watch = Watch(*models)
    watch.sees(*models[:28], minute=0, hidden=2)
    watch.holds = accepted(watch.holds, HoldReason.REMOVAL, minute=1)

    assert told(watch.sees(*models[:28], minute=2, hidden=2)) == [("removed",)] * 2


def test_without_a_wait_for_collapses_nothing_is_taken_for_hidden() -> None:
    models = fleet(30)
    watch = Watch(*models, rules=ConfirmRules(collapse=timedelta()))
    watch.sees(*models[:28], minute=0, hidden=2)

    assert told(watch.sees(*models[:28], minute=10, hidden=2)) == [("removed",)] * 2


# What a person accepted by hand


def accepted(holds: Sequence[Hold], reason: HoldReason, *, minute: float) -> tuple[Hold, ...]:
    """The holds with those of one reason ended early, as accepting them stores it."""
    at = START + timedelta(minutes=minute)
    return tuple(
        replace(hold, until_at=min(hold.until_at, at)) if hold.reason is reason else hold
        for hold in holds
    )


def test_an_accepted_removal_is_told_by_the_next_sweep_that_shows_it() -> None:
    watch = Watch(record("Reel"), record("Aria"))
    watch.sees(record("Aria"), minute=0)
    watch.holds = accepted(watch.holds, HoldReason.REMOVAL, minute=2)

    assert told(watch.sees(record("Aria"), minute=3)) == [("removed",)]
    assert watch.holds == ()


def test_what_was_accepted_and_is_contradicted_was_never_so() -> None:
    watch = Watch(record("Reel"), record("Aria"))
    watch.sees(record("Aria"), minute=0)
    watch.holds = accepted(watch.holds, HoldReason.REMOVAL, minute=2)

    assert told(watch.sees(record("Reel"), record("Aria"), minute=3)) == []
    assert told(watch.sees(record("Aria"), minute=4)) == []
    assert [hold.until_at for hold in watch.holds] == [START + timedelta(minutes=14)]


@pytest.mark.parametrize(("seen", "news"), [("0.1", [("price_down",)]), ("0.2", [])])
def test_an_accepted_price_is_told_only_if_it_is_the_one_that_was_accepted(
    seen: str, news: list[tuple[str, ...]]
) -> None:
    watch = Watch(priced("Reel", "10", falPrice=""))
    watch.sees(priced("Reel", "0.1", falPrice=""), minute=0)
    watch.holds = accepted(watch.holds, HoldReason.PRICE, minute=1)

    assert told(watch.sees(priced("Reel", seen, falPrice=""), minute=2)) == news


def test_an_accepted_rename_is_told_and_a_removal_in_its_place_still_waits() -> None:
    watch = Watch(record("Reel, avtar"), record("Aria"))
    watch.sees(record("Reel, avatar"), record("Aria"), minute=0)
    watch.holds = accepted(watch.holds, HoldReason.RENAME, minute=1)
    elsewhere = Watch(record("Reel, avtar"), record("Aria"))
    elsewhere.holds = watch.holds

    assert told(elsewhere.sees(record("Aria"), minute=2)) == []
    assert told(watch.sees(record("Reel, avatar"), record("Aria"), minute=2)) == [("renamed",)]


def many(count: int) -> list[Record]:
    return [record(f"Reel {n}") for n in range(count)]


def test_an_accepted_collapse_is_believed_with_the_removals_it_held() -> None:
    watch = Watch(*many(30))
    assert [n.kind for n in watch.sees(*many(10), minute=0).notices] == [NoticeKind.COLLAPSE]
    for reason in (HoldReason.COLLAPSE, HoldReason.REMOVAL):
        watch.holds = accepted(watch.holds, reason, minute=2)

    confirmation = watch.sees(*many(10), minute=3)

    assert told(confirmation) == [("removed",)] * 20
    assert (confirmation.holds, confirmation.notices) == ((), ())


def test_what_else_went_missing_since_a_collapse_was_accepted_waits_its_time() -> None:
    watch = Watch(*many(30))
    watch.sees(*many(10), minute=0)
    for reason in (HoldReason.COLLAPSE, HoldReason.REMOVAL):
        watch.holds = accepted(watch.holds, reason, minute=2)

    assert told(watch.sees(*many(9), minute=3)) == [("removed",)] * 20
    assert [hold.until_at for hold in watch.holds] == [START + timedelta(minutes=13)]


def test_one_removal_can_be_accepted_while_the_catalogue_is_held() -> None:
    watch = Watch(*many(30))
    watch.sees(*many(10), minute=0)
    watch.sees(*many(10), minute=5)
    first = next(hold for hold in watch.holds if hold.reason is HoldReason.REMOVAL)
    early = replace(first, until_at=START + timedelta(minutes=6))
    watch.holds = [early if hold is first else hold for hold in watch.holds]

    assert told(watch.sees(*many(10), minute=7)) == [("removed",)]
    assert len(watch.holds) == 20


def test_a_removal_whose_time_came_is_still_held_by_a_collapse_that_begins() -> None:
    watch = Watch(*many(30))
    watch.sees(*many(29), minute=0)

    assert told(watch.sees(*many(10), minute=10)) == []
    assert min(hold.until_at for hold in watch.holds) == START + timedelta(hours=6, minutes=10)


def test_what_is_missing_after_a_collapse_is_missed_anew_though_it_was_accepted() -> None:
    watch = Watch(*many(30))
    watch.sees(*many(10), minute=0)
    for reason in (HoldReason.COLLAPSE, HoldReason.REMOVAL):
        watch.holds = accepted(watch.holds, reason, minute=2)

    confirmation = watch.sees(*many(29), minute=3)

    assert (told(confirmation), confirmation.notices) == ([], ())
    assert {hold.until_at for hold in confirmation.holds} == {START + timedelta(minutes=13)}
    confirmation = watch.sees(*many(29), minute=13)
    assert told(confirmation) == [("removed",)]
    assert [notice.kind for notice in confirmation.notices] == [NoticeKind.RECOVERED]


def test_a_hold_keeps_the_end_it_has_where_the_rules_have_become_slower() -> None:
    watch = Watch(record("Reel"), record("Aria"))
    watch.sees(record("Aria"), minute=0)
    watch.rules = ConfirmRules(removals=timedelta(hours=1))

    assert told(watch.sees(record("Aria"), minute=10)) == [("removed",)]

"""What differs, in kinds and with causes."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build import USD_PER_CREDIT, differences, model, priced, record, snapshot
from watcher.catalog.changes import CreditValueChange, Kind, ModelChange, change_percent
from watcher.catalog.diff import Differences, diff_model
from watcher.catalog.record import Record, Snapshot

D = Decimal


def kinds_of(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    change = diff_model(model(**before), model(**after))
    return [kind.value for kind in change.kinds] if change else []


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param({}, {"creditPrice": "40.0"}, [], id="the same price in other digits"),
        pytest.param(
            {},
            {"creditPrice": "55.44", "usdPrice": "0.2772"},
            ["price_up", "discount_down"],
            id="dearer",
        ),
        pytest.param(
            {},
            {"creditPrice": "20", "usdPrice": "0.1"},
            ["price_down", "discount_up"],
            id="cheaper",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 0},
            {"falPrice": "", "discountRate": 0, "creditPrice": "40.1"},
            ["price_up"],
            id="dearer by a quarter of a percent",
        ),
        pytest.param(
            {"creditUnit": "per 6 images"},
            {"creditUnit": "per 2 images"},
            ["price_up"],
            id="three times dearer, visible only in the unit",
        ),
        pytest.param(
            {"creditPrice": "8", "creditUnit": "per 2 images"},
            {"creditPrice": "4", "usdPrice": "0.02", "falPrice": "0.4", "creditUnit": "per image"},
            ["discount_up", "relabelled"],
            id="another quantity at the same price each",
        ),
        pytest.param(
            {"falPrice": ""},
            {"falPrice": "", "creditUnit": "per video"},
            ["unit"],
            id="another base unit",
        ),
        pytest.param(
            {"falPrice": ""},
            {"falPrice": "", "creditUnit": "per image", "creditPrice": "400"},
            ["unit"],
            id="another base unit and price",
        ),
        pytest.param(
            {"creditUnit": ""}, {"creditUnit": "per video"}, ["relabelled"], id="a unit filled in"
        ),
        pytest.param(
            {"creditUnit": "per video"}, {"creditUnit": ""}, ["relabelled"], id="a unit left out"
        ),
        pytest.param(
            {"creditUnit": "", "falPrice": ""},
            {"creditUnit": "per video", "creditPrice": "50", "falPrice": ""},
            ["unit"],
            id="a unit filled in with another price",
        ),
        pytest.param(
            {"creditUnit": "per million"},
            {"creditUnit": "per million tokens"},
            ["relabelled"],
            id="per million tokens spelled out",
        ),
        pytest.param(
            {"creditUnit": "per milion tokens"},
            {"creditUnit": "per 1M tokens"},
            ["relabelled"],
            id="a typo in the unit corrected",
        ),
        pytest.param(
            {"creditUnit": "per vedio"},
            {"creditUnit": "per video "},
            ["relabelled"],
            id="per vedio corrected",
        ),
        pytest.param({"anchor": ""}, {}, ["relabelled"], id="a link filled in"),
        pytest.param({"provider": "Other"}, {}, ["relabelled"], id="another provider"),
        pytest.param({"interfaceType": "image"}, {}, ["relabelled"], id="another category"),
        pytest.param(
            {"description": "reel 2,  1080P"}, {}, ["relabelled"], id="another spelling of the name"
        ),
        pytest.param(
            {"usdPrice": "0.02"}, {"usdPrice": "0.2"}, ["corrected"], id="the listed USD corrected"
        ),
        pytest.param(
            {"discountRate": 12},
            {"discountRate": 50},
            ["corrected"],
            id="the listed rate corrected",
        ),
        pytest.param(
            {"usdPrice": "0.02", "anchor": ""},
            {},
            ["corrected", "relabelled"],
            id="USD corrected and link filled in",
        ),
        pytest.param(
            {"creditPrice": ""}, {}, ["corrected"], id="credits filled in at the same worth"
        ),
        pytest.param(
            {"falPrice": "1.4"},
            {"falPrice": "0.7"},
            ["discount_down", "reference_down"],
            id="the reference cheaper",
        ),
        pytest.param(
            {"falPrice": "0.4"},
            {"falPrice": "0.5"},
            ["discount_up", "reference_up"],
            id="the reference dearer",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 0},
            {},
            ["reference_up"],
            id="a reference listed for the first time",
        ),
        pytest.param(
            {},
            {"falPrice": "", "discountRate": 0},
            ["reference_down"],
            id="a reference emptied",
        ),
        pytest.param(
            {},
            {"falPrice": "", "discountRate": 50},
            ["reference_down"],
            id="a reference emptied whose rate stays",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 50},
            {},
            ["reference_up"],
            id="a reference filled in behind its rate",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 20},
            {},
            ["reference_up"],
            id="a reference filled in behind another rate",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 0},
            {"creditPrice": "20", "usdPrice": "0.1"},
            ["price_down", "reference_up"],
            id="a reference listed for the first time with a cheaper price",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 0},
            {"falPrice": "", "discountRate": 30},
            ["corrected"],
            id="a rate listed for the first time",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 30},
            {"falPrice": "", "discountRate": 0},
            ["corrected"],
            id="a rate emptied",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 30},
            {"falPrice": "", "discountRate": 40},
            ["discount_up"],
            id="only the listed rate moved",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": None},
            {"falPrice": "", "discountRate": 0},
            ["corrected"],
            id="no rate and a rate of nothing",
        ),
        pytest.param({}, {"discountPrice": True}, ["promotion_started"], id="a promotion starts"),
        pytest.param({"discountPrice": True}, {}, ["promotion_ended"], id="a promotion ends"),
        pytest.param(
            {"falPrice": ""},
            {"falPrice": "", "creditPrice": "0", "usdPrice": "0"},
            ["price_down"],
            id="free from now on",
        ),
        pytest.param(
            {"creditPrice": "", "usdPrice": "", "falPrice": ""},
            {"falPrice": ""},
            ["price_up"],
            id="a price where there was none",
        ),
        pytest.param(
            {"falPrice": ""},
            {"creditPrice": "", "usdPrice": "", "falPrice": ""},
            ["price_down"],
            id="a price taken away",
        ),
        pytest.param(
            {"creditPrice": "", "falPrice": ""},
            {"creditPrice": "", "usdPrice": "0.3", "falPrice": ""},
            ["price_up"],
            id="dearer in USD where there are no credits",
        ),
    ],
)
def test_a_difference_is_of_its_kind(
    before: dict[str, Any], after: dict[str, Any], kinds: list[str]
) -> None:
    assert kinds_of(before, after) == kinds


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        pytest.param({}, {"creditPrice": "20"}, "price", id="Kie moved"),
        pytest.param({}, {"falPrice": "0.5"}, "reference", id="the reference moved"),
        pytest.param(
            {}, {"creditPrice": "20", "falPrice": "0.39"}, "price", id="both moved, Kie further"
        ),
        pytest.param(
            {},
            {"creditPrice": "41", "falPrice": "0.8"},
            "reference",
            id="both moved, the reference further",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 30},
            {"falPrice": "", "discountRate": 40},
            "listing",
            id="only the rate",
        ),
        pytest.param(
            {"falPrice": "", "discountRate": 30},
            {"falPrice": "", "discountRate": 40, "creditPrice": "30"},
            "price",
            id="the rate with the price",
        ),
    ],
)
def test_a_moved_discount_names_who_moved_it(
    before: dict[str, Any], after: dict[str, Any], cause: str
) -> None:
    change = diff_model(model(**before), model(**after))

    assert change is not None
    assert [it.value for it in change.causes.values()] == [cause]


def test_the_hidden_rise_in_the_unit_is_said_in_percent() -> None:
    change = diff_model(model(creditUnit="per 6 images"), model(creditUnit="per 2 images"))

    assert change is not None
    assert change_percent(change) == 200


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ([], ["Reel"], ["new"]),
        (["Reel"], [], ["removed"]),
        (["Reel, avtar"], ["Reel, avatar"], ["renamed"]),
        (["Reel"], ["reel "], ["relabelled"]),
    ],
)
def test_models_come_and_go(old: list[str], new: list[str], kinds: list[str]) -> None:
    found = differences(snapshot(*map(record, old)), snapshot(*map(record, new)))

    assert [kind.value for change in found.changes for kind in change.kinds] == kinds


def test_a_rename_tells_what_else_is_different() -> None:
    found = differences(
        snapshot(priced("Reel, avtar", "40")), snapshot(priced("Reel, avatar", "50"))
    )

    assert [change.kinds for change in found.changes] == [
        (Kind.RENAMED, Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    ]


def test_a_reference_price_that_cannot_be_read_moves_no_discount() -> None:
    before, after = record("Reel", falPrice="0.4"), record("Reel", falPrice="1,200")

    found = differences(snapshot(before), snapshot(after))

    assert found == Differences((), ())


def test_a_returned_model_is_compared_with_what_it_was() -> None:
    found = differences(
        snapshot(), snapshot(priced("Reel", "50")), departed=(priced("Reel", "40"),)
    )

    (change,) = found.changes
    assert isinstance(change, ModelChange)
    assert change.kinds == (Kind.RETURNED, Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    assert change.model_id == 900


def test_a_credit_that_is_worth_more_is_one_change_and_no_model_is_named() -> None:
    reference_known = [priced(f"Reel {n}", str(n + 1)) for n in range(8)]
    rate_only = [
        record(f"Aria {n}", creditPrice="40", falPrice="", discountRate=50) for n in range(8)
    ]
    usd_only = [record("Sonnet", creditPrice="", usdPrice="0.3", falPrice="", discountRate=0)]
    old = Snapshot.of([*reference_known, *rate_only, *usd_only], USD_PER_CREDIT)
    dearer = [
        record(
            f"Reel {n}", creditPrice=str(n + 1), usdPrice=str((n + 1) * D("0.006")), discountRate=3
        )
        for n in range(8)
    ]
    dearer += [
        record(f"Aria {n}", creditPrice="40", usdPrice="0.24", falPrice="", discountRate=40)
        for n in range(8)
    ]
    new = Snapshot.of([*dearer, *usd_only], USD_PER_CREDIT)

    found = differences(old, new)

    assert found.changes == (CreditValueChange(D("0.005"), D("0.006")),)
    assert len(found.updates) == 16


def test_a_price_that_moves_along_with_the_credit_is_still_told() -> None:
    old = Snapshot.of([priced(f"Reel {n}", "10") for n in range(8)], USD_PER_CREDIT)
    rows = [record(f"Reel {n}", creditPrice="10", usdPrice="0.06") for n in range(7)]
    new = Snapshot.of([*rows, record("Reel 7", creditPrice="20", usdPrice="0.12")], USD_PER_CREDIT)

    changes = differences(old, new).changes

    assert changes[0].kinds == (Kind.CREDIT_VALUE,)
    assert [
        (it.model.record.description, it.kinds[0])
        for it in changes[1:]
        if isinstance(it, ModelChange)
    ] == [("Reel 7", Kind.PRICE_UP)]


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "creditPrice": st.sampled_from(["", "0", "4", "4.0", "0,5", "40"]),
    "creditUnit": st.sampled_from(["", "per image", "per 2 images", "per vedio", "per second"]),
    "usdPrice": st.sampled_from(["", "0.02", "0.2", "0.0025"]),
    "falPrice": st.sampled_from(["", "0", "0.4", "0.05"]),
    "discountRate": st.sampled_from([None, 0, 50, 32.49]),
    "anchor": st.sampled_from(["", "https://kie.ai/reel"]),
    "provider": st.sampled_from(["Acme", "Other"]),
    "interfaceType": st.sampled_from(["video", "image"]),
    "discountPrice": st.booleans(),
}
RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from(
            ["Reel, avtar", "Reel, avatar", "reel , avatar", "Reel 2, 8s", "Reel 2, 10s", "Aria"]
        ),
        **FIELDS,
    ),
    max_size=6,
)


@given(RECORDS)
def test_a_snapshot_does_not_differ_from_itself(records: list[Record]) -> None:
    found = differences(snapshot(*records), snapshot(*records))

    assert (found.changes, found.updates) == ((), ())


@given(RECORDS, st.randoms(use_true_random=False))
def test_a_listing_in_another_order_is_no_difference(records: list[Record], rng: Random) -> None:
    shuffled = list(records)
    rng.shuffle(shuffled)

    found = differences(snapshot(*records), snapshot(*shuffled))

    assert (found.changes, found.updates) == ((), ())


@given(RECORDS, RECORDS)
@settings(max_examples=300)
def test_applying_the_differences_to_the_old_snapshot_gives_the_new(
    old: list[Record], new: list[Record]
) -> None:
    before, after = snapshot(*old), snapshot(*new)
    found = differences(before, after)

    result = dict(enumerate(before.records)) | dict(found.updates)
    added = 1000
    for change in found.changes:
        if not isinstance(change, ModelChange):
            continue
        if change.after is None:
            del result[change.model_id]  # type: ignore[arg-type]
        else:
            key = change.model_id if change.model_id is not None else (added := added + 1)
            result[key] = change.after.record

    assert sorted(result.values(), key=repr) == sorted(after.records, key=repr)

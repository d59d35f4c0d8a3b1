"""What a row of the listing means."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import model, priced, record, row
from watcher.catalog.pricing import NotUnderstoodError, decimal_text, parse_price, parse_rate
from watcher.catalog.record import (
    FIELDS,
    Record,
    Snapshot,
    Unreadable,
    credit_value,
    fold,
    parse_record,
    parse_row,
)

D = Decimal
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("listed", "meant"),
    [
        ("84.0", D(84)),
        ("84", D(84)),
        ("0,325", D("0.325")),
        ("0.325", D("0.325")),
        (" 0.850", D("0.85")),
        ("170 ", D(170)),
        ("", None),
        ("   ", None),
        (None, None),
        ("0", D(0)),
        ("0.000", D(0)),
        ("4000", D(4000)),
        ("1,234.50", D("1234.5")),
        ("１２", D(12)),
        (".5", D("0.5")),
        (4, D(4)),
        (D("4.0"), D(4)),
        (D("4E+3"), D(4000)),
        (0.125, D("0.125")),
    ],
)
def test_a_listed_price_is_read_exactly(listed: object, meant: Decimal | None) -> None:
    price = parse_price(listed)

    assert price == meant
    assert repr(price) == repr(meant)


@pytest.mark.parametrize(
    ("listed", "meant"),
    [
        ("4 credits", D(4)),
        ("1 credit", D(1)),
        (" 2.50  Credits ", D("2.5")),
        ("0,325 credits", D("0.325")),
        ("4", D(4)),
        (4, D(4)),
        ("", None),
    ],
)
def test_a_price_in_credits_may_say_so(listed: object, meant: Decimal | None) -> None:
    assert parse_record(row(creditPrice=listed)).credits == meant


@pytest.mark.parametrize(
    "listed", ["4 credit points", "4 creditss", "4credits", "credits", "4 credits a video", "4 usd"]
)
def test_no_other_word_stands_behind_a_price_in_credits(listed: str) -> None:
    assert isinstance(parse_row(row(creditPrice=listed, usdPrice="")), Unreadable)


def test_only_credits_are_called_credits() -> None:
    assert parse_record(row(usdPrice="4 credits")).usd_listed is None


def test_a_price_that_cannot_be_read_is_noted_and_makes_no_other_record() -> None:
    it = parse_record(row(creditPrice="", falPrice="1,200"))

    assert it.not_understood == ("falPrice: '1,200' can be read in two ways",)
    assert it == parse_record(row(creditPrice="", falPrice=""))


@pytest.mark.parametrize(
    "listed",
    [
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "1e400",
        "1e99",
        "-1",
        "-0.5",
        "free",
        "$5",
        "1_000",
        "1,200",
        "1.2.3",
        "0x10",
        "5 credits",
        "9" * 61,
        "1e-30",
        True,
        [],
        {},
        float("nan"),
        D("NaN"),
        D("1E+999"),
    ],
)
def test_a_price_without_a_safe_reading_is_refused(listed: object) -> None:
    with pytest.raises(NotUnderstoodError):
        parse_price(listed)


@given(JUNK)
def test_any_junk_is_a_price_or_refused(junk: object) -> None:
    try:
        price = parse_price(junk)
    except NotUnderstoodError:
        return
    assert price is None or (price.is_finite() and price >= 0)


@given(st.decimals(min_value=0, max_value=4000, places=6))
def test_a_price_and_its_text_are_the_same_price(price: Decimal) -> None:
    assert parse_price(decimal_text(price)) == price


@pytest.mark.parametrize(
    ("listed", "meant"),
    [
        (32.49, D("32.49")),
        (0, D(0)),
        (D("99.22"), D("99.22")),
        (-12.5, D("-12.5")),
        ("", None),
        (None, None),
        ("x", None),
        (True, None),
    ],
)
def test_a_listed_rate_is_read_or_unknown(listed: object, meant: Decimal | None) -> None:
    assert parse_rate(listed) == meant


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kling AI Avtar , lip sync", "kling ai avtar, lip sync"),
        ("  Reel  2,\t1080p ", "reel 2, 1080p"),
        ("Reel 2，1080p（no audio）", "Reel 2,1080p(no audio)"),
        ("STRASSE", "straße"),
        ("Reel\u00a02", "Reel 2"),
        ("Re\u200bel 2", "Reel 2"),
        ("Reel 2 , 8s", "Reel 2, 8s"),
        ("Réel", "Re\u0301el"),
    ],
)
def test_a_spelling_is_not_an_identity(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=60))
def test_folding_ascii_needs_no_special_case(text: str) -> None:
    ascii_text = text.encode("ascii", "ignore").decode()

    # A full-width comma sends the same text down the general path.
    assert fold(ascii_text) == fold(ascii_text + "，")[:-1].rstrip()


def test_a_record_carries_every_field_of_its_row() -> None:
    it = record(
        " Reel 2, 1080p ", creditPrice="84.0", creditUnit=" per 2 images ", falPrice="0,6221"
    )

    assert it.description == "Reel 2, 1080p"
    assert (it.credits, it.unit.quantity, it.unit.base) == (D(84), D(2), "image")
    assert (it.usd_listed, it.reference, it.rate) == (D("0.2"), D("0.6221"), D(50))
    assert it.family == "Reel 2"
    assert it.link == "https://kie.ai/reel-2"


@pytest.mark.parametrize(
    "anchor",
    [
        "",
        "Gemini 2.5 flash",
        "javascript:alert(1)",
        "https://",
        "http://[",
        "https://kie.ai/a b",
        "https://kie.ai/<x>",
        "//kie.ai",
        "https://kie.ai/)[x](y",
        "https://evil.example/kie.ai",
        "https://kie.ai.evil.example/",
        "https://kie.ai@evil.example/",
        "https://notkie.ai/",
    ],
)
def test_an_anchor_that_is_no_address_is_no_link(anchor: str) -> None:
    assert record(anchor=anchor).link is None


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ({}, "modelDescription"),
        (row("  "), "modelDescription"),
        (row(modelDescription=7), "modelDescription"),
        (row("x" * 1001), "modelDescription"),
        (row(provider={"name": "Acme"}), "provider"),
        (row(creditPrice="NaN", usdPrice=""), "creditPrice"),
        (row(creditPrice="", usdPrice="soon"), "usdPrice"),
        (row(creditPrice="-1", usdPrice="-1"), "usdPrice"),
    ],
)
def test_a_row_that_cannot_be_understood_says_why(broken: object, why: str) -> None:
    with pytest.raises(NotUnderstoodError, match=why):
        parse_record(broken)


def test_where_credits_cannot_be_read_the_listed_usd_serves() -> None:
    it = model(creditPrice="ask us", usdPrice="0.2")

    assert it.record.credits is None
    assert it.usd == D("0.2")
    assert it.price == D(40)


def test_of_a_row_that_cannot_be_read_is_kept_what_is_known_of_it() -> None:
    priceless = {"creditPrice": "NaN", "usdPrice": "NaN"}
    why = "creditPrice: 'NaN' is not a price; usdPrice: 'NaN' is not a price"
    assert parse_row(row("B", **priceless)) == Unreadable("b", "video", why)
    assert parse_row(7) == Unreadable("", "", "a row is int, not an object")


def test_what_a_row_means_follows_from_the_named_fields_alone() -> None:
    asked = set()

    class Noting(dict[str, Any]):
        def get(self, field: str, default: Any = None) -> Any:
            asked.add(field)
            return super().get(field, default)

    assert parse_row(Noting(row())) == record()
    assert asked == set(FIELDS)


@given(JUNK)
def test_reading_never_raises(junk: Any) -> None:
    assert isinstance(parse_row(junk), Record | Unreadable)


@given(st.dictionaries(st.sampled_from(list(row())), JUNK))
def test_no_value_of_any_field_makes_reading_raise(wire: dict[str, Any]) -> None:
    assert isinstance(parse_row(row() | wire), Record | Unreadable)


@pytest.mark.parametrize(
    ("wire", "price", "usd"),
    [
        ({"creditPrice": "4.0", "creditUnit": "per 2 images"}, D(2), D("0.02")),
        ({"creditPrice": "0"}, D(0), D(0)),
        ({"creditPrice": "", "usdPrice": "0.2"}, D(40), D("0.2")),
        ({"creditPrice": "", "usdPrice": ""}, None, None),
        ({"creditPrice": "8", "usdPrice": "0.004"}, D(8), D("0.04")),
    ],
    ids=["per one of several", "free", "only USD", "no price", "a listing mistake"],
)
def test_the_price_is_credits_per_base_unit_and_usd_follows_the_credits(
    wire: dict[str, str], price: Decimal | None, usd: Decimal | None
) -> None:
    it = model(**wire)

    assert (it.price, it.usd) == (price, usd)


@pytest.mark.parametrize(
    ("wire", "discount"),
    [
        ({"creditPrice": "84", "falPrice": "0.6221", "discountRate": 99}, D("32.49")),
        ({"falPrice": "", "discountRate": 32.5}, D("32.5")),
        ({"falPrice": "0", "discountRate": 12}, D(12)),
        ({"creditPrice": "200", "falPrice": "0.5"}, D(-100)),
        ({"falPrice": "", "discountRate": None}, None),
    ],
    ids=["recomputed", "as listed", "Fal free", "dearer than Fal", "unknown"],
)
def test_the_discount_is_recomputed_where_both_prices_are_known(
    wire: dict[str, Any], discount: Decimal | None
) -> None:
    assert model(**wire).discount == discount


def test_exact_duplicates_are_one_record() -> None:
    assert len(Snapshot.of([record(), record(), record(anchor="")], D("0.005")).records) == 1


def test_a_snapshot_does_not_depend_on_the_order_of_the_listing() -> None:
    rows = [priced("A", "1"), priced("A", "2"), priced("a ", "1"), priced("B", "1")]

    assert len({Snapshot.of(order, D("0.005")) for order in permutations(rows)}) == 1


def test_a_credit_is_worth_what_most_rows_say() -> None:
    rows = [priced(str(number), "10") for number in range(9)] + [
        record(creditPrice="8", usdPrice="0.004")
    ]

    assert credit_value(rows, D("0.005")) == D("0.005")
    assert credit_value(rows, D("0.004")) == D("0.005")


def test_rounding_in_the_listing_does_not_move_the_worth_of_a_credit() -> None:
    rows = [record(str(n), creditPrice="11.7", usdPrice="0.0585") for n in range(6)]
    rows += [record(str(n), creditPrice="0.3", usdPrice="0.001501") for n in range(7)]

    assert credit_value(rows, D("0.005")) == D("0.005")


@pytest.mark.parametrize(
    "usd",
    [["0.4"] * 4, ["0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]],
    ids=["too few rows", "no two agree"],
)
def test_typing_mistakes_do_not_move_the_worth_of_a_credit(usd: list[str]) -> None:
    rows = [record(str(n), creditPrice="40", usdPrice=it) for n, it in enumerate(usd)]

    assert credit_value(rows, D("0.005")) == D("0.005")


@pytest.mark.parametrize(
    ("interface", "whose"),
    [("video", "fal"), ("image", "fal"), ("music", "fal"), ("3d", "fal"), ("Chat ", "vendor")],
)
def test_the_reference_is_the_vendors_for_chat_and_fals_for_all_else(
    interface: str, whose: str
) -> None:
    assert model(interfaceType=interface).fields()["reference_of"] == whose


def test_money_in_json_is_plain_digits() -> None:
    fields = model(creditPrice="0.0025", falPrice="1000").fields()

    assert (fields["usd"], fields["reference"], fields["credits"]) == (
        "0.0000125",
        "1000",
        "0.0025",
    )
    assert list(fields) == [
        "description",
        "interface",
        "provider",
        "credits",
        "unit",
        "unit_quantity",
        "base_unit",
        "usd",
        "reference",
        "reference_of",
        "discount",
        "promotion",
        "link",
    ]

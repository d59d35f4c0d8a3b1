"""Variants that share their news, and what is known beside it: who stands where, and in what words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import (
    A_MONTH_AGO,
    ALERT,
    AT,
    DIGESTS,
    EACH_KIND,
    HUGE,
    MAIL,
    NO_REFERENCE,
    RISE,
    TELEGRAM,
    Content,
    contents_of,
    moved,
    new,
    numbered,
    raised,
    removed,
    renamed,
    render_kind,
    variants,
    with_facts,
)
from watcher.catalog.changes import RecordedChange
from watcher.render.enrichment import MessageItem
from watcher.render.figures import monthly
from watcher.render.message import render


def lines_of(contents: list[Content | MessageItem]) -> list[str]:
    body = render(contents, HUGE, ALERT).body
    return [line for line in body.splitlines() if line.startswith("- ")]


def cheaper(fields: dict[str, Any]) -> Any:
    return raised(fields, "0.5")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("shared_rise", "- 5s, 10s: +20 %, 10 → 12 and 20 → 24 credits per second · $0.05 → $0.06 and $0.1 → $0.12 · 50 % → 40 % cheaper than Fal, because Kie's price moved"),
        ("shared_rise_of_many", "- 5s, 10s, 15s, 20s, 25s: +20 %, 10–50 → 12–60 credits per second · +$15.00 a month for you · $0.05–$0.25 → $0.06–$0.3 · 50 % → 40 % cheaper than Fal, because Kie's price moved · last change 1 to 5 days earlier"),
        ("shared_new", "- 5s, 10s, 15s, 20s, 25s, 30s, 35s, 40s, 45s, 50s, 55s, 60s: new, 10–120 credits per second, $0.05–$0.6 · 50 % cheaper than Fal"),
        ("shared_removal", "- 5s, 10s, 15s: gone, last price 10–30 credits per second, $0.05–$0.15"),
        ("shared_discount", "- 5s, 10s, 15s: 50 % → 75 % cheaper than Fal, because Fal's price moved · Fal's price $0.1–$0.3 → $0.2–$0.6 · price 10–30 credits per second, $0.05–$0.15"),
        ("shared_reference", "- 5s, 10s, 15s: Fal's price none → $0.1–$0.3 · 50 % cheaper than Fal · price 10–30 credits per second, $0.05–$0.15"),
        ("shared_promotion", "- 5s, 10s: promotion started · 50 % cheaper than Fal · price 10 and 20 credits per second, $0.05 and $0.1"),
        ("shared_label", "- 5s, 10s, 15s, 20s: relabelled, provider “ByteDance” → “OpenAI” · price 10–40 credits per second, $0.05–$0.2"),
    ],
)  # fmt: skip
def test_variants_with_the_same_news_share_a_line(kind: str, line: str) -> None:
    assert lines_of(contents_of(EACH_KIND[kind])) == [line]


TWO, THREE = variants(2), variants(3)


@pytest.mark.parametrize(
    "changes",
    [
        [raised(TWO[0]), raised(TWO[1], "1.3")],
        [raised(TWO[0]), cheaper(TWO[1])],
        [raised(TWO[0]), new(**TWO[1])],
        [new(**TWO[0]), new(**TWO[1], creditUnit="per video")],
        [new(**TWO[0]), new(**TWO[1] | {"creditPrice": "0", "usdPrice": "0"})],
        [raised(TWO[0]), raised(TWO[1] | {"falPrice": ""} | NO_REFERENCE)],
        [raised(TWO[0]), raised(TWO[1] | {"anchor": "https://kie.ai/elsewhere"})],
        [renamed({"modelDescription": f"a, {n}"}, {"modelDescription": f"a, {n}x"}) for n in "bc"],
        [with_facts(raised(TWO[0]), 1, flapping=True), with_facts(raised(TWO[1]), 2)],
        [with_facts(raised(TWO[0]), 1, monthly_cost_usd=Decimal(1)), with_facts(raised(TWO[1]), 2)],
    ],
    ids=[
        "another percent",
        "another direction",
        "another kind",
        "another unit",
        "free and not",
        "one without a price at Fal",
        "another page",
        "names that changed",
        "one that flaps",
        "one that is paid for",
    ],
)
def test_different_news_has_a_line_each(changes: list[Any]) -> None:
    assert len(lines_of(contents_of(changes))) == 2


def test_two_changes_of_one_variant_share_no_line() -> None:
    up = raised(TWO[0])
    assert len(lines_of(numbered([up, raised(TWO[0]), raised(TWO[1])]))) == 3


def test_a_shared_line_leads_to_the_page_where_only_what_it_shows_first_differs() -> None:
    page = "https://kie.ai/sora-2"
    changes = [
        raised(fields | {"anchor": f"{page}?model={number}"}) for number, fields in enumerate(THREE)
    ]
    other = removed(modelDescription="Sora 2, Pro", anchor="https://kie.ai/sora-2-pro?x=1")
    lines = lines_of(numbered([*changes, other]))
    assert lines[0].endswith("[page](https://kie.ai/sora-2-pro?x=1)")
    assert lines[1].endswith(f"[page]({page})")


def test_names_with_commas_are_told_apart_in_a_shared_line() -> None:
    names = ["Sora 2, text, 5s", "Sora 2, image, 5s"]
    (line,) = lines_of(numbered([new(modelDescription=name) for name in names]))
    assert line.startswith("- image, 5s; text, 5s: new, ")


def test_more_names_than_fit_are_counted() -> None:
    names = [f"Sora 2, a variant of a rather long name {number}" for number in range(30)]
    (line,) = lines_of(numbered([new(modelDescription=name) for name in names]))
    told = re.search(r" and (\d+) others: new, ", line)
    assert told is not None
    assert line.count("a variant of") + int(told[1]) == 30


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=8, unique=True))
def test_every_price_lies_in_the_range_that_is_told(prices: list[int]) -> None:
    fields = [
        {"modelDescription": f"Sora 2, v{price}", "creditPrice": str(price), "usdPrice": ""}
        | NO_REFERENCE
        for price in prices
    ]
    (line,) = lines_of(numbered([raised(one, "2") for one in fields]))
    told = re.search(r"\+100 %, ([\d,]+)–([\d,]+) → ([\d,]+)–([\d,]+) credits", line)
    assert told is not None
    low, high, low_after, high_after = (int(part.replace(",", "")) for part in told.groups())
    assert (low, high) == (min(prices), max(prices))
    assert (low_after, high_after) == (2 * low, 2 * high)


# What is known beside a change


@pytest.mark.parametrize(
    ("change", "facts", "words"),
    [
        (moved({}, RISE), {"monthly_cost_usd": Decimal(96)}, "+38.7 % · +$96.00 a month for you · $"),
        (moved({}, RISE), {"monthly_cost_usd": Decimal("-1234.5")}, "−$1,234.50 a month for you"),
        (moved({}, RISE), {"highest_ever": True}, "the highest ever watched"),
        (moved({}, RISE), {"highest_since": A_MONTH_AGO}, "the highest since 2026-10-23"),
        (cheaper(TWO[0]), {"lowest_ever": True}, "the lowest ever watched"),
        (cheaper(TWO[0]), {"lowest_since": A_MONTH_AGO}, "the lowest since 2026-10-23"),
        (moved({}, RISE), {"days_since_change": 0}, "last change less than a day earlier"),
        (moved({}, RISE), {"days_since_change": 1}, "last change a day earlier"),
        (moved({}, RISE), {"days_since_change": 1200}, "last change 1,200 days earlier"),
        (moved({}, RISE), {"flapping": True}, "goes back and forth, 68.5 → 95 credits"),
        (moved({}, RISE), {"flapping": True}, "flapping: more is told once it stands still"),
        (removed(), {"flapping": True}, "goes back and forth, gone, last price"),
        (moved({}, {"discountPrice": True}), {"flapping": True}, "goes back and forth, promotion started"),
        (removed(), {"missed_since": A_MONTH_AGO}, "first missed 2026-10-23 07:30 UTC"),
        (removed(), {"family_left": 0}, "nothing of its family is left"),
        (removed(), {"family_left": 1}, "1 other of its family left"),
        (removed(), {"family_left": 3, "family_cheapest": ("bytedance/seedance-2-5, 480p", "20 credits")}, "3 others of its family left, the cheapest 480p at 20 credits"),
        (removed(), {"family_left": 3, "family_cheapest": ("Else <b>@all</b>", "20 credits")}, "the cheapest Else ‹b›@\u200ball‹∕b› at 20 credits"),
    ],
)  # fmt: skip
def test_what_is_known_is_said(change: Any, facts: dict[str, Any], words: str) -> None:
    (line,) = lines_of([with_facts(change, **facts)])
    assert words in line


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"lowest_ever": True},
        {"lowest_since": A_MONTH_AGO},
        {"monthly_cost_usd": Decimal(0)},
        {"missed_since": AT},
    ],
)
def test_what_is_not_so_or_does_not_belong_is_not_said(facts: dict[str, Any]) -> None:
    assert lines_of([with_facts(moved({}, RISE), **facts)]) == lines_of(numbered([moved({}, RISE)]))


def test_a_shared_line_says_of_all_what_is_true_of_all() -> None:
    def low(number: int, **facts: Any) -> MessageItem:
        return with_facts(cheaper(THREE[number]), number, **facts)

    since = {"lowest_since": A_MONTH_AGO}
    later = {"lowest_since": A_MONTH_AGO + timedelta(days=9)}
    (line,) = lines_of([low(0, **since), low(1, **later), low(2, lowest_ever=True)])
    assert "the lowest since 2026-11-01" in line
    (line,) = lines_of([low(0, lowest_ever=True), low(1, lowest_ever=True)])
    assert "the lowest ever watched" in line
    (line,) = lines_of([low(0, lowest_ever=True), low(1)])
    assert "lowest" not in line


def test_what_is_paid_for_comes_first_and_the_title_adds_it_up() -> None:
    contents = [
        with_facts(removed(modelDescription="a1"), 1),
        with_facts(raised(TWO[0], "3"), 2),
        with_facts(moved({}, {"creditPrice": "69"}), 3, monthly_cost_usd=Decimal("1.5")),
        with_facts(cheaper({"modelDescription": "b", "creditPrice": "2"}), 4, monthly_cost_usd=Decimal(-9)),
    ]  # fmt: skip
    message = render(contents, MAIL, ALERT)
    headings = re.findall(r"^(\S+) ", message.body, re.MULTILINE)
    assert [name for name in headings if name not in {"•", "seen"}] == [
        "b",
        "bytedance/seedance-2-5",
        "a1",
        "Sora",
    ]
    assert message.title.startswith("Kie.ai: −$7.50 a month for you, b −50 %, ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("96", "+$96.00 a month"),
        ("-12.346", "−$12.35 a month"),
        ("1234567.891", "+$1,234,567.89 a month"),
        ("0.00041", "+$0.00041 a month"),
        ("-0.004", "−$0.004 a month"),
        ("0", "+$0.00 a month"),
    ],
)
def test_a_bill_is_told_in_cents_where_there_are_any(value: str, words: str) -> None:
    assert monthly(Decimal(value)) == words


# Digests


def test_a_digest_says_its_period_in_the_title_and_its_sums_at_the_end() -> None:
    message = render_kind("digest", MAIL)
    assert message.title.startswith("Kie.ai weekly, 2026-11-15 to 2026-11-22: bytedance/")
    *_, rises, falls, counts, _, last = message.body.splitlines()
    assert rises == "• Biggest rises: bytedance/seedance-2-5, 1080p no video +38.7 %"
    assert falls == "• Biggest falls: Sora 2, 5s −50 %"
    assert counts == "• In all: 4 up, 1 down, 1 gone"
    assert last.endswith(f"alert {ALERT}")


def test_a_digest_of_a_few_hours_says_the_hours() -> None:
    short = replace(DIGESTS["empty_digest"], route="", since_at=AT - timedelta(hours=5))
    message = render(contents_of(EACH_KIND["price_up"]), MAIL, ALERT, short)
    assert message.title.startswith("Kie.ai 2026-11-22 02:30 to 07:30: ")


def test_an_empty_digest_says_so() -> None:
    message = render_kind("empty_digest", TELEGRAM)
    assert "Kie.ai weekly, 2026-11-15 to 2026-11-22: nothing changed" in message.body
    assert message.hidden == 0


def test_a_telling_and_its_bare_content_are_told_alike() -> None:
    bare = numbered([moved({}, RISE), removed(modelDescription="x")])
    assert all(isinstance(one, RecordedChange) for one in bare)
    assert render(bare, MAIL, ALERT) == render([MessageItem(one) for one in bare], MAIL, ALERT)

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
    CHAT,
    DIGESTS,
    EACH_KIND,
    ENVELOPE,
    HUGE,
    MAIL,
    NO_REFERENCE,
    RISE,
    TELEGRAM,
    Content,
    contents_of,
    model,
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
from watcher.render.figures import brief_monthly, monthly
from watcher.render.message import render


def lines_of(contents: list[Content | MessageItem]) -> list[str]:
    body = render(contents, HUGE, ENVELOPE).body
    return [line for line in body.splitlines() if line.startswith("- ")]


def cheaper(fields: dict[str, Any]) -> Any:
    return raised(fields, "0.5")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("shared_rise", "- ▲ **+20 %** · 5s, 10s · $0.05 → $0.06 and $0.10 → $0.12 per second (10 → 12 and 20 → 24 credits) · 50 % → 40 % cheaper than Fal"),
        ("shared_rise_of_many", "- ▲ **+20 %** · 5 variants (5s–25s) · $0.05–$0.25 → $0.06–$0.30 per second (10–50 → 12–60 credits) · 50 % → 40 % cheaper than Fal · last change 1 to 5 days earlier"),
        ("shared_new", "- ＋ **new** · 12 variants (5s–60s) · $0.05–$0.60 per second (10–120 credits) · 50 % cheaper than Fal"),
        ("shared_removal", "- ✕ **gone** · 3 variants (5s–15s) · was $0.05–$0.15 per second (10–30 credits)"),
        ("shared_discount", "- ⇄ **50 % → 75 % cheaper than Fal** · 3 variants (5s–15s) · because Fal's price moved $0.10–$0.30 → $0.20–$0.60 · Kie's price $0.05–$0.15 per second (10–30 credits)"),
        ("shared_reference", "- ⇄ **Fal's price none → $0.10–$0.30** · 3 variants (5s–15s) · 50 % cheaper than Fal · Kie's price $0.05–$0.15 per second (10–30 credits)"),
        ("shared_promotion", "- ★ **promotion started** · 5s, 10s · $0.05 and $0.10 per second (10 and 20 credits) · 50 % cheaper than Fal"),
        ("shared_label", "- ✎ **relabelled** · 4 variants (5s–20s) · provider “ByteDance” → “OpenAI” · $0.05–$0.20 per second (10–40 credits)"),
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
    assert "[Pro](https://kie.ai/sora-2-pro?x=1)" in lines[0]
    assert f"[3 variants (5s–15s)]({page})" in lines[1]


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        (["text, 5s", "image, 5s"], "image and text 5s"),
        (["1080p no video", "1080p with video"], "1080p with and without video"),
        (
            [f"text-to-video, {size} {sound} audio" for size in ("720p", "1080p", "4k") for sound in ("with", "without")],
            "text-to-video: 6 variants (720p–4k, with and without audio)",
        ),
        (
            [f"text-to-video {time}, {size}" for time in ("5s", "10s") for size in ("720p", "1080p")],
            "text-to-video: 4 variants (5s and 10s, 720p and 1080p)",
        ),
        (["5s", "10s", "15s"], "3 variants (5s–15s)"),
        (["fast", "slow", "pro"], "fast, pro, slow"),
        (["a, fast", "b, slow"], "a, fast; b, slow"),
    ],
)  # fmt: skip
def test_words_that_names_share_are_said_once(names: list[str], shared: str) -> None:
    changes = [new(modelDescription=f"Sora 2, {name}") for name in names]
    (line,) = lines_of(numbered(changes))
    assert f"- ＋ **new** · {shared} · $" in line


def test_more_names_than_fit_are_counted() -> None:
    names = [f"Sora 2, a {word} variant of a rather long name" for word in words(30)]
    (line,) = lines_of(numbered([new(modelDescription=name) for name in names]))
    told = re.search(r" and (\d+) others · ", line)
    assert told is not None
    assert line.count("variant of a") + int(told[1]) == 30


def words(count: int) -> list[str]:
    return [f"{chr(97 + number)}{chr(97 + number)}x" for number in range(count)]


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=8, unique=True))
def test_every_price_lies_in_the_range_that_is_told(prices: list[int]) -> None:
    fields = [
        {"modelDescription": f"Sora 2, v{price}", "creditPrice": str(price), "usdPrice": ""}
        | NO_REFERENCE
        for price in prices
    ]
    (line,) = lines_of(numbered([raised(one, "2") for one in fields]))
    told = re.search(r" \(([\d,]+)–([\d,]+) → ([\d,]+)–([\d,]+) credits\)", line)
    assert told is not None
    low, high, low_after, high_after = (int(part.replace(",", "")) for part in told.groups())
    assert (low, high) == (min(prices), max(prices))
    assert (low_after, high_after) == (2 * low, 2 * high)


# What is known beside a change


@pytest.mark.parametrize(
    ("change", "facts", "words"),
    [
        (moved({}, RISE), {"monthly_cost_usd": Decimal(96)}, "+$96.00 a month for you"),
        (moved({}, RISE), {"monthly_cost_usd": Decimal("-1234.5")}, "−$1,234.50 a month for you"),
        (moved({}, RISE), {"highest_ever": True}, "the highest ever watched"),
        (moved({}, RISE), {"highest_since": A_MONTH_AGO}, "the highest since 2026-10-23"),
        (cheaper(TWO[0]), {"lowest_ever": True}, "the lowest ever watched"),
        (cheaper(TWO[0]), {"lowest_since": A_MONTH_AGO}, "the lowest since 2026-10-23"),
        (moved({}, RISE), {"days_since_change": 1}, "last change a day earlier"),
        (moved({}, RISE), {"days_since_change": 1200}, "last change 1,200 days earlier"),
        (moved({}, RISE), {"flapping": True}, "goes back and forth** · 1080p no video · +38.7 % · $0.3425"),
        (moved({}, RISE), {"flapping": True}, "flapping: more is told once it stands still"),
        (removed(), {"flapping": True}, "goes back and forth** · 1080p no video · gone · was $0.3425"),
        (moved({}, {"discountPrice": True}), {"flapping": True}, "goes back and forth** · 1080p no video · promotion started · $0.3425"),
        (removed(), {"missed_since": A_MONTH_AGO}, "first missed 2026-10-23 07:30 UTC"),
        (removed(), {"family_left": 0}, "nothing of its family is left"),
        (removed(), {"family_left": 1}, "1 other of its family left"),
        (removed(), {"family_left": 3, "family_cheapest": model(modelDescription="bytedance/seedance-2-5, 480p", creditPrice="20")}, "3 others of its family left, the cheapest 480p at $0.10 per second (20 credits)"),
        (removed(), {"family_left": 3, "family_cheapest": model(modelDescription="Else <b>@all</b>")}, "the cheapest Else ‹b›@\u200ball‹∕b› at $0.3425"),
    ],
)  # fmt: skip
def test_what_is_known_is_said(change: Any, facts: dict[str, Any], words: str) -> None:
    assert words in render([with_facts(change, **facts)], CHAT, ENVELOPE).body


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"lowest_ever": True},
        {"lowest_since": A_MONTH_AGO},
        {"monthly_cost_usd": Decimal(0)},
        {"missed_since": AT},
        {"days_since_change": 0},
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
    message = render(contents, MAIL, ENVELOPE)
    headings = re.findall(r"^(\S.*?) · ByteDance", message.body, re.MULTILINE)
    assert headings == ["b", "bytedance/seedance-2-5", "a1", "Sora 2"]
    assert message.title == "▼ b −50 % · −$7.50/month · 3 more"
    assert "−$7.50 a month for you\n\nb · " in message.body
    assert "▼ −50 % · −$9.00 a month for you · $" in message.body


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("96", "+$96.00 a month"),
        ("-12.346", "−$12.35 a month"),
        ("1234567.891", "+$1,234,567.89 a month"),
    ],
)
def test_a_bill_is_told_to_the_cent(value: str, words: str) -> None:
    assert monthly(Decimal(value)) == words


@pytest.mark.parametrize("value", ["0", "0.004", "-0.0049"])
def test_less_than_a_cent_is_no_bill(value: str) -> None:
    message = render([with_facts(moved({}, RISE), monthly_cost_usd=Decimal(value))], MAIL, ENVELOPE)
    assert "month" not in message.title + message.body


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("40", "+$40/month"),
        ("-20.7", "−$20.70/month"),
        ("1590.4", "+$1,590/month"),
        ("0.01", "+$0.01/month"),
    ],
)
def test_a_title_has_no_room_for_cents_of_a_large_bill(value: str, words: str) -> None:
    assert brief_monthly(Decimal(value)) == words


# Digests


def test_a_digest_begins_with_its_period_and_ends_with_the_biggest_moves() -> None:
    message = render_kind("digest", MAIL)
    assert message.title == "weekly: ✕ Kling 5s gone · 2 more"
    period, _, strip, *_, rises, falls, _, _, _, last = message.body.splitlines()
    assert period == "weekly, 2026-11-15 to 2026-11-22"
    assert strip == "▲ 1 up  ▼ 1 down  ✕ 1 gone"
    assert rises == "Biggest rises: bytedance/seedance-2-5, 1080p no video +38.7 %"
    assert falls == "Biggest falls: Sora 2, 5s −50 %"
    assert last.endswith(f"alert {ALERT}")


def test_a_digest_of_a_few_hours_says_the_hours() -> None:
    short = replace(DIGESTS["empty_digest"], route="", since_at=AT - timedelta(hours=5))
    message = render(contents_of(EACH_KIND["price_up"]), MAIL, ENVELOPE, short)
    assert message.body.startswith("2026-11-22 02:30 to 07:30 UTC\n")


def test_an_empty_digest_says_so() -> None:
    message = render_kind("empty_digest", TELEGRAM)
    assert "<b>weekly: nothing changed at Kie.ai</b>" in message.body
    assert "weekly, 2026-11-15 to 2026-11-22" in message.body
    assert message.hidden == 0


def test_a_telling_and_its_bare_content_are_told_alike() -> None:
    bare = numbered([moved({}, RISE), removed(modelDescription="x")])
    assert all(isinstance(one, RecordedChange) for one in bare)
    assert render(bare, MAIL, ENVELOPE) == render(
        [MessageItem(one) for one in bare], MAIL, ENVELOPE
    )

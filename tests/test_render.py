"""What a message says: every kind in words, numbers for people, strangers' text made harmless."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile import ACTIVE, hostile_text
from samples import (
    ALERT,
    AT,
    EACH_KIND,
    MAIL,
    SIX_IMAGES,
    TELEGRAM,
    body_of,
    contents_of,
    model,
    moved,
    new,
    numbered,
    recorded,
    removed,
    renamed,
)
from watcher.catalog.changes import PRICE_KINDS, Kind, ModelChange
from watcher.catalog.pricing import parse_unit
from watcher.render.figures import amount, money, per, percent
from watcher.render.markup import LONGEST_NAME, Markup, Service, harmless, safe_link, width
from watcher.render.message import render
from watcher.render.words import _COUNTED, _SINGLE_CHANGE, KIND_WEIGHT

# What must be said


def test_every_kind_of_change_has_words_and_a_place_in_the_message() -> None:
    assert set(KIND_WEIGHT) == set(_COUNTED) == set(Kind)
    assert set(Kind) - set(_SINGLE_CHANGE) == PRICE_KINDS


def test_a_price_line_has_old_and_new_percent_unit_usd_discount_and_link() -> None:
    body = body_of(moved({}, {"creditPrice": "95", "usdPrice": "0.475"}))
    assert "68.5 → 95 credits per second, +38.7 %" in body
    assert "$0.3425 → $0.475" in body
    assert "49.8 % → 30.4 % cheaper than Fal, because Kie's price moved" in body
    assert "https://kie.ai/seedance-2-5" in body


def test_a_price_that_moved_in_its_unit_alone_says_what_one_costs() -> None:
    body = body_of(moved(SIX_IMAGES, SIX_IMAGES | {"creditUnit": "per 2 images"}))
    assert "4 credits per 6 images → 4 per 2 images: +200 % per image" in body
    assert "$0.003333 → $0.01 per image" in body


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("new", "new, 68.5 credits per second, $0.3425"),
        ("removed", "gone, last price 68.5 credits per second, $0.3425"),
        ("returned", "back, 68.5 credits per second"),
        ("returned_dearer", "back, 68.5 → 70 credits per second, +2.2 %"),
        ("renamed", "360p(with audio): renamed, was “pixverse-v6, Extend, 360p(with aiduo)”"),
        ("price_down", "68.5 → 68.4 credits per second, −0.15 %"),
        ("price_appeared", "no price → 68.5 credits per second"),
        ("price_vanished", "68.5 credits per second → no price"),
        ("price_to_free", "68.5 credits per second → free, −100 %"),
        ("price_from_free", "free → 68.5 credits per second"),
        ("price_in_usd_only", "$0.3425 → $0.4 per second, +16.8 %"),
        ("unit", "other unit: 68.5 credits per second → 400 credits per video"),
        ("discount_reference", "because Fal's price moved · Fal's price $0.6823 → $0.5"),
        ("discount_listing", "30 % → 35 % cheaper than Fal, only the listed rate moved"),
        ("discount_gone_dearer", "49.8 % cheaper than Fal → 2.6 % dearer than Fal"),
        ("promotion_started", "promotion started"),
        ("promotion_ended", "promotion ended"),
        ("reference", "Fal's price $0.5 → $0.6823"),
        ("corrected", "listing corrected, USD $0.034 → $0.3425, discount 49.8 % → 50 %"),
        ("relabelled", "provider “Other” → “Hailuo”, unit “per sec” → “per second”, link added"),
        ("credit_value", "One credit is now worth $0.006 (was $0.005): every USD price moves by +20 %"),
        ("flapping_credit_value", "every USD price moves by +20 % · goes back and forth · flapping: more is told once it stands still"),
        ("baseline", "Watching 574 models: 323 video, 124 image, 96 chat, 31 music. From now on you hear what changes."),
        ("collapse", "410 of 574 models are missing"),
        ("collapse", "Nothing is announced as removed yet"),
        ("collapse", "2026-11-22 13:30 UTC"),
        ("recovered", "looks right again: 574 models"),
        ("sample", "This is a test: no price has moved"),
        ("sample", "50 → 60 credits per second, +20 %"),
    ],
)  # fmt: skip
def test_each_kind_says_what_matters_of_it(kind: str, words: str) -> None:
    assert words in render(contents_of(EACH_KIND[kind]), MAIL, ALERT).body


CHAT = {"interfaceType": "chat", "provider": "OpenAI"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "cheaper than Fal"),
        ({"interfaceType": "music", "provider": "OpenAI"}, "cheaper than Fal"),
        (CHAT, "cheaper than OpenAI's own price"),
        (CHAT | {"interfaceType": " Chat"}, "cheaper than OpenAI's own price"),
        (CHAT | {"provider": ""}, "cheaper than the vendor's own price"),
        (CHAT | {"provider": "Other"}, "cheaper than the vendor's own price"),
    ],
)
def test_a_discount_names_whose_price_it_is_compared_with(
    fields: dict[str, Any], words: str
) -> None:
    assert words in body_of(new(**fields))


@pytest.mark.parametrize(
    ("before", "after", "title", "words"),
    [
        ("0.5", "", "is no longer compared with Fal", "Fal's price $0.5 → none"),
        ("", "0.6823", "is now compared with Fal", "Fal's price none → $0.6823"),
    ],
)
def test_a_reference_that_is_listed_or_lost_does_not_read_as_a_move(
    before: str, after: str, title: str, words: str
) -> None:
    message = render(contents_of([moved({"falPrice": before}, {"falPrice": after})]), MAIL, ALERT)
    assert title in message.title
    assert words in message.body


def test_the_reference_price_of_chat_is_called_the_vendors() -> None:
    message = render(contents_of([moved(CHAT, CHAT | {"falPrice": "0.5"})]), MAIL, ALERT)
    assert "is less cheap against OpenAI's own price" in message.title
    assert "because OpenAI's own price moved · OpenAI's own price $0.6823 → $0.5" in message.body


def test_a_rate_of_nought_without_a_reference_is_no_discount() -> None:
    assert "Fal" not in body_of(new(falPrice="", discountRate=0))


def test_variants_stand_under_their_family_and_say_only_what_differs() -> None:
    body = body_of(new(), removed(modelDescription="bytedance/seedance-2-5, 480p"))
    assert body.count("seedance-2-5 ·") == 1
    assert "• 1080p no video: new, " in body
    assert "• 480p: gone, " in body


def test_links_stand_on_the_lines_where_a_familys_differ() -> None:
    body = body_of(
        new(), new(modelDescription="bytedance/seedance-2-5, 480p", anchor="https://kie.ai/x")
    )
    assert body.count("https://kie.ai/seedance-2-5") == 1
    assert body.count("https://kie.ai/x") == 1
    assert "https" not in body.splitlines()[0]


def test_namesakes_are_told_apart_by_what_differs_and_no_more() -> None:
    body = body_of(new(provider="A"), new(provider="B"))
    assert "1080p no video (A), 1080p no video (B): new, " in body


def test_two_lines_about_one_model_stand_in_order_of_time_and_say_it() -> None:
    up = moved({}, {"creditPrice": "95"})
    down = moved({"creditPrice": "95"}, {"creditPrice": "10"})
    later = AT + timedelta(minutes=5)
    body = render([recorded(down, 2, later), recorded(up, 1)], MAIL, ALERT).body
    assert body.index("(2026-11-22 07:30 UTC): 68.5 → 95") < body.index(
        "(2026-11-22 07:35 UTC): 95"
    )
    assert "seen 2026-11-22 07:30 UTC to 2026-11-22 07:35 UTC" in body


def test_families_come_by_their_weightiest_change() -> None:
    order = [
        removed(modelDescription="a9"),
        moved({"modelDescription": "a8"}, {"modelDescription": "a8", "creditPrice": "80"}),
        moved({"modelDescription": "a7"}, {"modelDescription": "a7", "creditPrice": "10"}),
        new(modelDescription="a6"),
        ModelChange((Kind.RETURNED,), model(modelDescription="a5"), model(modelDescription="a5")),
        moved({"modelDescription": "a4"}, {"modelDescription": "a4", "falPrice": "0.5"}),
        moved({"modelDescription": "a3"}, {"modelDescription": "a3", "creditUnit": "per video"}),
        renamed({"modelDescription": "a22"}, {"modelDescription": "a2"}),
        moved({"modelDescription": "a1"}, {"modelDescription": "a1", "discountPrice": True}),
        ModelChange((Kind.CORRECTED,), model(modelDescription="a0"), model(modelDescription="a0")),
    ]
    headings = re.findall(r"^(a\d) ", body_of(*reversed(order)), re.MULTILINE)
    assert headings == [f"a{number}" for number in range(9, -1, -1)]


def test_the_alert_id_and_the_time_stand_at_the_end() -> None:
    assert body_of(new()).endswith("\n\nseen 2026-11-22 07:30 UTC · alert 7f3k2m9q")


@pytest.mark.parametrize(
    ("contents", "title"),
    [
        (
            [
                moved({}, {"creditPrice": "95"}),
                *[new(modelDescription=f"n{number}") for number in range(3)],
                removed(modelDescription="gone"),
            ],
            "Kie.ai: bytedance/seedance-2-5, 1080p no video +38.7 %, 3 new, 1 gone",
        ),
        ([removed()], "Kie.ai: bytedance/seedance-2-5, 1080p no video is gone"),
        ([new(), new(modelDescription="b")], "Kie.ai: 2 new"),
        (
            [
                moved({}, {"creditPrice": "95"}),
                moved({"modelDescription": "b"}, {"modelDescription": "b", "creditPrice": "69"}),
            ],
            "Kie.ai: bytedance/seedance-2-5, 1080p no video +38.7 %, 1 more up",
        ),
    ],
    ids=["as promised", "one gone", "only new", "another rise"],
)
def test_the_title_carries_the_gist(contents: list[Any], title: str) -> None:
    assert render(numbered(contents), MAIL, ALERT).title == title


@pytest.mark.parametrize(
    ("limit", "title"),
    [
        (42, "Kie.ai: bytedance/seedance-2… +38.7 %"),
        (46, "Kie.ai: bytedance/seedance-2-5… +38.7 %, 1 new"),
    ],
)
def test_a_short_title_cuts_only_the_name_and_drops_whole_parts(limit: int, title: str) -> None:
    contents = numbered([moved({}, {"creditPrice": "95"}), new(modelDescription="b")])
    assert render(contents, Service("short", Markup.TEXT, 2000, limit, None), ALERT).title == title


def test_a_service_without_titles_gets_the_gist_in_the_body() -> None:
    message = render(numbered([removed()]), TELEGRAM, ALERT)
    assert message.title == ""
    assert message.body.startswith("<b>Kie.ai: bytedance/seedance-2-5, 1080p no video is gone</b>")


# Numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("38.686", "+38.7 %"),
        ("200", "+200 %"),
        ("-12.5", "−12.5 %"),
        ("0.456", "+0.46 %"),
        ("-0.5", "−0.5 %"),
        ("0.001", "less than +0.01 %"),
        ("0", "0 %"),
        ("123456.78", "+123,456.8 %"),
        ("-100", "−100 %"),
    ],
)
def test_percents_have_a_sign_and_as_many_decimals_as_help(value: str, text: str) -> None:
    assert percent(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.475", "$0.475"),
        ("0.0000125", "$0.0000125"),
        ("1.25E-5", "$0.0000125"),
        ("0.4750", "$0.475"),
        ("1120", "$1,120"),
        ("1E+3", "$1,000"),
        ("0", "$0"),
        ("123456789012", "$123,456,789,012"),
        ("0.66666666666666", "$0.66666667"),
    ],
)
def test_money_is_plain_digits_without_trailing_zeros(value: str, text: str) -> None:
    assert money(Decimal(value)) == text


def test_credits_have_their_thousands_apart() -> None:
    assert "1,000 → 1,120 credits per second, +12 %" in body_of(
        moved({"creditPrice": "1000"}, {"creditPrice": "1120"})
    )


def test_prices_that_differ_in_their_last_digit_are_shown_to_it() -> None:
    body = body_of(moved({"creditPrice": "0.123456789012"}, {"creditPrice": "0.123456789013"}))
    assert "0.123456789012 → 0.123456789013" in body


@given(st.decimals(min_value=0, max_value=10**12, places=12))
def test_no_amount_is_ever_written_with_an_exponent(value: Decimal) -> None:
    assert re.fullmatch(r"[\d,]+(\.\d*[1-9])?", amount(value))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("per second", "per second"),
        (" per 1M tokens", "per million tokens"),
        ("per 5 million tokens", "per 5 million tokens"),
        ("per 1000 characters", "per 1,000 characters"),
        ("per vedio", "per video"),
        ("", ""),
        ("per <!channel>", "per ‹!channel›"),
    ],
)
def test_units_are_said_as_people_say_them(label: str, words: str) -> None:
    assert per(parse_unit(label)) == words


# Untrusted text

READABLE = [
    "bytedance/seedance-2-5, 1080p (no video)",
    "gpt-5.2-codex, Chat, Input",
    "wan 2.5, image-to-video, default-5.0s-720p",
    "grok-imagine, upscale, 360p→720p",
    "MiniMax H3, 2k （with audio）",
    "some_model_v2, 16:9, 4K+",
    "image / video",
    "50% off, 3 × faster!",
    "通义万相 2.5",
    "Übermodell é, 1,000 chars",
]


@pytest.mark.parametrize("name", READABLE)
def test_a_real_name_is_left_as_it_is(name: str) -> None:
    assert harmless(name) == name


@pytest.mark.parametrize(
    ("ugly", "tame"),
    [
        ("@everyone", "@\u200beveryone"),
        ("<!channel>", "‹!channel›"),
        ("<@U123|x>", "‹@\u200bU123¦x›"),
        ("<b>&amp;</b>", "‹b›＆amp;‹∕b›"),
        ("**bold** `code` ~~gone~~ ||spoiler||", "∗∗bold∗∗ ʼcodeʼ ∼∼gone∼∼ ¦¦spoiler¦¦"),
        ("_it_ and __under__", "ˍitˍ and ˍˍunderˍˍ"),
        ("[x](https://evil.example)", "［x］(https∶//evil․example)"),
        ("www.evil.example evil.example", "www․evil․example evil․example"),
        ("www.163", "www․163"),
        ("# head", "♯ head"),
        ("back\\slash", "back＼slash"),
        (":fire: :x", "∶fire: ∶x"),
        ("/start now", "∕start now"),
        ("a\nb\r\nc\td", "a b c d"),
        ("\x1b[31mred\x1b[0m\x07", "［31mred ［0m"),
        ("\x9b31m", "31m"),
        ("a\u202eb\u2066c\u200bd\ufefff\u00adg", "abcdfg"),
        ("x\u2028y\u2029z", "x y z"),
        ("\U000e0041\u3164\ufe0f\ue000", "?"),
        ("", "?"),
        ("\u1fef\u037e", "ʼ;"),
        ("z" + "\u0336" * 50, "z" + "\u0336" * 3),
        ("\ud800x", "x"),
    ],
    ids=ascii,
)
def test_what_services_act_upon_loses_its_effect(ugly: str, tame: str) -> None:
    assert harmless(ugly) == tame


@given(hostile_text)
@settings(max_examples=200)
def test_harmless_text_is_one_short_line_without_anything_active(text: str) -> None:
    tame = harmless(text)
    assert not ACTIVE.search(tame)
    assert 1 <= width(tame) <= LONGEST_NAME
    hidden = {char for char in tame if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= {"\u200b"}
    assert not re.search(r"\w\.[^\W\d_]{2}", tame)
    assert tame.endswith("…") or harmless(tame) == tame


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://kie.ai/a?model=b%2Fc", "https://kie.ai/a?model=b%2Fc"),
        ("https://docs.kie.ai/x", "https://docs.kie.ai/x"),
        ("https://kie.ai/some_page", "https://kie.ai/some%5Fpage"),
        ("https://kie.ai/@everyone/**x**", "https://kie.ai/%40everyone/%2A%2Ax%2A%2A"),
        ("https://evil.example/kie.ai", None),
        ("https://kie.ai.evil.example/", None),
        ("https://notkie.ai/", None),
        ("https://kie.ai@evil.example/", None),
        ("https://user:pw@kie.ai/", None),
        ("https://kie.ai/" + "x" * 300, None),
        (None, None),
    ],
)
def test_only_pages_of_kie_are_linked(link: str | None, shown: str | None) -> None:
    assert safe_link(link) == shown

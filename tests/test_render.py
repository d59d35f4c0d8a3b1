"""What a message says: every kind in words, numbers for people, strangers' text made harmless."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile import ACTIVE, hostile_text
from samples import (
    ALERT,
    AT,
    COLLAPSE,
    DISCORD,
    EACH_KIND,
    ENVELOPE,
    LETTER,
    MAIL,
    SIX_IMAGES,
    SLACK,
    TELEGRAM,
    body_of,
    contents_of,
    model,
    moved,
    new,
    numbered,
    raised,
    recorded,
    removed,
    renamed,
    variants,
    with_facts,
)
from watcher.catalog.changes import Kind, ModelChange
from watcher.catalog.pricing import parse_unit
from watcher.render.figures import Notation, amount, money, per, percent
from watcher.render.markup import LONGEST_NAME, Markup, Service, harmless, safe_link, width
from watcher.render.message import render
from watcher.render.outline import Envelope
from watcher.render.words import _OF_KIND

# What must be said


def test_every_kind_of_change_has_words_and_a_place_in_the_message() -> None:
    assert set(_OF_KIND) == set(Kind)


def test_a_price_line_has_percent_then_usd_then_credits_then_the_discount() -> None:
    body = body_of(moved({}, {"creditPrice": "95", "usdPrice": "0.475"}))
    assert (
        "▲ +38.7 % · 1080p no video · $0.3425 → $0.475 per second (68.5 → 95 credits)"
        " · 49.8 % → 30.4 % cheaper than Fal\n" in body
    )
    assert "https://kie.ai/seedance-2-5" in body


def test_whoever_is_billed_in_credits_reads_them_first() -> None:
    envelope = Envelope(ALERT, notation=Notation(first="credits"))
    contents = contents_of(EACH_KIND["price_up"])
    body = render(contents, MAIL, envelope).body
    assert "▲ +38.7 % · 1080p no video · 68.5 → 95 credits per second ($0.3425 → $0.475)" in body
    assert "＋ new · 1080p no video · 68.5 credits per second ($0.3425)" in (
        render(contents_of(EACH_KIND["new"]), MAIL, envelope).body
    )


def test_a_price_that_moved_in_its_unit_alone_says_what_one_costs() -> None:
    body = body_of(moved(SIX_IMAGES, SIX_IMAGES | {"creditUnit": "per 2 images"}))
    assert (
        "▲ +200 % · edit · $0.003333 → $0.01 per image"
        " · $0.02 per 6 images (4 credits) → $0.02 per 2 images (4 credits)" in body
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("new", "＋ new · 1080p no video · $0.3425 per second (68.5 credits)"),
        ("removed", "✕ gone · 1080p no video · was $0.3425 per second (68.5 credits)"),
        ("returned", "＋ back · 1080p no video · $0.3425 per second (68.5 credits)"),
        ("returned_dearer", "▲ +2.2 % · 1080p no video · $0.3425 → $0.35 per second (68.5 → 70 credits) · back"),
        ("renamed", "✎ renamed · Extend, 360p(with audio) · was “pixverse-v6, Extend, 360p(with aiduo)”"),
        ("price_down", "▼ −0.15 % · 1080p no video · $0.3425 → $0.342 per second (68.5 → 68.4 credits)"),
        ("price_appeared", "▲ has a price now · 1080p no video · no price → $0.3425 per second (68.5 credits)"),
        ("price_vanished", "▼ no price now · 1080p no video · $0.3425 per second (68.5 credits) → no price"),
        ("price_to_free", "▼ free now · 1080p no video · $0.3425 per second (68.5 credits) → free"),
        ("price_from_free", "▲ no longer free · 1080p no video · free → $0.3425 per second"),
        ("price_in_usd_only", "▲ +16.8 % · 1080p no video · $0.3425 → $0.40 per second"),
        ("unit", "$0.3425 per second (68.5 credits) → $2.00 per video (400 credits)"),
        ("discount_reference", "⇄ 49.8 % → 31.5 % cheaper than Fal · 1080p no video · because Fal's price moved $0.6823 → $0.50 · Kie's price $0.3425"),
        ("discount_listing", "⇄ 30 % → 35 % cheaper than Fal · 1080p no video · only the listed rate moved"),
        ("discount_crossed", "⚑ no longer cheaper than Fal · 1080p no video · 49.8 % cheaper → 14.2 % more expensive than Fal"),
        ("discount_gone_dearer", "▲ +104.4 % · 1080p no video · ⚑ no longer cheaper than Fal · $0.3425 → $0.70"),
        ("promotion_started", "★ promotion started"),
        ("promotion_ended", "★ promotion ended"),
        ("reference", "⇄ Fal's price $0.50 → $0.6823"),
        ("corrected", "✎ listing corrected · 1080p no video · USD $0.034 → $0.3425, discount 49.8 % → 50 %"),
        ("relabelled", "provider “Other” → “Hailuo”, unit “per sec” → “per second”, link added"),
        ("credit_value", "One credit is now worth $0.006 (was $0.005): every USD price moves by +20 %"),
        ("flapping_credit_value", "every USD price moves by +20 % · goes back and forth · flapping: more is told once it stands still"),
        ("baseline", "Watching 574 models: 323 video, 124 image, 96 chat, 31 music. From now on you hear what changes."),
        ("collapse", "410 of 574 models are missing"),
        ("collapse", "Nothing is announced as removed yet"),
        ("collapse", "2026-11-22 13:30 UTC"),
        ("recovered", "looks right again: 574 models"),
        ("sample", "This is a test: no price has moved"),
        ("sample", "▲ +20 % · 1080p with audio · $0.25 → $0.30 per second (50 → 60 credits)"),
    ],
)  # fmt: skip
def test_each_kind_says_what_matters_of_it(kind: str, words: str) -> None:
    assert words in render(contents_of(EACH_KIND[kind]), MAIL, ENVELOPE).body


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
        ("0.5", "", "Fal's price $0.50 → none", "⇄ Fal's price $0.50 → none"),
        ("", "0.6823", "Fal's price none → $0.6823", "⇄ Fal's price none → $0.6823"),
    ],
)
def test_a_reference_that_is_listed_or_lost_does_not_read_as_a_move(
    before: str, after: str, title: str, words: str
) -> None:
    message = render(
        contents_of([moved({"falPrice": before}, {"falPrice": after})]), MAIL, ENVELOPE
    )
    assert title in message.title
    assert words in message.body


def test_the_reference_price_of_chat_is_called_the_vendors() -> None:
    message = render(contents_of([moved(CHAT, CHAT | {"falPrice": "0.5"})]), MAIL, ENVELOPE)
    assert "31.5 % cheaper than OpenAI's own price" in message.title
    assert "because OpenAI's own price moved $0.6823 → $0.50" in message.body


def test_a_rate_of_nought_without_a_reference_is_no_discount() -> None:
    assert "Fal" not in body_of(new(falPrice="", discountRate=0))


def test_variants_stand_under_their_family_and_say_only_what_differs() -> None:
    body = body_of(new(), removed(modelDescription="bytedance/seedance-2-5, 480p"))
    assert body.count("seedance-2-5 ·") == 1
    assert "＋ new · 1080p no video · " in body
    assert "✕ gone · 480p · " in body


def test_links_stand_on_the_lines_where_a_familys_differ() -> None:
    body = body_of(
        new(), new(modelDescription="bytedance/seedance-2-5, 480p", anchor="https://kie.ai/x")
    )
    assert body.count("https://kie.ai/seedance-2-5") == 1
    assert body.count("https://kie.ai/x") == 1
    assert "https" not in body.splitlines()[2]


def test_namesakes_are_told_apart_by_what_differs_and_no_more() -> None:
    body = body_of(new(provider="A"), new(provider="B"))
    assert "＋ new · 1080p no video (A) and (B) · " in body


def test_two_lines_about_one_model_stand_in_order_of_time_and_say_it() -> None:
    up = moved({}, {"creditPrice": "95"})
    down = moved({"creditPrice": "95"}, {"creditPrice": "10"})
    later = AT + timedelta(minutes=5)
    body = render([recorded(down, 2, later), recorded(up, 1)], MAIL, ENVELOPE).body
    first, second = re.findall(r"[▲▼].*(\(2026-11-22 07:3. UTC\)) · \$", body)
    assert (first, second) == ("(2026-11-22 07:30 UTC)", "(2026-11-22 07:35 UTC)")
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
    headings = re.findall(r"^(a\d) ·", body_of(*reversed(order)), re.MULTILINE)
    assert headings == [f"a{number}" for number in range(9, -1, -1)]


def test_the_alert_id_and_the_time_stand_at_the_end() -> None:
    assert body_of(new()).endswith("\n\nseen 2026-11-22 07:30 UTC · alert 7f3k2m9q")


COST = {"monthly_cost_usd": Decimal(40)}
NANO = {"modelDescription": "nano-banana-1.7, 1K"}


@pytest.mark.parametrize(
    ("contents", "title"),
    [
        (
            [
                with_facts(moved(NANO, NANO | {"creditPrice": "91.1"}), **COST),
                *numbered([new(modelDescription=f"n{number}") for number in range(12)]),
                recorded(removed(modelDescription="gone")),
            ],
            "▲ nano-banana-1.7 1K +33 % · +$40/month · 13 more",
        ),
        ([removed()], "✕ bytedance/seedance-2-5 1080p no video gone"),
        ([new(), new(modelDescription="b")], "＋ b new · 1 more"),
        (
            [new(modelDescription="b"), removed(modelDescription="Sora 2, Pro, 5s")],
            "✕ Sora 2 Pro 5s gone · 1 more",
        ),
        ([raised(fields) for fields in variants(3)], "▲ Sora 2 (3 variants) +20 %"),
        (
            [moved({}, {"creditPrice": "140", "usdPrice": "0.7"})],
            "▲ seedance-2-5 +104 % · ⚑ no longer cheaper than Fal",
        ),
        ([COLLAPSE, new()], "Kie.ai: 410 of 574 models are missing · 1 more"),
    ],
    ids=["as promised", "gone", "only new", "removal first", "variants", "crossed", "warning"],
)
def test_the_title_says_the_weightiest_fact(contents: list[Any], title: str) -> None:
    assert render(contents_of(contents), MAIL, ENVELOPE).title == title


LONG = {"modelDescription": "bytedance/seedance-2-5-ultra, image-to-video, 1080p with audio"}


@pytest.mark.parametrize(
    ("limit", "title"),
    [
        (250, "▲ seedance-2-5-ultra image-to-video +39 % · +$40/month"),
        (50, "▲ seedance-2-5-ultra +39 % · +$40/month"),
        (36, "▲ seedance-2-5-u… +39 % · +$40/month"),
        (24, "▲ seedance-2-5-ul… +39 %"),
        (8, "▲ +39 %"),
    ],
)
def test_a_title_that_is_too_long_drops_the_vendor_then_qualifiers_and_never_the_number(
    limit: int, title: str
) -> None:
    contents = [with_facts(moved(LONG, LONG | {"creditPrice": "95"}), **COST)]
    service = Service("short", Markup.TEXT, 2000, limit, None)
    assert render(contents, service, ENVELOPE).title == title


def test_a_service_without_titles_gets_the_gist_in_the_body() -> None:
    message = render(numbered([removed()]), TELEGRAM, ENVELOPE)
    assert message.title == ""
    assert message.body.startswith("<b>✕ bytedance/seedance-2-5 1080p no video gone</b>")


# The strip and the footer


def test_the_body_begins_with_how_many_of_each_sort() -> None:
    contents = [
        *(moved(one, one | {"creditPrice": "95"}) for one in ({}, NANO)),
        moved(LONG, LONG | {"creditPrice": "60"}),
        removed(modelDescription="a"),
        *(new(modelDescription=name) for name in "bcd"),
        moved({"modelDescription": "e"}, {"modelDescription": "e", "falPrice": "0.3"}),
        moved({"modelDescription": "f"}, {"modelDescription": "f", "discountPrice": True}),
    ]
    strip, _, heading = body_of(*contents).splitlines()[:3]
    assert strip == (
        "▲ 2 up  ▼ 1 down  ✕ 1 gone  ＋ 3 new  ★ 1 promotion started  ⚑ 1 no longer cheaper"
    )
    assert heading.startswith("a ·")


def test_one_change_needs_no_strip() -> None:
    assert body_of(new()).startswith("bytedance/seedance-2-5 · ")


def test_the_footer_says_why_it_came_and_how_to_hush_it() -> None:
    why = body_of(new()).splitlines()[-3]
    assert why == (
        "You get this as “team”, by route “my videos”. To hush it for a week: "
        f"kie-watcher silence add --alert {ALERT} --for 7d"
    )


def test_no_name_from_outside_stands_in_a_command() -> None:
    envelope = Envelope(ALERT, "team; reboot", ("`rm -rf`", "$(x)"))
    for service in (MAIL, SLACK, DISCORD, TELEGRAM, LETTER):
        body = render(numbered([new()]), service, envelope).body
        for command in re.findall(r"kie-watcher [^`<\"\\\n]*", body):
            assert command.startswith(f"kie-watcher silence add --alert {ALERT} --for 7d")


def test_what_is_about_no_model_offers_no_silence() -> None:
    assert "silence" not in render([COLLAPSE], MAIL, ENVELOPE).body


# Times


def test_times_are_those_of_the_configured_zone_and_say_which() -> None:
    envelope = Envelope(ALERT, notation=Notation(ZoneInfo("Europe/Berlin")))
    gone = with_facts(removed(), missed_since=AT - timedelta(minutes=10))
    body = render([gone, COLLAPSE], MAIL, envelope).body
    assert "seen 2026-11-22 08:30 CET · alert" in body
    assert "first missed 2026-11-22 08:20 CET" in body
    assert "still missing at 2026-11-22 14:30 CET" in body
    assert "UTC" not in body


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
        ("1000", "+1,000 %"),
        ("1000.1", "×11"),
        ("1250", "×13.5"),
        ("142700", "×1,428"),
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
        ("0.3", "$0.30"),
        ("1120", "$1,120.00"),
        ("1E+3", "$1,000.00"),
        ("0", "$0.00"),
        ("123456789012", "$123,456,789,012.00"),
        ("0.66666666666666", "$0.66666667"),
    ],
)
def test_money_has_two_decimals_or_as_many_as_it_takes(value: str, text: str) -> None:
    assert money(Decimal(value)) == text


def test_credits_have_their_thousands_apart() -> None:
    assert "+12 % · 1080p no video · $5.00 → $5.60 per second (1,000 → 1,120 credits)" in body_of(
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
    "/var/lib/kie-watcher/kie-watcher.db: the disk is full",
    "config.yaml:3:5: interval: has no unit",
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
        ("/start@bot/now", "∕start@\u200bbot/now"),
        ("see evil.db.com :100:", "see evil.db․com ∶100:"),
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
    assert not re.search(r"\w\.(?!(?:db|log|yaml|yml)\b)[^\W\d_]{2}", tame)
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

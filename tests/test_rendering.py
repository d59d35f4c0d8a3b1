from __future__ import annotations

import random
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from apprise.conversion import markdown_to_html
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.catalog import Model, parse_record
from watcher.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.diff import diff_model
from watcher.rendering import Markup, Message, Service, harmless, render
from watcher.rendering.harmless import LONGEST_NAME, safe_link, width
from watcher.rendering.numbers import amount, money, per, percent
from watcher.units import parse_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Content = RecordedChange | Notice

AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ALERT = "7f3k2m9q"
USD = Decimal("0.005")
COMMAND = f"kie-watcher changes --alert {ALERT}"

DISCORD = Service("discord", Markup.MARKDOWN, 1900, 100, None)
SLACK = Service("slack", Markup.MARKDOWN, 35000, 150, 3000)
TELEGRAM = Service("telegram", Markup.HTML, 4096, 0, None)
MAIL = Service("mailto", Markup.TEXT, 32768, 250, None)
TERMINAL = Service("terminal", Markup.TERMINAL, 100_000, 250, None)
SMS = Service("sms", Markup.TEXT, 140, 0, None)
LONG_SMS = Service("sms", Markup.TEXT, 160, 60, None)
HUGE = Service("huge", Markup.MARKDOWN, 16_777_216, 250, None)
NARROW = Service("narrow", Markup.MARKDOWN, 4000, 100, 400)
SERVICES = [DISCORD, SLACK, TELEGRAM, MAIL, TERMINAL, SMS, LONG_SMS, HUGE, NARROW]

SEEDANCE = {
    "modelDescription": "bytedance/seedance-2-5, 1080p no video",
    "interfaceType": "video",
    "provider": "ByteDance",
    "creditPrice": "68.5",
    "creditUnit": "per second",
    "usdPrice": "0.3425",
    "falPrice": "0.6823",
    "discountRate": 49.8,
    "anchor": "https://kie.ai/seedance-2-5",
    "discountPrice": False,
}


def model(usd: Decimal = USD, **fields: Any) -> Model:
    return Model(parse_record(SEEDANCE | fields), usd)


def moved(before: dict[str, Any], after: dict[str, Any]) -> ModelChange:
    """The change that two sweeps show, found as the watcher finds it."""
    change = diff_model(model(**before), model(**after), 1)
    assert change is not None
    return change


def recorded(change: Any, number: int = 1, at: datetime = AT) -> RecordedChange:
    return RecordedChange(number, at, change)


def numbered(changes: Sequence[Any]) -> list[Content]:
    return [recorded(change, number) for number, change in enumerate(changes, 1)]


def said(*changes: Any, service: Service = MAIL) -> str:
    return render(numbered(changes), service, ALERT).body


def new(**fields: Any) -> ModelChange:
    return ModelChange((Kind.NEW,), None, model(**fields))


def removed(**fields: Any) -> ModelChange:
    return ModelChange((Kind.REMOVED,), model(**fields), None)


def renamed(before: dict[str, Any], after: dict[str, Any]) -> ModelChange:
    change = moved(before, after)
    kinds = (Kind.RENAMED, *(kind for kind in change.kinds if kind is not Kind.RELABELLED))
    return ModelChange(kinds, change.before, change.after, change.causes, 1)


BASELINE = Notice(
    NoticeKind.BASELINE,
    AT,
    {"models": 574, "categories": {"music": 31, "image": 124, "video": 323, "chat": 96}},
)
COLLAPSE = Notice(
    NoticeKind.COLLAPSE, AT, {"missing": 410, "models": 574, "until": "2026-11-22T13:30:00Z"}
)
RECOVERED = Notice(NoticeKind.RECOVERED, AT, {"models": 574})
SAMPLE = Notice(NoticeKind.SAMPLE, AT, {})

RETURNED = ModelChange((Kind.RETURNED,), model(), model())
RETURNED_DEARER = ModelChange(
    (Kind.RETURNED, Kind.PRICE_UP), model(), model(creditPrice="70", usdPrice="0.35")
)
NO_FAL = {"falPrice": "", "discountRate": 0}
SIX_IMAGES = {
    "modelDescription": "qwen, edit",
    "creditPrice": "4.0",
    "creditUnit": "per 6 images",
    "usdPrice": "0.02",
} | NO_FAL

EACH_KIND: dict[str, list[Any]] = {
    "new": [new()],
    "removed": [removed()],
    "returned": [RETURNED],
    "returned_dearer": [RETURNED_DEARER],
    "renamed": [
        renamed(
            {"modelDescription": "pixverse-v6, Extend, 360p(with aiduo)"},
            {"modelDescription": "pixverse-v6, Extend, 360p(with audio)"},
        )
    ],
    "price_up": [moved({}, {"creditPrice": "95", "usdPrice": "0.475"})],
    "price_down": [moved({}, {"creditPrice": "68.4", "usdPrice": "0.342"})],
    "price_of_a_quantity": [moved(SIX_IMAGES, SIX_IMAGES | {"creditUnit": "per 2 images"})],
    "price_appeared": [moved({"creditPrice": "", "usdPrice": ""} | NO_FAL, NO_FAL)],
    "price_vanished": [moved(NO_FAL, {"creditPrice": "", "usdPrice": ""} | NO_FAL)],
    "price_to_free": [moved(NO_FAL, {"creditPrice": "0", "usdPrice": "0"} | NO_FAL)],
    "price_from_free": [moved({"creditPrice": "0", "usdPrice": "0"} | NO_FAL, NO_FAL)],
    "price_in_usd_only": [
        moved({"creditPrice": ""} | NO_FAL, {"creditPrice": "", "usdPrice": "0.4"} | NO_FAL)
    ],
    "unit": [moved({}, {"creditUnit": "per video", "creditPrice": "400", "usdPrice": "2"})],
    "discount_competitor": [moved({}, {"falPrice": "0.5", "discountRate": 31.5})],
    "discount_listing": [
        moved({"falPrice": "", "discountRate": 30}, {"falPrice": "", "discountRate": 35})
    ],
    "discount_gone_dearer": [moved({}, {"creditPrice": "140", "usdPrice": "0.7"})],
    "promotion_started": [moved({}, {"discountPrice": True})],
    "promotion_ended": [moved({"discountPrice": True}, {})],
    "fal": [ModelChange((Kind.FAL_UP,), model(falPrice="0.5"), model(falPrice="0.6823"))],
    "corrected": [moved({"usdPrice": "0.034"}, {"discountRate": 50})],
    "relabelled": [
        moved(
            {"provider": "Other", "creditUnit": "per sec", "anchor": ""},
            {"provider": "Hailuo"},
        )
    ],
    "credit_value": [CreditValueChange(Decimal("0.005"), Decimal("0.006"))],
    "baseline": [BASELINE],
    "collapse": [COLLAPSE],
    "recovered": [RECOVERED],
    "sample": [SAMPLE],
}


def contents_of(news: Sequence[Any]) -> list[Content]:
    return [
        one if isinstance(one, Notice) else recorded(one, number)
        for number, one in enumerate(news, 1)
    ]


def in_each_markup(contents: Sequence[Content]) -> str:
    parts = []
    for service in (DISCORD, MAIL, TERMINAL, TELEGRAM, SMS):
        message = render(contents, service, ALERT)
        parts.append(
            f"=== {service.name}: {service.markup}\n{message.title}\n---\n{message.body}\n"
        )
    return "\n".join(parts)


@pytest.mark.parametrize("kind", EACH_KIND)
def test_each_kind_reads_as_it_did_when_it_was_last_looked_at(
    kind: str, golden: Callable[[str, str], None]
) -> None:
    golden(f"{kind}.txt", in_each_markup(contents_of(EACH_KIND[kind])))


def a_busy_day() -> list[Content]:
    return numbered(
        [
            moved({}, {"creditPrice": "95", "usdPrice": "0.475"}),
            moved(
                {"modelDescription": "bytedance/seedance-2-5, 720p no video", "creditPrice": "30"},
                {"modelDescription": "bytedance/seedance-2-5, 720p no video", "creditPrice": "33"},
            ),
            removed(modelDescription="Sora 2, 10s", anchor="https://kie.ai/sora-2?v=10"),
            new(modelDescription="Sora 2, 12s", anchor="https://kie.ai/sora-2?v=12"),
            new(modelDescription="wan 2.7 image pro", provider="Wan", anchor=""),
            new(modelDescription="Wan 3.0, 720p", provider="Wan"),
            moved(SIX_IMAGES, SIX_IMAGES | {"creditUnit": "per 2 images"}),
            moved(
                {"modelDescription": "Kling, 5s"},
                {"modelDescription": "Kling, 5s", "falPrice": "0.5"},
            ),
            CreditValueChange(Decimal("0.005"), Decimal("0.006")),
        ]
    )


def test_a_busy_day_reads_as_it_did_when_it_was_last_looked_at(
    golden: Callable[[str, str], None],
) -> None:
    golden("a_busy_day.txt", in_each_markup(a_busy_day()))


# What must be said


def test_a_price_line_has_old_and_new_percent_unit_usd_discount_and_link() -> None:
    body = said(moved({}, {"creditPrice": "95", "usdPrice": "0.475"}))
    assert "68.5 → 95 credits per second, +38.7 %" in body
    assert "$0.3425 → $0.475" in body
    assert "49.8 % → 30.4 % cheaper than Fal, because Kie's price moved" in body
    assert "https://kie.ai/seedance-2-5" in body


def test_a_price_that_moved_in_its_unit_alone_says_what_one_costs() -> None:
    body = said(moved(SIX_IMAGES, SIX_IMAGES | {"creditUnit": "per 2 images"}))
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
        ("discount_competitor", "because Fal's price moved · Fal's price $0.6823 → $0.5"),
        ("discount_listing", "30 % → 35 % cheaper than Fal, only the listed rate moved"),
        ("discount_gone_dearer", "49.8 % cheaper than Fal → 2.6 % dearer than Fal"),
        ("promotion_started", "promotion started"),
        ("promotion_ended", "promotion ended"),
        ("fal", "Fal's price $0.5 → $0.6823"),
        ("corrected", "listing corrected, USD $0.034 → $0.3425, discount 49.8 % → 50 %"),
        ("relabelled", "provider “Other” → “Hailuo”, unit “per sec” → “per second”, link added"),
        ("credit_value", "One credit is now worth $0.006 (was $0.005): every USD price moves by +20 %"),
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


def test_a_rate_of_nought_without_a_price_at_fal_is_no_discount() -> None:
    assert "Fal" not in said(new(falPrice="", discountRate=0))


def test_variants_stand_under_their_family_and_say_only_what_differs() -> None:
    body = said(new(), new(modelDescription="bytedance/seedance-2-5, 480p"))
    assert body.count("seedance-2-5 ·") == 1
    assert "• 1080p no video: new, " in body
    assert "• 480p: new, " in body


def test_links_stand_on_the_lines_where_a_familys_differ() -> None:
    body = said(
        new(), new(modelDescription="bytedance/seedance-2-5, 480p", anchor="https://kie.ai/x")
    )
    assert body.count("https://kie.ai/seedance-2-5") == 1
    assert body.count("https://kie.ai/x") == 1
    assert "https" not in body.splitlines()[0]


def test_namesakes_are_told_apart_by_what_differs_and_no_more() -> None:
    body = said(new(provider="A"), new(provider="B"))
    assert "1080p no video (A): new, " in body
    assert "1080p no video (B): new, " in body


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
        moved({"modelDescription": "a8"}, {"modelDescription": "a8", "creditPrice": "10"}),
        moved({"modelDescription": "a7"}, {"modelDescription": "a7", "creditPrice": "80"}),
        moved({"modelDescription": "a6"}, {"modelDescription": "a6", "creditUnit": "per video"}),
        new(modelDescription="a5"),
        ModelChange((Kind.RETURNED,), model(modelDescription="a4"), model(modelDescription="a4")),
        renamed({"modelDescription": "a33"}, {"modelDescription": "a3"}),
        moved({"modelDescription": "a2"}, {"modelDescription": "a2", "falPrice": "0.5"}),
        moved({"modelDescription": "a1"}, {"modelDescription": "a1", "discountPrice": True}),
        ModelChange((Kind.CORRECTED,), model(modelDescription="a0"), model(modelDescription="a0")),
    ]
    headings = re.findall(r"^(a\d) ", said(*reversed(order)), re.MULTILINE)
    assert headings == [f"a{number}" for number in range(9, -1, -1)]


def test_the_alert_id_and_the_time_stand_at_the_end() -> None:
    assert said(new()).endswith("\n\nseen 2026-11-22 07:30 UTC · alert 7f3k2m9q")


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
    assert "1,000 → 1,120 credits per second, +12 %" in said(
        moved({"creditPrice": "1000"}, {"creditPrice": "1120"})
    )


def test_prices_that_differ_in_their_last_digit_are_shown_to_it() -> None:
    body = said(moved({"creditPrice": "0.123456789012"}, {"creditPrice": "0.123456789013"}))
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


ACTIVE = re.compile(r"@(?!\u200b)|[<>&`\[\]*~|#\\]|://|[\x00-\x1f\x7f-\x9f]")
SPECIALS = "@<>&`[]()*_~|#\\/:.!+-\x1b\x07\n\r\t\u202e\u2066\u200b\u200d\ufeff\u0336éa1Aw，。中\U0001f600\ud800"
ugly_text = st.one_of(
    st.text(max_size=300),
    st.text(SPECIALS, max_size=300),
    st.lists(
        st.sampled_from([
            "@everyone", "@here", "<!channel>", "<@U1>", "<#C1>", "<@&1>", "[a](http://b.example)", "https://e.example",
            "www.e.example", "**b**", "__u__", "_i_", "~~s~~", "||s||", "`c`", "```", "# h", "> q", "- l", "1. n",
            "<b>", "</p>", "<script>alert(1)</script>", "&lt;", "&#64;everyone", "\x1b]8;;http://e.example\x07", "\x1b[2J",
            ":fire:", "\n\n", "|---|", "===", "![i](http://e.example/i.png)", "<https://e.example|x>", " ", ",", "x", "W" * 200,
        ]),
        max_size=20,
    ).map("".join),
)  # fmt: skip


@given(ugly_text)
@settings(max_examples=200, deadline=None)
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


# Limits, honesty, order

ugly_fields = st.fixed_dictionaries(
    {
        "modelDescription": ugly_text.map(lambda text: f"x{text}"[:1000]),
        "provider": ugly_text.map(lambda text: text[:1000]),
        "interfaceType": ugly_text.map(lambda text: text[:1000]),
        "creditUnit": st.sampled_from(["per second", "", "per <!here> things"]) | ugly_text,
        "creditPrice": st.sampled_from(["", "0", "1", "0.000000000001", "999999999999", "68.5"]),
        "falPrice": st.sampled_from(["", "0", "0.1", "1000000"]),
        "anchor": st.sampled_from(["", "https://kie.ai/_a_", "https://evil.example/", "https://kie.ai/@everyone"]),
        "discountPrice": st.booleans(),
    }
)  # fmt: skip


@st.composite
def ugly_contents(draw: st.DrawFn) -> list[Content]:
    contents: list[Content] = []
    for number in range(draw(st.integers(1, 8))):
        before, after = model(**draw(ugly_fields)), model(**draw(ugly_fields))
        change = diff_model(before, after, number) or removed()
        if draw(st.booleans()):
            change = ModelChange(
                (Kind.RENAMED, *change.kinds), change.before, change.after, change.causes
            )
        contents.append(
            recorded(
                draw(
                    st.sampled_from(
                        [
                            change,
                            ModelChange((Kind.NEW,), None, after),
                            ModelChange((Kind.REMOVED,), before, None),
                        ]
                    )
                ),
                number,
            )
        )
    contents.extend(
        draw(st.lists(st.sampled_from([BASELINE, COLLAPSE, RECOVERED, SAMPLE]), max_size=2))
    )
    if draw(st.booleans()):
        contents.append(
            Notice(NoticeKind.BASELINE, AT, {"models": 1, "categories": {draw(ugly_text): 1}})
        )
    return contents


def assert_honest(message: Message, contents: Sequence[Content], service: Service) -> None:
    assert width(message.body) <= service.body_limit
    assert width(message.title) <= service.title_limit
    assert message.shown + message.hidden == len(contents)
    claimed = re.findall(r"\+([\d]+) more(?=[:,]|$)", message.body.splitlines()[-1])
    assert claimed == ([str(message.hidden)] if message.hidden else [])
    if service.section_limit is not None:
        assert all(width(part) <= service.section_limit for part in message.body.split("\n\n"))


@given(ugly_contents(), st.sampled_from(SERVICES), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_whatever_the_listing_holds_a_message_is_honest_harmless_and_fits(
    contents: list[Content], service: Service, rng: random.Random
) -> None:
    message = render(contents, service, ALERT)
    assert_honest(message, contents, service)
    ours = re.sub(
        r"https://kie\.ai/[\w%]*|</?(b|code|br)>|<a href=\"[^\"]*\">page</a>|\*\*|[<>`]",
        "",
        message.body,
    )
    if service.markup is Markup.TERMINAL:
        # A terminal calls nobody, and some show what should take no room.
        assert "\u200b" not in message.title + message.body
        ours = ours.replace("@", "")
    assert not ACTIVE.search(ours.replace("\n", " "))
    assert not ACTIVE.search(
        message.title.replace("@", "") if service is TERMINAL else message.title
    )
    shuffled = list(contents)
    rng.shuffle(shuffled)
    assert render(shuffled, service, ALERT) == message


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: set[str | None] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links |= {value for name, value in attrs if name == "href"}

    def handle_data(self, data: str) -> None:
        self.text += data


@given(ugly_contents())
@settings(max_examples=80, deadline=None)
def test_markdown_read_as_a_service_reads_it_has_no_markup_but_ours(
    contents: list[Content],
) -> None:
    body = render(contents, DISCORD, ALERT).body
    page = Tags(markdown_to_html(body))
    assert page.seen <= {"p", "br", "strong", "code", "a"}
    assert all(link is not None and link.startswith("https://kie.ai/") for link in page.links)
    slack = NotifySlack._commonmark_to_slack(body)
    assert not re.search(r"<(?!https://kie\.ai/)", slack)
    telegram = NotifyTelegram._commonmark_to_telegram(body)
    assert telegram.count("*") % 2 == 0
    assert not re.search(r"(?<![\\A-Za-z0-9])_", telegram)


UGLY_NAMES = [
    "@everyone " * 99,
    "<b>" * 300,
    "\U0001f600" * 999,
    "https://evil.example/" * 40,
    "a_b*c~d|e`f#g\\h[i]" * 50,
    "é" * 999,
    "中" * 999,
    "\u202e" * 500 + "x" * 400,
]


@lru_cache
def a_flood(count: int) -> list[Content]:
    changes = []
    for number in range(count):
        name = f"{UGLY_NAMES[number % len(UGLY_NAMES)][:950]}{number % 97}, {number} {UGLY_NAMES[(number // 7) % len(UGLY_NAMES)]}"
        fields = {"modelDescription": name[:1000], "provider": name[:1000]}
        price = {"creditPrice": f"{70 + number % 50}.123456789"}
        changes.append(moved(fields, fields | price) if number % 3 else new(**fields))
    return numbered(changes)


@pytest.mark.parametrize("count", [1, 10, 574, 5000])
def test_the_longest_and_ugliest_names_fit_every_service(count: int) -> None:
    contents = a_flood(count)
    for service in SERVICES:
        assert_honest(render(contents, service, ALERT), contents, service)


@pytest.mark.parametrize("limit", [*range(60, 700, 7), 1900])
def test_every_limit_is_kept_and_the_rest_is_counted(limit: int) -> None:
    service = Service("any", Markup.TEXT, limit, limit % 90, None)
    contents = a_busy_day()
    message = render(contents, service, ALERT)
    assert_honest(message, contents, service)
    if message.hidden and limit >= 140:
        assert message.body.endswith(f"+{message.hidden} more: {COMMAND}")


def test_a_text_message_still_says_the_biggest_move() -> None:
    message = render(numbered([moved({}, {"creditPrice": "95"})]), LONG_SMS, ALERT)
    assert "68.5 → 95 credits per second, +38.7 %" in message.body
    assert message.shown == 1


@pytest.mark.parametrize("notice", [BASELINE, COLLAPSE, RECOVERED, SAMPLE], ids=lambda n: n.kind)
@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_notice_is_told_on_every_service(notice: Notice, service: Service) -> None:
    assert render([notice], service, ALERT).hidden == 0


def test_what_does_not_fit_is_left_out_by_whole_lines_smallest_first() -> None:
    contents = a_flood(574)
    everything = render(contents, HUGE, ALERT).body.splitlines()
    cut = render(contents, Service("cut", Markup.MARKDOWN, 12_000, 250, None), ALERT)
    lines = [line for line in cut.body.splitlines()[:-1] if line]
    assert lines == [line for line in everything if line][: len(lines)]
    assert 0 < cut.hidden < 574


def test_one_more_that_takes_the_footers_place_is_shown() -> None:
    contents = numbered([new(modelDescription=f"a{number}") for number in range(12)])
    whole = render(contents, MAIL, ALERT).body
    service = Service("just", Markup.TEXT, width(whole), 100, None)
    assert render(contents, service, ALERT).hidden == 0
    assert render(contents, Service("less", Markup.TEXT, width(whole) - 1, 100, None), ALERT).hidden


def test_a_section_is_broken_at_line_ends() -> None:
    contents = numbered([new(modelDescription=f"Sora 2, variant {number}") for number in range(60)])
    body = render(contents, SLACK, ALERT).body
    sections = body.split("\n\n")
    assert len(sections) > 2
    assert all(width(section) <= 3000 for section in sections)
    assert body.count("• variant ") == 60

"""Sample changes and notices, and services to render them for, for the tests of messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.catalog.diff import diff_model
from watcher.catalog.record import Model, parse_record
from watcher.render.enrichment import Facts, MessageItem
from watcher.render.markup import Markup, Service
from watcher.render.message import Message, render
from watcher.render.outline import Envelope
from watcher.routing.net_effect import DigestSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

Content = RecordedChange | Notice

AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ALERT = "7f3k2m9q"
USD = Decimal("0.005")
ENVELOPE = Envelope(ALERT, "team", ("my videos",))
COMMAND = f"kie-watcher changes --alert {ALERT}"

DISCORD = Service("discord", Markup.DISCORD_EMBED, 4096, 256, None)
SLACK = Service("slack", Markup.SLACK_BLOCKS, 9000, 150, 3000)
TELEGRAM = Service("telegram", Markup.TELEGRAM_HTML, 3968, 0, None)
LETTER = Service("mailto", Markup.EMAIL, 95_000, 150, None)
NTFY = Service("ntfy", Markup.NTFY, 3900, 250, None)
EVENTS = Service("json", Markup.CLOUDEVENTS, 1_000_000, 150, None)
MAIL = Service("mailto", Markup.TEXT, 32768, 250, None)
CHAT = Service("gchat", Markup.MARKDOWN, 4000, 0, None)
CARD = Service("workflow", Markup.MARKDOWN, 1000, 150, None)
MATRIX = Service("matrix", Markup.HTML, 32768, 150, None)
TERMINAL = Service("terminal", Markup.TERMINAL, 100_000, 250, None)
SMS = Service("sms", Markup.TEXT, 140, 0, None)
LONG_SMS = Service("sms", Markup.TEXT, 160, 60, None)
HUGE = Service("huge", Markup.MARKDOWN, 16_777_216, 250, None)
NARROW = Service("narrow", Markup.MARKDOWN, 4000, 100, 400)
SERVICES = [
    *(DISCORD, SLACK, TELEGRAM, LETTER, NTFY, EVENTS, MAIL, CHAT, CARD, MATRIX),
    *(TERMINAL, SMS, LONG_SMS, HUGE, NARROW),
]

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
    """The change between two sweeps, found as the watcher finds it."""
    change = diff_model(model(**before), model(**after), 1)
    assert change is not None
    return change


def recorded(change: Any, number: int = 1, at: datetime = AT) -> RecordedChange:
    return RecordedChange(number, at, change)


def numbered(changes: Sequence[Any]) -> list[Content]:
    return [recorded(change, number) for number, change in enumerate(changes, 1)]


def body_of(*changes: Any, service: Service = MAIL) -> str:
    return render(numbered(changes), service, ENVELOPE).body


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
FLOOD = Notice(
    NoticeKind.COLLAPSE,
    AT,
    {"what": "promotion", "count": 410, "models": 574, "until": "2026-11-22T13:30:00Z"},
)
REDENOMINATED = Notice(
    NoticeKind.REDENOMINATED, AT, {"factor": "10", "before": "0.005", "after": "0.0005"}
)
RECOVERED = Notice(NoticeKind.RECOVERED, AT, {"models": 574})
SAMPLE = Notice(NoticeKind.SAMPLE, AT, {})

RETURNED = ModelChange((Kind.RETURNED,), model(), model())
RETURNED_AT_A_HIGHER_PRICE = ModelChange(
    (Kind.RETURNED, Kind.PRICE_UP), model(), model(creditPrice="70", usdPrice="0.35")
)
NO_REFERENCE = {"falPrice": "", "discountRate": 0}
SIX_IMAGES = {
    "modelDescription": "qwen, edit",
    "creditPrice": "4.0",
    "creditUnit": "per 6 images",
    "usdPrice": "0.02",
} | NO_REFERENCE

RISE = {"creditPrice": "95", "usdPrice": "0.475"}
A_MONTH_AGO = AT - timedelta(days=30)


def with_facts(change: Any, number: int = 1, **facts: Any) -> MessageItem:
    return MessageItem(recorded(change, number), Facts(**facts))


def variants(count: int) -> list[dict[str, Any]]:
    """Variants of one family at prices of their own."""
    return [
        {
            "modelDescription": f"Sora 2, {5 * number}s",
            "creditPrice": str(10 * number),
            "usdPrice": str(Decimal("0.05") * number),
            "falPrice": str(Decimal("0.1") * number),
        }
        for number in range(1, count + 1)
    ]


def raised(fields: dict[str, Any], by: str = "1.2") -> ModelChange:
    price = Decimal(fields["creditPrice"]) * Decimal(by)
    return moved(fields, fields | {"creditPrice": str(price), "usdPrice": str(price * USD)})


EACH_KIND: dict[str, list[Any]] = {
    "new": [new()],
    "removed": [removed()],
    "returned": [RETURNED],
    "returned_dearer": [RETURNED_AT_A_HIGHER_PRICE],
    "renamed": [
        renamed(
            {"modelDescription": "pixverse-v6, Extend, 360p(with aiduo)"},
            {"modelDescription": "pixverse-v6, Extend, 360p(with audio)"},
        )
    ],
    "price_up": [moved({}, {"creditPrice": "95", "usdPrice": "0.475"})],
    "price_down": [moved({}, {"creditPrice": "68.4", "usdPrice": "0.342"})],
    "price_of_a_quantity": [moved(SIX_IMAGES, SIX_IMAGES | {"creditUnit": "per 2 images"})],
    "price_appeared": [moved({"creditPrice": "", "usdPrice": ""} | NO_REFERENCE, NO_REFERENCE)],
    "price_vanished": [moved(NO_REFERENCE, {"creditPrice": "", "usdPrice": ""} | NO_REFERENCE)],
    "price_to_free": [moved(NO_REFERENCE, {"creditPrice": "0", "usdPrice": "0"} | NO_REFERENCE)],
    "price_from_free": [moved({"creditPrice": "0", "usdPrice": "0"} | NO_REFERENCE, NO_REFERENCE)],
    "price_in_usd_only": [
        moved(
            {"creditPrice": ""} | NO_REFERENCE,
            {"creditPrice": "", "usdPrice": "0.4"} | NO_REFERENCE,
        )
    ],
    "unit": [moved({}, {"creditUnit": "per video", "creditPrice": "400", "usdPrice": "2"})],
    "discount_reference": [moved({}, {"falPrice": "0.5", "discountRate": 31.5})],
    "discount_listing": [
        moved({"falPrice": "", "discountRate": 30}, {"falPrice": "", "discountRate": 35})
    ],
    "discount_crossed": [moved({}, {"falPrice": "0.3", "discountRate": -14.2})],
    "discount_gone_dearer": [moved({}, {"creditPrice": "140", "usdPrice": "0.7"})],
    "promotion_started": [moved({}, {"discountPrice": True})],
    "promotion_ended": [moved({"discountPrice": True}, {})],
    "reference": [
        ModelChange((Kind.REFERENCE_UP,), model(falPrice="0.5"), model(falPrice="0.6823"))
    ],
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
    "flood": [FLOOD],
    "redenominated": [REDENOMINATED],
    "recovered": [RECOVERED],
    "sample": [SAMPLE],
    "alarm": [
        Notice(
            NoticeKind.ALARM,
            AT,
            {
                "alarm": "receiver",
                "about": "team",
                "since": "2026-11-22T06:30:00Z",
                "why": "the service failed (503)",
                "count": 0,
            },
        )
    ],
    "rise_that_costs": [
        with_facts(
            moved({}, RISE), monthly_cost_usd=Decimal(1590), highest_ever=True, days_since_change=12
        )
    ],
    "fall_that_saves": [
        with_facts(
            moved({}, {"creditPrice": "34", "usdPrice": "0.17"}),
            monthly_cost_usd=Decimal("-20.7"),
            lowest_since=A_MONTH_AGO,
            days_since_change=1,
        )
    ],
    "removed_of_a_family": [
        with_facts(
            removed(),
            missed_since=AT - timedelta(minutes=10),
            family_left=3,
            family_cheapest=model(
                modelDescription="bytedance/seedance-2-5, 480p no video", creditPrice="20"
            ),
        )
    ],
    "removed_the_last": [with_facts(removed(), missed_since=AT, family_left=0)],
    "flapping": [with_facts(moved({}, RISE), flapping=True)],
    "flapping_credit_value": [
        with_facts(CreditValueChange(Decimal("0.005"), Decimal("0.006")), flapping=True)
    ],
    "shared_rise": [raised(fields) for fields in variants(2)],
    "shared_rise_of_many": [
        with_facts(
            raised(fields), number, monthly_cost_usd=Decimal(number), days_since_change=number
        )
        for number, fields in enumerate(variants(5), 1)
    ],
    "shared_new": [new(**fields) for fields in variants(12)],
    "shared_removal": [removed(**fields) for fields in variants(3)],
    "shared_discount": [
        moved(fields, fields | {"falPrice": str(Decimal(fields["falPrice"]) * 2)})
        for fields in variants(3)
    ],
    "shared_reference": [
        moved(fields | NO_REFERENCE, fields | {"discountRate": 50}) for fields in variants(3)
    ],
    "shared_promotion": [moved(fields, fields | {"discountPrice": True}) for fields in variants(2)],
    "shared_label": [moved(fields, fields | {"provider": "OpenAI"}) for fields in variants(4)],
    "digest": [
        moved({}, RISE),
        raised(variants(1)[0], "0.5"),
        removed(modelDescription="Kling, 5s"),
    ],
    "empty_digest": [],
}
A_WEEK_AGO = AT - timedelta(days=7)
DIGESTS = {
    "digest": DigestSummary(
        "weekly",
        A_WEEK_AGO,
        AT,
        (recorded(moved({}, RISE)),),
        (recorded(raised(variants(1)[0], "0.5")),),
        {Kind.PRICE_UP: 4, Kind.PRICE_DOWN: 1, Kind.REMOVED: 1},
        change_count=6,
    ),
    "empty_digest": DigestSummary("weekly", A_WEEK_AGO, AT, (), (), {}, change_count=0),
}


def contents_of(news: Sequence[Any]) -> list[Content | MessageItem]:
    return [
        one if isinstance(one, Notice | MessageItem) else recorded(one, number)
        for number, one in enumerate(news, 1)
    ]


def render_kind(kind: str, service: Service) -> Message:
    return render(contents_of(EACH_KIND[kind]), service, ENVELOPE, DIGESTS.get(kind))


def busy_day() -> list[Content]:
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


HOSTILE_NAMES = [
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
def flood(count: int) -> list[Content]:
    changes = []
    for number in range(count):
        name = f"{HOSTILE_NAMES[number % len(HOSTILE_NAMES)][:950]}{number % 97}, {number} {HOSTILE_NAMES[(number // 7) % len(HOSTILE_NAMES)]}"
        fields = {"modelDescription": name[:1000], "provider": name[:1000]}
        price = {"creditPrice": f"{70 + number % 50}.123456789"}
        changes.append(moved(fields, fields | price) if number % 3 else new(**fields))
    return numbered(changes)


@lru_cache
def flood_of_shared_lines(count: int) -> list[MessageItem]:
    """Families of forty that share lines by the dozen, some with a monthly cost."""
    changes = []
    for number in range(count):
        name = f"family {number // 40}{HOSTILE_NAMES[number // 40 % len(HOSTILE_NAMES)][:200]}, v{number}"
        fields = {"modelDescription": name, "creditPrice": str(10 + number % 40)}
        change = [raised(fields), new(**fields), removed(**fields)][number % 40 // 14]
        cost = Decimal(number) / 7 if number % 80 < 14 else None
        changes.append(with_facts(change, number, monthly_cost_usd=cost))
    return changes


FLOODS = {"ugly": flood, "shared": flood_of_shared_lines}

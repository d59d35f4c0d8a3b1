"""Made-up news of every sort, for trying out a template before real news come.

Refuses to know what a template makes of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog import DOCUMENTED_USD_PER_CREDIT, Model, parse_record
from watcher.changes import (
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.rendering.contents import sorted_contents
from watcher.rendering.dress import Markup, Service
from watcher.rendering.facts import Facts, Telling
from watcher.templates.context import context_of

if TYPE_CHECKING:
    from watcher.changes import Change
    from watcher.rendering.facts import Content

__all__ = ["sample_contents", "samples"]

AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ALERT_ID = "k7m2qd4x"

_SERVICE = Service("sample", Markup.TEXT, 256 * 1024, 0, None)


def samples() -> list[dict[str, Any]]:
    """Contexts: the fullest first, then each content alone, then none at all."""
    contents = sample_contents()
    several = [contents, *([one] for one in contents), []]
    return [context_of(sorted_contents(some), _SERVICE, ALERT_ID, AT) for some in several]


def sample_contents() -> list[Content | Telling]:
    """One of each kind of change and notice."""
    changes: list[Change] = [
        _moved((Kind.PRICE_UP, Kind.DISCOUNT_DOWN), "1080p with video", "68.5", "95"),
        _moved((Kind.PRICE_UP, Kind.DISCOUNT_DOWN), "1080p no video", "40", "55.475"),
        _moved((Kind.PRICE_DOWN,), "720p", "30", "27.5"),
        ModelChange((Kind.NEW,), None, _model("4K", "120")),
        ModelChange((Kind.REMOVED,), _model("480p", "12"), None, first_seen_at=AT),
        ModelChange((Kind.RETURNED,), _model("360p", "8"), _model("360p", "9")),
        ModelChange((Kind.RENAMED,), _model("2K", "70"), _model("1440p", "70")),
        ModelChange((Kind.UNIT,), _model("240p", "4"), _unpriced("240p")),
        _moved((Kind.PROMOTION_STARTED, Kind.CORRECTED), "144p", "2", "2"),
        CreditValueChange(DOCUMENTED_USD_PER_CREDIT, Decimal("0.006")),
    ]
    recorded = [RecordedChange(number, AT, change) for number, change in enumerate(changes, 1)]
    costly = Telling(recorded[0], Facts(Decimal(96), highest_ever=True, days_since_change=43))
    return [costly, *recorded[1:], *_notices()]


def _notices() -> list[Notice]:
    until = (AT + timedelta(hours=6)).isoformat()
    alarm = {"alarm": "receiver", "about": "team", "since": AT.isoformat(), "why": "no answer"}
    details: dict[NoticeKind, dict[str, Any]] = {
        NoticeKind.BASELINE: {"models": 574, "categories": {"video": 323, "image": 251}},
        NoticeKind.COLLAPSE: {"missing": 410, "models": 574, "until": until},
        NoticeKind.RECOVERED: {"models": 574},
        NoticeKind.SAMPLE: {},
        NoticeKind.ALARM: alarm | {"count": 0},
    }
    return [Notice(kind, AT, detail) for kind, detail in details.items()]


def _moved(kinds: tuple[Kind, ...], variant: str, old: str, new: str) -> ModelChange:
    causes: dict[Kind, Cause] = {}
    if Kind.DISCOUNT_DOWN in kinds:
        causes[Kind.DISCOUNT_DOWN] = Cause.PRICE
    return ModelChange(kinds, _model(variant, old), _model(variant, new), causes, model_id=1)


def _unpriced(variant: str) -> Model:
    """With as little as a listing may hold."""
    row = {"modelDescription": f"Example 1.0, {variant}", "usdPrice": "0.1", "creditUnit": ""}
    return Model(parse_record(row), DOCUMENTED_USD_PER_CREDIT)


def _model(variant: str, price: str) -> Model:
    row = {
        "modelDescription": f"Example 1.0, {variant}",
        "interfaceType": "video",
        "provider": "a made-up model",
        "creditPrice": price,
        "creditUnit": "per second",
        "usdPrice": str(Decimal(price) * DOCUMENTED_USD_PER_CREDIT),
        "falPrice": "0.5",
        "anchor": "https://kie.ai/",
    }
    return Model(parse_record(row), DOCUMENTED_USD_PER_CREDIT)

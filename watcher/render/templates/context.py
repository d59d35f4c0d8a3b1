"""What a template is told: plain values, their texts harmless already, in the order of the message.

Values only; docs/templates.md describes them. Refuses to know what a template makes of them.

Made-up news of every sort, for trying out a template before real news come.

Refuses to know what a template makes of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    public_fields,
)
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, parse_record
from watcher.render.contents import sample_rise, sorted_contents
from watcher.render.grouping import families
from watcher.render.lines import context as what_they_share
from watcher.render.lines import label, link_of, said_of, shared_link, tone_of
from watcher.render.markup import (
    LONGEST_NAME,
    ZERO_WIDTH_SPACE,
    Markup,
    Service,
    harmless,
    safe_link,
)
from watcher.render.news import Facts, Telling
from watcher.render.words import announcement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.catalog.changes import Change
    from watcher.render.contents import Contents, Digest
    from watcher.render.grouping import Family, Line
    from watcher.render.news import Content, News

Fields = dict[str, Any]

LONGEST_TITLE = 200
# More lines than any service takes; they need not travel to another process to be left out there.
MOST_LINES = 1000

# What nobody is called by: where nothing acts on an at sign, it stands alone.
_CALLS_NOBODY = frozenset({Markup.EMAIL, Markup.TERMINAL})
_NAMES = ("model", "interface", "provider", "description", "unit", "base_unit")
# Every change has every field, `None` where it has no meaning: what is not there is an error.
_NO_FIELDS = dict.fromkeys(
    (
        *("model", "interface", "provider", "change_percent", "causes", "before", "after"),
        *("usd_per_credit_before", "usd_per_credit_after", "monthly_cost_usd"),
    )
)


def context_of(told: Contents, service: Service, alert_id: str, now: datetime) -> Fields:
    """Everything that one message for `service` could say."""
    notices, groups = list(map(_notice, told.general[:MOST_LINES])), _groups(told.families)
    context = {
        "title": told.gist(service.title_limit or LONGEST_TITLE),
        "notices": notices,
        "groups": groups,
        "changes": _changes(notices, groups),
        "digest": _digest(told.digest),
        "summary": list(told.summary),
        "seen": told.seen,
        "total": len(told.tellings),
        "hidden": 0,
        "alert_id": alert_id,
        "command": f"kie-watcher changes --alert {alert_id}",
        "now": _time(now),
        "service": {
            "name": service.name,
            "format": service.markup.value,
            "limit": service.body_limit,
            "has_title": bool(service.title_limit),
        },
    }
    return _without_signs(context) if service.markup in _CALLS_NOBODY else context


def _changes(notices: Sequence[Fields], groups: Sequence[Fields]) -> list[Fields]:
    of_all = [notice["change"] for notice in notices if notice["change"] is not None]
    return of_all + [one for group in groups for line in group["lines"] for one in line["changes"]]


def _groups(all_families: Sequence[Family]) -> list[Fields]:
    groups, room = [], MOST_LINES
    for family in all_families:
        if room <= 0:
            break
        groups.append(_group(family, family.lines[:room]))
        room -= len(family.lines)
    return groups


def _group(family: Family, lines: Sequence[Line]) -> Fields:
    return {
        "name": harmless(family.name),
        "about": list(what_they_share(family)),
        "link": shared_link(family),
        "lines": [_line(line) for line in lines],
    }


def _line(line: Line) -> Fields:
    phrases = list(said_of(line, LONGEST_NAME))
    return {
        "name": label(line, LONGEST_NAME),
        "text": " · ".join(phrases),
        "phrases": phrases,
        "kind": line.news[0].kind.value,
        "tone": tone_of(line).value,
        "link": link_of(line),
        "changes": [_change(news.recorded, _cost(news)) for news in line.news],
    }


def _cost(news: News) -> str | None:
    return decimal_text(news.facts.monthly_cost_usd)


def _change(recorded: RecordedChange, cost: str | None) -> Fields:
    """As `changes --json` prints it, made harmless, with what it costs more a month."""
    fields = _NO_FIELDS | public_fields(recorded) | {"monthly_cost_usd": cost}
    sides = {side: _side(fields[side]) for side in ("before", "after")}
    return _named(fields) | sides | {"causes": fields["causes"] or {}}


def _side(model: Mapping[str, Any] | None) -> Fields | None:
    return None if model is None else _named(model) | {"link": safe_link(model["link"])}


def _named(fields: Mapping[str, Any]) -> Fields:
    """With each text of the listing made harmless; one that is empty stays so."""
    texts = {name: fields[name] for name in _NAMES if fields.get(name)}
    return {**fields, **{name: harmless(text) for name, text in texts.items()}}


def _notice(content: Content) -> Fields:
    """What is about the catalogue as a whole, or about the watch."""
    if isinstance(content, Notice):
        text = announcement(content)
        if content.kind is NoticeKind.SAMPLE:
            text = f"{text} {_example(content.at)}"
        return {"kind": content.kind.value, "text": text, "at": _time(content.at), "change": None}
    change = content.change
    text = announcement(change)  # type: ignore[arg-type] # a model's change stands in a family
    fields = _change(content, None)
    return {"kind": fields["kinds"][0], "text": text, "at": fields["at"], "change": fields}


def _example(at: datetime) -> str:
    (family,) = families([Telling(sample_rise(at))])
    (line,) = map(_line, family.lines)
    return f"{harmless(family.name)}, {line['name']}: {line['text']}"


def _digest(digest: Digest | None) -> Fields | None:
    """The times are those of the configured time zone."""
    if digest is None:
        return None
    return {
        "route": harmless(digest.route),
        "since": digest.since_at.isoformat(timespec="minutes"),
        "until": digest.until_at.isoformat(timespec="minutes"),
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_signs(value: Any) -> Any:
    match value:
        case str():
            return value.replace(ZERO_WIDTH_SPACE, "")
        case list():
            return [_without_signs(one) for one in value]
        case dict():
            return {key: _without_signs(one) for key, one in value.items()}
        case _:
            return value


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

"""What a template gets: plain values in the order of the message, their texts harmless already.

docs/templates.md describes each of them. `samples` are contexts of made-up changes and notices of
every kind, for trying a template before a message depends on it.
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
    utc_text,
)
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, parse_record
from watcher.render.enrichment import Facts, MessageItem
from watcher.render.lines import family_context, family_link, line_link, line_text
from watcher.render.markup import (
    LONGEST_NAME,
    WITHOUT_MENTIONS,
    Markup,
    Service,
    harmless,
    safe_link,
    style_for,
    without_mention_guards,
)
from watcher.render.notices import general_announcement
from watcher.render.outline import LONGEST_TITLE, Envelope, arrange, sample_family, sample_model
from watcher.render.words import main_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.catalog.changes import Change
    from watcher.render.enrichment import Content
    from watcher.render.figures import Notation
    from watcher.render.grouping import Family, MessageLine
    from watcher.render.outline import Outline
    from watcher.routing.net_effect import DigestSummary

Fields = dict[str, Any]

# More lines than any service takes: the rest is not even handed to the sandbox.
MOST_LINES = 1000

_NAMES = ("model", "interface", "provider", "description", "unit", "base_unit")
# Every change has every field, `None` where it has no meaning: in a template an unknown name is an
# error.
_NO_FIELDS = dict.fromkeys(
    (
        *("model", "interface", "provider", "change_percent", "causes", "before", "after"),
        *("usd_per_credit_before", "usd_per_credit_after", "monthly_cost_usd"),
    )
)


def context_of(outline: Outline, service: Service, now: datetime) -> Fields:
    """Everything that one message for `service` could say."""
    envelope = outline.envelope
    notices = [_notice(item, envelope.notation) for item in outline.general[:MOST_LINES]]
    groups = _groups(outline.families, envelope.notation)
    of_all = [notice["change"] for notice in notices if notice["change"] is not None]
    of_models = [it for group in groups for line in group["lines"] for it in line["changes"]]
    context = {
        "title": outline.headline(service.title_limit or LONGEST_TITLE),
        "strip": [text for _, text in outline.strip],
        "bill": outline.bill,
        "notices": notices,
        "groups": groups,
        "changes": of_all + of_models,
        "digest": _digest(outline.digest),
        "period": outline.period,
        "summary": list(outline.summary),
        "seen": outline.seen,
        "total": len(outline.items),
        "hidden": 0,
        "alert_id": envelope.alert_id,
        "command": envelope.changes_command,
        "why": outline.why,
        "silence": envelope.silence_command if outline.families else "",
        "now": utc_text(now),
        "service": {
            "name": service.name,
            "format": service.markup.value,
            "limit": service.body_limit,
            "has_title": bool(service.title_limit),
            "has_links": bool(style_for(service).link),
        },
    }
    return _without_guards(context) if service.markup in WITHOUT_MENTIONS else context


def _groups(families: Sequence[Family], notation: Notation) -> list[Fields]:
    groups, room = [], MOST_LINES
    for family in families:
        if room <= 0:
            break
        groups.append(_group(family, family.lines[:room], notation))
        room -= len(family.lines)
    return groups


def _group(family: Family, lines: Sequence[MessageLine], notation: Notation) -> Fields:
    return {
        "name": harmless(family.name),
        "about": list(family_context(family)),
        "link": family_link(family),
        "lines": [_line(line, notation) for line in lines],
    }


def _line(line: MessageLine, notation: Notation) -> Fields:
    text = line_text(line, LONGEST_NAME, notation)
    return {
        "sign": text.sign,
        "news": text.news,
        "name": text.name,
        "cost": text.cost,
        "crossing": text.crossing,
        "rest": list(text.rest),
        "kind": main_kind(line.changes[0].change).value,
        "tone": text.tone.value,
        "link": line_link(line),
        "changes": [
            _change(weighed.recorded, decimal_text(weighed.facts.monthly_cost_usd))
            for weighed in line.changes
        ],
    }


def _change(recorded: RecordedChange, monthly_cost: str | None) -> Fields:
    """A change as `changes --json` prints it, made harmless, with its cost a month."""
    fields = _NO_FIELDS | public_fields(recorded) | {"monthly_cost_usd": monthly_cost}
    sides = {side: _side(fields[side]) for side in ("before", "after")}
    return _harmless_names(fields) | sides | {"causes": fields["causes"] or {}}


def _side(model: Mapping[str, Any] | None) -> Fields | None:
    return None if model is None else _harmless_names(model) | {"link": safe_link(model["link"])}


def _harmless_names(fields: Mapping[str, Any]) -> Fields:
    """The fields with each text of the listing made harmless; an empty one stays empty."""
    texts = {name: fields[name] for name in _NAMES if fields.get(name)}
    return {**fields, **{name: harmless(text) for name, text in texts.items()}}


def _notice(item: MessageItem, notation: Notation) -> Fields:
    """What is about no single model."""
    content, text = item.content, general_announcement(item, notation)
    if isinstance(content, Notice):
        if content.kind is NoticeKind.SAMPLE:
            family = sample_family(content.at)
            (line,) = (line_text(it, LONGEST_NAME, notation) for it in family.lines)
            said = " · ".join((f"{line.sign} {line.news} {line.name}", *line.rest))
            text = f"{text} {harmless(family.name)} {said}"
        return {
            "kind": content.kind.value,
            "text": text,
            "at": utc_text(content.at),
            "change": None,
        }
    change = content.change
    assert isinstance(change, CreditValueChange), "changes of models are in families"  # noqa: S101
    fields = _change(content, None)
    return {
        "kind": fields["kinds"][0],
        "text": text,
        "at": fields["at"],
        "change": fields,
    }


def _digest(digest: DigestSummary | None) -> Fields | None:
    """The route and the period of a digest, in the configured time zone."""
    if digest is None:
        return None
    return {
        "route": harmless(digest.route),
        "since": digest.since_at.isoformat(timespec="minutes"),
        "until": digest.until_at.isoformat(timespec="minutes"),
    }


def _without_guards(value: Any) -> Any:
    match value:
        case str():
            return without_mention_guards(value)
        case list():
            return [_without_guards(one) for one in value]
        case dict():
            return {key: _without_guards(one) for key, one in value.items()}
        case _:
            return value


_AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
_ENVELOPE = Envelope("k7m2qd4x", "team", ("my videos",))

SAMPLE_SERVICE = Service("sample", Markup.TEXT, 256 * 1024, 0, None)


def samples() -> list[dict[str, Any]]:
    """Contexts: one with everything, then one with each content alone, then one with nothing."""
    contents = sample_contents()
    several = [contents, *([one] for one in contents), []]
    return [context_of(arrange(some, _ENVELOPE), SAMPLE_SERVICE, _AT) for some in several]


def sample_contents() -> list[Content | MessageItem]:
    """One of each kind of change and notice."""
    changes: list[Change] = [
        _moved((Kind.PRICE_UP, Kind.DISCOUNT_DOWN), "1080p with video", "68.5", "95"),
        _moved((Kind.PRICE_UP, Kind.DISCOUNT_DOWN), "1080p no video", "40", "55.475"),
        _moved((Kind.PRICE_DOWN,), "720p", "30", "27.5"),
        ModelChange((Kind.NEW,), None, sample_model("4K", "120")),
        ModelChange((Kind.REMOVED,), sample_model("480p", "12"), None, first_seen_at=_AT),
        ModelChange((Kind.RETURNED,), sample_model("360p", "8"), sample_model("360p", "9")),
        ModelChange((Kind.RENAMED,), sample_model("2K", "70"), sample_model("1440p", "70")),
        ModelChange((Kind.UNIT,), sample_model("240p", "4"), _unpriced("240p")),
        _moved((Kind.PROMOTION_STARTED, Kind.CORRECTED), "144p", "2", "2"),
        CreditValueChange(DOCUMENTED_USD_PER_CREDIT, Decimal("0.006")),
    ]
    recorded = [RecordedChange(number, _AT, change) for number, change in enumerate(changes, 1)]
    costly = MessageItem(recorded[0], Facts(Decimal(96), highest_ever=True, days_since_change=43))
    return [costly, *recorded[1:], *_notices()]


def _notices() -> list[Notice]:
    until = (_AT + timedelta(hours=6)).isoformat()
    alarm = {"alarm": "receiver", "about": "team", "since": _AT.isoformat(), "why": "no answer"}
    details: dict[NoticeKind, dict[str, Any]] = {
        NoticeKind.BASELINE: {"models": 574, "categories": {"video": 323, "image": 251}},
        NoticeKind.COLLAPSE: {"missing": 410, "models": 574, "until": until},
        NoticeKind.REDENOMINATED: {"factor": "10", "before": "0.005", "after": "0.0005"},
        NoticeKind.RECOVERED: {"models": 574},
        NoticeKind.SAMPLE: {},
        NoticeKind.ALARM: alarm | {"count": 0},
    }
    return [Notice(kind, _AT, detail) for kind, detail in details.items()]


def _moved(kinds: tuple[Kind, ...], variant: str, old: str, new: str) -> ModelChange:
    causes: dict[Kind, Cause] = {}
    if Kind.DISCOUNT_DOWN in kinds:
        causes[Kind.DISCOUNT_DOWN] = Cause.PRICE
    return ModelChange(
        kinds, sample_model(variant, old), sample_model(variant, new), causes, model_id=1
    )


def _unpriced(variant: str) -> Model:
    """A model with as little as a row of the listing may hold."""
    row = {"modelDescription": f"Example 1.0, {variant}", "usdPrice": "0.1", "creditUnit": ""}
    return Model(parse_record(row), DOCUMENTED_USD_PER_CREDIT)

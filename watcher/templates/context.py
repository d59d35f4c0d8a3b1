"""What a template is told: plain values, their texts harmless already, in the order of the message.

Values only; docs/templates.md describes them. Refuses to know what a template makes of them.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from watcher.changes import Notice, NoticeKind, public_fields
from watcher.prices import decimal_text
from watcher.rendering.dress import Markup
from watcher.rendering.facts import Telling
from watcher.rendering.grouping import families
from watcher.rendering.harmless import LONGEST_NAME, ZERO_WIDTH_SPACE, harmless, safe_link
from watcher.rendering.line_words import context as what_they_share
from watcher.rendering.line_words import label, link_of, said_of, shared_link, tone_of
from watcher.rendering.sample import sample_rise
from watcher.rendering.wording import announcement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from watcher.changes import RecordedChange
    from watcher.rendering.contents import Contents
    from watcher.rendering.digest import Digest
    from watcher.rendering.dress import Service
    from watcher.rendering.facts import Content
    from watcher.rendering.grouping import Family, Line
    from watcher.rendering.news import News

__all__ = ["context_of"]

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

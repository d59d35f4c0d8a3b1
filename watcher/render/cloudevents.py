"""A message for programs: CloudEvents 1.0, structured, in one JSON batch; an event for each change.

Knows the envelope. The data of a change is what `changes --json` prints of it. Refuses to know how
the batch is posted.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Notice, public_fields

if TYPE_CHECKING:
    from datetime import datetime

    from watcher.render.contents import Contents, Digest
    from watcher.render.news import Content

SOURCE = "urn:kie-watcher:kie.ai"
TYPE = "ai.kie-watcher.{}.v1"
# The batch may end up in a chat: nothing in it may be read as a tag, an entity or a call.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&@"})
_SEPARATOR = ",\n"


def events(told: Contents, longest: int, alert_id: str) -> tuple[str, int]:
    """The batch, the weightiest change first, in at most `longest` bytes; and how many it tells.

    Where not all fit, the last event is of the type `more` and says how many are missing.
    """
    contents = _in_order(told)
    at = max((content.at for content in contents), default=None)
    kept = [] if told.digest is None else [_gathered(told.digest, alert_id)]
    # No later one is longer: it has fewer to tell of.
    closing = _cost(_more(len(contents), at, alert_id))
    if _cost(*kept) + closing > longest:
        kept = []
    used = _cost(*kept)
    for shown, content in enumerate(contents):
        event = _event(content, f"{alert_id}.{_name(content, shown)}")
        used += _cost(event)
        if used + closing > longest:
            hidden = len(contents) - shown
            return _batch([*kept, _more(hidden, at, alert_id)]), shown
        kept.append(event)
    return _batch(kept), len(contents)


def _in_order(told: Contents) -> list[Content]:
    changes = (
        news.recorded for family in told.families for line in family.lines for news in line.news
    )
    return [*told.general, *changes]


def _name(content: Content, place: int) -> str:
    """What makes an event's id its own within the message: a change's number, a notice's place."""
    return f"{content.kind}-{place}" if isinstance(content, Notice) else str(content.id)


def _event(content: Content, event_id: str) -> str:
    if isinstance(content, Notice):
        data = {"kind": content.kind, "at": _time(content.at), "detail": dict(content.detail)}
        return _envelope("notice", event_id, content.at, data)
    return _envelope("change", event_id, content.at, public_fields(content))


def _gathered(digest: Digest, alert_id: str) -> str:
    data = {
        "route": digest.route,
        "since": _time(digest.since_at),
        "until": _time(digest.until_at),
        "rises": [recorded.id for recorded in digest.rises],
        "falls": [recorded.id for recorded in digest.falls],
        "counts": {kind.value: count for kind, count in digest.counts.items()},
    }
    return _envelope("digest", f"{alert_id}.digest", digest.until_at, data)


def _more(hidden: int, at: datetime | None, alert_id: str) -> str:
    data = {"hidden": hidden, "command": f"kie-watcher changes --json --alert {alert_id}"}
    return _envelope("more", f"{alert_id}.more", at, data)


def _envelope(kind: str, event_id: str, at: datetime | None, data: dict[str, Any]) -> str:
    event = {
        "specversion": "1.0",
        "type": TYPE.format(kind),
        "source": SOURCE,
        "id": event_id,
        **({} if at is None else {"time": _time(at)}),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event).translate(_ESCAPES)


def _batch(events: list[str]) -> str:
    return f"[{_SEPARATOR.join(events)}]"


def _cost(*events: str) -> int:
    # All of it is ASCII: as many bytes as characters.
    return sum(len(event) + len(_SEPARATOR) for event in events)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

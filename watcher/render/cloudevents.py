"""A message for programs: CloudEvents 1.0 in one structured JSON batch, an event for each change.

The data of a change is what `changes --json` prints of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Notice, public_fields, utc_text

if TYPE_CHECKING:
    from datetime import datetime

    from watcher.render.enrichment import Content
    from watcher.render.outline import Outline
    from watcher.routing.net_effect import DigestSummary

SOURCE = "urn:kie-watcher:kie.ai"
TYPE = "ai.kie-watcher.{}.v1"
# The batch may end up in a chat: nothing in it may be read as a tag, an entity or a mention.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&@"})
_SEPARATOR = ",\n"


def event_batch(outline: Outline, longest: int) -> tuple[str, int]:
    """The batch in at most `longest` bytes, the heaviest change first; how many contents it has.

    Where not all fit, the last event is of the type `more` and says how many are missing.
    """
    alert_id = outline.envelope.alert_id
    changes = (
        weighed.recorded
        for family in outline.families
        for line in family.lines
        for weighed in line.changes
    )
    contents = [*(item.content for item in outline.general), *changes]
    at = max((content.at for content in contents), default=None)
    kept = [] if outline.digest is None else [_digest_event(outline.digest, alert_id)]
    # The longest that it can be: later ones count fewer.
    closing_size = _size(_more_event(len(contents), at, alert_id))
    if _size(*kept) + closing_size > longest:
        kept = []
    size = _size(*kept)
    for shown, content in enumerate(contents):
        event = _event(content, alert_id, shown)
        size += _size(event)
        if size + closing_size > longest:
            return _batch([*kept, _more_event(len(contents) - shown, at, alert_id)]), shown
        kept.append(event)
    return _batch(kept), len(contents)


def _event(content: Content, alert_id: str, place: int) -> str:
    # An id is unique within the message: a change has a number, a notice only its place.
    if isinstance(content, Notice):
        data = {"kind": content.kind, "at": utc_text(content.at), "detail": dict(content.detail)}
        return _envelope("notice", f"{alert_id}.{content.kind}-{place}", content.at, data)
    return _envelope("change", f"{alert_id}.{content.id}", content.at, public_fields(content))


def _digest_event(digest: DigestSummary, alert_id: str) -> str:
    data = {
        "route": digest.route,
        "since": utc_text(digest.since_at),
        "until": utc_text(digest.until_at),
        "rises": [recorded.id for recorded in digest.rises],
        "falls": [recorded.id for recorded in digest.falls],
        "counts": {kind.value: count for kind, count in digest.counts.items()},
    }
    return _envelope("digest", f"{alert_id}.digest", digest.until_at, data)


def _more_event(hidden: int, at: datetime | None, alert_id: str) -> str:
    data = {"hidden": hidden, "command": f"kie-watcher changes --json --alert {alert_id}"}
    return _envelope("more", f"{alert_id}.more", at, data)


def _envelope(kind: str, event_id: str, at: datetime | None, data: dict[str, Any]) -> str:
    event = {
        "specversion": "1.0",
        "type": TYPE.format(kind),
        "source": SOURCE,
        "id": event_id,
        **({} if at is None else {"time": utc_text(at)}),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event).translate(_ESCAPES)


def _batch(events: list[str]) -> str:
    return f"[{_SEPARATOR.join(events)}]"


def _size(*events: str) -> int:
    # All of it is ASCII: as many bytes as characters.
    return sum(len(event) + len(_SEPARATOR) for event in events)

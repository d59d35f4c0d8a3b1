"""One message for one service: what is told, fitted, in the markup that the service takes.

Knows which writer serves which markup. Refuses to know how a message is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING

from watcher.rendering.contents import sorted_contents
from watcher.rendering.dress import Markup, Service, dress_for
from watcher.rendering.embed import embed
from watcher.rendering.events import events
from watcher.rendering.fitting import Fitted, Limits, fit
from watcher.rendering.harmless import ZERO_WIDTH_SPACE, width
from watcher.rendering.letter import letter
from watcher.rendering.lines import Writer
from watcher.rendering.slack import slack_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.rendering.contents import Contents
    from watcher.rendering.digest import Digest
    from watcher.rendering.facts import Content, Telling

__all__ = ["Message", "render"]

# Where nobody can be called, what keeps an at sign from calling is only in the way.
_CALLS_NOBODY = frozenset({Markup.TERMINAL, Markup.EMAIL})
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `shown` of the contents stand in the body, `hidden` are counted at its end."""

    title: str
    body: str
    shown: int
    hidden: int


def render(
    contents: Sequence[Content | Telling],
    service: Service,
    alert_id: str,
    digest: Digest | None = None,
) -> Message:
    """One message that fits the service and says as much as it can, the weightiest first.

    What does not fit is left out by whole lines, and the last line says how many and which command
    lists them. The order of `contents` makes no difference. `digest`: the message gathers a
    period, and says so.
    """
    told = sorted_contents(contents, digest)
    title = _title(told, service)
    if service.markup is Markup.CLOUDEVENTS:
        body, shown = events(told, service.body_limit, alert_id)
    elif service.markup is Markup.EMAIL:
        body, shown = letter(told, service, alert_id, title)
    else:
        body, shown = _text(told, service, alert_id, title)
    return Message(title, body, shown, len(told.tellings) - shown)


def _title(told: Contents, service: Service) -> str:
    gist = told.gist(service.title_limit) if service.title_limit else ""
    return gist.replace(ZERO_WIDTH_SPACE, "") if service.markup in _CALLS_NOBODY else gist


def _text(told: Contents, service: Service, alert_id: str, title: str) -> tuple[str, int]:
    fitted = _fitted(told, service, alert_id)
    match service.markup:
        case Markup.DISCORD_EMBED:
            return embed(title, fitted, told), fitted.shown
        case Markup.SLACK_BLOCKS:
            return slack_blocks(title, fitted), fitted.shown
        case _:
            return fitted.whole(dress_for(service).newline), fitted.shown


def _fitted(told: Contents, service: Service, alert_id: str) -> Fitted:
    dress = dress_for(service)
    writer = Writer(service, dress, alert_id)
    measure = _visible_width if service.markup is Markup.TELEGRAM_HTML else width
    limits = Limits(service.body_limit, service.section_limit, dress.newline, measure)
    return fit(
        writer.blocks(told),
        len(told.tellings),
        limits,
        lambda hidden: writer.closing(hidden, told),
    )


def _visible_width(text: str) -> int:
    """As Telegram counts: UTF-16 units of what is shown, the tags left out."""
    return len(unescape(_TAG.sub("", text)).encode("utf-16-le")) // 2

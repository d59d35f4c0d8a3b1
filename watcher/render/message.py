"""A message as Discord's embed: coloured by direction, and calling nobody.

Knows what Discord's webhooks take. Refuses to know how the text was made.

A message as Slack's blocks: a header, sections, and a line of context.

Knows what Slack takes in blocks. Refuses to know how the text was made.

One message for one service: what is told, fitted, in the markup that the service takes.

Knows which writer serves which markup. Refuses to know how a message is sent.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Notice, NoticeKind
from watcher.render.cloudevents import events
from watcher.render.contents import sorted_contents
from watcher.render.email import letter
from watcher.render.fitting import Fitted, Limits, Writer, fit
from watcher.render.lines import Tone
from watcher.render.markup import ZERO_WIDTH_SPACE, Markup, Service, dress_for, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.render.contents import Contents, Digest
    from watcher.render.news import Content, Telling

_DEARER, _CHEAPER, _BOTH, _NEW, _OTHER = 0xD92D20, 0x17B26A, 0xF79009, 0x2E90FA, 0x8792A2
_WARNINGS = {NoticeKind.COLLAPSE, NoticeKind.ALARM}


def embed(title: str, fitted: Fitted, told: Contents) -> str:
    """The JSON of a webhook's payload; the last of the closing is the embed's footer."""
    *closing, footer = fitted.closing
    said = "\n\n".join(part for part in (fitted.text, *closing) if part)
    shown = {"title": title, "description": said, "color": _colour(told)}
    if footer:
        # A footer shows no markup.
        shown["footer"] = {"text": footer.replace("`", "")}
    payload = {"embeds": [shown], "allowed_mentions": {"parse": []}}
    return json.dumps(payload, ensure_ascii=False)


def _colour(told: Contents) -> int:
    """Red where it gets dearer or goes, green where it gets cheaper, amber where both."""
    tones = told.tones
    warned = any(isinstance(one, Notice) and one.kind in _WARNINGS for one in told.general)
    worse = warned or bool(tones & {Tone.DEARER, Tone.GONE})
    if Tone.CHEAPER in tones:
        return _BOTH if worse else _CHEAPER
    if worse:
        return _DEARER
    return _NEW if Tone.NEW in tones else _OTHER


SECTION = 3000
# Slack takes 50 blocks; the header and the context are two of them.
MOST_SECTIONS = 40


def slack_blocks(title: str, fitted: Fitted) -> str:
    """The JSON of the text for notifications and of the blocks; no link is unfolded."""
    *closing, context = fitted.closing
    paragraphs = [part for part in (*fitted.text.split("\n\n"), *closing) if part]
    blocks = [_header(title), *(_section(text) for text in _sections(paragraphs))]
    if context:
        blocks.append({"type": "context", "elements": [_slack_text(context)]})
    payload = {
        "text": html.escape(title, quote=False),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    return json.dumps(payload, ensure_ascii=False)


def _sections(paragraphs: Sequence[str]) -> Iterator[str]:
    """A section for each paragraph, or as few as they fit in where those would be too many."""
    if len(paragraphs) <= MOST_SECTIONS:
        yield from paragraphs
        return
    section = paragraphs[0]
    for paragraph in paragraphs[1:]:
        if width(section) + 2 + width(paragraph) > SECTION:
            yield section
            section = paragraph
        else:
            section = f"{section}\n\n{paragraph}"
    yield section


def _header(title: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _slack_text(text), "expand": True}


def _slack_text(text: str) -> dict[str, Any]:
    # Verbatim: names of channels and people, and bare addresses, stay the words that they are.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


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

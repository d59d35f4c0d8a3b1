"""A whole message for one service: what is said, fitted into its limits, in the form that it takes.

Discord gets an embed coloured by direction, Slack gets blocks, ntfy a priority, email HTML with a
text part, programs CloudEvents; every other service gets text in its markup.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import utc_text
from watcher.render.cloudevents import event_batch
from watcher.render.email import email_body
from watcher.render.fitting import Fitted, SizeLimits, Writer, fit
from watcher.render.markup import (
    SLACK_SECTION,
    SLACK_SECTIONS,
    WITHOUT_MENTIONS,
    Markup,
    Service,
    style_for,
    visible_width,
    width,
    without_mention_guards,
)
from watcher.render.outline import OPEN_PAGE, arrange
from watcher.render.words import Tone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.render.enrichment import Content, MessageItem
    from watcher.render.outline import Envelope, Outline
    from watcher.routing.net_effect import DigestSummary

# Colours of Discord's embeds; where prices rise and fall, amber.
_COLOURS = {
    Tone.UP: 0xD92D20,
    Tone.GONE: 0xD92D20,
    Tone.DOWN: 0x17B26A,
    Tone.CROSSED: 0xC11574,
    Tone.NEW: 0x2E90FA,
    Tone.PROMOTION: 0x7A5AF8,
    Tone.REFERENCE: 0x0E9384,
    Tone.OTHER: 0x8792A2,
}
_AMBER = 0xF79009
# Of ntfy, from 1 to 5; and its names of pictures.
_PRIORITIES = {Tone.UP: 4, Tone.GONE: 4, Tone.CROSSED: 4, Tone.DOWN: 3, Tone.NEW: 3}
_HIGH_PRIORITY, _LOW_PRIORITY = 4, 2
_TAGS = {
    Tone.UP: "chart_with_upwards_trend",
    Tone.DOWN: "chart_with_downwards_trend",
    Tone.GONE: "x",
    Tone.CROSSED: "triangular_flag_on_post",
    Tone.NEW: "new",
    Tone.PROMOTION: "star",
}
_WARNING_TAG = "warning"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `shown` of the contents are in the body, `hidden` are counted at its end."""

    title: str
    body: str
    shown: int
    hidden: int


def render(
    contents: Sequence[Content | MessageItem],
    service: Service,
    envelope: Envelope,
    digest: DigestSummary | None = None,
) -> Message:
    """One message that fits the service and says as much as it can, the heaviest changes first.

    What does not fit is left out by whole lines, and the last line says how many and which command
    lists them. The order of `contents` makes no difference. `digest`: the message sums up a
    period, and says so.
    """
    outline = arrange(contents, envelope, digest)
    title = title_of(outline, service)
    match service.markup:
        case Markup.CLOUDEVENTS:
            body, shown = event_batch(outline, service.body_limit)
        case Markup.EMAIL:
            body, shown = email_body(outline, service, title)
        case _:
            fitted = _fitted(outline, service)
            body, shown = body_of(fitted, outline, service, title), fitted.shown
    return Message(title, body, shown, len(outline.items) - shown)


def title_of(outline: Outline, service: Service) -> str:
    """The headline, where the service has titles."""
    title = outline.headline(service.title_limit) if service.title_limit else ""
    return without_mention_guards(title) if service.markup in WITHOUT_MENTIONS else title


def body_of(fitted: Fitted, outline: Outline, service: Service, title: str) -> str:
    """The text in the form that the service takes."""
    match service.markup:
        case Markup.DISCORD_EMBED:
            payload = _discord_embed(title, fitted, outline)
        case Markup.SLACK_BLOCKS:
            payload = _slack_blocks(title, fitted, outline)
        case Markup.NTFY:
            payload = _ntfy_message(fitted, outline)
        case _:
            return fitted.whole(style_for(service).newline)
    return json.dumps(payload, ensure_ascii=False)


def _fitted(outline: Outline, service: Service) -> Fitted:
    style = style_for(service)
    writer = Writer(service, style, outline)
    measure = visible_width if service.markup is Markup.TELEGRAM_HTML else width
    limits = SizeLimits(service.body_limit, service.section_limit, style.newline, measure)
    return fit(writer.blocks(), len(outline.items), limits, writer.closing)


def _discord_embed(title: str, fitted: Fitted, outline: Outline) -> dict[str, Any]:
    """A webhook's payload, which mentions nobody; why it is sent and the last line are a footer."""
    summary, *footer = fitted.closing
    description = "\n\n".join(filter(None, (fitted.text, summary)))
    embed = {"title": title, "description": description, "color": _colour(outline)}
    if outline.page:
        embed["url"] = outline.page
    if outline.items:
        embed["timestamp"] = utc_text(outline.seen_at[1])
    if text := "\n".join(filter(None, footer)):
        # A footer shows no markup.
        embed["footer"] = {"text": text.replace("`", "")}
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _colour(outline: Outline) -> int:
    tones = outline.tones
    if outline.warns:
        return _COLOURS[Tone.UP]
    if Tone.DOWN in tones and tones & {Tone.UP, Tone.GONE}:
        return _AMBER
    return _COLOURS[_first(tones)]


def _first(tones: frozenset[Tone]) -> Tone:
    """The weightiest: they are defined in that order."""
    return next((tone for tone in Tone if tone in tones), Tone.OTHER)


def _ntfy_message(fitted: Fitted, outline: Outline) -> dict[str, Any]:
    """What is published beside topic and title; a tag becomes a picture before the title."""
    tones = outline.tones
    tag = _WARNING_TAG if outline.warns else _TAGS.get(_first(tones))
    priority = max((_PRIORITIES.get(tone, _LOW_PRIORITY) for tone in tones), default=3)
    if outline.warns:
        priority = _HIGH_PRIORITY
    tags = [tag] if tag else []
    fields = {"message": fitted.whole(), "priority": priority, "tags": tags}
    return fields | ({"click": outline.page} if outline.page else {})


def _slack_blocks(title: str, fitted: Fitted, outline: Outline) -> dict[str, Any]:
    """The text for notifications, and the blocks; no link is unfolded."""
    summary, *context = fitted.closing
    paragraphs = [part for part in (*fitted.text.split("\n\n"), summary) if part]
    headers = filter(None, (title, outline.bill))
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(it)} for it in headers]
    blocks += [
        {"type": "section", "text": _slack_text(section), "expand": True}
        for section in _sections(paragraphs)
    ]
    if outline.page:
        button = {"type": "button", "text": _plain(OPEN_PAGE), "url": outline.page}
        blocks.append({"type": "actions", "elements": [button]})
    if elements := [_slack_text(text) for text in context if text]:
        blocks.append({"type": "context", "elements": elements})
    return {
        "text": html.escape(title, quote=False),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _sections(paragraphs: Sequence[str]) -> Iterator[str]:
    """A section for each paragraph; as few as they fit into where those would be too many."""
    if len(paragraphs) <= SLACK_SECTIONS:
        yield from paragraphs
        return
    section = paragraphs[0]
    for paragraph in paragraphs[1:]:
        if width(section) + 2 + width(paragraph) > SLACK_SECTION:
            yield section
            section = paragraph
        else:
            section = f"{section}\n\n{paragraph}"
    yield section


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _slack_text(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links of names of channels and people, nor of bare addresses.
    return {"type": "mrkdwn", "text": text, "verbatim": True}

"""A whole message for one service: what is said, fitted into its limits, in the form that it takes.

Discord gets an embed coloured by direction, Slack gets blocks, email HTML with a text part,
programs CloudEvents; every other service gets text in its markup.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Notice, NoticeKind
from watcher.render.cloudevents import event_batch
from watcher.render.email import email_body
from watcher.render.fitting import Fitted, SizeLimits, Writer, fit
from watcher.render.lines import Tone
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
from watcher.render.outline import arrange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.render.enrichment import Content, MessageItem
    from watcher.render.outline import Outline
    from watcher.routing.net_effect import DigestSummary

# Colours of Discord's embeds.
_RED, _GREEN, _AMBER, _BLUE, _GREY = 0xD92D20, 0x17B26A, 0xF79009, 0x2E90FA, 0x8792A2
_WARNINGS = {NoticeKind.COLLAPSE, NoticeKind.ALARM}


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
    alert_id: str,
    digest: DigestSummary | None = None,
) -> Message:
    """One message that fits the service and says as much as it can, the heaviest changes first.

    What does not fit is left out by whole lines, and the last line says how many and which command
    lists them. The order of `contents` makes no difference. `digest`: the message sums up a
    period, and says so.
    """
    outline = arrange(contents, digest)
    title = title_of(outline, service)
    match service.markup:
        case Markup.CLOUDEVENTS:
            body, shown = event_batch(outline, service.body_limit, alert_id)
        case Markup.EMAIL:
            body, shown = email_body(outline, service, alert_id, title)
        case Markup.DISCORD_EMBED:
            fitted = _fitted(outline, service, alert_id)
            body, shown = discord_embed(title, fitted, outline), fitted.shown
        case Markup.SLACK_BLOCKS:
            fitted = _fitted(outline, service, alert_id)
            body, shown = slack_blocks(title, fitted), fitted.shown
        case _:
            fitted = _fitted(outline, service, alert_id)
            body, shown = fitted.whole(style_for(service).newline), fitted.shown
    return Message(title, body, shown, len(outline.items) - shown)


def title_of(outline: Outline, service: Service) -> str:
    """The headline, where the service has titles."""
    title = outline.headline(service.title_limit) if service.title_limit else ""
    return without_mention_guards(title) if service.markup in WITHOUT_MENTIONS else title


def _fitted(outline: Outline, service: Service, alert_id: str) -> Fitted:
    style = style_for(service)
    writer = Writer(service, style, alert_id)
    measure = visible_width if service.markup is Markup.TELEGRAM_HTML else width
    return fit(
        writer.blocks(outline),
        len(outline.items),
        SizeLimits(service.body_limit, service.section_limit, style.newline, measure),
        lambda hidden: writer.closing(hidden, outline),
    )


def discord_embed(title: str, fitted: Fitted, outline: Outline) -> str:
    """The JSON of a webhook's payload, which mentions nobody; the last line is the footer."""
    *closing, footer = fitted.closing
    description = "\n\n".join(part for part in (fitted.text, *closing) if part)
    embed = {"title": title, "description": description, "color": _colour(outline)}
    if footer:
        # A footer shows no markup.
        embed["footer"] = {"text": footer.replace("`", "")}
    payload = {"embeds": [embed], "allowed_mentions": {"parse": []}}
    return json.dumps(payload, ensure_ascii=False)


def _colour(outline: Outline) -> int:
    """Red for price rises, removals and warnings, green for price falls, amber for both."""
    tones = outline.tones
    warns = any(
        isinstance(it.content, Notice) and it.content.kind in _WARNINGS for it in outline.general
    )
    is_worse = warns or bool(tones & {Tone.DEARER, Tone.GONE})
    if Tone.CHEAPER in tones:
        return _AMBER if is_worse else _GREEN
    if is_worse:
        return _RED
    return _BLUE if Tone.NEW in tones else _GREY


def slack_blocks(title: str, fitted: Fitted) -> str:
    """The JSON of the text for notifications and of the blocks; no link is unfolded."""
    *closing, context = fitted.closing
    paragraphs = [part for part in (*fitted.text.split("\n\n"), *closing) if part]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    ]
    blocks.extend(
        {"type": "section", "text": _slack_text(section), "expand": True}
        for section in _sections(paragraphs)
    )
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


def _slack_text(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links of names of channels and people, nor of bare addresses.
    return {"type": "mrkdwn", "text": text, "verbatim": True}

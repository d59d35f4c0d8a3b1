"""A whole message by a receiver's own template, and the built-in one where the template fails.

Knows what each kind of service wants around a text. Refuses to know how a message is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from watcher.rendering.contents import sorted_contents
from watcher.rendering.dress import Markup
from watcher.rendering.embed import embed
from watcher.rendering.fitting import Fitted
from watcher.rendering.harmless import width
from watcher.rendering.message import Message, render
from watcher.rendering.slack import slack_blocks
from watcher.templates.asking import TemplateFailedError, limits_of, render_aside
from watcher.templates.context import context_of
from watcher.templates.letters import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.rendering.contents import Contents
    from watcher.rendering.digest import Digest
    from watcher.rendering.dress import Service
    from watcher.rendering.facts import Content, Telling
    from watcher.templates.asking import Text

__all__ = ["filled", "message"]

log = structlog.get_logger()


async def message(
    contents: Sequence[Content | Telling],
    service: Service,
    alert_id: str,
    *,
    template: str,
    now: datetime,
    digest: Digest | None = None,
) -> Message:
    """What the template makes of the contents, within what the service takes.

    The built-in message where it fails, which is logged with its reason as `template.failed`.
    """
    try:
        return await filled(contents, service, alert_id, template=template, now=now, digest=digest)
    except TemplateFailedError as error:
        log.warning("template.failed", service=service.name, alert=alert_id, why=str(error))
        return render(contents, service, alert_id, digest)


async def filled(
    contents: Sequence[Content | Telling],
    service: Service,
    alert_id: str,
    *,
    template: str,
    now: datetime,
    digest: Digest | None = None,
) -> Message:
    """The same. Raises `TemplateFailedError` where the template fails."""
    if service.markup is Markup.CLOUDEVENTS:
        raise TemplateFailedError("is not asked where programs read: format: json")
    told = sorted_contents(contents, digest)
    context = context_of(told, service, alert_id, now)
    text = await render_aside(template, context, limits_of(service))
    title = context["title"] if service.title_limit else ""
    body = _body(text, service, title, told)
    return Message(title, body, text.shown, len(told.tellings) - text.shown)


def _body(text: Text, service: Service, title: str, told: Contents) -> str:
    said = text.text
    if service.section_limit is not None:
        said = "\n\n".join(_sections(said, service.section_limit))
    # The text closes itself.
    whole = Fitted(said, ("",), text.shown, 0)
    match service.markup:
        case Markup.DISCORD_EMBED:
            return embed(title, whole, told)
        case Markup.SLACK_BLOCKS:
            return slack_blocks(title, whole)
        case Markup.EMAIL:
            return json.dumps({"html": said, "text": text_of(said)}, ensure_ascii=False)
        case _:
            return said


def _sections(text: str, longest: int) -> Iterator[str]:
    """Paragraphs of at most `longest`, broken at line ends."""
    for paragraph in text.split("\n\n"):
        section = ""
        for line in paragraph.split("\n"):
            if width(line) > longest:
                raise TemplateFailedError(f"makes a line of more than {longest:,} characters")
            together = f"{section}\n{line}" if section else line
            if width(together) > longest:
                yield section
                together = line
            section = together
        yield section

"""A message as Slack's blocks: a header, sections, and a line of context.

Knows what Slack takes in blocks. Refuses to know how the text was made.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from watcher.rendering.harmless import width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.rendering.fitting import Fitted

__all__ = ["slack_blocks"]

SECTION = 3000
# Slack takes 50 blocks; the header and the context are two of them.
MOST_SECTIONS = 40


def slack_blocks(title: str, fitted: Fitted) -> str:
    """The JSON of the text for notifications and of the blocks; no link is unfolded."""
    *closing, context = fitted.closing
    paragraphs = [part for part in (*fitted.text.split("\n\n"), *closing) if part]
    blocks = [_header(title), *(_section(text) for text in _sections(paragraphs))]
    if context:
        blocks.append({"type": "context", "elements": [_text(context)]})
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
    return {"type": "section", "text": _text(text), "expand": True}


def _text(text: str) -> dict[str, Any]:
    # Verbatim: names of channels and people, and bare addresses, stay the words that they are.
    return {"type": "mrkdwn", "text": text, "verbatim": True}

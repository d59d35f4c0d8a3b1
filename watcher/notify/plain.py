"""Any stored message as plain text: for a receiver that no longer takes what it was written in.

A message is fixed before it is first tried, and its receiver may be another service by the time of
a later try, or the program another version. Refuses to fail: at the worst the body is the text.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from watcher.rendering import Markup

__all__ = ["plain_text", "read_json", "read_markup", "shortened_text"]

_HTML_LINK = re.compile(r'<a [^>]*?href="([^"]*)"[^>]*>[^<]*</a>')
_HTML_TAG = re.compile(r"<[^>]*>")
_SLACK_LINK = re.compile(r"<([^|>]*)\|[^>]*>")
_MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(<?([^)>]*)>?\)")
_CUT = "\n… cut off here; kie-watcher changes lists all of it"


def read_markup(name: str) -> Markup:
    """A stored markup; what only a later version knows is read as plain text."""
    return Markup(name) if name in set(Markup) else Markup.TEXT


def plain_text(markup: Markup, body: str) -> str:
    """The body without its markup."""
    match markup:
        case Markup.HTML | Markup.TELEGRAM_HTML:
            return _of_html(body)
        case Markup.EMAIL:
            return str(read_json(body).get("text", body))
        case Markup.DISCORD_EMBED:
            return _of_embed(body)
        case Markup.SLACK_BLOCKS:
            return _of_blocks(body)
        case _:
            return body


def read_json(body: str) -> dict[str, Any]:
    """An object, empty where the body is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def shortened_text(text: str, longest: int) -> str:
    """Whole lines, as many as there is room for, and that there were more."""
    if len(text) <= longest:
        return text
    kept = text[: max(longest - len(_CUT), 0)]
    return (kept.rpartition("\n")[0] or kept) + _CUT if longest > len(_CUT) else text[:longest]


def _of_html(body: str) -> str:
    return unescape(_HTML_TAG.sub("", _HTML_LINK.sub(r"\1", body)))


def _of_embed(body: str) -> str:
    embeds = read_json(body).get("embeds") or [{}]
    parts = (embeds[0].get("description"), embeds[0].get("footer", {}).get("text"))
    said = "\n\n".join(str(part) for part in parts if part)
    return _MARKDOWN_LINK.sub(r"\1", said).replace("**", "").replace("`", "") or body


def _of_blocks(body: str) -> str:
    blocks = read_json(body).get("blocks") or []
    parts = [
        text["text"]
        for block in blocks
        for text in (block.get("text"), *block.get("elements", ()))
        if text and text.get("type") == "mrkdwn"
    ]
    said = _SLACK_LINK.sub(r"\1", "\n\n".join(parts)).replace("*", "").replace("`", "")
    return unescape(said) or body

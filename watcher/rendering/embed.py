"""A message as Discord's embed: coloured by direction, and calling nobody.

Knows what Discord's webhooks take. Refuses to know how the text was made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from watcher.changes import Notice, NoticeKind
from watcher.rendering.line_words import Tone

if TYPE_CHECKING:
    from watcher.rendering.contents import Contents
    from watcher.rendering.fitting import Fitted

__all__ = ["embed"]

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

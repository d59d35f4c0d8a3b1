"""Which characters may reach a terminal or a log: those that only draw.

Knows control characters, escapes and text direction. Refuses to know what a text says.

What must never be shown: known secrets, in every spelling in which they may turn up in a text.

Knows how a secret is quoted, split and escaped. Refuses to know where secrets come from.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Stands in names that were made harmless, to keep `@` from calling anyone; it does nothing else.
_ZERO_WIDTH_SPACE = "\u200b"


def printable(text: str) -> str:
    r"""The text with every line break kept and the rest that is not drawn spelled out: `\x1b`."""
    return "\n".join(one_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def one_line(text: str) -> str:
    """The text as one line: line breaks are spelled out like every other undrawn character."""
    if text.isprintable():
        return text
    return "".join(char if _is_drawn(char) else _spelled(char) for char in text)


def _is_drawn(char: str) -> bool:
    # Not printable are controls, invisible formatting (bidi overrides too), line separators,
    # surrogates, private and unassigned characters; and spaces, of which every sort only draws.
    return char.isprintable() or char == _ZERO_WIDTH_SPACE or unicodedata.category(char) == "Zs"


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


# A shorter part is a port, a `to=`, a `yes`: hiding it would make every log unreadable.
SHORTEST_PART = 6
MASK = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BETWEEN_PARTS = re.compile(r"[/?#&=@:;,\s<>\"']+")
# Hiding these would hide nothing, and half of what a person looks for in a log.
_NOT_SECRET = frozenset(
    {"localhost", "127.0.0.1", "webhook", "webhooks", "services", "markdown"}
    # Mail is often from `watcher@…`; events are named for it.
    | {"watcher", "kie-watcher"}
    | {"truncate", "upstream", "insecure", "starttls", "overflow", "redirect", "format", "verify"}
)


class Redactor:
    """Replaces every known secret by `***`; the spelling and the letter case do not matter.

    A secret that is a URL is hidden as a whole and in its parts (host, user, password, path
    segments, option names and values) of at least six characters; its scheme is not a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        """`secrets` may be whole URLs, tokens or passwords; empty ones are passed over."""
        spellings = {
            spelling
            for secret in secrets
            for part in _parts(secret.strip())
            for spelling in _spellings(part)
        }
        # The longest first: a part must not break up the whole that it belongs to.
        ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._known = re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE)

    def clean(self, text: str) -> str:
        """The text without any known secret."""
        return self._known.sub(MASK, text) if self._known.pattern else text


def _parts(secret: str) -> Iterator[str]:
    if not secret:
        return
    yield secret
    bare = _SCHEME.sub("", secret, count=1)
    if credentials := _credentials(bare):
        yield credentials
    for text in {bare, unquote(bare)}:
        if len(text) >= SHORTEST_PART:
            yield text
        for part in _BETWEEN_PARTS.split(text):
            if len(part) >= SHORTEST_PART and part.lower() not in _NOT_SECRET:
                yield part
                yield unquote(part)


def _credentials(bare: str) -> str:
    """`user:password` of a URL, as they are sent together; empty where it has none."""
    user, separator, password = bare.partition("/")[0].rpartition("@")[0].partition(":")
    return f"{unquote(user)}:{unquote(password)}" if separator else ""


def _spellings(part: str) -> Iterator[str]:
    """How a text may show the part: as it is, or quoted for a URL, JSON, Python, HTML, a login."""
    yield part
    # A service that repeats what it was sent repeats the header that says who sent it.
    yield b64encode(part.encode("utf-8", "replace")).decode().rstrip("=")
    yield quote(part, safe="")
    yield quote(part)
    yield quote_plus(part)
    yield json.dumps(part)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield repr(part)[1:-1]
    yield html.escape(part)

"""Texts that are safe to show: only characters that draw, and no known secret in any spelling.

A secret is hidden as a whole and in its pieces, as it may be quoted, escaped or encoded in a log
line. `split_secret`, `short_secrets` and `ORDINARY_WORDS` say, for the whole program, what the
pieces of a URL are and which of them are no secrets.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "***"
# A shorter piece is a port, a `to=`, a `yes`, unless it is known or looks to be a secret. Then it
# is hidden where it stands alone: within other words it would make every log unreadable.
SHORTEST_PART = 6
# Hiding these would protect nothing, and hide half of what a person looks for in a log.
ORDINARY_WORDS = frozenset(
    {"html", "text", "markdown", "truncate", "upstream", "insecure", "starttls", "webhook"}
    | {"webhooks", "services", "localhost"}
    # Mail is often from `watcher@…`; events are named for it.
    | {"watcher", "kie-watcher"}
)
_OPTION_NAMES = frozenset({"overflow", "redirect", "format", "verify"})
_PUBLIC = ORDINARY_WORDS | _OPTION_NAMES | {"127.0.0.1"}

_SECRET_OPTION = re.compile(r"pass|pwd|token|secret|key|auth|sig", re.IGNORECASE)
_SHORTEST_RANDOM = 3
_VERSION = re.compile(r"v\d+", re.IGNORECASE)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# A piece between two of these may itself be several pieces, and be shown as one.
_COARSE = re.compile(r"[/?&=]+")
_FINE = re.compile(r"[/?#&=@:;,\s<>\"']+")

# Stands in names that were made harmless, to keep `@` from calling anyone; it does nothing else.
_ZERO_WIDTH_SPACE = "\u200b"


def printable(text: str) -> str:
    r"""The text with its line breaks kept and what else is not drawn escaped: `\x1b`."""
    return "\n".join(one_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def one_line(text: str) -> str:
    """The text as one line: line breaks are escaped like every other character not drawn."""
    if text.isprintable():
        return text
    return "".join(
        char if _is_drawn(char) else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _is_drawn(char: str) -> bool:
    # Not printable are controls, invisible formatting (bidi overrides too), line separators,
    # surrogates, private and unassigned characters; and spaces, of which every sort only draws.
    return char.isprintable() or char == _ZERO_WIDTH_SPACE or unicodedata.category(char) == "Zs"


class Redactor:
    """Replaces every known secret by `***`; the spelling and the letter case do not matter.

    A secret that is a URL is hidden as a whole and in its parts (host, user, password, path
    segments, option names and values) of at least six characters, and in those of `short_secrets`;
    its scheme is not a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        """`secrets` may be whole URLs, tokens or passwords; empty ones are ignored."""
        spellings = {
            spelling
            for secret in secrets
            for part in _parts(secret.strip())
            for spelling in _spellings(part)
        }
        # The longest first: a part must not break up the whole that it belongs to.
        ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._known = re.compile("|".join(map(secret_pattern, ordered)), re.IGNORECASE)

    def clean(self, text: str) -> str:
        """The text without any known secret."""
        return self._known.sub(MASK, text) if self._known.pattern else text


def split_secret(text: str) -> set[str]:
    """The text of a URL and every piece of it, as written and percent-decoded."""
    parts = {text, *_COARSE.split(text), *_FINE.split(text)}
    decoded = {decode(part) for part in parts for decode in (unquote, unquote_plus)}
    return parts | decoded | {piece for part in decoded for piece in _FINE.split(part)}


def short_secrets(url: str) -> set[str]:
    """The pieces of a URL that are secret though they are short.

    By their place: a password, and the value of an option that is named like one. By their look:
    what mixes letters with digits, or small with capital letters, or has no vowel, is no word.
    """
    bare = _SCHEME.sub("", url, count=1)
    before_query, _, query = bare.partition("?")
    password = before_query.partition("/")[0].rpartition("@")[0].partition(":")[2]
    options = (option.partition("=") for option in query.split("&"))
    placed = {password, *(value for name, _, value in options if _SECRET_OPTION.search(name))}
    random = set(filter(_looks_random, split_secret(bare)))
    known = placed | random
    return {it for it in known | set(map(unquote, known)) if 0 < len(it) < SHORTEST_PART}


def secret_pattern(text: str) -> str:
    """A regular expression for a secret; for a short one only where it stands alone."""
    pattern = re.escape(text)
    if len(text) >= SHORTEST_PART:
        return pattern
    before = r"(?<![^\W_])" if text[:1].isalnum() else ""
    after = r"(?![^\W_])" if text[-1:].isalnum() else ""
    return f"{before}{pattern}{after}"


def _looks_random(piece: str) -> bool:
    if not (_SHORTEST_RANDOM <= len(piece) < SHORTEST_PART and piece.isalnum()):
        return False
    if piece.lower() in _PUBLIC or _VERSION.fullmatch(piece) or piece.isdigit():
        return False
    if any(char.isdigit() for char in piece):
        return True
    is_mixed = piece not in {piece.lower(), piece.upper(), piece.capitalize()}
    return is_mixed or not set(piece.lower()) & set("aeiouy")


def _parts(secret: str) -> Iterator[str]:
    if not secret:
        return
    yield secret
    bare = _SCHEME.sub("", secret, count=1)
    if credentials := _credentials(bare):
        yield credentials
    if _SCHEME.match(secret):
        yield from short_secrets(secret)
    # Decoded as well, for what is percent-encoded twice.
    for text in {bare, unquote(bare)}:
        for part in split_secret(text):
            if len(part) >= SHORTEST_PART and (part == text or not _is_public(part)):
                yield part


def _is_public(part: str) -> bool:
    """Whether it is public words, perhaps with pieces too short to hide: `localhost:8080`."""
    pieces = set(_FINE.split(part.lower()))
    return not pieces.isdisjoint(_PUBLIC) and all(
        len(piece) < SHORTEST_PART for piece in pieces - _PUBLIC
    )


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

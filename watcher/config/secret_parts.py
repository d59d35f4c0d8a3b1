"""What of a receiver's URL is a secret: the pieces that no log, error or message may show.

Refuses to know what a service calls its tokens: any long enough piece of a URL may be one.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote, unquote_plus

__all__ = ["MASK", "is_secret", "mask", "secret_parts"]

MASK = "***"

# A shorter piece is no token, and hiding it would hide half of every sentence.
SHORTEST_PART = 6
SHORTEST_SECRET = 4

# Elsewhere the part that looks like a host is a token as often as not (slack, discord, ntfy).
_HOST_IS_A_HOST = frozenset(
    {"http", "https", "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"}
)
# Ordinary words of such URLs; hidden, they would only make logs unreadable.
_ORDINARY = frozenset(
    {"html", "text", "markdown", "truncate", "upstream", "insecure", "starttls", "webhook"}
    | {"webhooks", "services", "localhost"}
)
_COARSE = re.compile(r"[/?&=]+")
_FINE = re.compile(r"[/?&=:,#\s]+")


def secret_parts(url: str) -> frozenset[str]:
    """Every piece of an Apprise URL that may be a secret, as written and percent-decoded."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return frozenset(filter(_may_be_token, _pieces(url)))
    before_query, _, query = rest.partition("?")
    netloc, _, path = before_query.partition("/")
    user, at, host = netloc.rpartition("@")
    parts = {url, rest} | _pieces(user) | _pieces(path)
    for option in query.split("&"):
        # Only what stands behind an option's name: the names are public, and stand in advice.
        parts |= _pieces(option.partition("=")[2])
    if not at and scheme.casefold() not in _HOST_IS_A_HOST:
        parts |= _pieces(host)
    password = user.partition(":")[2]
    passwords = frozenset(filter(is_secret, (password, unquote(password))))
    return frozenset(filter(_may_be_token, parts)) | passwords


def is_secret(text: str) -> bool:
    """Whether a text known to come from a secret place can be hidden without hiding the rest."""
    return len(text) >= SHORTEST_SECRET and not _is_ordinary(text)


def mask(text: str, secrets: frozenset[str]) -> str:
    """The text with every secret replaced, longest first so that no rest of one stays."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _pieces(text: str) -> set[str]:
    """The text and every part of it, as written and percent-decoded."""
    parts = {text, *_COARSE.split(text), *_FINE.split(text)}
    decoded = {decode(part) for part in parts for decode in (unquote, unquote_plus)}
    return parts | decoded | {piece for part in decoded for piece in _FINE.split(part)}


def _may_be_token(part: str) -> bool:
    return len(part) >= SHORTEST_PART and not _is_ordinary(part)


def _is_ordinary(part: str) -> bool:
    """A word or an address that everybody may know, with or without a port."""
    host, _, port = part.rpartition(":")
    word = (host if port.isdigit() and host else part).strip("[]").casefold()
    if word in _ORDINARY:
        return True
    try:
        return bool(ipaddress.ip_address(word))
    except ValueError:
        return False

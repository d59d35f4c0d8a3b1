"""Addresses on the network: where prices come from, where the web answers, the heartbeat's.

Refuses to know what is said there, and never repeats an address: one may be a secret.

What of a receiver's URL is a secret: the pieces that no log, error or message may show.

Refuses to know what a service calls its tokens: any long enough piece of a URL may be one.

A secret URL of a section: in its `url`, or in the file that its `url_file` names.

Refuses to know what makes a URL a good one, and never lets a problem repeat any of it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from pydantic import SecretStr

from watcher.config.errors import Finding, KeyPath, key_text, suggestion

if TYPE_CHECKING:
    from watcher.config.document import Document, Plain, Substituted


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


URL_KEYS = ("url", "url_file")
MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SecretUrl:
    """A URL, the values of the environment that went into it, and where it was given."""

    path: KeyPath
    url: str
    variables: frozenset[SecretStr]


@dataclass(frozen=True, slots=True)
class SecretUrls:
    """Reads the URL of any section, gathering what is wrong in `findings`."""

    document: Document
    filled: Substituted
    findings: list[Finding] = field(default_factory=list)

    def read(self, section: KeyPath, content: dict[str, Plain]) -> SecretUrl | None:
        """The one URL a section gives; `None` where there is a finding instead."""
        given = [(*section, key) for key in URL_KEYS if key in content]
        if len(given) != 1:
            what = "has neither url nor url_file" if not given else "has both url and url_file"
            self.complain_of_key(section, f"{what}; give it exactly one of the two")
            return None
        path = given[0]
        if path in self.filled.broken:
            return None
        try:
            text = _single(content[str(path[-1])])
            url = _content(Path(text)) if path[-1] == "url_file" else text
        except ValueError as error:
            self.complain(path, str(error))
            return None
        return SecretUrl(path, url, frozenset(map(SecretStr, self.filled.used.get(path, ()))))

    def refuse_others(
        self, section: KeyPath, content: dict[str, Plain], options: tuple[str, ...]
    ) -> None:
        """Complain of every key that is neither for the URL nor among the options."""
        known = (*URL_KEYS, *options)
        for key in content.keys() - set(known):
            near = suggestion(key, known)
            mending = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
            self.complain_of_key((*section, key), f"unknown key; {mending}")

    def complain(self, path: KeyPath, what: str) -> None:
        self.findings.append(Finding(self.document.place_of(path), key_text(path), what))

    def complain_of_key(self, path: KeyPath, what: str) -> None:
        self.findings.append(Finding(self.document.key_place(path), key_text(path), what))


def _single(content: Plain) -> str:
    if isinstance(content, list | dict):
        raise ValueError("is not a single value; write one URL")  # noqa: TRY004
    if content is None or not content.strip():
        raise ValueError("is empty; give it a value")
    return content.strip()


def _content(path: Path) -> str:
    """The URL in a file: its one line."""
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MOST_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        why = error.strerror or "unreadable"
        raise ValueError(f"the file cannot be read ({why}); mend the path or its rights") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not text; put the URL alone into it") from None
    except (ValueError, RuntimeError):
        raise ValueError("is not a path; write the path of a file") from None
    if not content:
        raise ValueError("the file is empty; put the URL into it")
    if len(content.splitlines()) > 1:
        raise ValueError("the file has several lines; put the URL alone into it")
    return content

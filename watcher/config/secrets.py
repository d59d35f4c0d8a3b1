"""The secret URL of a section, and which pieces of it no log, error or message may show.

A URL is given in `url`, or in the file that `url_file` names. Any long enough piece of it counts as
a secret: what each service calls its tokens is not known here.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pydantic import SecretStr

from watcher.config.errors import suggest
from watcher.safe_text import MASK, ORDINARY_WORDS, SHORTEST_PART, split_secret

if TYPE_CHECKING:
    from watcher.config.document import Document, Substituted, YamlContent
    from watcher.config.errors import Finding, KeyPath

URL_KEYS = ("url", "url_file")
MAX_URL_FILE_BYTES = 65_536

# A text known to be secret is hidden where a mere piece of this length is not.
SHORTEST_SECRET = 4

# With other schemes, what looks like the host is often a token (slack, discord, ntfy).
_HOST_IS_A_HOST = frozenset(
    {"http", "https", "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"}
)


def secret_parts(url: str) -> frozenset[str]:
    """Every piece of an Apprise URL that may be a secret, as written and percent-decoded."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return frozenset(filter(_may_be_token, split_secret(url)))
    before_query, _, query = rest.partition("?")
    netloc, _, path = before_query.partition("/")
    user, at, host = netloc.rpartition("@")
    parts = {url, rest} | split_secret(user) | split_secret(path)
    for option in query.split("&"):
        # Only the values of options: their names are public, and advice mentions them.
        parts |= split_secret(option.partition("=")[2])
    if not at and scheme.casefold() not in _HOST_IS_A_HOST:
        parts |= split_secret(host)
    password = user.partition(":")[2]
    passwords = frozenset(filter(is_secret, (password, unquote(password))))
    return frozenset(filter(_may_be_token, parts)) | passwords


def is_secret(text: str) -> bool:
    """Whether a text that is known to be secret can be hidden without hiding half of a log."""
    return len(text) >= SHORTEST_SECRET and not _is_ordinary(text)


def mask(text: str, secrets: frozenset[str]) -> str:
    """The text with every secret replaced, longest first so that nothing of one remains."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _may_be_token(part: str) -> bool:
    return len(part) >= SHORTEST_PART and not _is_ordinary(part)


def _is_ordinary(part: str) -> bool:
    """Whether it is a word or an address that everybody may know, with or without a port."""
    host, _, port = part.rpartition(":")
    word = (host if port.isdigit() and host else part).strip("[]").casefold()
    if word in ORDINARY_WORDS:
        return True
    try:
        return bool(ipaddress.ip_address(word))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class SecretUrl:
    """A URL, the values of the environment that went into it, and where it was given."""

    path: KeyPath
    url: str
    variables: frozenset[SecretStr]


@dataclass(frozen=True, slots=True)
class SecretUrlReader:
    """Reads the URL of any section, collecting what is wrong in `findings`."""

    document: Document
    filled: Substituted
    findings: list[Finding] = field(default_factory=list)

    def read(self, section: KeyPath, content: dict[str, YamlContent]) -> SecretUrl | None:
        """The one URL a section gives; `None` where there is a finding instead."""
        given = [(*section, key) for key in URL_KEYS if key in content]
        if len(given) != 1:
            what = "has neither url nor url_file" if not given else "has both url and url_file"
            self.report_key(section, f"{what}; give it exactly one of the two")
            return None
        path = given[0]
        if path in self.filled.broken:
            return None
        try:
            text = _single_text(content[str(path[-1])])
            url = _read_url_file(Path(text)) if path[-1] == "url_file" else text
        except ValueError as error:
            self.report(path, str(error))
            return None
        return SecretUrl(path, url, frozenset(map(SecretStr, self.filled.used.get(path, ()))))

    def report_unknown_keys(
        self, section: KeyPath, content: dict[str, YamlContent], options: tuple[str, ...]
    ) -> None:
        """Report every key that is neither for the URL nor among the options."""
        known = (*URL_KEYS, *options)
        for key in content.keys() - set(known):
            near = suggest(key, known)
            fix = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
            self.report_key((*section, key), f"unknown key; {fix}")

    def report(self, path: KeyPath, what: str) -> None:
        self.findings.append(self.document.finding(path, what))

    def report_key(self, path: KeyPath, what: str) -> None:
        self.findings.append(self.document.finding_at_key(path, what))


def _single_text(content: YamlContent) -> str:
    if isinstance(content, list | dict):
        raise ValueError("is not a single value; write one URL")  # noqa: TRY004
    if content is None or not content.strip():
        raise ValueError("is empty; give it a value")
    return content.strip()


def _read_url_file(path: Path) -> str:
    """The URL in a file: its one line."""
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MAX_URL_FILE_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        why = error.strerror or "unreadable"
        raise ValueError(
            f"the file cannot be read ({why}); fix the path or its permissions"
        ) from None
    except UnicodeDecodeError:
        raise ValueError("the file is not text; put the URL alone into it") from None
    except (ValueError, RuntimeError):
        raise ValueError("is not a path; write the path of a file") from None
    if not content:
        raise ValueError("the file is empty; put the URL into it")
    if len(content.splitlines()) > 1:
        raise ValueError("the file has several lines; put the URL alone into it")
    return content

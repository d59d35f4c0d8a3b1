"""Secret URLs: read from the configuration or a file, and which pieces of them nothing may show.

Any long enough piece counts as a secret: what each service calls its tokens is not known here. No
error repeats a URL, or what a file holds.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.document import Filled
from watcher.config.field_types import FromFile, parse_path
from watcher.safe_text import (
    MASK,
    ORDINARY_WORDS,
    SHORTEST_PART,
    secret_pattern,
    short_secrets,
    split_secret,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationInfo

MAX_FILE_BYTES = 65_536
# With other schemes, what looks like the host is often a token (slack, discord, ntfy).
_HOST_IS_A_HOST = frozenset(
    {"http", "https", "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"}
)


class SecretUrl(SecretStr):
    """A URL that nothing shows, the values of the variables that went into it, and its file."""

    def __init__(
        self, url: str, variables: frozenset[str] = frozenset(), file: Path | None = None
    ) -> None:
        """`file` is where it was read from, if not from the configuration."""
        super().__init__(url)
        self._variables = variables
        self._file = file

    def file(self, configuration: Path) -> Path | None:
        """The file in which a secret of it is written; `None`: there is none, or in variables."""
        url = self.get_secret_value()
        if self._variables or not secret_parts(url) - {url, url.partition("://")[2]}:
            return None
        return self._file or configuration

    def secrets(self) -> frozenset[str]:
        """The URL, its pieces, and the values that went into it."""
        return secret_parts(self.get_secret_value()) | frozenset(filter(is_secret, self._variables))


def read_url(value: object) -> SecretUrl:
    """The URL that a key gives. Raises `ValueError` that says how to fix it."""
    if isinstance(value, SecretStr):
        return value if isinstance(value, SecretUrl) else SecretUrl(value.get_secret_value())
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("is empty; give it a value")
    if not isinstance(value, str):
        raise ValueError("is not a single value; write one URL")  # noqa: TRY004
    return SecretUrl(value.strip(), value.variables if isinstance(value, Filled) else frozenset())


def read_url_file(value: object, info: ValidationInfo) -> SecretUrl:
    """The URL in the file that a key names: its one line. Raises `ValueError` likewise."""
    named = read_url(value).get_secret_value()
    try:
        path = parse_path(named)
    except ValueError:
        raise ValueError("is not a path; write the path of a file") from None
    try:
        url = read_file(path, "URL", info).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("the file is not text; put the URL alone into it") from None
    if not url:
        raise ValueError("the file is empty; put the URL into it")
    if len(url.splitlines()) > 1:
        raise ValueError("the file has several lines; put the URL alone into it")
    return SecretUrl(url, file=path)


def read_file(path: Path, what: str, info: ValidationInfo) -> bytes:
    """What a file holds that a key names. Raises `ValueError` likewise."""
    read = info.context.files if isinstance(info.context, FromFile) else {}
    if path in read:
        return read[path]
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        why, fix = error.strerror or "unreadable", "fix the path or its permissions"
        raise ValueError(f"the file cannot be read ({why}); {fix}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than 64 KiB; no {what} needs that")
    return read.setdefault(path, content)


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
    return frozenset(filter(_may_be_token, parts)) | short_secrets(url)


def is_secret(text: str) -> bool:
    """Whether what went into a URL is to be hidden: all but a port, a number, an ordinary word."""
    return not _is_ordinary(text) and (len(text) >= SHORTEST_PART or not text.isdigit())


def mask(text: str, secrets: frozenset[str]) -> str:
    """The text with every secret replaced, longest first so that nothing of one remains."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(secret_pattern(secret), MASK, text)
    return text


def _may_be_token(part: str) -> bool:
    return len(part) >= SHORTEST_PART and not _is_ordinary(part)


def _is_ordinary(part: str) -> bool:
    """Whether it is a word or an address that everybody may know, with or without a port."""
    host, _, port = part.rpartition(":")
    word = (host if port.isdigit() and host else part).strip("[]").casefold()
    if not word or word in ORDINARY_WORDS:
        return True
    try:
        return bool(ipaddress.ip_address(word))
    except ValueError:
        return False

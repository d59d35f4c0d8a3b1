"""The receivers of a configuration: a name, and one URL that stands in the file or beside it.

Refuses to know what makes a URL a good one (that check is given) and never lets a problem repeat
what stands in or behind a receiver.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.errors import Finding, KeyPath, key_text, suggestion
from watcher.config.secret_parts import mask
from watcher.config.settings import ReceiverSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.config.positions import Document, Plain
    from watcher.config.variables import Substituted

__all__ = ["ReceiversReader"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_KEYS = ("url", "url_file")

# The built-in receiver that prints alerts; messages and deliveries are kept under its name.
RESERVED = "terminal"
MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ReceiversReader:
    """Reads the section `receivers`, gathering what is wrong with it in `findings`."""

    document: Document
    filled: Substituted
    check: Callable[[str], list[str]]
    findings: list[Finding] = field(default_factory=list)

    def read(self, section: Plain) -> dict[str, ReceiverSettings]:
        if section is None:
            return {}
        if not isinstance(section, dict):
            self._complain(
                ("receivers",), "is not a mapping; write each receiver as a name with a url"
            )
            return {}
        read = {name: self._receiver(name, content) for name, content in section.items()}
        return {name: receiver for name, receiver in read.items() if receiver is not None}

    def _receiver(self, name: str, content: Plain) -> ReceiverSettings | None:
        path = ("receivers", name)
        if not _NAME.fullmatch(name):
            self._complain_of_key(
                path, "is no name for a receiver; use at most 40 letters, digits, - and _"
            )
        if name == RESERVED:
            self._complain_of_key(path, "is the name of the built-in receiver; choose another")
        if not isinstance(content, dict):
            self._complain(path, 'is not a mapping; write url: "${NAME}" or url_file: beneath it')
            return None
        for key in content.keys() - set(_KEYS):
            self._complain_of_key((*path, key), _unknown(key))
        return self._one_url(path, content)

    def _one_url(self, path: KeyPath, content: dict[str, Plain]) -> ReceiverSettings | None:
        given = [(*path, key) for key in _KEYS if key in content]
        if len(given) != 1:
            what = "has neither url nor url_file" if not given else "has both url and url_file"
            self._complain_of_key(path, f"{what}; give it exactly one of the two")
            return None
        if given[0] in self.filled.broken:
            return None
        key = str(given[0][-1])
        try:
            return self._checked(given[0], _single(content[key]), from_file=key == "url_file")
        except ValueError as error:
            self._complain(given[0], str(error))
            return None

    def _checked(self, path: KeyPath, text: str, *, from_file: bool) -> ReceiverSettings:
        variables = frozenset(map(SecretStr, self.filled.used.get(path, frozenset())))
        url = _content(Path(text)) if from_file else text
        receiver = ReceiverSettings(url=SecretStr(url), variables=variables)
        for problem in self.check(url):
            self._complain(path, mask(problem, receiver.secrets()))
        return receiver

    def _complain(self, path: KeyPath, what: str) -> None:
        self.findings.append(Finding(self.document.place_of(path), key_text(path), what))

    def _complain_of_key(self, path: KeyPath, what: str) -> None:
        self.findings.append(Finding(self.document.key_place(path), key_text(path), what))


def _single(content: Plain) -> str:
    if isinstance(content, list | dict):
        raise ValueError("is not a single value; write one URL, and a receiver for each URL")  # noqa: TRY004
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


def _unknown(key: str) -> str:
    near = suggestion(key, _KEYS)
    return f"unknown key; did you mean {near}?" if near else "unknown key; known: url, url_file"

"""`${NAME}` in the values of a document, from the environment.

Knows the escape `$${` for a plain `${`. Refuses to look into keys, and to read twice what a
variable holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.config.errors import Finding, KeyPath, key_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.config.positions import Document, Plain

__all__ = ["Substituted", "substitute"]

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Substituted:
    """The content with its variables filled in; `used` has the values that went into each text."""

    content: Plain
    used: dict[KeyPath, frozenset[str]] = field(default_factory=dict)
    broken: set[KeyPath] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def substitute(document: Document, environment: Mapping[str, str]) -> Substituted:
    """Fill in every value; what cannot be filled in stays as it is and is among the findings."""
    filling = _Filling(document, environment, Substituted(None))
    content = filling.fill(document.content, ())
    found = filling.found
    return Substituted(content, found.used, found.broken, found.findings)


@dataclass(frozen=True, slots=True)
class _Filling:
    document: Document
    environment: Mapping[str, str]
    found: Substituted

    def fill(self, content: Plain, path: KeyPath) -> Plain:
        if isinstance(content, dict):
            return {key: self.fill(value, (*path, key)) for key, value in content.items()}
        if isinstance(content, list):
            return [self.fill(value, (*path, at)) for at, value in enumerate(content)]
        if content is None or "${" not in content:
            return content
        return _REFERENCE.sub(lambda match: self._value(match, path), content)

    def _value(self, match: re.Match[str], path: KeyPath) -> str:
        if match[0] == "$${":
            return "${"
        name = match[1]
        if name is None or not _NAME.fullmatch(name):
            self._complain(path, "has a ${ that names no variable; write ${NAME}, or $${ for ${")
            return match[0]
        if (value := self.environment.get(name)) is None:
            self._complain(path, f"the variable {name} is not set; set it, or write $${{ for ${{")
            return match[0]
        self.found.used[path] = self.found.used.get(path, frozenset()) | {value}
        return value

    def _complain(self, path: KeyPath, what: str) -> None:
        self.found.broken.add(path)
        place, key = self.document.place_of(path), key_text(path) or "file"
        self.found.findings.append(Finding(place, key, what))

"""What can be wrong with a configuration: problems with their place, in words a person can act on.

A value may be a secret, so a problem never repeats one: it names the key, the rule and the fix, and
gives the place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KeyPath = tuple[str | int, ...]

# How alike a word and a suggestion must be, in percent.
SIMILAR_ENOUGH = 60
# For a suggestion that leads away from where the word stands.
VERY_SIMILAR = 75

_PRINTABLE_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
# Below these sections, from this depth on, somebody may have pasted a token where a key belongs.
_SECRET_FROM = {"receivers": 2, "heartbeat": 1}
_PRINTABLE_BESIDE_SECRETS = re.compile(r"[a-z_]{1,20}")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a file; both count from one."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `where` is FILE:LINE:COLUMN; `what` says how to fix it, too."""

    where: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.what}"


class ConfigError(Exception):
    """The configuration cannot be used; carries everything that is wrong with it, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A problem of one file while that is still being read; orders by place."""

    place: Place
    key: str
    what: str

    def in_file(self, file: str) -> Problem:
        return Problem(f"{file}:{self.place.line}:{self.place.column}", self.key, self.what)


def in_file_order(findings: Iterable[Finding], file: str) -> tuple[Problem, ...]:
    return tuple(finding.in_file(file) for finding in sorted(set(findings)))


def key_text(path: KeyPath) -> str:
    """A key path with dots; a part that might be a secret in the wrong place becomes `?`."""
    parts = [part for part in path if isinstance(part, str)]
    return ".".join(_printable_part(parts, depth) for depth in range(len(parts)))


def _printable_part(parts: Sequence[str], depth: int) -> str:
    beside_secrets = depth >= _SECRET_FROM.get(parts[0], len(parts))
    pattern = _PRINTABLE_BESIDE_SECRETS if beside_secrets else _PRINTABLE_KEY
    return parts[depth] if pattern.fullmatch(parts[depth]) else "?"


def suggest(word: str, choices: Sequence[str], least: int = SIMILAR_ENOUGH) -> str | None:
    """The choice that `word` was most likely meant to be; `None` where none is `least` % alike."""
    # Needed only for a file with a mistake in it; a good one should not wait for the import.
    from rapidfuzz import fuzz, process  # noqa: PLC0415

    found = process.extractOne(
        word[:100].casefold(), choices, scorer=fuzz.ratio, score_cutoff=least
    )
    return None if found is None else found[0]

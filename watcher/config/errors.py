"""What can be wrong with a configuration: problems with their place, in words a person can act on.

Refuses to know any value of the file: a value may be a secret, so a problem names the key, the
rule and the mending, and points at the place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigError",
    "Finding",
    "KeyPath",
    "Place",
    "Problem",
    "in_file_order",
    "key_text",
    "suggestion",
]

KeyPath = tuple[str | int, ...]

_PRINTABLE_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
# Below a receiver somebody may have pasted a token where a key belongs.
_PRINTABLE_RECEIVER_KEY = re.compile(r"[a-z_]{1,20}")
_RECEIVER_KEY_DEPTH = 2

LIKE_ENOUGH = 60


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a file; both count from one."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: `where` is FILE:LINE:COLUMN, `what` says how to mend it too."""

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


def key_text(path: KeyPath) -> str:
    """A key path with dots; a part that might be a secret in the wrong place becomes `?`."""
    parts = [part for part in path if isinstance(part, str)]
    return ".".join(_key_part(parts, depth) for depth in range(len(parts)))


def suggestion(word: str, choices: Sequence[str]) -> str | None:
    """The choice that `word` most likely stands for; `None` where none is like it."""
    # Needed only for a file with a mistake in it; a good one should not wait for the import.
    from rapidfuzz import fuzz, process  # noqa: PLC0415

    found = process.extractOne(
        word[:100].casefold(), choices, scorer=fuzz.ratio, score_cutoff=LIKE_ENOUGH
    )
    return None if found is None else found[0]


def in_file_order(findings: Iterable[Finding], file: str) -> tuple[Problem, ...]:
    return tuple(finding.in_file(file) for finding in sorted(set(findings)))


def _key_part(parts: Sequence[str], depth: int) -> str:
    below_receiver = parts[0] == "receivers" and depth >= _RECEIVER_KEY_DEPTH
    pattern = _PRINTABLE_RECEIVER_KEY if below_receiver else _PRINTABLE_KEY
    return parts[depth] if pattern.fullmatch(parts[depth]) else "?"

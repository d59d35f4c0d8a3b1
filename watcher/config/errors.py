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

KeyPath = tuple[str | int, ...]

_PRINTABLE_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
# Below these, at this depth, somebody may have pasted a token where a key belongs.
_SECRET_FROM = {"receivers": 2, "heartbeat": 1}
_PRINTABLE_BESIDE_SECRETS = re.compile(r"[a-z_]{1,20}")

LIKE_ENOUGH = 60
# For a guess that leads away from where the word stands.
VERY_LIKE = 75


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


def suggestion(word: str, choices: Sequence[str], alike: int = LIKE_ENOUGH) -> str | None:
    """The choice that `word` most likely stands for; `None` where none is `alike`, 0 to 100."""
    # Needed only for a file with a mistake in it; a good one should not wait for the import.
    from rapidfuzz import fuzz, process  # noqa: PLC0415

    found = process.extractOne(
        word[:100].casefold(), choices, scorer=fuzz.ratio, score_cutoff=alike
    )
    return None if found is None else found[0]


def in_file_order(findings: Iterable[Finding], file: str) -> tuple[Problem, ...]:
    return tuple(finding.in_file(file) for finding in sorted(set(findings)))


def _key_part(parts: Sequence[str], depth: int) -> str:
    beside_secrets = depth >= _SECRET_FROM.get(parts[0], len(parts))
    pattern = _PRINTABLE_BESIDE_SECRETS if beside_secrets else _PRINTABLE_KEY
    return parts[depth] if pattern.fullmatch(parts[depth]) else "?"

"""What can be wrong with a configuration: problems with their place, in words a person can act on.

A value may be a secret, so a problem never repeats one: it names the key, the rule and the fix, and
gives the place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KeyPath = tuple[str | int, ...]

# How alike a word and a suggestion must be, in percent.
SIMILAR_ENOUGH = 60
# For a suggestion that leads away from where the word stands.
VERY_SIMILAR = 75
# No value in them is ever shown; from this depth on, somebody may have pasted a token where a key
# belongs.
SECRET_SECTIONS = {"receivers": 2, "heartbeat": 1}

_PRINTABLE_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PRINTABLE_BESIDE_SECRETS = re.compile(r"[a-z_]{1,20}")


class Place(NamedTuple):
    """Where something stands in a file; both count from one."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a file; `what` says how to fix it, too. Orders by place."""

    file: str
    place: Place
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}:{self.place.column}: {self.key}: {self.what}"


class ConfigError(Exception):
    """The configuration cannot be used; carries everything that is wrong with it, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def key_text(path: KeyPath) -> str:
    """A key path with dots; a part that might be a secret in the wrong place becomes `?`."""
    parts = [part for part in path if isinstance(part, str)]
    secret_from = SECRET_SECTIONS.get(parts[0], len(parts)) if parts else 0
    printable = (
        (_PRINTABLE_KEY if depth < secret_from else _PRINTABLE_BESIDE_SECRETS).fullmatch(part)
        for depth, part in enumerate(parts)
    )
    return ".".join(part[0] if part else "?" for part in printable)


def suggest(word: str, choices: Sequence[str], least: int = SIMILAR_ENOUGH) -> str | None:
    """The choice that `word` was most likely meant to be; `None` where none is `least` % alike."""
    # Needed only for a file with a mistake in it; a good one should not wait for the import.
    from rapidfuzz import fuzz, process  # noqa: PLC0415

    found = process.extractOne(
        word[:100].casefold(), choices, scorer=fuzz.ratio, score_cutoff=least
    )
    return None if found is None else found[0]

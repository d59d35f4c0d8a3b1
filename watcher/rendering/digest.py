"""What a digest says beside its changes: its period, the biggest moves and how many of each kind.

Refuses to know what was gathered and when the next one is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from watcher.changes import Kind, ModelChange, RecordedChange, change_percent
from watcher.rendering.harmless import harmless, shortened
from watcher.rendering.kind_words import counts_in_words
from watcher.rendering.numbers import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["Digest", "digest_name", "digest_summary"]

MOST_NAMED = 3
LONGEST_NAME_IN_A_SUMMARY = 60
LONGEST_ROUTE = 30


class Digest(Protocol):
    """A period and what stood out in it, for a message that gathers a route's changes.

    The times are told as they are: in the zone they come in.
    """

    @property
    def route(self) -> str:
        """As the configuration names it."""

    @property
    def since_at(self) -> datetime:
        """The moment of the digest before."""

    @property
    def until_at(self) -> datetime:
        """The moment of this one."""

    @property
    def rises(self) -> Sequence[RecordedChange]:
        """The biggest first."""

    @property
    def falls(self) -> Sequence[RecordedChange]:
        """The biggest first."""

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many changes there were of each kind."""


def digest_name(digest: Digest) -> str:
    """`weekly, 2026-11-16 to 2026-11-23`; with times of day where it is about one day."""
    since, until = digest.since_at, digest.until_at
    first, last = f"{since:%Y-%m-%d}", f"{until:%Y-%m-%d}"
    if first == last:
        first, last = f"{since:%Y-%m-%d %H:%M}", f"{until:%H:%M}"
    route = shortened(harmless(digest.route), LONGEST_ROUTE) if digest.route.strip() else ""
    return ", ".join(part for part in (route, f"{first} to {last}") if part)


def digest_summary(digest: Digest) -> tuple[str, ...]:
    """What closes a digest: the biggest rises, the biggest falls, and the counts."""
    lines = []
    for words, changes in (("rises", digest.rises), ("falls", digest.falls)):
        if named := list(_named(changes)):
            lines.append(f"Biggest {words}: {', '.join(named)}")
    counted = ", ".join(counts_in_words(digest.counts))
    return (*lines, f"In all: {counted or 'nothing changed'}")


def _named(changes: Sequence[RecordedChange]) -> Iterator[str]:
    for recorded in changes[:MOST_NAMED]:
        change = recorded.change
        if not isinstance(change, ModelChange):
            continue
        moved = change_percent(change)
        name = shortened(harmless(change.model.record.description), LONGEST_NAME_IN_A_SUMMARY)
        yield name if moved is None else f"{name} {percent(moved)}"

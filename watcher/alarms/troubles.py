"""The troubles known of at one moment, and their JSON form, in which they outlive a restart.

Knows what a trouble is. Refuses to know what causes and what ends one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

__all__ = ["AlarmKind", "Book", "Key", "Trouble"]


class AlarmKind(StrEnum):
    """What an operator is told of."""

    BLIND = "blind"  # the catalogue could not be read for long
    SHAPE = "shape"  # the API's answers are not built as they were
    REFUSED = "refused"  # the API does not serve us: the region, or credentials
    COLLAPSE = "collapse"  # much of the catalogue is missing, and is not believed yet
    RECEIVER = "receiver"  # a receiver has accepted nothing for long
    DEAD_LETTER = "dead_letter"
    STATE = "state"  # the disk is full, or the state is damaged
    RELOAD = "reload"  # a changed configuration was refused
    CLOCK = "clock"  # the wall clock jumped


Key = tuple[AlarmKind, str | None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble, from its first sign on; an alarm once it was told (`told_at`).

    `about` is the receiver it is about, if any. `last_at` is its last sign. `count`, by kind:
    shape and refused, failed polls in a row; dead_letter, dead messages when last told; clock,
    seconds that the clock is off; else 0.
    """

    kind: AlarmKind
    since_at: datetime
    last_at: datetime
    why: str = ""
    about: str | None = None
    count: int = 0
    told_at: datetime | None = None

    @property
    def key(self) -> Key:
        """There is at most one trouble of a kind about a receiver."""
        return self.kind, self.about

    def shifted(self, by: timedelta) -> Trouble:
        """The same by a clock that was moved: it has lasted as long as before."""
        return replace(
            self,
            since_at=self.since_at + by,
            last_at=self.last_at + by,
            told_at=self.told_at and self.told_at + by,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "about": self.about,
            "since_at": self.since_at.isoformat(),
            "last_at": self.last_at.isoformat(),
            "why": self.why,
            "count": self.count,
            "told_at": self.told_at and self.told_at.isoformat(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Trouble:
        return cls(
            kind=AlarmKind(fields["kind"]),
            since_at=datetime.fromisoformat(fields["since_at"]),
            last_at=datetime.fromisoformat(fields["last_at"]),
            why=fields["why"],
            about=fields["about"],
            count=fields["count"],
            told_at=fields["told_at"] and datetime.fromisoformat(fields["told_at"]),
        )


@dataclass(frozen=True, slots=True)
class Book:
    """All troubles. `good_at` is the last good poll, `polled_at` the last of any sort.

    Neither is older than the process, so a watcher that was switched off is not blind at once.
    """

    good_at: datetime
    polled_at: datetime
    troubles: Mapping[Key, Trouble] = field(default_factory=dict)

    @classmethod
    def opened(cls, kept: Mapping[str, Any], now: datetime) -> Book:
        """The book as a process begins it, with what an earlier one kept.

        What cannot be read (a later version wrote it) is left out: the worst that follows is a
        message told twice.
        """
        troubles = {}
        for fields in kept.get("troubles", ()):
            try:
                trouble = Trouble.from_json(fields)
            except (KeyError, TypeError, ValueError):
                continue
            troubles[trouble.key] = trouble
        return cls(good_at=now, polled_at=now, troubles=troubles)

    def to_json(self) -> dict[str, Any]:
        """What must outlive a restart."""
        return {"troubles": [trouble.to_json() for trouble in self.troubles.values()]}

    @property
    def alarms(self) -> tuple[Trouble, ...]:
        """The troubles that were told and have not ended."""
        return tuple(trouble for trouble in self.troubles.values() if trouble.told_at)

    def find(self, kind: AlarmKind, about: str | None = None) -> Trouble | None:
        return self.troubles.get((kind, about))

    def having(self, trouble: Trouble) -> Book:
        return replace(self, troubles={**self.troubles, trouble.key: trouble})

    def without(self, troubles: Iterable[Trouble]) -> Book:
        gone = {trouble.key for trouble in troubles}
        kept = {key: trouble for key, trouble in self.troubles.items() if key not in gone}
        return replace(self, troubles=kept)

"""What an alarm can follow from, as values: polls, tries, how things stand, clocks, the state.

Knows what sort of trouble a failed poll is. Refuses to know how a fact was learned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.alarms.troubles import AlarmKind

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "ClockJumped",
    "Configured",
    "Fact",
    "Looked",
    "Pending",
    "Polled",
    "StateFailed",
    "StateWorked",
    "Ticked",
    "Tried",
]

# Beside the statuses 401, 403, 407, 451 and 511, codes of an envelope such as 4030: "Not
# supported in the current region".
_REFUSAL = re.compile(r": (?:code|status) (?:401\d?|403\d?|407|451|511)\b")


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll ended. `reason` is the sort of its failure, `why` the failure in words.

    `held` says whether a collapse of the catalogue waits to be believed (`None`: not known),
    `recovered` whether this poll ended it and said so to everybody; `models` are those on sale.
    """

    good: bool
    reason: str | None = None
    why: str | None = None
    held: bool | None = None
    recovered: bool = False
    models: int = 0

    @property
    def sort(self) -> AlarmKind | None:
        """What sort of trouble a failed poll is, beside being a failed one."""
        if self.good:
            return None
        if self.reason in {"schema", "shape"}:
            return AlarmKind.SHAPE
        if self.reason in {"envelope", "status"} and _REFUSAL.search(self.why or ""):
            return AlarmKind.REFUSED
        return None


@dataclass(frozen=True, slots=True)
class Tried:
    """A message was offered to a receiver.

    `accepted` is `None` where it was turned down for good: the receiver works, and does not want
    this message.
    """

    receiver: str
    accepted: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a receiver (changes, notices and messages), and how many messages died."""

    receiver: str
    waiting: int
    dead: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """How things stand at every receiver; one that is missing has nothing waiting or dead."""

    receivers: tuple[Pending, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration was read: taken into use (`problem` is `None`), or refused for `problem`."""

    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StateFailed:
    """The state could not be read or written: the disk is full, or the file is damaged."""

    why: str


@dataclass(frozen=True, slots=True)
class StateWorked:
    """Something was written to the state."""


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The wall clock moved by so much more (or less) than time went by."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class Ticked:
    """Some time went by."""


Fact = Polled | Tried | Looked | Configured | StateFailed | StateWorked | ClockJumped | Ticked

"""What a person can ask of the state from outside: of the outbox, of silences, of what is held.

Each wish is made at a time and is about what there was by then, so that doing it twice does no
more than doing it once. Refuses to know how it reaches the state and what it does there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from watcher.confirm import HoldReason
    from watcher.store.values import StoredSilence

__all__ = [
    "AcceptHolds",
    "AddSilence",
    "EndSilence",
    "Forward",
    "HoldName",
    "OutboxRequest",
    "Request",
    "StartOver",
    "TakenRequests",
    "Wish",
]


class Wish(StrEnum):
    """What a person can ask of the outbox."""

    RETRY = "retry"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class OutboxRequest:
    """A person's wish about messages.

    `message_ids` and `receiver` narrow it down; with neither it is about everything. Discarding
    by receiver, or everything, includes what has not yet been gathered into a message.
    """

    wish: Wish
    at: datetime
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """Tell another receiver what was for this one; narrowed down as an `OutboxRequest` is."""

    at: datetime
    to: str
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class AddSilence:
    """Silence what matches; it begins when it is asked for. Its number is not known yet."""

    silence: StoredSilence

    @property
    def at(self) -> datetime:
        """When it was asked for."""
        return self.silence.since_at


@dataclass(frozen=True, slots=True)
class EndSilence:
    """End a silence before its time."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class HoldName:
    """Which hold is meant: not only whose, but also what was seen when it was asked for."""

    reason: HoldReason
    model_id: int | None
    subject: str


@dataclass(frozen=True, slots=True)
class AcceptHolds:
    """Let the next sweep settle these holds if it still shows the same; `None`: all there are.

    Accepting the collapse of the catalogue accepts the removals that it holds.
    """

    at: datetime
    holds: tuple[HoldName, ...] | None = None


@dataclass(frozen=True, slots=True)
class StartOver:
    """Take the next complete sweep as it is, and tell nobody what is different in it."""

    at: datetime


Request = OutboxRequest | Forward | AddSilence | EndSilence | AcceptHolds | StartOver


@dataclass(frozen=True, slots=True)
class TakenRequests:
    """The requests found: each with how many things it was about, such as messages or holds.

    `set_aside` names the files that were no requests; they are kept beside, renamed.
    """

    applied: tuple[tuple[Request, int], ...] = ()
    set_aside: tuple[str, ...] = ()

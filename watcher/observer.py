"""What the poller, the outbox and the rest of the daemon report, and the object that takes it.

`Observer` takes every report and does nothing, which is enough for a single poll. The daemon's is
`watcher.monitor.monitor.Monitor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.notify.outcome import Outcome
    from watcher.store.values import PollOutcome


@dataclass(frozen=True, slots=True)
class PollReport:
    """What one poll did. `why` is what called for a sweep, or what went wrong.

    `reason` is the sort of failure, for counting, and `status` the HTTP status or envelope code
    that said so. `holds` counts the changes that wait for confirmation; `collapse_held` says
    whether a collapse of the catalogue is one of them (`None`: not known), and `models` how many
    are on sale. `unreadable` says of each row that a sweep could not read which and why (`None`:
    there was no sweep). `bytes` are those of the response bodies, still compressed.
    """

    outcome: PollOutcome
    why: str | None = None
    reason: str | None = None
    status: int | None = None
    changes: tuple[RecordedChange, ...] = ()
    notices: tuple[Notice, ...] = ()
    holds: int = 0
    collapse_held: bool | None = None
    models: int = 0
    unreadable: tuple[str, ...] | None = None
    retry_after: timedelta | None = None
    requests: int = 0
    bytes: int = 0
    took: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class SendAttempt:
    """One attempt to send a message to its receiver, and its outcome.

    `died`: the message is given up. `unanswered` is how many tries of its receiver were ambiguous
    since that last accepted a message. `waited` is how long after the message was made it was
    accepted; `None` where it was not.
    """

    receiver: str
    alert_id: str
    outcome: Outcome
    took: timedelta
    attempts: int
    died: bool
    unanswered: int = 0
    waited: timedelta | None = None


class Observer:
    """Is told what happens, when it happens. No method may raise or take long."""

    def polled(self, report: PollReport) -> None:
        """A poll ended."""

    def attempted(self, attempt: SendAttempt) -> None:
        """A message was offered to its receiver."""

    def deferred(self, receiver: str, reasons: Mapping[int, str]) -> None:
        """These deliveries, by id, are now deferred for a receiver, and why.

        `quiet`, `digest`, `silence` or `flap`.
        """

    def suppressed(self, reason: str, count: int) -> None:
        """So many deliveries are never made: `silence` dropped them, or they `netted` out."""

    def check_in(self, who: str, within: timedelta | None) -> None:
        """A loop makes progress, and checks in again within that time (`None`: it rests)."""

    def configured(self, problem: str | None) -> None:
        """A new configuration is in use (`None`), or was refused and why."""

    def pinged(self, outcome: str) -> None:
        """The external monitor was pinged: `accepted` or `failed`."""


# For whoever polls or sends without being watched.
NOBODY = Observer()

"""Whether the watch does its work, judged from how things stand: nothing, or the reasons why not.

Knows what is too old and what is stuck. Refuses to know clocks, the state and HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.config.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from watcher.store import ReceiverStatus, Status

__all__ = ["Limits", "unready"]

# A message is tried within seconds of its time; a send takes at most minutes.
OVERDUE_AFTER = timedelta(minutes=10)
# What nobody asked to be put off is in a message within seconds.
UNGATHERED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is expected: how often the whole catalogue is read, and who is told."""

    full_sweep_every: timedelta
    receivers: Collection[str]


def unready(
    status: Status, limits: Limits, now: datetime, deferring: Collection[str] = ()
) -> tuple[str, ...]:
    """Why the watch is not ready, each reason a line; none where it is.

    `deferring` names the receivers for which something is put off on purpose (quiet hours, a
    digest, a silence), so that its age says nothing. The outbox is stuck where a receiver's next
    try is long overdue, or where something waits that is in no message. That a receiver fails is
    no reason: messages to it are tried when they should be.
    """
    return (*_sweep(status, limits, now), *_outbox(status, limits, now, deferring))


def _sweep(status: Status, limits: Limits, now: datetime) -> Iterator[str]:
    if status.swept_at is None:
        yield "no complete sweep of the catalogue has been made yet"
        return
    age, oldest = now - status.swept_at, 2 * limits.full_sweep_every
    if age > oldest:
        minutes, limit = age // timedelta(minutes=1), duration_text(oldest)
        yield f"the last complete sweep is {minutes} minutes old, more than {limit}"


def _outbox(
    status: Status, limits: Limits, now: datetime, deferring: Collection[str]
) -> Iterator[str]:
    for receiver in status.receivers:
        # What is left for a receiver that is no longer configured is nobody's work.
        if receiver.receiver not in limits.receivers:
            continue
        if _is_overdue(receiver, now):
            yield f"the outbox is stuck: the next try at {receiver.receiver} is overdue"
        elif receiver.receiver not in deferring and _is_ungathered(receiver, now):
            yield f"the outbox is stuck: what waits for {receiver.receiver} is in no message"


def _is_overdue(receiver: ReceiverStatus, now: datetime) -> bool:
    due = receiver.next_attempt_at
    return due is not None and now - due > OVERDUE_AFTER


def _is_ungathered(receiver: ReceiverStatus, now: datetime) -> bool:
    # While a message is open, what came later rightly waits for its turn.
    if receiver.open or not receiver.waiting or receiver.oldest_at is None:
        return False
    return now - receiver.oldest_at > UNGATHERED_AFTER

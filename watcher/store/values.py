"""What goes into the store and what comes out of it, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from decimal import Decimal

    from watcher.catalog.changes import Change, Notice, RecordedChange
    from watcher.catalog.confirm import Hold
    from watcher.catalog.record import Model, Record
    from watcher.routing.plan import Anchor, Dispatch


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A stored model: its number, its record as of the last accepted sweep, and its times.

    `last_changed_at` is the last change of any kind, its removal included; an update that is no
    change does not move it. `gone_at` is `None` while it is on sale.
    """

    id: int
    record: Record
    first_seen_at: datetime
    last_changed_at: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """The catalogue as of the last accepted sweep; `models` are those on sale, by number.

    A model whose removal still waits for confirmation is on sale. `probe` is opaque JSON.
    `start_over`: a person asked that the next sweep become a new baseline.
    """

    models: tuple[KnownModel, ...]
    usd_per_credit: Decimal
    probe: Mapping[str, Any]
    swept_at: datetime
    holds: tuple[Hold, ...]
    start_over: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that one accepted sweep changes; stored whole or not at all.

    `baseline`: the first snapshot only, stored as models with no changes. `changes` come each with
    its deliveries and `notices` with their receivers, which may be none. `updates` are corrected
    records that are no change, by model number. `holds` are all that are open after this sweep.
    `anchors` are the models from which routes with a threshold measure from now on, `caught` how
    many deliveries each silence caught. `expected_holds` are the holds that the changes were
    confirmed with; a person may have accepted one meanwhile, which is a conflict. `factor`: before
    anything else, all that is stored in credits is converted to so many for one. `starts_over`:
    the anchors so far are dropped, and the request to start over is fulfilled.
    """

    at: datetime
    usd_per_credit: Decimal
    probe: Mapping[str, Any]
    baseline: tuple[Record, ...] = ()
    changes: tuple[tuple[Change, tuple[Dispatch, ...]], ...] = ()
    updates: tuple[tuple[int, Record], ...] = ()
    holds: tuple[Hold, ...] = ()
    notices: tuple[tuple[Notice, tuple[str, ...]], ...] = ()
    anchors: tuple[Anchor, ...] = ()
    caught: Mapping[int, int] = field(default_factory=dict)
    expected_holds: tuple[Hold, ...] | None = None
    factor: Decimal | None = None
    starts_over: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """A commit as it was stored.

    `changes` in the order given, numbered, each `ModelChange` with its model's number (a `new` one
    has it now). `models`: every model the commit touched, as it is now; those removed have their
    `gone_at`.
    """

    changes: tuple[RecordedChange, ...]
    models: tuple[KnownModel, ...]


def snapshot_after(
    previous: StoredSnapshot | None, commit: Commit, recorded: Recorded
) -> StoredSnapshot:
    """What `Store.snapshot` gives once the commit is stored, without reading it again."""
    models = {} if previous is None else {model.id: model for model in previous.models}
    for model in recorded.models:
        if model.gone_at is None:
            models[model.id] = model
        else:
            models.pop(model.id, None)
    return StoredSnapshot(
        models=tuple(models[number] for number in sorted(models)),
        usd_per_credit=commit.usd_per_credit,
        probe=commit.probe,
        swept_at=commit.at,
        holds=commit.holds,
    )


@dataclass(frozen=True, slots=True)
class StoredSilence:
    """A silence as it was requested. `spec` is its matcher, written as in a configuration.

    `caught` counts the deliveries that it held back or dropped. `dropping`: those are never sent.
    """

    id: int
    spec: Mapping[str, Any]
    since_at: datetime
    until_at: datetime
    reason: str
    dropping: bool
    caught: int = 0
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReleaseEffects:
    """What releasing a receiver's deliveries changes besides the messages it makes.

    `netted` are deliveries whose changes cancelled out, `anchors` the models as routes last
    announced them, `digests` up to when each digest of the receiver has been sent.
    """

    netted: tuple[int, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    digests: Mapping[str, datetime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.netted or self.anchors or self.digests)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message about to be stored. `alert_id` is unique and short; `markup` is the body's.

    `deliveries` are those that it carries; an empty digest carries none. `picture` is a PNG that
    goes with it.
    """

    alert_id: str
    title: str
    body: str
    markup: str
    deliveries: tuple[int, ...] = ()
    picture: bytes | None = None


class MessageState(StrEnum):
    """The state of a message. `open`: to be tried; `dead`: given up, kept, can be retried."""

    OPEN = "open"
    SENT = "sent"
    DEAD = "dead"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message whose text never changes.

    `opened_at` is when trying began: `created_at`, or when a person last retried it. `planned_at`
    is when `next_attempt_at` was planned, and `waited` the sum of all waits so far that counts for
    giving up. `unanswered` is how many tries of its receiver were ambiguous since that last
    accepted a message. `items` is how many changes and notices the message carries.
    """

    id: int
    alert_id: str
    receiver: str
    title: str
    body: str
    markup: str
    created_at: datetime
    opened_at: datetime
    attempts: int
    planned_at: datetime
    next_attempt_at: datetime
    waited: timedelta
    unanswered: int
    last_error: str | None
    state: MessageState
    items: int


@dataclass(frozen=True, slots=True)
class ModelList:
    """Models on sale as of the last accepted sweep, and what a credit is worth."""

    usd_per_credit: Decimal
    models: tuple[tuple[KnownModel, Model], ...]


@dataclass(frozen=True, slots=True)
class WaitingDeliveries:
    """How many deliveries of a receiver are in no message yet."""

    receiver: str
    items: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxView:
    """Open and dead messages in the order they were made, and deliveries in no message yet."""

    messages: tuple[StoredMessage, ...]
    waiting: tuple[WaitingDeliveries, ...]


class PollOutcome(StrEnum):
    """How a poll ended."""

    QUIET = "quiet"  # the probe saw nothing new: two small requests
    UNCHANGED = "unchanged"  # a sweep that shows nothing new
    CHANGED = "changed"
    BASELINE = "baseline"
    INCONCLUSIVE = "inconclusive"  # the catalogue changed while it was read
    STALE = "stale"  # the replies were older than those of the last accepted sweep
    FAILED = "failed"

    @property
    def is_good(self) -> bool:
        """Whether the catalogue is known to be what the store says."""
        return self not in {PollOutcome.INCONCLUSIVE, PollOutcome.STALE, PollOutcome.FAILED}

    @property
    def is_sweep(self) -> bool:
        """Whether the poll made a complete sweep."""
        return self.is_good and self is not PollOutcome.QUIET


@dataclass(frozen=True, slots=True)
class PollStatus:
    """The last poll. `failures` counts those in a row that were not good.

    `why` is what called for a sweep, or what went wrong. `doubts` are what the log has said of the
    listing and what still holds: rows that cannot be read, a listing that contradicts itself.
    """

    at: datetime
    outcome: PollOutcome
    why: str | None
    last_success_at: datetime | None
    failures: int
    doubts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PollCost:
    """What a poll cost and found. `bytes` are those of the response bodies, still compressed."""

    requests: int
    bytes: int
    changes: int
    holds: int
    took: timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each sort of row is kept once it is needed no more; `None` is for ever.

    `history` is of changes, the history of models and notices; `polls` of the log of polls;
    `messages` of those that were sent or discarded, with their deliveries.
    """

    history: timedelta | None = None
    polls: timedelta | None = None
    messages: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows of each sort one step of pruning removed."""

    messages: int = 0
    deliveries: int = 0
    changes: int = 0
    history: int = 0
    notices: int = 0
    polls: int = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """The counts that are not zero, by sort."""
        return {name: count for name, count in asdict(self).items() if count}

    def __bool__(self) -> bool:
        return bool(self.counts)


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold, with the description of the model it is about (`None` for the whole catalogue)."""

    hold: Hold
    description: str | None

    @property
    def number(self) -> int:
        """Its number for people: that of its model, which has no other hold; otherwise 0."""
        return self.hold.model_id or 0


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """What is pending or dead at one receiver.

    `waiting` counts changes and notices in no message yet, `open` and `dead` count messages.
    `oldest_at` is when the oldest thing still to be sent was queued; `last_error` is that of the
    newest open message, otherwise of the newest dead one.
    """

    receiver: str
    waiting: int
    open: int
    dead: int
    oldest_at: datetime | None
    next_attempt_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """How everything stands at one moment; `None` is what has not happened yet."""

    poll: PollStatus | None
    swept_at: datetime | None
    usd_per_credit: Decimal | None
    models: Mapping[str, int]
    holds: tuple[OpenHold, ...]
    receivers: tuple[ReceiverStatus, ...]

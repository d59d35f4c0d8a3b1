"""What goes into the store and what comes out of it, as values.

Knows the shape of what is remembered. Refuses to know where it is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Kind, ModelChange

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
    """A model the store knows: its number, its record as last believed, and since when.

    `last_changed_at` is the last change of any kind, its removal included; a silent mend of the
    listing does not move it. `gone_at` is `None` while it is on sale.
    """

    id: int
    record: Record
    first_seen_at: datetime
    last_changed_at: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Believed:
    """The catalogue as last believed; `models` are those on sale, ordered by their number.

    A model whose removal still waits to be confirmed is on sale. `sighting` is opaque JSON.
    `start_over`: the next sweep is to be taken as it is, on purpose.
    """

    models: tuple[KnownModel, ...]
    usd_per_credit: Decimal
    sighting: Mapping[str, Any]
    swept_at: datetime
    holds: tuple[Hold, ...]
    start_over: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything one accepted sweep leaves behind; stored whole or not at all.

    `baseline`: the first snapshot only, stored as models with no changes. `changes` come each with
    its deliveries and `notices` with their receivers, which may be none. `updates` are records
    mended with no change to remember, by model number. `holds` are all that are open after this
    sweep. `anchors` are what routes with a threshold tell from now on, `caught` how many
    deliveries each silence caught. `judged` are the holds that the sweep was judged by, where it
    was: somebody may have accepted one meanwhile. `starts_over`: what routes told so far counts no
    more, and the wish to start over is fulfilled.
    """

    at: datetime
    usd_per_credit: Decimal
    sighting: Mapping[str, Any]
    baseline: tuple[Record, ...] = ()
    changes: tuple[tuple[Change, tuple[Dispatch, ...]], ...] = ()
    updates: tuple[tuple[int, Record], ...] = ()
    holds: tuple[Hold, ...] = ()
    notices: tuple[tuple[Notice, tuple[str, ...]], ...] = ()
    anchors: tuple[Anchor, ...] = ()
    caught: Mapping[int, int] = field(default_factory=dict)
    judged: tuple[Hold, ...] | None = None
    starts_over: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a commit became.

    `changes` in the order given, numbered, each `ModelChange` with its model's number (a `new` one
    has it now). `models`: every model the commit touched, as it stands now; those removed are
    there with their `gone_at`.
    """

    changes: tuple[RecordedChange, ...]
    models: tuple[KnownModel, ...]

    @property
    def change_ids(self) -> tuple[int, ...]:
        """The numbers of the changes, in the order in which they were given."""
        return tuple(change.id for change in self.changes)

    @property
    def new_model_ids(self) -> tuple[int, ...]:
        """The numbers given to the `new` changes' models, in the order of the changes."""
        return tuple(
            recorded.change.model_id
            for recorded in self.changes
            if isinstance(recorded.change, ModelChange)
            and recorded.change.model_id is not None
            and Kind.NEW in recorded.change.kinds
        )


def believed_after(previous: Believed | None, commit: Commit, recorded: Recorded) -> Believed:
    """What the store believes once the commit is in: the same as asking it, without reading."""
    models = {} if previous is None else {model.id: model for model in previous.models}
    for model in recorded.models:
        if model.gone_at is None:
            models[model.id] = model
        else:
            models.pop(model.id, None)
    return Believed(
        models=tuple(models[number] for number in sorted(models)),
        usd_per_credit=commit.usd_per_credit,
        sighting=commit.sighting,
        swept_at=commit.at,
        holds=commit.holds,
    )


@dataclass(frozen=True, slots=True)
class StoredSilence:
    """A silence as it was asked for. `spec` is its matcher as a configuration writes one.

    `caught` counts the deliveries that it held back or dropped.
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
class Settlement:
    """What gathering leaves besides messages.

    `netted` are deliveries that came to nothing, `anchors` what routes last told indeed, `digests`
    up to when each digest of the receiver has been told.
    """

    netted: tuple[int, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    digests: Mapping[str, datetime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.netted or self.anchors or self.digests)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message about to be fixed. `alert_id` is unique and short; `markup` is the body's.

    `deliveries` are those that it makes; a digest of nothing makes none. `picture` is a PNG that
    goes with it.
    """

    alert_id: str
    title: str
    body: str
    markup: str
    deliveries: tuple[int, ...] = ()
    picture: bytes | None = None


class MessageState(StrEnum):
    """Where a message stands. `open`: to be tried; `dead`: given up, kept, can be retried."""

    OPEN = "open"
    SENT = "sent"
    DEAD = "dead"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A fixed message. Its text never changes.

    `opened_at` is when trying began: `created_at`, or the last time it was brought back from the
    dead. Giving up counts from it. `items` is how many changes and notices the message carries.
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
    last_attempt_at: datetime | None
    next_attempt_at: datetime
    last_error: str | None
    state: MessageState
    items: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models on sale as last believed, and what a credit is worth."""

    usd_per_credit: Decimal
    models: tuple[tuple[KnownModel, Model], ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much a receiver is still to be told that is in no message yet."""

    receiver: str
    items: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxView:
    """What waits and what died: messages in the order they were fixed, and what is ungathered."""

    messages: tuple[StoredMessage, ...]
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class PollStatus:
    """The last poll. `failures` counts those in a row, and is 0 after a success."""

    at: datetime
    outcome: str
    reason: str | None
    last_success_at: datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class PollCost:
    """What a poll took and came to. `bytes` are those of the bodies as they came."""

    requests: int
    bytes: int
    changes: int
    holds: int
    took: timedelta


@dataclass(frozen=True, slots=True)
class LoggedPoll:
    """A poll on record. `why` is what called for a sweep, or what went wrong."""

    at: datetime
    outcome: str
    why: str | None
    cost: PollCost


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what is done with is kept; `None` is for ever.

    `history` is of changes, the intervals of models and notices; `polls` of polls on record;
    `messages` of those that were sent or discarded, with what they told.
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
    intervals: int = 0
    notices: int = 0
    polls: int = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """Those that are not zero, by sort."""
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
        """What people call it by: the number of its model, which has no other; else 0."""
        return self.hold.model_id or 0


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """What is pending or dead at one receiver.

    `waiting` counts changes and notices in no message yet, `open` and `dead` count messages.
    `oldest_at` is when the oldest thing still to be told was queued; `last_error` is that of the
    newest open message, else of the newest dead one.
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
    """One look at everything: `None` where it has not happened yet."""

    poll: PollStatus | None
    swept_at: datetime | None
    usd_per_credit: Decimal | None
    models: Mapping[str, int]
    holds: tuple[OpenHold, ...]
    receivers: tuple[ReceiverStatus, ...]

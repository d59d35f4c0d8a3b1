"""What several changes of one model come to: A → B → A is nothing, two moves are one.

And what a digest says above its list of such net changes: the period, the biggest moves, the
counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    change_percent,
    in_kind_order,
)
from watcher.catalog.diff import diff_model, diff_with_kind
from watcher.routing.moves import MOVE_KINDS, comparable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.changes import Change, RecordedChange
    from watcher.catalog.record import Model

# What a change is about: a model by its number, or the credit value.
Subject = int | str

# How many moves a digest shows in each direction.
BIGGEST = 5

CREDIT_VALUE = "credit value"


def subject(change: Change) -> Subject:
    """What a change is about: only changes of one subject have a net change."""
    if isinstance(change, CreditValueChange):
        return CREDIT_VALUE
    # Only a new model that is not recorded yet has no number.
    return change.model.record.identity_key if change.model_id is None else change.model_id


def net_change(
    group: Sequence[RecordedChange], current: Model | None = None
) -> RecordedChange | None:
    """What changes of one subject, oldest first, come to; `None` where that is nothing.

    Applied to the state before the first it gives the state after the last or, where given, the
    `current` model as it is on sale now. It has the number and the time of the last change.
    """
    net = _net([recorded.change for recorded in group], current)
    return None if net is None else replace(group[-1], change=net)


def change_since(change: Change, since: Model | None) -> Change:
    """The change as it is reported to a receiver that was last sent the model as `since`.

    The price, the discount and the reference price change from there; everything else changed now.
    """
    if since is None or not isinstance(change, ModelChange) or change.after is None:
        return change
    if not comparable(since, change):
        return change
    diff = diff_model(since, change.after, change.model_id)
    moved = frozenset() if diff is None else MOVE_KINDS.intersection(diff.kinds)
    kinds = moved.union(change.kinds) - (MOVE_KINDS - moved)
    if not kinds:
        return change
    causes = {} if diff is None else diff.causes
    return replace(change, kinds=in_kind_order(kinds), before=since, causes=causes)


def _net(changes: Sequence[Change], current: Model | None) -> Change | None:
    first, last = changes[0], changes[-1]
    if isinstance(first, CreditValueChange) or isinstance(last, CreditValueChange):
        return _net_credit_value(first, last)
    if last.after is None:
        # What was removed is the model as it was last seen.
        return last if _was_on_sale(first) else None
    after = last.after if current is None else current
    if not _was_on_sale(first):
        return _arrival(first, after)
    return _difference(changes, first.before, after)


def _net_credit_value(first: Change, last: Change) -> Change | None:
    if not isinstance(first, CreditValueChange) or not isinstance(last, CreditValueChange):
        raise TypeError("changes of a model and of the credit value have no net change")
    return None if first.before == last.after else CreditValueChange(first.before, last.after)


def _was_on_sale(first: ModelChange) -> bool:
    return first.before is not None and Kind.RETURNED not in first.kinds


def _arrival(first: ModelChange, after: Model) -> ModelChange:
    if first.before is None:
        return ModelChange((Kind.NEW,), None, after, {}, first.model_id)
    return diff_with_kind(Kind.RETURNED, first.before, after, first.model_id)


def _difference(
    changes: Sequence[Change], before: Model | None, after: Model
) -> ModelChange | None:
    model_id = changes[-1].model_id if isinstance(changes[-1], ModelChange) else None
    if before is None:
        return None
    renamed = any(Kind.RENAMED in change.kinds for change in changes)
    if renamed and before.record.identity_key != after.record.identity_key:
        found: ModelChange | None = diff_with_kind(Kind.RENAMED, before, after, model_id)
    else:
        found = diff_model(before, after, model_id)
    crossed = any(Kind.CREDIT_VALUE in change.kinds for change in changes)
    if not crossed or before.usd_per_credit == after.usd_per_credit:
        return found
    # Between two models at different values of a credit `diff` finds no difference by that alone.
    kinds = {Kind.CREDIT_VALUE, *(found.kinds if found else ())}
    found = found or ModelChange((), before, after, {}, model_id)
    return replace(found, kinds=in_kind_order(kinds))


@dataclass(frozen=True, slots=True)
class DigestSummary:
    """What one route's digest says of the net changes from `since_at` to `until_at`.

    `rises` and `falls` are the biggest moves of price in percent, biggest first; `counts` says how
    many models changed in each way, in the order of the kinds; `change_count` how many single
    changes the net ones stand for.
    """

    route: str
    since_at: datetime
    until_at: datetime
    rises: tuple[RecordedChange, ...]
    falls: tuple[RecordedChange, ...]
    counts: Mapping[Kind, int]
    change_count: int


def summarize(
    route: str,
    period: tuple[datetime, datetime],
    nets: Sequence[RecordedChange],
    change_count: int,
) -> DigestSummary:
    """Summarize the net changes of a period (from, to)."""
    moves = sorted(_percents(nets), key=lambda move: move[0])
    counted = Counter(kind for net in nets for kind in net.change.kinds)
    return DigestSummary(
        route=route,
        since_at=period[0],
        until_at=period[1],
        rises=tuple(net for percent, net in reversed(moves) if percent > 0)[:BIGGEST],
        falls=tuple(net for percent, net in moves if percent < 0)[:BIGGEST],
        counts={kind: counted[kind] for kind in Kind if kind in counted},
        change_count=change_count,
    )


def _percents(nets: Iterable[RecordedChange]) -> list[tuple[Decimal, RecordedChange]]:
    found: list[tuple[Decimal, RecordedChange]] = []
    for net in nets:
        percent = change_percent(net.change) if isinstance(net.change, ModelChange) else None
        if percent is not None:
            found.append((percent, net))
    return found

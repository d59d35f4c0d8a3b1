"""What several changes come to in the end: A → B → A is nothing, two moves are one.

Knows how changes of one model add up. Refuses to know why they waited.

What a digest says above its list: the period, the biggest moves and the counts.

Refuses to know when it is due.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from watcher.catalog.changes import CreditValueChange, Kind, ModelChange, change_percent
from watcher.catalog.diff import diff_model
from watcher.routing.moves import MOVES, comparable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.changes import Change, RecordedChange
    from watcher.catalog.record import Model

# What a change is about: a model by its number, or the worth of a credit.
Subject = int | str

_CREDIT = "credit value"
_PLACES = {kind: place for place, kind in enumerate(Kind)}


def subject(change: Change) -> Subject:
    """What changes must be about to add up."""
    if isinstance(change, CreditValueChange):
        return _CREDIT
    # Only a new model that is not yet recorded has no number.
    return change.model.record.folded if change.model_id is None else change.model_id


def by_subject(changes: Iterable[RecordedChange]) -> dict[Subject, list[RecordedChange]]:
    """The changes of each subject in order, the subjects in order of their first change."""
    groups: dict[Subject, list[RecordedChange]] = {}
    for recorded in changes:
        groups.setdefault(subject(recorded.change), []).append(recorded)
    return groups


def net_effect(changes: Sequence[RecordedChange]) -> tuple[RecordedChange, ...]:
    """What changes, oldest first, come to: at most one for each model, none where it is nothing.

    Done to the state before the first they give the state after the last. Each carries the number
    and the time of the last change it stands for.
    """
    nets = (net_of(group) for group in by_subject(changes).values())
    return tuple(net for net in nets if net is not None)


def net_of(group: Sequence[RecordedChange], standing: Model | None = None) -> RecordedChange | None:
    """What changes of one subject come to, up to `standing`: the model as it is on sale now."""
    last = group[-1]
    net = _sum([recorded.change for recorded in group], standing)
    return None if net is None else replace(last, change=net)


def since_told(change: Change, since: Model | None) -> Change:
    """The change as one tells it to those who last heard of the model as `since`.

    The price, the discount and Fal's price go from there; what else happened, happened now.
    """
    if since is None or not isinstance(change, ModelChange) or change.after is None:
        return change
    if not comparable(since, change):
        return change
    whole = diff_model(since, change.after, change.model_id)
    moved = frozenset() if whole is None else MOVES.intersection(whole.kinds)
    kinds = moved.union(change.kinds) - (MOVES - moved)
    if not kinds:
        return change
    causes = {} if whole is None else whole.causes
    return replace(change, kinds=_ordered(kinds), before=since, causes=causes)


def _sum(changes: Sequence[Change], standing: Model | None) -> Change | None:
    first, last = changes[0], changes[-1]
    if isinstance(first, CreditValueChange) or isinstance(last, CreditValueChange):
        return _credit_sum(first, last)
    if last.after is None:
        # The last that was seen of it is what was removed.
        return last if _was_there(first) else None
    after = last.after if standing is None else standing
    if not _was_there(first):
        return _arrival(first, after)
    return _difference(changes, first.before, after)


def _credit_sum(first: Change, last: Change) -> Change | None:
    if not isinstance(first, CreditValueChange) or not isinstance(last, CreditValueChange):
        raise TypeError("changes of a model and of the worth of a credit do not add up")
    return None if first.before == last.after else CreditValueChange(first.before, last.after)


def _was_there(first: ModelChange) -> bool:
    return first.before is not None and Kind.RETURNED not in first.kinds


def _arrival(first: ModelChange, after: Model) -> ModelChange:
    if first.before is None:
        return ModelChange((Kind.NEW,), None, after, {}, first.model_id)
    return _with(Kind.RETURNED, first.before, after, first.model_id)


def _difference(
    changes: Sequence[Change], before: Model | None, after: Model
) -> ModelChange | None:
    model_id = changes[-1].model_id if isinstance(changes[-1], ModelChange) else None
    if before is None:
        return None
    if _renamed(changes) and before.record.folded != after.record.folded:
        return _with(Kind.RENAMED, before, after, model_id)
    return diff_model(before, after, model_id)


def _renamed(changes: Iterable[Change]) -> bool:
    return any(Kind.RENAMED in change.kinds for change in changes)


def _with(kind: Kind, before: Model, after: Model, model_id: int | None) -> ModelChange:
    """A model found again, with whatever else is different about it."""
    whole = diff_model(before, after, model_id)
    kinds = {kind} if whole is None else {kind, *whole.kinds}
    if kind is Kind.RENAMED:
        kinds.discard(Kind.RELABELLED)
    causes = {} if whole is None else whole.causes
    return ModelChange(_ordered(kinds), before, after, causes, model_id)


def _ordered(kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    return tuple(sorted(kinds, key=_PLACES.__getitem__))


BIGGEST = 5


@dataclass(frozen=True, slots=True)
class Digest:
    """One route's digest: of the net changes after `since_at`, up to `until_at`.

    `rises` and `falls` are the biggest moves of price, in percent, biggest first; `counts` how
    many models changed in each way, in the order of the kinds; `gathered` how many single changes
    the net ones stand for.
    """

    route: str
    since_at: datetime
    until_at: datetime
    rises: tuple[RecordedChange, ...]
    falls: tuple[RecordedChange, ...]
    counts: Mapping[Kind, int]
    gathered: int


def summed_up(
    route: str,
    period: tuple[datetime, datetime],
    nets: Sequence[RecordedChange],
    gathered: int,
) -> Digest:
    """The digest of a period's net changes."""
    moves = sorted(_percents(nets), key=lambda move: move[0])
    counted = Counter(kind for net in nets for kind in net.change.kinds)
    return Digest(
        route=route,
        since_at=period[0],
        until_at=period[1],
        rises=tuple(net for percent, net in reversed(moves) if percent > 0)[:BIGGEST],
        falls=tuple(net for percent, net in moves if percent < 0)[:BIGGEST],
        counts={kind: counted[kind] for kind in Kind if kind in counted},
        gathered=gathered,
    )


def _percents(nets: Iterable[RecordedChange]) -> list[tuple[Decimal, RecordedChange]]:
    found: list[tuple[Decimal, RecordedChange]] = []
    for net in nets:
        percent = change_percent(net.change) if isinstance(net.change, ModelChange) else None
        if percent is not None:
            found.append((percent, net))
    return found

"""What happened to several variants at once, in the phrases that one line has for all of them.

Knows how each kind that can be shared is said of many. Refuses to know which share a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes import Cause, Kind
from watcher.rendering.news import PRICE_KINDS
from watcher.rendering.numbers import percent
from watcher.rendering.span_words import (
    discount_moves,
    fal_moves,
    moves,
    prices,
    standings,
    usd_moves,
)
from watcher.rendering.wording import because, phrases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.catalog import Model
    from watcher.changes import ModelChange
    from watcher.rendering.news import News

__all__ = ["shared_phrases"]

_SAID_OF_ONE_SIDE = {
    Kind.NEW: "new, {}",
    Kind.REMOVED: "gone, last price {}",
    Kind.RETURNED: "back, {}",
}
_DISCOUNT = {Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN}
_FAL = {Kind.FAL_UP, Kind.FAL_DOWN}
_SAID = {
    Kind.PROMOTION_STARTED: "promotion started",
    Kind.PROMOTION_ENDED: "promotion ended",
}


def shared_phrases(news: Sequence[News], longest_name: int) -> tuple[str, ...]:
    """All there is to say about variants that `sharing` found alike; the first is the news."""
    changes = [one.change for one in news]
    kind = news[0].kind
    if len(changes) == 1:
        return phrases(changes[0], longest_name)
    if kind in _SAID_OF_ONE_SIDE:
        return tuple(_one_sided(kind, [change.model for change in changes]))
    pairs = [(it.before, it.after) for it in changes if it.before and it.after]
    if kind in PRICE_KINDS:
        return tuple(_moved(news, pairs))
    if kind is Kind.RELABELLED:
        # The new labels are the same for all of them, the prices are not.
        return (phrases(changes[0], longest_name)[0], f"price {prices([it[1] for it in pairs])}")
    return tuple(_stood(kind, changes, pairs))


def _one_sided(kind: Kind, models: Sequence[Model]) -> Iterator[str]:
    yield _SAID_OF_ONE_SIDE[kind].format(prices(models))
    if kind is not Kind.REMOVED and (standing := standings(models)):
        yield standing


def _moved(news: Sequence[News], pairs: Sequence[tuple[Model, Model]]) -> Iterator[str]:
    moved = news[0].moved
    assert moved is not None, "what moved boundlessly shares no line"  # noqa: S101
    yield f"{percent(moved)}, {moves(pairs)}"
    if in_usd := usd_moves(pairs):
        yield in_usd
    yield from _against_fal(news[0].change, pairs)
    if Cause.COMPETITOR in news[0].change.causes.values() and (fal := fal_moves(pairs)):
        yield fal


def _stood(
    kind: Kind, changes: Sequence[ModelChange], pairs: Sequence[tuple[Model, Model]]
) -> Iterator[str]:
    """Of models whose own price stood as it was."""
    kinds = set(changes[0].kinds)
    if kind in _SAID:
        yield _SAID[kind]
    if kinds & _DISCOUNT:
        yield from _against_fal(changes[0], pairs)
    fal_moved = kinds & _FAL or Cause.COMPETITOR in changes[0].causes.values()
    if fal_moved and (fal := fal_moves(pairs)):
        yield fal
    if not kinds & _DISCOUNT:
        yield from _against_fal(changes[0], pairs)
    yield f"price {prices([after for _, after in pairs])}"


def _against_fal(change: ModelChange, pairs: Sequence[tuple[Model, Model]]) -> Iterator[str]:
    if not set(change.kinds) & _DISCOUNT:
        said = standings([after for _, after in pairs])
    else:
        said = discount_moves(pairs)
    if said:
        yield said + because(change)

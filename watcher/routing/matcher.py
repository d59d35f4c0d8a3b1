"""Whether a change is one that somebody asked for, and in words why not.

Knows what a person can ask for. Refuses to know who asked and what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes import CreditValueChange, Kind
from watcher.prices import decimal_text
from watcher.routing.moves import (
    MOVES,
    PRICES,
    comparable,
    crosses,
    follows_price,
    move_since,
    usd_for,
)
from watcher.routing.patterns import accepts, folded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from watcher.catalog import Model, Record
    from watcher.changes import Change, ModelChange
    from watcher.routing.moves import PriceMove
    from watcher.routing.patterns import Pattern

__all__ = ["EVERY_KIND", "Matcher"]

EVERY_KIND = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Matcher:
    """What is asked for; all that is given must hold, and what is not given asks nothing.

    `kinds`: one of the change's must be among them, instead of among those announced. `min_up`
    and `min_down` are shares (0.05 is 5 %), `min_usd` is USD per listed unit: these judge moves
    of the price, and the discounts that follow it; any other kind passes by itself. They are about
    prices, so prices count as asked for where `kinds` names none of them.
    `usd_below` … `discount_above` (USD per listed unit; percent below Fal) ask for one of these
    marks to be crossed, and so for nothing else unless `kinds` names it.
    """

    kinds: frozenset[Kind] | None = None
    interface: tuple[Pattern, ...] = ()
    provider: tuple[Pattern, ...] = ()
    model: tuple[Pattern, ...] = ()
    family: tuple[Pattern, ...] = ()
    min_up: Decimal | None = None
    min_down: Decimal | None = None
    min_usd: Decimal | None = None
    usd_below: Decimal | None = None
    usd_above: Decimal | None = None
    discount_below: Decimal | None = None
    discount_above: Decimal | None = None

    @property
    def has_threshold(self) -> bool:
        """Whether a small move of the price is not enough."""
        return not (self.min_up is None and self.min_down is None and self.min_usd is None)

    @property
    def has_crossing(self) -> bool:
        """Whether a mark must be crossed."""
        return self._has_usd_mark or self._has_discount_mark

    @property
    def names_models(self) -> bool:
        """Whether it asks for some models, which news of the whole catalogue is not about."""
        every = (*self.interface, *self.provider, *self.model, *self.family)
        return not all(pattern.excludes for pattern in every)

    def wanted(self, announce: frozenset[Kind]) -> frozenset[Kind]:
        """The kinds asked for, where `announce` are those that anybody hears of."""
        if self.kinds is None:
            return announce & MOVES if self.has_crossing else announce
        if not self.has_threshold or self.kinds & PRICES:
            return self.kinds
        return self.kinds.union(self._directions())

    def refusal(
        self, change: Change, *, announce: frozenset[Kind], since: Model | None = None
    ) -> str | None:
        """Why this change was not asked for, in words; `None` where it was.

        `since` is the model as last told: a threshold is judged from there.
        """
        return self.subject_refusal(change) or self.news_refusal(
            change, announce=announce, since=since
        )

    def subject_refusal(self, change: Change) -> str | None:
        """Why what the change is about was not asked for."""
        if isinstance(change, CreditValueChange):
            return "it is about the whole catalogue, not a model" if self.names_models else None
        refusals = [self._record_refusal(record) for record in _records(change)]
        # A rename is news for those who know either name.
        return None if None in refusals else refusals[-1]

    def news_refusal(
        self, change: Change, *, announce: frozenset[Kind], since: Model | None = None
    ) -> str | None:
        """Why what happened was not asked for, whomever it happened to."""
        wanted = self.wanted(announce)
        kinds = wanted.intersection(change.kinds)
        if isinstance(change, CreditValueChange):
            return None if kinds else _not_among(change, wanted)
        too_small = self._threshold_refusal(change, since) if self.has_threshold else None
        if too_small is not None:
            kinds -= follows_price(change)
        elif self.has_threshold and since is not None:
            kinds = (kinds - PRICES) | (wanted & self._told_direction(change, since))
        no_crossing = self._crossing_refusal(change, since) if self.has_crossing else None
        if no_crossing is not None:
            kinds -= MOVES
        if kinds:
            return None
        return _not_among(change, wanted) or too_small or no_crossing or "it is the other way round"

    def is_small(self, move: PriceMove) -> bool:
        """Whether a price moved less than is asked for.

        From or to nothing is no percentage, and never a small move.
        """
        if move.kind is None:
            return True
        needed = self.min_up if move.kind is Kind.PRICE_UP else self.min_down
        return _is_less(move.share, needed) or _is_less(move.usd, self.min_usd)

    def _record_refusal(self, record: Record) -> str | None:
        for name, patterns, text in (
            ("interface", self.interface, record.interface),
            ("provider", self.provider, record.provider),
            ("model", self.model, record.description),
            ("family", self.family, record.family),
        ):
            if patterns and not accepts(patterns, folded(text)):
                asked = ", ".join(pattern.text for pattern in patterns)
                return f"its {name} is “{text}”, and asked for is {asked}"
        return None

    def _threshold_refusal(self, change: ModelChange, since: Model | None) -> str | None:
        move = move_since(change, since)
        if move is None or not self.is_small(move):
            return None
        if move.kind is None:
            return "the price is again what it was when last told"
        needed = self.min_up if move.kind is Kind.PRICE_UP else self.min_down
        if _is_less(move.share, needed):
            return f"the price moved by {_percent(move.share)}, and asked for is {_percent(needed)}"
        return f"the price moved by {_dollars(move.usd)}, and asked for is {_dollars(self.min_usd)}"

    def _told_direction(self, change: ModelChange, since: Model) -> frozenset[Kind]:
        move = move_since(change, since)
        return frozenset() if move is None or move.kind is None else frozenset({move.kind})

    def _crossing_refusal(self, change: ModelChange, since: Model | None) -> str | None:
        before, after = _told(change, since), change.after
        # A mark per listed unit says nothing where the unit became another.
        if before is None or after is None or Kind.UNIT in change.kinds:
            return "it crosses no mark"
        usd = usd_for(before, after.record.unit)
        if crosses(usd, after.usd, below=self.usd_below, above=self.usd_above):
            return None
        below, above = self.discount_below, self.discount_above
        if crosses(before.discount, after.discount, below=below, above=above):
            return None
        return f"it does not cross {' or '.join(self._marks())}"

    def _directions(self) -> Iterator[Kind]:
        if self.min_up is not None or self.min_usd is not None:
            yield Kind.PRICE_UP
        if self.min_down is not None or self.min_usd is not None:
            yield Kind.PRICE_DOWN

    def _marks(self) -> Iterator[str]:
        for mark in (self.usd_below, self.usd_above):
            if mark is not None:
                yield f"${decimal_text(mark)}"
        for mark in (self.discount_below, self.discount_above):
            if mark is not None:
                yield f"{decimal_text(mark)} % below Fal"

    @property
    def _has_usd_mark(self) -> bool:
        return not (self.usd_below is None and self.usd_above is None)

    @property
    def _has_discount_mark(self) -> bool:
        return not (self.discount_below is None and self.discount_above is None)


def _records(change: ModelChange) -> Iterator[Record]:
    for model in (change.before, change.after):
        if model is not None:
            yield model.record


def _told(change: ModelChange, since: Model | None) -> Model | None:
    return since if since is not None and comparable(since, change) else change.before


def _is_less(moved: Decimal | None, needed: Decimal | None) -> bool:
    return moved is not None and needed is not None and abs(moved) < needed


def _not_among(change: Change, wanted: frozenset[Kind]) -> str | None:
    if wanted.intersection(change.kinds):
        return None
    is_kinds = ", ".join(kind.value for kind in change.kinds)
    asked = ", ".join(kind.value for kind in Kind if kind in wanted) or "nothing"
    return f"it is {is_kinds}, and asked for is {asked}"


def _percent(share: Decimal | None) -> str:
    return "nothing" if share is None else f"{decimal_text(round(share * 100, 2))} %"


def _dollars(usd: Decimal | None) -> str:
    return "nothing" if usd is None else f"${decimal_text(abs(usd))}"

"""Checkers of announced changes: against each other, and against what really happened.

A `ConsistencyChecker` knows only what was announced before; a `LedgerChecker` also knows the ledger
of every edit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from torture.ledger import essence, parse_catalogue, parse_row
from torture.trial import BrokenPromise
from watcher.catalog.changes import CreditValueChange, Kind, ModelChange
from watcher.simulator.catalogue import identity_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from torture.ledger import Ledger
    from watcher.catalog.changes import RecordedChange
    from watcher.catalog.record import Record
    from watcher.simulator.catalogue import Catalogue
    from watcher.store.store import Store
    from watcher.store.values import KnownModel

__all__ = ["ConsistencyChecker", "LedgerChecker", "describe", "on_sale"]

_PRICE_KINDS = {Kind.PRICE_UP, Kind.PRICE_DOWN, Kind.UNIT}
_ANY_UNIT = parse_row({"modelDescription": "any"}).unit


async def on_sale(store: Store) -> tuple[KnownModel, ...]:
    """The models on sale as of the last accepted sweep; none before the first."""
    stored = await store.snapshot()
    return stored.models if stored else ()


def describe(change: ModelChange) -> str:
    """A change in a few words."""
    return f"{'+'.join(change.kinds)} {' → '.join(dict.fromkeys(_identity_keys(change)))}"


class ConsistencyChecker:
    """Raises `BrokenPromise` where a change contradicts what was announced before."""

    def __init__(self) -> None:
        self.checked = 0
        self._on_sale: dict[int, Record] = {}
        self._removed: set[int] = set()

    def begin(self, baseline: Iterable[KnownModel]) -> None:
        """Take in the baseline, of which nothing is announced."""
        self._on_sale = {model.id: model.record for model in baseline}

    def check(self, changes: Iterable[RecordedChange], since: int = 0) -> None:
        """Check what one poll found that began at tick `since` and has just ended."""
        for recorded in changes:
            change = recorded.change
            if isinstance(change, CreditValueChange):
                raise BrokenPromise(f"the value of a credit never changed: {change}")
            mistake = self._mistake(change, since)
            if mistake is not None:
                raise BrokenPromise(f"{mistake}: {describe(change)}\n{change}")
            self._take_in(change)
            self.checked += 1

    def convert(self, factor: Decimal) -> None:
        """All prices are in another unit of account from now on."""
        self._on_sale = {
            number: record
            if record.credits is None
            else replace(record, credits=record.credits * factor)
            for number, record in self._on_sale.items()
        }

    def check_end(self, models: Iterable[KnownModel], catalogue: Catalogue) -> None:
        """At the end the state is the truth, and the announced changes lead to it."""
        truth, stored = set(parse_catalogue(catalogue)), {model.record for model in models}
        if stored != truth:
            raise BrokenPromise(
                f"the state is not the truth: missing {truth - stored}, wrong {stored - truth}"
            )
        announced = Counter(map(essence, self._on_sale.values()))
        due = Counter(map(essence, truth))
        if announced != due:
            raise BrokenPromise(
                f"never announced: {due - announced}; no longer true: {announced - due}"
            )

    def _mistake(self, change: ModelChange, since: int) -> str | None:  # noqa: ARG002 - for LedgerChecker
        if Kind.NEW in change.kinds:
            return "a new model was known" if change.model_id in self._on_sale else None
        if Kind.RETURNED in change.kinds:
            return (
                None if change.model_id in self._removed else "a returned model was never removed"
            )
        if change.model_id not in self._on_sale or change.before is None:
            return "a model changed that was never announced"
        before = essence(self._on_sale[change.model_id])
        return None if before == essence(change.before.record) else f"was announced as {before}"

    def _take_in(self, change: ModelChange) -> None:
        if change.model_id is None:
            raise BrokenPromise(f"announced without a number: {describe(change)}")
        if change.after is None:
            del self._on_sale[change.model_id]
            self._removed.add(change.model_id)
        else:
            self._on_sale[change.model_id] = change.after.record
            self._removed.discard(change.model_id)


class LedgerChecker(ConsistencyChecker):
    """Raises `BrokenPromise` also for whatever the ledger does not confirm."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._arrivals: Counter[str] = Counter()
        self._departures: Counter[str] = Counter()

    def _mistake(self, change: ModelChange, since: int) -> str | None:
        kinds, keys = set(change.kinds), _identity_keys(change)
        self._arrivals.update(keys[1:] if {Kind.NEW, Kind.RETURNED, Kind.RENAMED} & kinds else ())
        self._departures.update(keys[:1] if {Kind.REMOVED, Kind.RENAMED} & kinds else ())
        return (
            super()._mistake(change, since)
            or self._invented_event(change, since)
            or self._invented_record(change, since)
        )

    def _invented_event(self, change: ModelChange, since: int) -> str | None:
        """An arrival, a departure or a rename that the catalogue did not have."""
        old, new = _identity_keys(change)
        if self._arrivals[new] > self._ledger.arrivals[new]:
            return "was announced as new or returned more often than it was listed"
        if self._departures[old] > self._ledger.departures[old]:
            return "was announced as removed more often than it was removed"
        gone = {Kind.REMOVED, Kind.RENAMED} & set(change.kinds)
        if gone and not self._ledger.was_absent(old, since, self._ledger.tick):
            return "was listed all the time"
        if Kind.RENAMED in change.kinds and not self._ledger.was_renamed(old, new):
            return "was never renamed so"
        return None

    def _invented_record(self, change: ModelChange, since: int) -> str | None:
        """A record after the change that was not in the catalogue during the poll."""
        if change.after is None:
            return None
        after = change.after.record
        if self._ledger.was_listed(after, since, self._ledger.tick):
            return None
        if not _PRICE_KINDS & set(change.kinds):
            # While a price is held, all else is announced at the old price.
            rest = _without_price(after)
            listed = self._ledger.listed(since, self._ledger.tick)
            if any(_without_price(record) == rest for record in listed):
                return None
        return "was not listed so while it was read"


def _identity_keys(change: ModelChange) -> tuple[str, str]:
    """The identity key before and after, as the simulator computes it."""
    both = [side.record.description for side in (change.before, change.after) if side is not None]
    return identity_key(both[0]), identity_key(both[-1])


def _without_price(record: Record) -> Record:
    return replace(record, credits=None, usd_listed=None, rate=None, unit=_ANY_UNIT)

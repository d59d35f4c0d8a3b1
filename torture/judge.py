"""Who believes what is announced, and nothing else, and objects to what is not so.

A `Follower` knows only what it was told; a `Judge` holds that against the truth as well. Refuses to
know how anything is found, recorded or sent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from torture.trial import Objection
from torture.truth import as_read, essence, understood
from watcher.catalog.changes import CreditValueChange, Kind, ModelChange
from watcher.simulator.catalogue import identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torture.truth import Ledger
    from watcher.catalog.changes import RecordedChange
    from watcher.catalog.record import Record
    from watcher.simulator.catalogue import Catalogue
    from watcher.store.values import KnownModel

__all__ = ["Follower", "Judge", "told"]

_PRICED = {Kind.PRICE_UP, Kind.PRICE_DOWN, Kind.UNIT}
_ANY_UNIT = understood({"modelDescription": "any"}).unit


def told(change: ModelChange) -> str:
    """A change in a few words."""
    return f"{'+'.join(change.kinds)} {' → '.join(dict.fromkeys(_names(change)))}"


class Follower:
    """Follows what is announced, and objects where it contradicts what was announced before."""

    def __init__(self) -> None:
        self.heard = 0
        self._known: dict[int, Record] = {}
        self._gone: set[int] = set()

    def begin(self, baseline: Iterable[KnownModel]) -> None:
        """Learn what is on sale at first, of which nothing is announced."""
        self._known = {model.id: model.record for model in baseline}

    def hear(self, changes: Iterable[RecordedChange], since: int = 0) -> None:
        """Take in what one poll announced that began at tick `since` and has just ended."""
        for recorded in changes:
            change = recorded.change
            if isinstance(change, CreditValueChange):
                raise Objection(f"what a credit is worth never moved: {change}")
            objection = self._objection(change, since)
            if objection is not None:
                raise Objection(f"{objection}: {told(change)}\n{change}")
            self._believe(change)
            self.heard += 1

    def settle(self, believed: Iterable[Record], catalogue: Catalogue) -> None:
        """In the end: what is believed is the truth, and what was announced leads there."""
        truth, believed = set(as_read(catalogue)), set(believed)
        if believed != truth:
            raise Objection(
                f"believed is not the truth: missing {truth - believed}, wrong {believed - truth}"
            )
        announced, due = Counter(map(essence, self._known.values())), Counter(map(essence, truth))
        if announced != due:
            raise Objection(f"never announced: {due - announced}; no longer so: {announced - due}")

    def _objection(self, change: ModelChange, since: int) -> str | None:  # noqa: ARG002 - see Judge
        if Kind.NEW in change.kinds:
            return "a new model was known" if change.model_id in self._known else None
        if Kind.RETURNED in change.kinds:
            return None if change.model_id in self._gone else "a returned model was not gone"
        if change.model_id not in self._known or change.before is None:
            return "a model changed that was never announced"
        before = essence(self._known[change.model_id])
        return None if before == essence(change.before.record) else f"was announced as {before}"

    def _believe(self, change: ModelChange) -> None:
        if change.model_id is None:
            raise Objection(f"announced without a number: {told(change)}")
        if change.after is None:
            del self._known[change.model_id]
            self._gone.add(change.model_id)
        else:
            self._known[change.model_id] = change.after.record
            self._gone.discard(change.model_id)


class Judge(Follower):
    """Objects, besides, to whatever the ledger does not bear out."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._arrivals: Counter[str] = Counter()
        self._departures: Counter[str] = Counter()

    def _objection(self, change: ModelChange, since: int) -> str | None:
        kinds, names = set(change.kinds), _names(change)
        self._arrivals.update(names[1:] if {Kind.NEW, Kind.RETURNED, Kind.RENAMED} & kinds else ())
        self._departures.update(names[:1] if {Kind.REMOVED, Kind.RENAMED} & kinds else ())
        return (
            super()._objection(change, since)
            or self._never_happened(change, since)
            or self._was_not_so(change, since)
        )

    def _never_happened(self, change: ModelChange, since: int) -> str | None:
        """Whether a coming or going is announced that the catalogue did not see."""
        old, new = _names(change)
        if self._arrivals[new] > self._ledger.arrivals[new]:
            return "came more often than it came"
        if self._departures[old] > self._ledger.departures[old]:
            return "went more often than it went"
        gone = {Kind.REMOVED, Kind.RENAMED} & set(change.kinds)
        if gone and not self._ledger.was_absent(old, since, self._ledger.tick):
            return "was there all the time"
        if Kind.RENAMED in change.kinds and not self._ledger.was_renamed(old, new):
            return "was never renamed so"
        return None

    def _was_not_so(self, change: ModelChange, since: int) -> str | None:
        """Whether the model is announced as it never stood in the catalogue during the poll."""
        if change.after is None:
            return None
        after = change.after.record
        if self._ledger.was_listed(after, since, self._ledger.tick):
            return None
        if not _PRICED & set(change.kinds):
            # While a price waits to be seen again, all else is told at the old price.
            rest = _priceless(after)
            listed = self._ledger.listed(since, self._ledger.tick)
            if any(_priceless(record) == rest for record in listed):
                return None
        return "was not listed so while it was read"


def _names(change: ModelChange) -> tuple[str, str]:
    """The identity before and after, as the simulator understands it."""
    both = [side.record.description for side in (change.before, change.after) if side is not None]
    return identity(both[0]), identity(both[-1])


def _priceless(record: Record) -> Record:
    return replace(record, credits=None, usd_listed=None, rate=None, unit=_ANY_UNIT)

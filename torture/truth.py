"""The truth about a moving catalogue, written down edit by edit as it happens.

It is never worked out by comparing catalogues: that is what is on trial. Of the watcher nothing is
used but what a single row means.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import Record, Snapshot, parse_record
from watcher.simulator.catalogue import Catalogue, Rename, identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from watcher.simulator.catalogue import Edit

__all__ = ["Ledger", "as_read", "essence", "understood"]

USD_PER_CREDIT = Decimal("0.005")


def understood(row: Mapping[str, Any]) -> Record:
    """One row of a simulated catalogue, as it is read off the wire."""
    return parse_record(json.loads(json.dumps(row), parse_float=Decimal))


def as_read(catalogue: Catalogue) -> tuple[Record, ...]:
    """A whole catalogue as a careful reader must see it."""
    return Snapshot.of(map(understood, catalogue.rows), USD_PER_CREDIT).records


def essence(record: Record) -> tuple[Any, ...]:
    """What of a record no reader of all announcements can be wrong about."""
    price = record.credits if record.credits is not None else record.usd_listed
    per_unit = None if price is None else price / record.unit.quantity
    return (identity(record.description), per_unit, record.unit.base, record.promotion)


@dataclass(slots=True)
class _Span:
    """From one tick to another, which is not part of it; `None` is until further notice."""

    since: int
    until: int | None = None

    def meets(self, first: int, last: int) -> bool:
        return self.since <= last and (self.until is None or self.until > first)


class Ledger:
    """All that ever stood in a catalogue, and when. A tick is one moment at which it was edited."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.tick = 0
        self.arrivals: Counter[str] = Counter()
        self.departures: Counter[str] = Counter()
        self._versions: dict[Record, list[_Span]] = defaultdict(list)
        self._absences: dict[str, list[_Span]] = defaultdict(list)
        self._renames: dict[str, set[str]] = defaultdict(set)
        for row in catalogue.rows:
            self._versions[understood(row)].append(_Span(0))
        self._born = {identity(row["modelDescription"]) for row in catalogue.rows}

    def play(self, *edits: Edit) -> None:
        """Apply edits at one moment: nobody gets to see what is between them."""
        before = {id(row): row for row in self.catalogue.rows}
        for edit in edits:
            edit.apply(self.catalogue)
            if isinstance(edit, Rename):
                self._renames[identity(edit.description)].add(identity(edit.to))
        after = {id(row): row for row in self.catalogue.rows}
        self.tick += 1
        lost = Counter(understood(row) for key, row in before.items() if key not in after)
        found = Counter(understood(row) for key, row in after.items() if key not in before)
        self._note_versions(lost - found, found - lost)
        self._note_names([*lost, *found], before.values())

    def listed(self, first: int, last: int) -> list[Record]:
        """Every row that stood in the catalogue at some time from tick `first` to `last`."""
        versions = self._versions.items()
        return [it for it, spans in versions if any(span.meets(first, last) for span in spans)]

    def was_listed(self, record: Record, first: int, last: int) -> bool:
        """Whether this very row stood there at some time from tick `first` to `last`."""
        return any(span.meets(first, last) for span in self._versions.get(record, ()))

    def was_absent(self, name: str, first: int, last: int) -> bool:
        """Whether no row of that name stood there at some time from tick `first` to `last`."""
        if name not in self._born and name not in self._absences:
            return True
        return any(span.meets(first, last) for span in self._absences[name])

    def was_renamed(self, old: str, new: str) -> bool:
        """Whether renames, one after the other, led from one name to the other."""
        reached, ahead = {old}, [old]
        while ahead:
            fresh = self._renames.get(ahead.pop(), set()) - reached
            reached |= fresh
            ahead.extend(fresh)
        return new in reached

    def _note_versions(self, lost: Counter[Record], found: Counter[Record]) -> None:
        for record in lost.elements():
            open_span = next(span for span in self._versions[record] if span.until is None)
            open_span.until = self.tick
        for record in found.elements():
            self._versions[record].append(_Span(self.tick))

    def _note_names(self, touched: Iterable[Record], before: Iterable[Mapping[str, Any]]) -> None:
        held = {identity(row["modelDescription"]) for row in before}
        holds = set(self.catalogue.identities())
        for name in {identity(record.description) for record in touched}:
            if name in held and name not in holds:
                self.departures[name] += 1
                self._absences[name].append(_Span(self.tick))
            if name in holds and name not in held:
                self.arrivals[name] += 1
                self._note_arrival(name)

    def _note_arrival(self, name: str) -> None:
        if name in self._born:
            self._absences[name][-1].until = self.tick
        else:
            self._absences[name].append(_Span(0, self.tick))
            self._born.add(name)

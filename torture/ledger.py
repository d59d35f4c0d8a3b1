"""A ledger of everything that a moving catalogue ever listed, written edit by edit as it happens.

It never compares catalogues: comparing is what is under test. Of the watcher it uses only the
parsing of a single row.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import Record, Snapshot, parse_record
from watcher.simulator.catalogue import Catalogue, Rename, identity_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from watcher.simulator.catalogue import Edit

__all__ = ["Ledger", "essence", "parse_catalogue", "parse_row"]

USD_PER_CREDIT = Decimal("0.005")


def parse_row(row: Mapping[str, Any]) -> Record:
    """One row of a simulated catalogue, as it is parsed from a reply."""
    return parse_record(json.loads(json.dumps(row), parse_float=Decimal))


def parse_catalogue(catalogue: Catalogue) -> tuple[Record, ...]:
    """All records of a simulated catalogue, as a correct reader sees them."""
    return Snapshot.of(map(parse_row, catalogue.rows), USD_PER_CREDIT).records


def essence(record: Record) -> tuple[Any, ...]:
    """The fields of a record that a reader of all announced changes must know exactly."""
    price = record.credits if record.credits is not None else record.usd_listed
    per_unit = None if price is None else price / record.unit.quantity
    return (
        identity_key(record.description),
        per_unit,
        record.unit.base,
        record.reference,
        record.promotion,
    )


@dataclass(slots=True)
class _Span:
    """From one tick to another, which is not part of it; `None`: it has not ended."""

    since: int
    until: int | None = None

    def overlaps(self, first: int, last: int) -> bool:
        return self.since <= last and (self.until is None or self.until > first)


class Ledger:
    """All that a catalogue ever listed, and when. A tick is one moment at which it was edited."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.tick = 0
        self.arrivals: Counter[str] = Counter()
        self.departures: Counter[str] = Counter()
        self._versions: dict[Record, list[_Span]] = defaultdict(list)
        self._absences: dict[str, list[_Span]] = defaultdict(list)
        self._renames: dict[str, set[str]] = defaultdict(set)
        for row in catalogue.rows:
            self._versions[parse_row(row)].append(_Span(0))
        self._ever_listed = {identity_key(row["modelDescription"]) for row in catalogue.rows}

    def play(self, *edits: Edit) -> None:
        """Apply edits at one moment: no reader sees the catalogue between them."""
        before = {id(row): row for row in self.catalogue.rows}
        for edit in edits:
            edit.apply(self.catalogue)
            if isinstance(edit, Rename):
                self._renames[identity_key(edit.description)].add(identity_key(edit.to))
        after = {id(row): row for row in self.catalogue.rows}
        self.tick += 1
        lost = Counter(parse_row(row) for row_id, row in before.items() if row_id not in after)
        found = Counter(parse_row(row) for row_id, row in after.items() if row_id not in before)
        self._note_versions(lost - found, found - lost)
        self._note_keys([*lost, *found], before.values())

    def listed(self, first: int, last: int) -> list[Record]:
        """Every record that was listed at some time from tick `first` to `last`."""
        versions = self._versions.items()
        return [it for it, spans in versions if any(span.overlaps(first, last) for span in spans)]

    def was_listed(self, record: Record, first: int, last: int) -> bool:
        """Whether exactly this record was listed at some time from tick `first` to `last`."""
        return any(span.overlaps(first, last) for span in self._versions.get(record, ()))

    def was_absent(self, key: str, first: int, last: int) -> bool:
        """Whether nothing had that identity key at some time from tick `first` to `last`."""
        if key not in self._ever_listed and key not in self._absences:
            return True
        return any(span.overlaps(first, last) for span in self._absences[key])

    def was_renamed(self, old: str, new: str) -> bool:
        """Whether renames, one after the other, led from one identity key to the other."""
        reached, pending = {old}, [old]
        while pending:
            found = self._renames.get(pending.pop(), set()) - reached
            reached |= found
            pending.extend(found)
        return new in reached

    def _note_versions(self, lost: Counter[Record], found: Counter[Record]) -> None:
        for record in lost.elements():
            open_span = next(span for span in self._versions[record] if span.until is None)
            open_span.until = self.tick
        for record in found.elements():
            self._versions[record].append(_Span(self.tick))

    def _note_keys(self, edited: Iterable[Record], before: Iterable[Mapping[str, Any]]) -> None:
        keys_before = {identity_key(row["modelDescription"]) for row in before}
        keys_now = set(self.catalogue.identity_keys())
        for key in {identity_key(record.description) for record in edited}:
            if key in keys_before and key not in keys_now:
                self.departures[key] += 1
                self._absences[key].append(_Span(self.tick))
            if key in keys_now and key not in keys_before:
                self.arrivals[key] += 1
                self._note_arrival(key)

    def _note_arrival(self, key: str) -> None:
        if key in self._ever_listed:
            self._absences[key][-1].until = self.tick
        else:
            self._absences[key].append(_Span(0, self.tick))
            self._ever_listed.add(key)

"""The truth about a moving catalogue, and a judge who holds what a watcher says against it.

The truth is written down as it happens, edit by edit, and never worked out by comparing catalogues:
that is what is on trial. Nothing of the watcher is used but what a single row means.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from watcher.catalog.changes import CreditValueChange, Kind, ModelChange, RecordedChange
from watcher.catalog.record import Record, Snapshot, parse_record
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import KieClient
from watcher.simulator.catalogue import Catalogue, Edit, Rename, identity
from watcher.simulator.replies import PageQuery, Replies
from watcher.store.values import KnownModel

USD_PER_CREDIT = Decimal("0.005")


def understood(row: Mapping[str, Any]) -> Record:
    """One row of a simulated catalogue, read as it would be off the wire."""
    return parse_record(json.loads(json.dumps(row), parse_float=Decimal))


@dataclass(slots=True)
class Span:
    """From one tick to another, which is not part of it; `None` is until further notice."""

    since: int
    until: int | None = None

    def meets(self, first: int, last: int) -> bool:
        return self.since <= last and (self.until is None or self.until > first)


class Ledger:
    """All that ever stood in a catalogue and when. A tick is one moment at which it was edited."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.tick = 0
        self.arrivals: Counter[str] = Counter()
        self.departures: Counter[str] = Counter()
        self._versions: dict[Record, list[Span]] = defaultdict(list)
        self._absences: dict[str, list[Span]] = defaultdict(list)
        self._renames: dict[str, set[str]] = defaultdict(set)
        for row in catalogue.rows:
            self._versions[understood(row)].append(Span(0))
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

    def now(self) -> tuple[Record, ...]:
        """The catalogue as a careful reader must see it."""
        rows = [understood(row) for row in self.catalogue.rows]
        return Snapshot.of(rows, USD_PER_CREDIT).records

    def listed(self, first: int, last: int) -> list[Record]:
        """Every row that stood in the catalogue at some time from `first` to `last`."""
        return [
            record
            for record, spans in self._versions.items()
            if any(span.meets(first, last) for span in spans)
        ]

    def was_listed(self, record: Record, first: int, last: int) -> bool:
        return any(span.meets(first, last) for span in self._versions.get(record, ()))

    def was_absent(self, name: str, first: int, last: int) -> bool:
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
            self._versions[record].append(Span(self.tick))

    def _note_names(self, touched: Iterable[Record], before: Iterable[Mapping[str, Any]]) -> None:
        held = {identity(row["modelDescription"]) for row in before}
        holds = set(self.catalogue.identities())
        for name in {identity(record.description) for record in touched}:
            if name in held and name not in holds:
                self.departures[name] += 1
                self._absences[name].append(Span(self.tick))
            if name in holds and name not in held:
                self.arrivals[name] += 1
                if name in self._born:
                    self._absences[name][-1].until = self.tick
                else:
                    self._absences[name].append(Span(0, self.tick))
                    self._born.add(name)


class Shelf(KieClient):
    """The real client with the wire taken away: it reads a catalogue in memory.

    `move` is called before each call is answered. Two pages asked for at once are answered in any
    order.
    """

    def __init__(self, catalogue: Catalogue, source: SourceSettings, rng: Random) -> None:
        super().__init__(None, source, PollSettings(), _at_once)  # type: ignore[arg-type]
        self.move: Callable[[], None] = lambda: None
        self._replies = Replies(catalogue)
        self._rng = rng

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        self.move()
        if call.payload is None:
            return self._replies.count([]).decode(), None
        return self._replies.page(PageQuery.of(call.payload), []).decode(), None


async def _at_once(_: timedelta) -> None:
    return


class Judge:
    """Believes what is announced, and nothing else; objects to whatever the ledger does not bear out.

    `case` is put before every objection: it says how to bring it about again.
    """

    def __init__(self, ledger: Ledger, case: str) -> None:
        self._ledger = ledger
        self._case = case
        self._known: dict[int, Record] = {}
        self._gone: set[int] = set()
        self.heard = 0
        self._arrivals: Counter[str] = Counter()
        self._departures: Counter[str] = Counter()

    def begin(self, baseline: Iterable[KnownModel]) -> None:
        """What is on sale at first, of which nothing is announced."""
        self._known = {model.id: model.record for model in baseline}

    def hear(self, changes: Iterable[RecordedChange], since: int) -> None:
        """Weigh what one poll announced that began at tick `since` and has just ended."""
        for recorded in changes:
            change = recorded.change
            assert not isinstance(change, CreditValueChange), f"{self._case}: {change}"
            objection = self._objection(change, since)
            assert objection is None, f"{self._case}: {objection}: {told(change)}\n{change}"
            self._believe(change)
            self.heard += 1

    def settle(self, believed: Iterable[Record]) -> None:
        """In the end: what is believed is the truth, and what was announced leads there."""
        assert set(believed) == set(self._ledger.now()), f"{self._case}: believed is not the truth"
        announced = Counter(map(essence, self._known.values()))
        truth = Counter(map(essence, self._ledger.now()))
        assert announced == truth, (
            f"{self._case}: never announced: {truth - announced}, no longer so: {announced - truth}"
        )

    def _believe(self, change: ModelChange) -> None:
        assert change.model_id is not None
        if change.after is None:
            del self._known[change.model_id]
            self._gone.add(change.model_id)
        else:
            self._known[change.model_id] = change.after.record
            self._gone.discard(change.model_id)

    def _objection(self, change: ModelChange, since: int) -> str | None:
        kinds, names = set(change.kinds), _names(change)
        self._arrivals.update(names[1:] if {Kind.NEW, Kind.RETURNED, Kind.RENAMED} & kinds else ())
        self._departures.update(names[:1] if {Kind.REMOVED, Kind.RENAMED} & kinds else ())
        return (
            self._contradicts_itself(change)
            or self._never_happened(change, since)
            or self._was_not_so(change, since)
        )

    def _contradicts_itself(self, change: ModelChange) -> str | None:
        if Kind.NEW in change.kinds:
            return "a new model was known" if change.model_id in self._known else None
        if Kind.RETURNED in change.kinds:
            return None if change.model_id in self._gone else "a returned model was not gone"
        if change.model_id not in self._known:
            return "a model changed that was never announced"
        assert change.before is not None
        before = essence(self._known[change.model_id])
        return None if before == essence(change.before.record) else f"was announced as {before}"

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


_PRICED = {Kind.PRICE_UP, Kind.PRICE_DOWN, Kind.UNIT}


def told(change: ModelChange) -> str:
    """A change in a few words."""
    names = dict.fromkeys(_names(change))
    return f"{'+'.join(change.kinds)} {' → '.join(names)}"


def essence(record: Record) -> tuple[Any, ...]:
    """What of a record no reader of all announcements can be wrong about."""
    price = record.credits if record.credits is not None else record.usd_listed
    per_unit = None if price is None else price / record.unit.quantity
    return (identity(record.description), per_unit, record.unit.base, record.fal, record.promotion)


def _names(change: ModelChange) -> tuple[str, str]:
    """The identity before and after, as the simulator understands it."""
    both = [side.record.description for side in (change.before, change.after) if side is not None]
    return identity(both[0]), identity(both[-1])


def _priceless(record: Record) -> Record:
    return replace(record, credits=None, usd_listed=None, rate=None, unit=_ANY_UNIT)


_ANY_UNIT = understood({"modelDescription": "any"}).unit

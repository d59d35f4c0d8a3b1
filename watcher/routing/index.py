"""Which of many matchers a change may concern, found without asking each.

One bit per matcher: a kind or a text looked up once gives the bits of all that accept it. Refuses
to know routes; a matcher that is left over must still be asked where it has thresholds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from watcher.changes import CreditValueChange, Kind
from watcher.routing.moves import PRICES
from watcher.routing.patterns import accepts, folded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.catalog import Record
    from watcher.changes import Change
    from watcher.routing.matcher import Matcher
    from watcher.routing.patterns import Pattern

__all__ = ["RouteIndex"]

# More texts than a catalogue has; each costs some hundred bytes.
_TEXTS = 32_768


class RouteIndex:
    """The matchers by what they accept. `plain` are those that accept without a closer look."""

    def __init__(self, matchers: Sequence[Matcher], announce: frozenset[Kind]) -> None:
        self._kinds = dict.fromkeys(Kind, 0)
        self._catalogue = 0
        self.plain = 0
        for place, matcher in enumerate(matchers):
            bit = 1 << place
            for kind in _kinds_that_concern(matcher, announce):
                self._kinds[kind] |= bit
            if not matcher.names_models:
                self._catalogue |= bit
            if not (matcher.has_threshold or matcher.has_crossing):
                self.plain |= bit
        self._interface = _Field([matcher.interface for matcher in matchers])
        self._provider = _Field([matcher.provider for matcher in matchers])
        self._model = _Field([matcher.model for matcher in matchers])
        self._family = _Field([matcher.family for matcher in matchers])

    def concerned(self, change: Change) -> Iterator[int]:
        """The places of the matchers that the change may concern, in order."""
        bits = self.bits(change)
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1
            bits ^= lowest

    def bits(self, change: Change) -> int:
        """The same, as bits."""
        bits = 0
        for kind in change.kinds:
            bits |= self._kinds[kind]
        if not bits:
            return 0
        if isinstance(change, CreditValueChange):
            return bits & self._catalogue
        before, after = change.before, change.after
        if after is None or before is None:
            return bits & self._about(change.model.record)
        about = self._about(after.record)
        if not _same_labels(before.record, after.record):
            about |= self._about(before.record)
        return bits & about

    def _about(self, record: Record) -> int:
        bits = self._interface.accepting(record.interface)
        bits &= self._provider.accepting(record.provider)
        if bits:
            bits &= self._model.accepting(record.description)
        if bits:
            bits &= self._family.accepting(record.family)
        return bits


class _Field:
    """One field's patterns of all matchers."""

    def __init__(self, columns: Sequence[tuple[Pattern, ...]]) -> None:
        self._asking = [(1 << place, column) for place, column in enumerate(columns) if column]
        self._indifferent = sum(1 << place for place, column in enumerate(columns) if not column)
        self.accepting = lru_cache(maxsize=_TEXTS)(self._accepting)

    def _accepting(self, text: str) -> int:
        name, bits = folded(text), self._indifferent
        for bit, patterns in self._asking:
            if accepts(patterns, name):
                bits |= bit
        return bits


def _kinds_that_concern(matcher: Matcher, announce: frozenset[Kind]) -> frozenset[Kind]:
    wanted = matcher.wanted(announce)
    # A threshold follows the price both ways: it is judged from where it was last told.
    if matcher.has_threshold and wanted & PRICES:
        return wanted | PRICES
    return wanted


def _same_labels(before: Record, after: Record) -> bool:
    return (
        before.description == after.description
        and before.provider == after.provider
        and before.interface == after.interface
    )

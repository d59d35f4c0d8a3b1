"""Whether a change is what a route, a silence or an urgent rule asks for, and in words why not.

A `Pattern` is tried on one text, a `Matcher` on a change. A `RouteIndex` finds the few of many
matchers that a change may fit, without asking each of them.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import regex

from watcher.catalog.changes import PRICE_KINDS, CreditValueChange, Kind
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import fold
from watcher.routing.moves import (
    MOVE_KINDS,
    crosses,
    follows_price,
    measured_from,
    move_since,
    usd_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog.changes import Change, ModelChange
    from watcher.catalog.record import Model, Record
    from watcher.routing.moves import PriceMove

EVERY_KIND = frozenset(Kind)

MAX_PATTERN_LENGTH = 500
# In seconds; most take microseconds. `validate` finds most expressions that backtrack without end,
# but not all.
SEARCH_TIMEOUT = 0.05

# More texts than a catalogue has; each costs about a hundred bytes.
_CACHED_TEXTS = 32_768

_WILDCARD = re.compile(r"[*?\[]")

# The same names come with every poll.
cached_fold = lru_cache(maxsize=_CACHED_TEXTS)(fold)


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern as written: a glob, `re:` and a regular expression, or `!` and what to exclude.

    A glob is folded like the text and must match all of it; a regular expression ignores case and
    is searched for anywhere. Raises `PatternError`.
    """

    text: str
    excludes: bool = field(init=False)
    _search: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        body = self.text.strip()
        object.__setattr__(self, "excludes", body.startswith("!"))
        object.__setattr__(self, "_search", _finder(body.removeprefix("!").strip()))

    def finds(self, text: str) -> bool:
        """Whether a folded text matches, regardless of the `!`."""
        try:
            return self._search(text)
        except TimeoutError:
            # In doubt, an alert too many is better than one too few.
            return not self.excludes


def accepts(patterns: Sequence[Pattern], text: str) -> bool:
    """Whether a folded text is included by one of the patterns, and excluded by none.

    Without a pattern that includes, everything that is not excluded is included.
    """
    included = False
    is_limited = False
    for pattern in patterns:
        if pattern.excludes:
            if pattern.finds(text):
                return False
        else:
            is_limited = True
            included = included or pattern.finds(text)
    return included or not is_limited


def _finder(body: str) -> Callable[[str], bool]:
    if len(body) > MAX_PATTERN_LENGTH:
        raise PatternError(f"is longer than {MAX_PATTERN_LENGTH} characters")
    if body.startswith("re:"):
        return _expression_finder(body.removeprefix("re:").strip())
    if not (glob := fold(body)):
        raise PatternError("is empty")
    return _glob_finder(glob)


def _expression_finder(body: str) -> Callable[[str], bool]:
    expression = _compiled(body)

    # A search that took too long must not be repeated for the same text.
    @lru_cache(maxsize=8192)
    def search(text: str) -> bool | None:
        try:
            return expression.search(text, timeout=SEARCH_TIMEOUT) is not None
        except TimeoutError:
            return None

    def finds(text: str) -> bool:
        found = search(text)
        if found is None:
            raise TimeoutError
        return found

    return finds


def _compiled(body: str) -> regex.Pattern[str]:
    if not body:
        raise PatternError("is an empty regular expression")
    with warnings.catch_warnings():
        # Syntax whose meaning will change in a later version is refused now.
        warnings.simplefilter("error")
        try:
            return regex.compile(body, regex.IGNORECASE)
        except (regex.error, Warning, RecursionError, OverflowError, MemoryError) as error:
            raise PatternError(f"is no regular expression: {error}") from None


def _glob_finder(glob: str) -> Callable[[str], bool]:
    """Plain string methods where they do the same: ten times as fast as an expression."""
    core = glob.strip("*")
    if _WILDCARD.search(core):
        fits = re.compile(fnmatch.translate(glob)).match
        return lambda text: fits(text) is not None
    if not core:
        return lambda _: True
    match (glob.startswith("*"), glob.endswith("*")):
        case (True, True):
            return lambda text: core in text
        case (True, False):
            return lambda text: text.endswith(core)
        case (False, True):
            return lambda text: text.startswith(core)
        case _:
            return core.__eq__


@dataclass(frozen=True, slots=True)
class Matcher:
    """What is asked for: every field that is given must fit.

    `kinds`: the change must have one of them, instead of one that is announced by default. `min_up`
    and `min_down` are shares (0.05 is 5 %), `min_usd` is USD per listed unit: these thresholds are
    for moves of the price and the discounts that follow it, and leave other kinds alone. They are
    about prices, so prices count as asked for where `kinds` names none of them.
    `usd_below` … `discount_above` (USD per listed unit; percent below Fal) ask for one of these
    marks to be crossed, and for nothing else unless `kinds` names it.
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
        """Whether the price must move by a minimum."""
        return not (self.min_up is None and self.min_down is None and self.min_usd is None)

    @property
    def has_crossing(self) -> bool:
        """Whether a mark must be crossed."""
        return not (
            self.usd_below is None
            and self.usd_above is None
            and self.discount_below is None
            and self.discount_above is None
        )

    @property
    def names_models(self) -> bool:
        """Whether it asks for some models only, and so for no change of the whole catalogue."""
        every = (*self.interface, *self.provider, *self.model, *self.family)
        return not all(pattern.excludes for pattern in every)

    def wanted_kinds(self, announce: frozenset[Kind]) -> frozenset[Kind]:
        """The kinds asked for, where `announce` are those that are announced by default."""
        if self.kinds is None:
            return announce & MOVE_KINDS if self.has_crossing else announce
        if not self.has_threshold or self.kinds & PRICE_KINDS:
            return self.kinds
        return self.kinds.union(self._directions())

    def refusal(
        self, change: Change, *, announce: frozenset[Kind], since: Model | None = None
    ) -> str | None:
        """Why this change was not asked for, in words; `None` where it was.

        `since` is the model as last reported: thresholds measure from there.
        """
        return self.subject_refusal(change) or self.event_refusal(
            change, announce=announce, since=since
        )

    def subject_refusal(self, change: Change) -> str | None:
        """Why the model that changed was not asked for."""
        if isinstance(change, CreditValueChange):
            return "it is about the whole catalogue, not a model" if self.names_models else None
        refusals = [self._record_refusal(record) for record in _records(change)]
        # A rename concerns those who ask for either name.
        return None if None in refusals else refusals[-1]

    def event_refusal(
        self, change: Change, *, announce: frozenset[Kind], since: Model | None = None
    ) -> str | None:
        """Why what happened was not asked for, whatever the model."""
        wanted = self.wanted_kinds(announce)
        kinds = wanted.intersection(change.kinds)
        if isinstance(change, CreditValueChange):
            return None if kinds else _not_among(change, wanted)
        too_small = self._threshold_refusal(change, since) if self.has_threshold else None
        if too_small is not None:
            kinds -= follows_price(change)
        elif self.has_threshold and since is not None:
            kinds = (kinds - PRICE_KINDS) | (wanted & self._direction(change, since))
        no_crossing = self._crossing_refusal(change, since) if self.has_crossing else None
        if no_crossing is not None:
            kinds -= MOVE_KINDS
        if kinds:
            return None
        return (
            _not_among(change, wanted)
            or too_small
            or no_crossing
            or "the price moved in the other direction"
        )

    def is_small(self, move: PriceMove) -> bool:
        """Whether a price moved less than is asked for.

        A move from or to no price has no percentage, and is never small.
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
            if patterns and not accepts(patterns, cached_fold(text)):
                asked = ", ".join(pattern.text for pattern in patterns)
                return f"its {name} is “{text}”, and the route asks for {asked}"
        return None

    def _threshold_refusal(self, change: ModelChange, since: Model | None) -> str | None:
        move = move_since(change, since)
        if move is None or not self.is_small(move):
            return None
        if move.kind is None:
            return "the price is again what it was when last reported"
        needed = self.min_up if move.kind is Kind.PRICE_UP else self.min_down
        if _is_less(move.share, needed):
            moved, asked = _percent(move.share), _percent(needed)
        else:
            moved, asked = _dollars(move.usd), _dollars(self.min_usd)
        return f"the price moved by {moved}, and the route asks for {asked}"

    def _direction(self, change: ModelChange, since: Model) -> frozenset[Kind]:
        move = move_since(change, since)
        return frozenset() if move is None or move.kind is None else frozenset({move.kind})

    def _crossing_refusal(self, change: ModelChange, since: Model | None) -> str | None:
        before, after = measured_from(change, since), change.after
        # A mark per listed unit cannot be compared where the unit became another.
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


def _records(change: ModelChange) -> Iterator[Record]:
    for model in (change.before, change.after):
        if model is not None:
            yield model.record


def _is_less(moved: Decimal | None, needed: Decimal | None) -> bool:
    return moved is not None and needed is not None and abs(moved) < needed


def _not_among(change: Change, wanted: frozenset[Kind]) -> str | None:
    if wanted.intersection(change.kinds):
        return None
    is_kinds = ", ".join(kind.value for kind in change.kinds)
    asked = ", ".join(kind.value for kind in Kind if kind in wanted) or "nothing"
    return f"it is {is_kinds}, and the route asks for {asked}"


def _percent(share: Decimal | None) -> str:
    return "nothing" if share is None else f"{decimal_text(round(share * 100, 2))} %"


def _dollars(usd: Decimal | None) -> str:
    return "nothing" if usd is None else f"${decimal_text(abs(usd))}"


class RouteIndex:
    """Matchers by what they accept, one bit for each.

    A kind or a text that is looked up gives the bits of all matchers that accept it.
    `unconditional` are the bits of those without thresholds and marks: being a candidate is enough.
    """

    def __init__(self, matchers: Sequence[Matcher], announce: frozenset[Kind]) -> None:
        self._kinds = dict.fromkeys(Kind, 0)
        self._catalogue = 0
        self.unconditional = 0
        for place, matcher in enumerate(matchers):
            bit = 1 << place
            for kind in _candidate_kinds(matcher, announce):
                self._kinds[kind] |= bit
            if not matcher.names_models:
                self._catalogue |= bit
            if not (matcher.has_threshold or matcher.has_crossing):
                self.unconditional |= bit
        self._interface = _FieldIndex([matcher.interface for matcher in matchers])
        self._provider = _FieldIndex([matcher.provider for matcher in matchers])
        self._model = _FieldIndex([matcher.model for matcher in matchers])
        self._family = _FieldIndex([matcher.family for matcher in matchers])

    def candidates(self, change: Change) -> Iterator[int]:
        """The places of the matchers that the change may fit, in order."""
        bits = self._bits(change)
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1
            bits ^= lowest

    def _bits(self, change: Change) -> int:
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


class _FieldIndex:
    """The patterns that all matchers have for one field."""

    def __init__(self, columns: Sequence[tuple[Pattern, ...]]) -> None:
        self._with_patterns = [
            (1 << place, column) for place, column in enumerate(columns) if column
        ]
        self._without_patterns = sum(
            1 << place for place, column in enumerate(columns) if not column
        )
        self.accepting = lru_cache(maxsize=_CACHED_TEXTS)(self._accepting)

    def _accepting(self, text: str) -> int:
        name, bits = cached_fold(text), self._without_patterns
        for bit, patterns in self._with_patterns:
            if accepts(patterns, name):
                bits |= bit
        return bits


def _candidate_kinds(matcher: Matcher, announce: frozenset[Kind]) -> frozenset[Kind]:
    wanted = matcher.wanted_kinds(announce)
    # A threshold follows the price in both directions: it measures from the last reported price.
    if matcher.has_threshold and wanted & PRICE_KINDS:
        return wanted | PRICE_KINDS
    return wanted


def _same_labels(before: Record, after: Record) -> bool:
    return (
        before.description == after.description
        and before.provider == after.provider
        and before.interface == after.interface
    )

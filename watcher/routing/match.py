"""What a text is asked to look like: globs, regular expressions, and what they exclude.

Knows how one pattern is written and tried on one folded text. Refuses to know what the text names.

Whether a change is one that somebody asked for, and in words why not.

Knows what a person can ask for. Refuses to know who asked and what becomes of it.

Which of many matchers a change may concern, found without asking each.

One bit per matcher: a kind or a text looked up once gives the bits of all that accept it. Refuses
to know routes; a matcher that is left over must still be asked where it has thresholds.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import regex

from watcher.catalog.changes import CreditValueChange, Kind
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import fold
from watcher.routing.moves import (
    MOVES,
    PRICES,
    comparable,
    crosses,
    follows_price,
    move_since,
    usd_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog.changes import Change, ModelChange
    from watcher.catalog.record import Model, Record
    from watcher.routing.moves import PriceMove

LONGEST_PATTERN = 500
# In seconds; most take microseconds. `validate` finds those that backtrack for ever, but not all.
LONGEST_SEARCH = 0.05

_MAGIC = re.compile(r"[*?\[]")

# The names of a catalogue come again with every poll.
folded = lru_cache(maxsize=32_768)(fold)


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern as written: a glob, `re:` and a regular expression, or `!` and what to exclude.

    A glob is folded like the text it is tried on and must fit all of it; a regular expression
    takes no notice of case and is looked for anywhere. Raises `PatternError`.
    """

    text: str
    excludes: bool = field(init=False)
    _finds: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        body = self.text.strip()
        object.__setattr__(self, "excludes", body.startswith("!"))
        object.__setattr__(self, "_finds", _finder(body.removeprefix("!").strip()))

    def finds(self, text: str) -> bool:
        """Whether a folded text looks like this, the `!` left aside."""
        try:
            return self._finds(text)
        except TimeoutError:
            # In doubt one alert too many rather than one too few.
            return not self.excludes


def accepts(patterns: Sequence[Pattern], text: str) -> bool:
    """Whether a folded text is asked for: by one of those that include, and excluded by none.

    No pattern asks for everything; only such as exclude ask for everything else.
    """
    asked = False
    includes = False
    for pattern in patterns:
        if pattern.excludes:
            if pattern.finds(text):
                return False
        else:
            includes = True
            asked = asked or pattern.finds(text)
    return asked or not includes


def _finder(body: str) -> Callable[[str], bool]:
    if len(body) > LONGEST_PATTERN:
        raise PatternError(f"is longer than {LONGEST_PATTERN} characters")
    if body.startswith("re:"):
        return _expression_finder(body.removeprefix("re:").strip())
    if not (glob := fold(body)):
        raise PatternError("is empty")
    return _glob_finder(glob)


def _expression_finder(body: str) -> Callable[[str], bool]:
    expression = _compiled(body)

    # A search that ran into its time limit must not do so again for the same text.
    @lru_cache(maxsize=8192)
    def search(text: str) -> bool | None:
        try:
            return expression.search(text, timeout=LONGEST_SEARCH) is not None
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
        # What will mean something else one day is refused today.
        warnings.simplefilter("error")
        try:
            return regex.compile(body, regex.IGNORECASE)
        except (regex.error, Warning, RecursionError, OverflowError, MemoryError) as error:
            raise PatternError(f"is no regular expression: {error}") from None


def _glob_finder(glob: str) -> Callable[[str], bool]:
    """Plain string methods where they say the same: ten times as fast as an expression."""
    core = glob.strip("*")
    if _MAGIC.search(core):
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

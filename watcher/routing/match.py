"""Whether a change is what a route, a silence or an urgent rule asks for, and in words why not.

A `Pattern` is tried on one text, a `Matcher` on a change.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from watcher.catalog.changes import PRICE_KINDS, CreditValueChange, Kind, ModelChange
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import fold
from watcher.routing.moves import MOVE_KINDS, crosses, follows_price, price_move, usd_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    import regex

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Record
    from watcher.routing.moves import PriceMove

EVERY_KIND = frozenset(Kind)

# Why something is not asked for, in words: they are made when somebody reads them.
Reason = Callable[[], str]

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
    import regex  # noqa: PLC0415 - few patterns are regular expressions

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
    `usd_below` … `discount_above` (USD per listed unit; percent below the
    reference price) ask for one of these
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
    def is_conditional(self) -> bool:
        """Whether amounts decide, and not only which model changed in which way."""
        return self.has_threshold or self.has_crossing

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

    def may_take(self, change: Change, announce: frozenset[Kind]) -> bool:
        """Whether it takes such a change of such a model, amounts apart.

        Where it is not conditional, that is the answer. A threshold follows the price in both
        directions: what it measures from may be on the other side.
        """
        wanted = self.wanted_kinds(announce)
        if self.has_threshold and wanted & PRICE_KINDS:
            wanted |= PRICE_KINDS
        if isinstance(change, ModelChange) and Kind.CREDIT_VALUE in change.kinds:
            # Of a model it is only for those who asked for a mark.
            is_asked = self.has_crossing and wanted & MOVE_KINDS
            wanted = frozenset({Kind.CREDIT_VALUE} if is_asked else ())
        return not wanted.isdisjoint(change.kinds) and self.subject_refusal(change) is None

    def refusal(
        self, change: Change, *, announce: frozenset[Kind], move: PriceMove | None = None
    ) -> Reason | None:
        """Why this change was not asked for; `None` where it was.

        `move` is how far it moved the price: from the model before, unless given.
        """
        return self.subject_refusal(change) or self.event_refusal(
            change, announce=announce, move=move
        )

    def subject_refusal(self, change: Change) -> Reason | None:
        """Why the model that changed was not asked for."""
        if isinstance(change, CreditValueChange):
            if self.names_models:
                return lambda: "it is about the whole catalogue, not a model"
            return None
        refusals = [self._record_refusal(record) for record in _records(change)]
        # A rename concerns those who ask for either name.
        return None if None in refusals else refusals[-1]

    def event_refusal(
        self, change: Change, *, announce: frozenset[Kind], move: PriceMove | None = None
    ) -> Reason | None:
        """Why what happened was not asked for, whatever the model."""
        wanted = self.wanted_kinds(announce)
        kinds = wanted.intersection(change.kinds)
        if isinstance(change, CreditValueChange) or not self.is_conditional:
            return None if kinds else _not_among(change, wanted)
        move = move or price_move(change)
        too_small = no_crossing = None
        if self.has_threshold and move is not None:
            too_small = self._threshold_refusal(move)
            if too_small is not None:
                kinds -= follows_price(change)
            else:
                kinds = (kinds - PRICE_KINDS) | wanted.intersection((move.kind,))
        if self.has_crossing:
            no_crossing = self._crossing_refusal(change, move)
            if no_crossing is not None:
                kinds -= MOVE_KINDS
        elif Kind.CREDIT_VALUE in change.kinds:
            return lambda: "it is said once, for the whole catalogue"
        if self.has_crossing and no_crossing is None and Kind.CREDIT_VALUE in change.kinds:
            return None
        if kinds:
            return None
        if wanted.isdisjoint(change.kinds):
            return _not_among(change, wanted)
        return too_small or no_crossing or (lambda: "the price moved in the other direction")

    def _record_refusal(self, record: Record) -> Reason | None:
        for name, patterns, text in (
            ("interface", self.interface, record.interface),
            ("provider", self.provider, record.provider),
            ("model", self.model, record.description),
            ("family", self.family, record.family),
        ):
            if patterns and not accepts(patterns, cached_fold(text)):
                return partial(_not_named, name, text, patterns)
        return None

    def _threshold_refusal(self, move: PriceMove) -> Reason | None:
        """Why a price that moved less than is asked for is not enough.

        A move from or to no price has no percentage, and is always enough.
        """
        if move.kind is None:
            return lambda: "the price is again what it was when last reported"
        share, usd = move.share, move.usd
        needed = self.min_up if move.kind is Kind.PRICE_UP else self.min_down
        if share is not None and needed is not None and abs(share) < needed:
            return lambda: _too_small(_percent(share), _percent(needed))
        least = self.min_usd
        if usd is not None and least is not None and abs(usd) < least:
            return lambda: _too_small(f"${decimal_text(abs(usd))}", f"${decimal_text(least)}")
        return None

    def _crossing_refusal(self, change: ModelChange, move: PriceMove | None) -> Reason | None:
        before, after = change.before if move is None else move.since, change.after
        # A mark per listed unit cannot be compared where the unit became another.
        if before is None or after is None or Kind.UNIT in change.kinds:
            return lambda: "it crosses no mark"
        usd = usd_for(before, after.record.unit)
        if crosses(usd, after.usd, below=self.usd_below, above=self.usd_above):
            return None
        below, above = self.discount_below, self.discount_above
        if crosses(before.discount, after.discount, below=below, above=above):
            return None
        return lambda: f"it does not cross {' or '.join(self._marks())}"

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
                yield f"{decimal_text(mark)} % below the reference price"


def _records(change: ModelChange) -> Iterator[Record]:
    for model in (change.before, change.after):
        if model is not None:
            yield model.record


def _not_named(name: str, text: str, patterns: Sequence[Pattern]) -> str:
    asked = ", ".join(pattern.text for pattern in patterns)
    return f"its {name} is “{text}”, and the route asks for {asked}"


def _not_among(change: Change, wanted: frozenset[Kind]) -> Reason:
    def words() -> str:
        is_kinds = ", ".join(kind.value for kind in change.kinds)
        asked = ", ".join(kind.value for kind in Kind if kind in wanted) or "nothing"
        return f"it is {is_kinds}, and the route asks for {asked}"

    return words


def _too_small(moved: str, asked: str) -> str:
    return f"the price moved by {moved}, and the route asks for {asked}"


def _percent(share: Decimal) -> str:
    return f"{decimal_text(round(share * 100, 2))} %"

"""What a sweep says of a credit's value: whether it moved, or credits became another unit.

Credits and USD are judged together. Where most USD prices stand and credits move by one factor,
Kie counts in other credits and nobody pays another price. Until either is believed, the sweep is
read as if the listing had gone on as before, so that everything else in it is compared as usual.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.pricing import decimal_text, normal
from watcher.catalog.record import CREDIT_VALUE_TOLERANCE, MIN_ROWS_FOR_CREDIT_VALUE, credit_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from watcher.catalog.record import Record

_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class NewCreditValue:
    """A credit is worth `after` USD and not `before`.

    `factor`: how many credits stand for one of before, where that is all that happened; `None`
    where the value itself moved, so that every price in USD is another.
    """

    before: Decimal
    after: Decimal
    factor: Decimal | None

    @property
    def subject(self) -> str:
        """What a later sweep must show too."""
        return f"{decimal_text(self.after)} USD a credit"

    def continues(self, subject: str) -> bool:
        """Whether an earlier sweep, which showed that subject, showed this too."""
        earlier, _, rest = subject.partition(" ")
        if f"{earlier} {rest}" != subject or not earlier.replace(".", "").isdigit():
            return False
        return _agree(Decimal(earlier), self.after)


def new_credit_value(
    known: Iterable[Record], records: Sequence[Record], before: Decimal
) -> NewCreditValue | None:
    """What the records say of the value of a credit that was `before`; `None`: it is as it was."""
    after = credit_value(records, before)
    if after == before:
        return None
    known_by_key = {record.identity_key: record for record in known}
    pairs = [
        (old, new)
        for new in records
        if (old := known_by_key.get(new.identity_key)) is not None
        and old.credits
        and new.credits
        and old.usd_listed
        and new.usd_listed
    ]
    standing = [(old, new) for old, new in pairs if _usd_stands(old, new)]
    factors = Counter(
        normal(new.credits / old.credits) for old, new in standing if new.credits and old.credits
    )
    agreeing = Counter(
        {
            factor: count
            for factor, count in factors.items()
            if _agree(factor, before / after) and not _agree(factor, Decimal(1))
        }
    )
    enough = agreeing.total() >= MIN_ROWS_FOR_CREDIT_VALUE
    if not (enough and agreeing.total() * 2 >= len(standing) and len(standing) * 2 >= len(pairs)):
        return NewCreditValue(before, after, None)
    # As it was typed, in most rows: the values of credits are medians of rounded prices.
    ((factor, _),) = agreeing.most_common(1)
    exact = normal(before / factor)
    return NewCreditValue(before, after if credit_value(records, exact) != exact else exact, factor)


def as_before(
    new: NewCreditValue, known: Iterable[Record], records: Iterable[Record]
) -> list[Record]:
    """The records as they would be listed by the value of before."""
    known_by_key = {record.identity_key: record for record in known}
    return [_as_before(new, known_by_key, record) for record in records]


def _as_before(new: NewCreditValue, known: Mapping[str, Record], record: Record) -> Record:
    old = known.get(record.identity_key)
    if record.credits is None or not _is_by_the_new_value(new, record, old):
        return record
    if new.factor is not None:
        if old is not None and old.credits is not None and explains(new.factor, old, record):
            return replace(record, credits=old.credits)
        return replace(record, credits=normal(record.credits / new.factor))
    if old is not None and old.credits == record.credits:
        return replace(record, usd_listed=old.usd_listed, rate=old.rate)
    if record.usd_listed is None:
        return record
    return replace(record, usd_listed=normal(record.usd_listed * new.before / new.after))


def converted(record: Record, factor: Decimal) -> Record:
    """A record in the new unit of account."""
    if record.credits is None:
        return record
    return replace(record, credits=normal(record.credits * factor))


def explains(factor: Decimal, old: Record, new: Record) -> bool:
    """Whether the factor, and rounding of what is listed, is all that moved the credits."""
    if old.credits is None or new.credits is None:
        return old.credits is new.credits
    expected = old.credits * factor
    if new.credits == expected:
        return True
    # A price in USD that moved, however little, is a move and not rounding.
    if new.usd_listed != old.usd_listed:
        return False
    last_digit = Decimal(1).scaleb(int(new.credits.as_tuple().exponent))
    return abs(new.credits - expected) <= max(expected * CREDIT_VALUE_TOLERANCE, last_digit * _HALF)


def _is_by_the_new_value(new: NewCreditValue, record: Record, old: Record | None) -> bool:
    """Whether a row follows the new value: not all rows need be edited at once."""
    if not record.credits:
        return False
    if record.usd_listed:
        ratio = record.usd_listed / record.credits
        middle = new.before * new.after
        return ratio * ratio > middle if new.after > new.before else ratio * ratio < middle
    if new.factor is None:
        return False
    return old is None or old.credits != record.credits


def _usd_stands(old: Record, new: Record) -> bool:
    if old.usd_listed is None or new.usd_listed is None:
        return old.usd_listed is new.usd_listed
    return _agree(new.usd_listed, old.usd_listed)


def _agree(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= other * CREDIT_VALUE_TOLERANCE

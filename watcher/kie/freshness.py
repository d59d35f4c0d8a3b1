"""How old a reply is, by its own headers, and whether it is older than what is known already.

A cache in front of the API may give a page that is half an hour old. What differs in it is no
change, but the reversal of one that was announced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Servers behind one name have clocks of their own.
DATE_TOLERANCE = timedelta(minutes=1)
# Ages are whole seconds, and a reply takes time to arrive.
AGE_TOLERANCE = timedelta(seconds=2)
_AGE = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the headers of replies say: `date`, by the server's clock, and `age` when they came."""

    date: datetime | None = None
    age: timedelta = timedelta(0)

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Freshness:
        """Read `Date` and `Age`; what cannot be read says nothing."""
        age = headers.get("Age", "").strip()
        seconds = int(age) if _AGE.fullmatch(age) else 0
        return cls(_date(headers.get("Date")), timedelta(seconds=seconds))

    @classmethod
    def oldest(cls, replies: Iterable[Freshness]) -> Freshness:
        """What is true of all these replies: they are no older than that."""
        oldest = cls()
        for it in replies:
            dates = [date for date in (oldest.date, it.date) if date is not None]
            oldest = cls(min(dates, default=None), max(oldest.age, it.age))
        return oldest

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        date = None if self.date is None else self.date.isoformat()
        return {"date": date, "age": self.age.total_seconds()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Freshness:
        """The value that `to_json` gave."""
        date = stored["date"]
        return cls(
            None if date is None else datetime.fromisoformat(date),
            timedelta(seconds=stored["age"]),
        )


# Of replies without such headers.
UNKNOWN_AGE = Freshness()


def older_than(
    known: Freshness, known_at: datetime, fresh: Freshness, now: datetime
) -> timedelta | None:
    """How much older than the known replies, which came at `known_at`, those of now are.

    `None` where nothing says so. `Date` is compared with `Date`, both by the server's clock; ages
    are taken from the times when the replies came, by ours.
    """
    by_date = timedelta(0)
    if known.date is not None and fresh.date is not None:
        by_date = known.date - fresh.date
    by_age = (known_at - known.age) - (now - fresh.age) if fresh.age else timedelta(0)
    if by_date > DATE_TOLERANCE or by_age > AGE_TOLERANCE:
        return max(by_date, by_age)
    return None


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None

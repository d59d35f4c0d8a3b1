"""When the pages of one sweep make a whole catalogue: what to read next, and what to believe.

Knows how a sweep is torn (records shift while one reads) and what counts as proof that it is not.
Refuses to know how a page is fetched; it decides on pages alone.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import Reading, Record, Unreadable, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PAGE_ONE_KEPT = 100
ONE_UNREADABLE_IN = 10
DOUBTS_TOLD = 4
QUOTED_LENGTH = 80

# What a row says, as documented and as `catalog` reads it. Any other field may count views or tell
# the time: it would make every reading another, and a first one impossible.
_FIELDS_THAT_SAY = (
    "modelDescription interfaceType provider creditPrice creditUnit usdPrice falPrice "
    "discountRate anchor discountPrice"
).split()

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the last accepted sweep looked like, small enough to keep and to compare with.

    `counts` is what the count call said, `total` what the pages named, `page_one` the fingerprints
    of the first records in listing order (at most `PAGE_ONE_KEPT`), `records` the fingerprint of
    all rows, whatever their order.
    """

    counts: Mapping[str, int]
    total: int
    page_one: tuple[str, ...]
    records: str

    def to_json(self) -> dict[str, Any]:
        """The sighting as plain JSON values."""
        return {
            "counts": dict(self.counts),
            "total": self.total,
            "page_one": list(self.page_one),
            "records": self.records,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Sighting:
        """The sighting that `to_json` gave."""
        return cls(
            counts=dict(stored["counts"]),
            total=stored["total"],
            page_one=tuple(stored["page_one"]),
            records=stored["records"],
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it came: the total it named, its rows as read, and what tells them apart."""

    number: int
    total: int
    fingerprints: tuple[str, ...]
    reading: Reading
    interfaces: Mapping[str, int]

    @classmethod
    def of(cls, number: int, total: int, rows: Sequence[object]) -> Page:
        """Read the rows of a page; never keeps the rows themselves."""
        return cls(
            number=number,
            total=total,
            fingerprints=tuple(map(_fingerprint, rows)),
            reading=read(rows),
            interfaces=Counter(_interface(row) for row in rows),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reading of all pages, with the counts before and after it; pages in listing order."""

    before: Mapping[str, int]
    pages: tuple[Page, ...]
    after: Mapping[str, int]

    def records(self) -> tuple[Record, ...]:
        """All that was understood, in listing order."""
        return tuple(chain.from_iterable(page.reading.records for page in self.pages))

    def unreadable(self) -> tuple[Unreadable, ...]:
        """All that was not."""
        return tuple(chain.from_iterable(page.reading.unreadable for page in self.pages))

    def sighting(self, records: str) -> Sighting:
        """What to compare the next probe and the next sweep with.

        The counts are those from before the pages: where they moved meanwhile, the later ones
        belong to records not read here, and the next probe must notice that.
        """
        fingerprints = chain.from_iterable(page.fingerprints for page in self.pages)
        return Sighting(
            counts=self.before,
            total=self.pages[0].total,
            page_one=tuple(islice(fingerprints, PAGE_ONE_KEPT)),
            records=records,
        )


@dataclass(frozen=True, slots=True)
class Believed:
    """The attempt is the catalogue; `disagreement` says what spoke against it all the same."""

    sighting: Sighting
    disagreement: str | None


@dataclass(frozen=True, slots=True)
class Doubted:
    """The attempt proves nothing by itself; `records` is what a second one must show again.

    `records` is `None` where pages are missing or contradict each other: that is never believed,
    however often it is seen.
    """

    why: str
    records: str | None


def pages_to_read(pages: Sequence[Page]) -> range:
    """The pages still to be asked for, given those from the first on; none where none would help.

    The page size is what the server gives, not what was asked. It may change on the way: one goes
    on until the total is read, a page comes empty, or two pages contradict each other.
    """
    missing = pages[0].total - sum(len(page.fingerprints) for page in pages)
    if missing <= 0 or any(clashes(pages[0], page) for page in pages):
        return range(0)
    largest = max(len(page.fingerprints) for page in pages)
    following = pages[-1].number + 1
    return range(following, following - missing // -largest)


def clashes(first: Page, page: Page) -> bool:
    """Whether a page (of a catalogue not yet read to its end) makes the whole attempt useless."""
    return page.total != first.total or not page.fingerprints


def judge(attempt: Attempt, previous: str | None, last: Sighting | None) -> Believed | Doubted:
    """Decide whether an attempt is the catalogue.

    `previous` is the fingerprint of the attempt directly before this one, `last` the last accepted
    sweep. Missing or contradicting pages are never believed. What merely disagrees (the counts, or
    a record on two pages) is believed once two sweeps running have the same records: a listing
    that lastingly contradicts itself must not blind the watcher.

    Where there is no last sweep, even an attempt that nothing speaks against must be seen twice.
    One removal and one insertion while the pages are read can cancel out in every number and hide
    a record that is on sale. Later on that record only seems gone, which waits for confirmation;
    in a baseline it would be missing silently, and be announced as new by the next sweep. And
    where there is none, an empty catalogue is never believed: it is a service that has not come
    up, and all that it sells would be announced as new.
    """
    if contradiction := _contradiction(attempt.pages):
        return Doubted(contradiction, None)
    if last is None and not attempt.pages[0].total:
        return Doubted("an empty catalogue is nothing to begin with", None)
    records = _fingerprint_of_all(attempt.pages)
    seen_before = records == previous or (last is not None and records == last.records)
    doubts = list(islice(_doubts(attempt), DOUBTS_TOLD))
    if seen_before or (last is not None and not doubts):
        return Believed(attempt.sighting(records), "; ".join(doubts) or None)
    return Doubted("; ".join(doubts) or "a first sweep must be seen twice", records)


def first_difference(page: Page, last: Sighting) -> str | None:
    """What tells page 1 of a probe from the last accepted sweep, in words; `None` is the same.

    Compared as a set, for records that change places are no news.
    """
    if page.total != last.total:
        return f"the total is {page.total}, it was {last.total}"
    if last.total and not page.fingerprints:
        return "page 1 came empty"
    seen = page.fingerprints[:PAGE_ONE_KEPT]
    if set(seen) == set(last.page_one[: len(seen)]):
        return None
    return f"the first {len(seen)} records are not those of the last sweep"


def schema_change(attempt: Attempt) -> str | None:
    """Why a sweep must be refused as a change of schema: more than a tenth cannot be understood.

    Asked of every attempt, torn or not: rows that say nothing cannot prove that they are whole.
    """
    unreadable = attempt.unreadable()
    total = sum(len(page.fingerprints) for page in attempt.pages)
    if len(unreadable) * ONE_UNREADABLE_IN <= total:
        return None
    fields = Counter(row.why.partition(":")[0] for row in unreadable)
    commonest = fields.most_common(1)[0][0]
    example = next(row.why for row in unreadable if row.why.startswith(commonest))
    return (
        f"{len(unreadable)} of {total} records cannot be understood, such as {quoted(example)}; "
        "the API seems to have changed"
    )


def quoted(text: str) -> str:
    """Text from outside, on one line, with nothing in it that a terminal would act on."""
    shown = repr(text[:QUOTED_LENGTH])
    return shown if len(shown) <= QUOTED_LENGTH else shown[: QUOTED_LENGTH - 1] + "…"


def _contradiction(pages: Sequence[Page]) -> str | None:
    """What makes it impossible that these pages are the catalogue."""
    total = pages[0].total
    named = {page.total for page in pages}
    if len(named) > 1:
        return f"the pages named different totals ({_listed(sorted(named))})"
    records_read = sum(len(page.fingerprints) for page in pages)
    if records_read != total:
        return f"{records_read} records were read where the pages name {total}"
    # One row may stand twice on the listing. A whole page of them is a server (or a cache in
    # front of it) that does not turn the page, however often it is asked.
    several = [page.fingerprints for page in pages if len(page.fingerprints) > 1]
    if len(set(several)) < len(several):
        return "one page came under two numbers"
    return None


def _doubts(attempt: Attempt) -> Iterable[str]:
    """What speaks against an attempt whose pages are whole."""
    if attempt.before != attempt.after:
        yield "the counts moved while the pages were read"
    for category, counted in attempt.after.items():
        listed = _listed_in(category, attempt.pages)
        if counted != listed:
            yield f"the count call says {counted} for {quoted(category)}, the pages list {listed}"
    if twice := _on_two_pages(attempt.pages):
        yield f"{len(twice)} records stand on two pages, such as {quoted(twice[0])}"


def _listed_in(category: str, pages: Sequence[Page]) -> int:
    if category == "all":
        return pages[0].total
    return sum(page.interfaces.get(category.strip().casefold(), 0) for page in pages)


def _on_two_pages(pages: Sequence[Page]) -> list[str]:
    """Identities that stand on more than one page, in listing order.

    By identity and not by row: a record whose price moved while it shifted is the same record.
    """
    appearances = Counter(chain.from_iterable(_identities(page) for page in pages))
    return [folded for folded, times in appearances.items() if times > 1]


def _identities(page: Page) -> dict[str, None]:
    understood = (record.folded for record in page.reading.records)
    others = (row.folded for row in page.reading.unreadable if row.folded)
    return dict.fromkeys(chain(understood, others))


def _fingerprint(row: object) -> str:
    if isinstance(row, dict):
        row = {field: row[field] for field in _FIELDS_THAT_SAY if field in row}
    return blake2b(_CANONICAL.encode(row).encode(), digest_size=8).hexdigest()


def _fingerprint_of_all(pages: Sequence[Page]) -> str:
    rows = sorted(chain.from_iterable(page.fingerprints for page in pages))
    return blake2b("".join(rows).encode(), digest_size=16).hexdigest()


def _interface(row: object) -> str:
    return str(row.get("interfaceType", "")).strip().casefold() if isinstance(row, dict) else ""


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5]))

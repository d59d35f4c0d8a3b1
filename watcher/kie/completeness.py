"""When the pages of one sweep are the complete catalogue: which to read next, and what proves it.

A sweep is torn when records move between pages while they are read: some are read twice and some
not at all. What does not prove itself complete is inconclusive, and is read again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, islice
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import FIELDS, Record, Unreadable, parse_row
from watcher.kie.freshness import UNKNOWN_AGE, Freshness

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    # Rows by their fingerprints.
    KnownRows = Mapping[str, Record | Unreadable]

PAGE_ONE_KEPT = 100
# A sweep is refused as a change of schema with more unreadable rows than one in so many.
ONE_UNREADABLE_IN = 10
# One as usual, one with another page size; the next one may only say the same again.
READINGS_OF_TWO_SIZES = 2
MAX_DOUBTS_SHOWN = 4
MAX_QUOTED_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Probe:
    """What a poll compares to find out whether anything changed: counts, page 1, fingerprints.

    `counts` is the answer of the count call, `total` the total that the pages gave, `page_one` the
    fingerprints of the first records in listing order (at most `PAGE_ONE_KEPT`), `records` the
    fingerprint of all rows in any order, `freshness` what its replies said of their age. `doubled`
    rows stood twice in place of others, `nameless` rows had no description that can be read. That
    of the last accepted sweep is kept, without the nameless rows that may hide a missing model.
    """

    counts: Mapping[str, int]
    total: int
    page_one: tuple[str, ...]
    records: str
    freshness: Freshness = field(default=UNKNOWN_AGE, compare=False)
    doubled: int = 0
    nameless: int = 0

    def to_json(self) -> dict[str, Any]:
        """The probe as JSON values."""
        return {
            "counts": dict(self.counts),
            "total": self.total,
            "page_one": list(self.page_one),
            "records": self.records,
            "freshness": self.freshness.to_json(),
            "doubled": self.doubled,
            "nameless": self.nameless,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Probe:
        """The probe that `to_json` gave."""
        return cls(
            counts=dict(stored["counts"]),
            total=stored["total"],
            page_one=tuple(stored["page_one"]),
            records=stored["records"],
            freshness=Freshness.from_json(stored["freshness"]),
            doubled=stored["doubled"],
            nameless=stored["nameless"],
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it came: the total that it gives, its rows parsed, and their fingerprints."""

    number: int
    total: int
    fingerprints: tuple[str, ...]
    rows: tuple[Record | Unreadable, ...]

    @classmethod
    def of(
        cls,
        number: int,
        total: int,
        rows: Sequence[object],
        known: KnownRows = MappingProxyType({}),
    ) -> Page:
        """Parse the rows that are not `known` already; they are not kept as they came."""
        fingerprints = tuple(map(fingerprint, rows))
        parsed = tuple(
            known.get(key) or parse_row(row) for key, row in zip(fingerprints, rows, strict=True)
        )
        return cls(number, total, fingerprints, parsed)


@dataclass(frozen=True, slots=True)
class SweepReading:
    """One reading of all pages, with the counts before and after it; pages in listing order."""

    before: Mapping[str, int]
    pages: tuple[Page, ...]
    after: Mapping[str, int]
    freshness: Freshness = UNKNOWN_AGE

    def records(self) -> tuple[Record, ...]:
        """All records, in listing order."""
        return tuple(row for row in _rows(self.pages) if isinstance(row, Record))

    def unreadable(self) -> tuple[Unreadable, ...]:
        """The rows that cannot be read."""
        return tuple(row for row in _rows(self.pages) if isinstance(row, Unreadable))

    @property
    def page_lengths(self) -> tuple[int, ...]:
        """How many rows each page has: what a reading with another page size has differently."""
        return tuple(len(page.fingerprints) for page in self.pages)

    def probe(self, records: str, doubled: int = 0) -> Probe:
        """What the next probe and the next sweep are compared with.

        The counts are those from before the pages: where they changed meanwhile, the later ones
        include records that were not read here, and the next probe must notice that.
        """
        fingerprints = chain.from_iterable(page.fingerprints for page in self.pages)
        return Probe(
            counts=self.before,
            total=self.pages[0].total,
            page_one=tuple(islice(fingerprints, PAGE_ONE_KEPT)),
            records=records,
            freshness=self.freshness,
            doubled=doubled,
            nameless=sum(not row.identity_key for row in _rows(self.pages)),
        )


@dataclass(frozen=True, slots=True)
class Complete:
    """The reading is the catalogue; `disagreement` says what spoke against it nevertheless."""

    probe: Probe
    disagreement: str | None


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The reading proves nothing by itself; `records` is what another one must show again.

    `records` is `None` where pages are missing or contradict each other: such a reading is never
    accepted, however often it is repeated. `page_lengths` are those of the reading. `page_size` is
    what the next one should ask for where the pages may be the problem.
    """

    why: str
    records: str | None
    page_lengths: tuple[int, ...] = ()
    page_size: int | None = None


def pages_to_read(pages: Sequence[Page]) -> range:
    """The pages still to be read, given those read so far; none where more would not help.

    The page size is what the server gives, not what was asked for. It may change between pages:
    reading goes on until the total is read, a page is empty, or two pages contradict each other.
    """
    missing = pages[0].total - sum(len(page.fingerprints) for page in pages)
    if missing <= 0 or any(clashes(pages[0], page) for page in pages):
        return range(0)
    largest = max(len(page.fingerprints) for page in pages)
    following = pages[-1].number + 1
    return range(following, following - missing // -largest)


def known_rows(pages: Iterable[Page]) -> KnownRows:
    """The rows of these pages, which need not be parsed again where they come again."""
    fingerprints = chain.from_iterable(page.fingerprints for page in pages)
    return dict(zip(fingerprints, _rows(pages), strict=True))


def clashes(first: Page, page: Page) -> bool:
    """Whether a page (of a catalogue not yet read to its end) makes the whole reading useless."""
    return page.total != first.total or not page.fingerprints


def judge(
    reading: SweepReading, earlier: Sequence[Inconclusive], last: Probe | None
) -> Complete | Inconclusive:
    """Decide whether a reading is the complete catalogue.

    `earlier` are the readings before this one in the same poll, `last` is the last accepted sweep.
    Missing or contradicting pages are never accepted. What only disagrees (the counts, or a record
    on two pages) is accepted once two readings have the same records: a listing that always
    contradicts itself must not stop the watcher.

    Where rows stand twice while others that are counted are missing, the same pages prove nothing
    by coming again. Pages of another size do: either nothing disagrees then, or the listing itself
    has these rows twice. Where neither is so, the reading is accepted with `doubled`: as many
    models may be hidden.

    Where there is no last sweep, even a reading without any doubt must be seen twice. One removal
    and one insertion while the pages are read can cancel out in every number and hide a record
    that is on sale. Later such a record only seems removed, which waits for confirmation; in a
    baseline it would be missing silently, and be new in the next sweep. And an empty catalogue is
    never accepted as the first: it is a service that is not up yet, and everything that it sells
    would be announced as new.
    """
    if contradiction := _contradiction(reading.pages):
        return Inconclusive(contradiction, None, reading.page_lengths, _uneven_page_size(reading))
    if last is None and not reading.pages[0].total:
        return Inconclusive("an empty catalogue is nothing to begin with", None)
    records = _fingerprint_of_all(reading.pages)
    doubts = list(islice(_doubts(reading), MAX_DOUBTS_SHOWN))
    disagreement = "; ".join(doubts) or None
    if last is not None and records == last.records:
        return Complete(reading.probe(records, last.doubled), disagreement)
    if last is not None and not doubts:
        return Complete(reading.probe(records), None)
    seen = [it.page_lengths for it in earlier if it.records == records]
    doubled = _doubled(reading)
    if any(lengths != reading.page_lengths for lengths in seen):
        doubled = 0
    if seen and (not doubled or len(earlier) >= READINGS_OF_TWO_SIZES):
        return Complete(reading.probe(records, doubled), disagreement)
    other = _uneven_page_size(reading) or max(*reading.page_lengths, 4) // 2
    why = disagreement or "a first sweep must be seen twice"
    return Inconclusive(why, records, reading.page_lengths, other if doubled else None)


def first_difference(page: Page, last: Probe) -> str | None:
    """How page 1 differs from that of the last accepted sweep, in words; `None` where it does not.

    Compared as a set, because records that only change places are no change.
    """
    if page.total != last.total:
        return f"the total is {page.total}, it was {last.total}"
    if last.total and not page.fingerprints:
        return "page 1 is empty"
    seen = page.fingerprints[:PAGE_ONE_KEPT]
    if set(seen) == set(last.page_one[: len(seen)]):
        return None
    return f"the first {len(seen)} records are not those of the last sweep"


def schema_change(reading: SweepReading) -> str | None:
    """Why a sweep must be refused as a change of schema: too many rows cannot be read.

    Asked of every reading, torn or not: rows that cannot be read prove nothing.
    """
    unreadable = reading.unreadable()
    total = sum(len(page.fingerprints) for page in reading.pages)
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
    shown = repr(text[:MAX_QUOTED_LENGTH])
    return shown if len(shown) <= MAX_QUOTED_LENGTH else shown[: MAX_QUOTED_LENGTH - 1] + "…"


def _contradiction(pages: Sequence[Page]) -> str | None:
    """What makes it impossible that these pages are the catalogue."""
    total = pages[0].total
    totals = {page.total for page in pages}
    if len(totals) > 1:
        return f"the pages gave different totals ({', '.join(map(str, sorted(totals)[:5]))})"
    records_read = sum(len(page.fingerprints) for page in pages)
    if records_read != total:
        return f"{records_read} records were read where the pages give {total}"
    # One row may be in the listing twice. A whole page that repeats is a server (or a cache in
    # front of it) that gives the same page for two numbers.
    several = [page.fingerprints for page in pages if len(page.fingerprints) > 1]
    if len(set(several)) < len(several):
        return "one page came under two numbers"
    return None


def _doubts(reading: SweepReading) -> Iterable[str]:
    """What speaks against a reading whose pages are all there."""
    if reading.before != reading.after:
        yield "the counts moved while the pages were read"
    by_category = _count_by_category(reading.pages)
    total = reading.pages[0].total
    for category, counted in reading.after.items():
        listed = total if category == "all" else by_category[_folded(category)]
        if counted != listed:
            yield f"the count call says {counted} for {quoted(category)}, the pages list {listed}"
    if twice := _on_two_pages(reading.pages):
        yield f"{len(twice)} records are on two pages, such as {quoted(twice[0])}"


def _count_by_category(pages: Iterable[Page]) -> Counter[str]:
    spellings = Counter(map(attrgetter("interface"), _rows(pages)))
    counts = Counter[str]()
    for spelling, times in spellings.items():
        counts[_folded(spelling)] += times
    return counts


def _folded(category: str) -> str:
    return category.strip().casefold()


def _on_two_pages(pages: Sequence[Page]) -> list[str]:
    """Identity keys that are on more than one page, in listing order.

    By identity and not by row: a record whose price changed while it moved is the same record.
    """
    return [key for key, times in _appearances(pages).items() if times > 1]


def _appearances(pages: Sequence[Page]) -> Counter[str]:
    """On how many pages each identity key is."""
    on_pages = (dict.fromkeys(row.identity_key for row in page.rows) for page in pages)
    return Counter(key for key in chain.from_iterable(on_pages) if key)


def _doubled(reading: SweepReading) -> int:
    """How many rows are on a second page while as many that are counted are nowhere."""
    read = sum(reading.page_lengths)
    counted = reading.after.get("all", read)
    appearances = _appearances(reading.pages)
    again = appearances.total() - len(appearances)
    return max(0, min(again, counted - read + again))


def _uneven_page_size(reading: SweepReading) -> int | None:
    """The smallest page but the last, where pages differ: all of that size would fit together."""
    lengths = [length for length in reading.page_lengths[:-1] if length]
    return min(lengths) if len(set(lengths)) > 1 else None


def _rows(pages: Iterable[Page]) -> Iterator[Record | Unreadable]:
    return chain.from_iterable(page.rows for page in pages)


def fingerprint(row: object) -> str:
    """What distinguishes a row from all others. Of an object only the fields that are read.

    Any other field may count views or give the time: with it no two readings would be equal, and a
    first sweep would never be complete.
    """
    read = tuple(map(row.get, FIELDS)) if isinstance(row, dict) else row
    return blake2b(repr(read).encode(), digest_size=16).hexdigest()


def _fingerprint_of_all(pages: Sequence[Page]) -> str:
    rows = sorted(chain.from_iterable(page.fingerprints for page in pages))
    return blake2b("".join(rows).encode(), digest_size=16).hexdigest()

"""When pages make a whole: what is read next, what is believed, and what never is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from watcher.catalog.record import FIELDS
from watcher.kie.completeness import (
    Complete,
    Inconclusive,
    Page,
    Probe,
    SweepReading,
    clashes,
    first_difference,
    judge,
    known_rows,
    pages_to_read,
    schema_change,
)

Row = dict[str, Any]
CATEGORIES = ("video", "image", "chat")


def row(name: int | str, interface: str = "video", price: str = "4.0") -> Row:
    return {
        "modelDescription": f"Orbit {name}",
        "interfaceType": interface,
        "creditPrice": price,
        "creditUnit": "per video",
    }


def rows(*names: int | str) -> list[Row]:
    return [row(name) for name in names]


def counted(listing: list[Row]) -> dict[str, int]:
    categories = Counter(each.get("interfaceType", "") for each in listing)
    return {"all": len(listing), **{name: count for name, count in categories.items() if name}}


def paged(listing: list[Row], size: int) -> tuple[Page, ...]:
    starts = range(0, max(len(listing), 1), size)
    return tuple(
        Page.of(number, len(listing), listing[start : start + size])
        for number, start in enumerate(starts, 1)
    )


def whole(listing: list[Row], size: int = 3) -> SweepReading:
    return SweepReading(counted(listing), paged(listing, size), counted(listing))


def seen(records: str) -> tuple[Inconclusive, ...]:
    """An earlier reading of the same poll with these records, in pages of another size."""
    return (Inconclusive("", records),)


def probe_of(listing: list[Row]) -> Probe:
    another = Probe({}, 0, (), "another")
    verdict = judge(whole(listing), (), another)
    if isinstance(verdict, Inconclusive):
        verdict = judge(whole(listing, size=2), (verdict,), another)
    assert isinstance(verdict, Complete)
    return verdict.probe


SEEN = rows(*range(8))
LAST = probe_of(SEEN)
UNLIKE = probe_of(rows("another"))


# What is asked for next


@pytest.mark.parametrize(
    ("sizes", "total", "wanted"),
    [
        pytest.param([100], 100, [], id="one page is all"),
        pytest.param([0], 0, [], id="an empty catalogue"),
        pytest.param([100], 574, [2, 3, 4, 5, 6], id="as many as asked"),
        pytest.param([37], 100, [2, 3], id="fewer than asked"),
        pytest.param([200], 574, [2, 3], id="more than asked"),
        pytest.param([100, 100, 73], 274, [4], id="a record short: one more page"),
        pytest.param([100, 37, 37], 274, [4], id="smaller pages from now on"),
        pytest.param([10, 99], 208, [3], id="larger pages from now on"),
        pytest.param([100, 100], 199, [], id="too much already"),
        pytest.param([0], 5, [], id="page 1 came empty"),
        pytest.param([3, 0], 5, [], id="a page came empty"),
    ],
)
def test_pages_are_asked_for_until_the_total_is_read(
    sizes: list[int], total: int, wanted: list[int]
) -> None:
    pages = [Page.of(number, total, rows(*range(size))) for number, size in enumerate(sizes, 1)]
    assert list(pages_to_read(pages)) == wanted


def test_nothing_is_asked_for_once_a_page_named_another_total() -> None:
    pages = [Page.of(1, 9, rows(1, 2, 3)), Page.of(2, 8, rows(4, 5, 6))]
    assert not pages_to_read(pages)


# What is believed


def test_a_whole_sweep_is_believed_at_once() -> None:
    verdict = judge(whole(SEEN), (), UNLIKE)
    assert verdict == Complete(LAST, None)


def test_an_empty_catalogue_can_be_whole() -> None:
    assert isinstance(judge(whole([]), (), LAST), Complete)


def test_an_empty_catalogue_is_never_the_first() -> None:
    once = judge(whole([]), (), None)
    assert once == Inconclusive("an empty catalogue is nothing to begin with", None)
    assert isinstance(judge(whole([]), seen(probe_of([]).records), None), Inconclusive)


def test_the_first_sweep_of_all_must_be_seen_twice() -> None:
    once = judge(whole(SEEN), (), None)
    assert isinstance(once, Inconclusive)
    assert once.records is not None
    assert judge(whole(SEEN), (once,), None) == Complete(LAST, None)
    assert isinstance(judge(whole(rows(*range(7))), (once,), None), Inconclusive)


def test_a_field_that_nobody_reads_tells_no_two_readings_apart() -> None:
    earlier = [each | {"views": 17, "servedAt": "09:00"} for each in SEEN]
    later = [each | {"views": 18, "servedAt": "09:01"} for each in SEEN]
    once = judge(whole(earlier), (), None)
    assert isinstance(once, Inconclusive)
    assert judge(whole(later), (once,), None) == Complete(LAST, None)
    assert first_difference(paged(later, 100)[0], LAST) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("modelDescription", "Orbit nine"),
        ("interfaceType", "image"),
        ("provider", "Orbital"),
        ("creditPrice", "4.1"),
        ("creditUnit", "per 2 videos"),
        ("usdPrice", "0.02"),
        ("falPrice", "0.05"),
        ("discountRate", 60),
        ("anchor", "https://kie.ai/orbit"),
        ("discountPrice", True),
    ],
)
def test_every_field_that_is_read_tells_two_readings_apart(name: str, value: object) -> None:
    listing = [*SEEN[:-1], SEEN[-1] | {name: value}]
    assert first_difference(paged(listing, 100)[0], LAST) is not None


def torn(*pages: tuple[int, list[Row]]) -> SweepReading:
    made = tuple(Page.of(number, *page) for number, page in enumerate(pages, 1))
    return SweepReading({"all": 6}, made, {"all": 6})


@pytest.mark.parametrize(
    ("attempt", "why"),
    [
        pytest.param(torn((6, rows(1, 2, 3)), (7, rows(3, 4, 5))), "different totals (6, 7)", id="totals differ"),
        pytest.param(torn((6, rows(1, 2, 3)), (6, rows(5, 6))), "5 records were read where the pages give 6", id="one short"),
        pytest.param(torn((6, rows(1, 2, 3)), (6, rows(4, 5, 6, 7))), "7 records were read where the pages give 6", id="one over"),
        pytest.param(torn((6, [])), "0 records were read where the pages give 6", id="nothing but a total"),
        pytest.param(torn((6, rows(1, 2, 3)), (6, [])), "3 records were read", id="a page came empty"),
        pytest.param(torn((6, rows(1, 2, 3)), (6, rows(1, 2, 3))), "one page came under two numbers", id="the page does not turn"),
    ],
)  # fmt: skip
def test_pages_that_contradict_each_other_are_never_believed_however_often_seen(
    attempt: SweepReading, why: str
) -> None:
    verdict = judge(attempt, (), LAST)
    assert isinstance(verdict, Inconclusive)
    assert why in verdict.why
    assert verdict.records is None
    pretended = probe_of([*SEEN, row("more")])
    assert isinstance(judge(attempt, seen(pretended.records), pretended), Inconclusive)


SHIFTED = (6, rows(1, 2, 3)), (6, rows(3, 4, 5))
DOUBTFUL = [
    pytest.param(SweepReading({"all": 3}, paged(rows(1, 2, 3), 2), {"all": 4}), "the counts moved", id="counts moved"),
    pytest.param(SweepReading({"all": 4}, paged(rows(1, 2, 3), 2), {"all": 4}), "says 4 for 'all', the pages list 3", id="counts disagree"),
    pytest.param(SweepReading({"all": 3, "video": 2}, paged(rows(1, 2, 3), 2), {"all": 3, "video": 2}), "says 2 for 'video', the pages list 3", id="a category disagrees"),
    pytest.param(SweepReading({"all": 3, "smell": 1}, paged(rows(1, 2, 3), 2), {"all": 3, "smell": 1}), "says 1 for 'smell', the pages list 0", id="a category nobody is in"),
    pytest.param(torn(*SHIFTED), "1 records are on two pages, such as 'orbit 3'", id="shifted down"),
    pytest.param(torn((6, rows(1, 2, 3)), (6, [row(3, price="9"), *rows(4, 5)])), "on two pages", id="shifted down and repriced"),
    pytest.param(torn((6, rows(1, 2, 3)), (6, [row("  3"), *rows(4, 5)])), "on two pages", id="shifted down and respaced"),
]  # fmt: skip


@pytest.mark.parametrize(("attempt", "why"), DOUBTFUL)
def test_what_merely_disagrees_is_not_believed_when_first_seen(
    attempt: SweepReading, why: str
) -> None:
    verdict = judge(attempt, (), LAST)
    assert isinstance(verdict, Inconclusive)
    assert why in verdict.why
    assert isinstance(judge(attempt, seen("of another attempt"), LAST), Inconclusive)


@pytest.mark.parametrize(("attempt", "why"), DOUBTFUL)
def test_what_disagrees_lastingly_is_believed_and_said(attempt: SweepReading, why: str) -> None:
    once = judge(attempt, (), LAST)
    assert isinstance(once, Inconclusive)
    assert once.records is not None
    again = judge(attempt, (once, once), LAST)
    assert isinstance(again, Complete)
    assert why in (again.disagreement or "")
    # From then on it is not even repeated, as long as nothing changes.
    assert isinstance(judge(attempt, (), again.probe), Complete)


UNEVEN = SweepReading(
    {"all": 6}, torn((6, rows(1, 2, 3)), (6, rows(2, 3)), (6, rows(6))).pages, {"all": 6}
)
SPLIT_TWICE = SweepReading(
    {"all": 6}, torn((6, rows(1, 2)), (6, rows(2, 5)), (6, rows(5, 6))).pages, {"all": 6}
)


def inconclusive(verdict: Complete | Inconclusive) -> Inconclusive:
    assert isinstance(verdict, Inconclusive)
    return verdict


@pytest.mark.parametrize(
    ("attempt", "size"),
    [(UNEVEN, 2), (SPLIT_TWICE, 2), (torn((6, rows(1, 2, 3)), (6, rows(4)), (6, rows(6))), 1)],
    ids=["rows stand twice", "on even pages", "rows are missing"],
)
def test_pages_that_do_not_fit_together_are_read_in_another_size(
    attempt: SweepReading, size: int
) -> None:
    assert inconclusive(judge(attempt, (), LAST)).page_size == size


def test_rows_that_stand_twice_in_pages_of_every_size_stand_twice_in_the_listing() -> None:
    listing = [*rows(1, 2, 3), row(1), *rows(4, 5)]
    once = inconclusive(judge(whole(listing, size=3), (), LAST))

    again = judge(whole(listing, size=2), (once,), LAST)

    assert isinstance(again, Complete)
    assert (again.probe.doubled, bool(again.disagreement)) == (0, True)


def test_the_same_pages_again_do_not_prove_that_nothing_is_hidden() -> None:
    once = inconclusive(judge(UNEVEN, (), LAST))
    other = inconclusive(judge(SPLIT_TWICE, (once,), LAST))

    assert inconclusive(judge(UNEVEN, (once,), LAST)).records == once.records
    lasting = judge(UNEVEN, (once, other), LAST)

    assert isinstance(lasting, Complete)
    assert lasting.probe.doubled == 2
    # As long as nothing changes, it is as doubtful as it was.
    later = judge(UNEVEN, (), lasting.probe)
    assert isinstance(later, Complete)
    assert later.probe.doubled == 2


def test_where_no_counted_row_is_missing_none_is_hidden() -> None:
    attempt = SweepReading({"all": 4}, UNEVEN.pages, {"all": 4})
    once = inconclusive(judge(attempt, (), LAST))

    again = judge(attempt, (once,), LAST)

    assert isinstance(again, Complete)
    assert again.probe.doubled == 0


def test_a_listing_that_names_no_categories_is_not_held_to_them() -> None:
    attempt = SweepReading({"all": 8}, paged(SEEN, 3), {"all": 8})
    assert judge(attempt, (), UNLIKE) == Complete(attempt.probe(LAST.records), None)


@pytest.mark.parametrize("spelling", ["Video", " video ", "VIDEO"])
def test_a_category_is_the_same_however_it_is_spelled(spelling: str) -> None:
    counts = {"all": 1, spelling: 1}
    verdict = judge(SweepReading(counts, paged(rows(1), 3), counts), None, LAST)
    assert isinstance(verdict, Complete)


def test_a_hundred_thousand_odd_counts_make_a_short_complaint() -> None:
    counts = {f"category {number}": 1 for number in range(100_000)}
    verdict = judge(SweepReading(counts, paged(SEEN, 3), counts), (), LAST)
    assert isinstance(verdict, Inconclusive) or verdict.disagreement
    assert len(judge(SweepReading(counts, paged(SEEN, 3), counts), (), UNLIKE).why) < 500  # type: ignore[union-attr]


def test_duplicates_within_a_page_are_the_listings_own_business() -> None:
    listing = [row(1), row(1, price="8"), row(1), row(2)]
    assert isinstance(judge(whole(listing, size=3), (), LAST), Complete)


def test_a_description_that_means_harm_is_quoted() -> None:
    attempt = torn((4, rows("\x1b[2J\n@all", 1)), (4, rows("\x1b[2J\n@all", 2)))
    verdict = judge(attempt, (), LAST)
    assert isinstance(verdict, Inconclusive)
    assert verdict.why.isprintable()


# What is kept to compare with


def test_the_order_of_rows_makes_no_difference_to_what_was_seen() -> None:
    shuffled = Random(1).sample(SEEN, len(SEEN))
    assert probe_of(shuffled).records == LAST.records
    respelled = [dict(reversed(each.items())) for each in SEEN]
    assert probe_of(respelled).records == LAST.records


@pytest.mark.parametrize("wire_field", list(row(1)))
def test_any_field_of_any_row_makes_a_difference(wire_field: str) -> None:
    changed = [*SEEN[:-1], {**SEEN[-1], wire_field: "other"}]
    assert probe_of(changed).records != LAST.records


def test_a_row_listed_twice_is_not_a_row_listed_once() -> None:
    assert probe_of([*SEEN, SEEN[0]]).records != LAST.records


def test_a_sighting_survives_being_stored() -> None:
    stored = json.loads(json.dumps(LAST.to_json()))
    assert Probe.from_json(stored) == LAST


@pytest.mark.parametrize("size", [10, 37, 100])
def test_the_first_hundred_are_kept_whatever_the_page_size(size: int) -> None:
    listing = rows(*range(250))
    kept = whole(listing, size).probe("").page_one
    assert kept == paged(listing, 100)[0].fingerprints
    assert len(whole(rows(1, 2), size).probe("").page_one) == 2


def test_counts_that_moved_behind_the_pages_are_not_taken_for_those_of_the_pages() -> None:
    before, after = {"all": 8, "video": 8}, {"all": 8, "video": 7, "chat": 1}
    verdict = judge(SweepReading(before, paged(SEEN, 3), after), (), LAST)
    assert isinstance(verdict, Complete)
    assert verdict.probe.counts == before


# What need not be read again


def test_a_row_that_comes_again_is_not_parsed_again_and_any_other_is() -> None:
    known = known_rows(paged([*SEEN, {"modelDescription": ""}], 3))
    listing = [row(7, price="5"), *SEEN[:7], {"modelDescription": ""}]
    again = Page.of(1, 9, listing, known)
    assert again.rows == Page.of(1, 9, listing).rows
    old = set(map(id, known.values()))
    assert [id(each) in old for each in again.rows] == [False, *[True] * 8]


@pytest.mark.parametrize("field", FIELDS)
def test_a_row_is_known_only_where_every_field_is_the_same(field: str) -> None:
    values = ["4.0", "4.00", 4, True, "", ["4.0"], {"4.0": 4}, "(4.0)", Decimal("4.0")]
    fingerprints = Page.of(1, 1, [{**row(1), field: it} for it in values]).fingerprints
    assert len(set(fingerprints)) == len(values)


# The probe


def test_page_one_is_compared_as_a_set_and_as_far_as_it_goes() -> None:
    assert first_difference(Page.of(1, 8, SEEN[:5]), LAST) is None
    assert first_difference(Page.of(1, 8, SEEN[4::-1]), LAST) is None
    assert first_difference(Page.of(1, 8, SEEN), LAST) is None
    assert first_difference(Page.of(1, 0, []), probe_of([])) is None


def test_a_page_larger_than_what_is_kept_is_compared_as_far_as_is_known() -> None:
    listing = rows(*range(250))
    assert first_difference(Page.of(1, 250, listing), probe_of(listing)) is None


@pytest.mark.parametrize(
    ("page", "why"),
    [
        pytest.param(Page.of(1, 9, SEEN[:5]), "the total is 9, it was 8", id="total"),
        pytest.param(Page.of(1, 8, []), "page 1 is empty", id="empty"),
        pytest.param(
            Page.of(1, 8, [row("new"), *SEEN[:4]]), "the first 5 records", id="new on top"
        ),
        pytest.param(Page.of(1, 8, SEEN[1:6]), "the first 5 records", id="one gone"),
        pytest.param(Page.of(1, 8, [*SEEN[:4], row(4, price="5")]), "the first 5", id="repriced"),
        pytest.param(Page.of(1, 8, [*SEEN[:4], SEEN[0]]), "the first 5", id="one twice"),
    ],
)
def test_a_probe_says_what_is_not_as_it_was(page: Page, why: str) -> None:
    assert why in (first_difference(page, LAST) or "")


# Schema


@pytest.mark.parametrize(("broken", "refused"), [(0, False), (1, False), (2, True), (10, True)])
def test_more_than_a_tenth_not_understood_is_a_change_of_schema(broken: int, refused: bool) -> None:
    listing = [*rows(*range(10 - broken)), *[{"description": "Orbit"}] * broken]
    why = schema_change(whole(listing, size=10))
    assert (why is not None) is refused
    if why:
        assert f"{broken} of 10 records" in why
        assert "modelDescription" in why


def test_a_change_of_schema_names_the_commonest_complaint() -> None:
    listing = [
        *rows(1, 2, 3),
        {"modelDescription": ""},
        {**row(4), "creditPrice": "\x1b[2J" + "x" * 500},
        {**row(5), "creditPrice": ["4"]},
    ]
    why = schema_change(whole(listing))
    assert "creditPrice" in (why or "")
    assert (why or "").isprintable()
    assert len(why or "") < 250


# Tearing: a catalogue that moves while it is read, many thousand times over


@dataclass
class Moving:
    """A catalogue in memory to which something may happen before every reply."""

    chance: Random
    listing: list[Row]
    restlessness: float
    added: list[Row] = field(default_factory=list)
    removed: list[Row] = field(default_factory=list)
    at_first: list[Row] = field(default_factory=list)
    serial: int = 0

    def begin(self) -> None:
        """Note from now on what happens, and what was on sale before it."""
        self.at_first = list(self.listing)
        self.added.clear()
        self.removed.clear()

    def on_sale_throughout(self) -> set[str]:
        return names(self.at_first) - names(self.removed)

    def move(self) -> None:
        while self.chance.random() < self.restlessness:
            self.chance.choice([self.insert, self.remove, self.swap])()

    def insert(self) -> None:
        self.serial += 1
        new = row(f"new {self.serial}", self.chance.choice(CATEGORIES[:2]))
        at = 0 if self.chance.random() < 0.5 else self.chance.randint(0, len(self.listing))
        self.listing.insert(at, new)
        self.added.append(new)

    def remove(self) -> None:
        if self.listing:
            self.removed.append(self.listing.pop(self.chance.randrange(len(self.listing))))

    def swap(self) -> None:
        self.remove()
        self.insert()

    def counts(self) -> dict[str, int]:
        self.move()
        return counted(self.listing)

    def page(self, number: int, size: int) -> Page:
        self.move()
        start = (number - 1) * size
        return Page.of(number, len(self.listing), self.listing[start : start + size])


def read_all(market: Moving, size: int) -> SweepReading:
    """One attempt as the client makes it, pages of a wave in any order (two are read at once)."""
    before = market.counts()
    market.begin()
    pages = [market.page(1, size)]
    while numbers := pages_to_read(pages):
        wave = []
        for number in market.chance.sample(numbers, len(numbers)):
            wave.append(market.page(number, size))
            if clashes(pages[0], wave[-1]):
                break
        pages += sorted(wave, key=lambda page: page.number)
    return SweepReading(before, tuple(pages), market.counts())


def names(listing: list[Row]) -> set[str]:
    return {each["modelDescription"] for each in listing}


def names_of(attempt: SweepReading) -> set[str]:
    return {record.description for record in attempt.records()}


def a_market(seed: int) -> tuple[Moving, int]:
    chance = Random(seed)
    size = chance.choice([2, 3, 4, 7])
    listing = [row(name, chance.choice(CATEGORIES[:2])) for name in range(chance.randint(4, 16))]
    return Moving(chance, listing, chance.choice([0.05, 0.15, 0.3])), size


def cancelled_out(market: Moving) -> bool:
    """What happened during one attempt left no trace in any number the API gives."""
    gone = Counter(each["interfaceType"] for each in market.removed)
    come = Counter(each["interfaceType"] for each in market.added)
    return bool(gone) and gone == come


def test_a_believed_sweep_misses_nothing_unless_every_number_hid_it() -> None:
    believed = hidden = 0
    for seed in range(4000):
        market, size = a_market(seed)
        attempt = read_all(market, size)
        if not isinstance(judge(attempt, (), UNLIKE), Complete):
            continue
        believed += 1
        missing = market.on_sale_throughout() - names_of(attempt)
        hidden += bool(missing)
        assert not missing or cancelled_out(market), seed
        assert attempt.before == attempt.after
        assert attempt.after["all"] == len(attempt.records())
        assert len(names_of(attempt)) == len(attempt.records())
        # Whatever was read was on sale at some time of the sweep.
        assert names_of(attempt) <= names(market.at_first) | names(market.added)
    # The table is worth something only where much is believed, and some of it is torn unseen.
    assert believed > 1000
    assert 0 < hidden < believed / 20


def test_a_baseline_never_misses_what_was_on_sale_all_along() -> None:
    believed = 0
    for seed in range(4000):
        market, size = a_market(seed)
        previous: tuple[Inconclusive, ...] = ()
        for _ in range(3):
            attempt = read_all(market, size)
            verdict = judge(attempt, previous, None)
            if isinstance(verdict, Complete):
                believed += 1
                assert market.on_sale_throughout() <= names_of(attempt), seed
                break
            previous = (verdict,)
    assert believed > 1000


def test_a_quiet_market_is_believed_whatever_the_page_size() -> None:
    for size in range(1, 20):
        market = Moving(Random(size), list(SEEN), restlessness=0)
        assert judge(read_all(market, size), (), UNLIKE) == Complete(LAST, None)

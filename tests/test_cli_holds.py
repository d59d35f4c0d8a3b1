"""The commands `accept` and `baseline`: confirmed because a person decides so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from command_line import Place
from stored import START, commit, minutes, record
from watcher.catalog.confirm import Hold, HoldReason
from watcher.store.requests import AcceptHolds, HoldKey, StartOver
from watcher.store.store import Store, open_store
from watcher.store.values import PollOutcome

COLLAPSE = Hold(HoldReason.COLLAPSE, None, "", START, minutes(360))
REMOVALS = tuple(Hold(HoldReason.REMOVAL, n, "", START, minutes(360)) for n in (1, 2))
PRICE = Hold(HoldReason.PRICE, 3, "0.25", START, minutes(30))
HOLDS = (COLLAPSE, *REMOVALS, PRICE)


@pytest.fixture
def held(place: Place) -> Place:
    """A catalogue that is held, with two removals, and a price."""
    fill(place, HOLDS)
    return place


def fill(place: Place, holds: tuple[Hold, ...]) -> None:
    names = ("Reel, 1080p", "Aria", "Kling 2.6, 1080p")
    baseline = commit(baseline=tuple(map(record, names)), holds=holds)
    place.ask(lambda store: store.record(baseline))


def still_held(place: Place) -> list[int | None]:
    now = datetime.now(UTC)
    return [hold.model_id for hold in place.ask(Store.snapshot).holds if hold.until_at > now]


@pytest.fixture
def waiting(place: Place) -> Place:
    """The same, with holds that end in the future of the clock on the wall."""
    now = datetime.now(UTC)
    later = now.replace(year=now.year + 1)
    fill(place, tuple(replace(hold, since_at=now, until_at=later) for hold in HOLDS))
    return place


def test_accept_lists_what_waits_with_the_numbers_that_status_says(held: Place) -> None:
    heading, *rows = held.run_ok("accept").splitlines()
    assert heading.split()[:2] == ["NUMBER", "REASON"]
    assert [row.split()[:2] for row in rows] == [
        ["3", "price"],
        ["0", "collapse"],
        ["1", "removal"],
        ["2", "removal"],
    ]
    assert "Kling 2.6, 1080p" in rows[0]
    assert "0.25 credits a unit" in rows[0]
    status = held.run_ok("status")
    assert "3: price: Kling 2.6, 1080p, confirmed from 20" in status
    assert "0: collapse: the whole catalogue" in status


def test_accept_lists_for_programs_too(held: Place) -> None:
    first, *_ = held.json("accept")
    assert first == {
        "number": 3,
        "reason": "price",
        "model": "Kling 2.6, 1080p",
        "seen": "0.25",
        "since": "2026-11-22T07:30:00Z",
        "until": "2026-11-22T08:00:00Z",
    }
    assert [hold["number"] for hold in held.json("status")[0]["holds"]] == [3, 0, 1, 2]


def test_where_nothing_waits_it_says_so(place: Place) -> None:
    fill(place, ())

    assert place.run_ok("accept") == "Nothing waits for confirmation.\n"
    assert place.run_ok("accept", "--all") == "Nothing waits for confirmation.\n"
    assert place.json("accept") == []


@pytest.mark.parametrize(
    ("asked", "said", "left"),
    [
        (["3"], "1 hold is accepted", [None, 1, 2]),
        (["1", "3"], "2 holds are accepted", [None, 2]),
        (["0"], "3 holds are accepted", [3]),
        (["--all"], "4 holds are accepted", []),
    ],
    ids=["one", "two", "the collapse and what it holds", "all"],
)
def test_what_is_accepted_waits_no_more(
    waiting: Place, asked: list[str], said: str, left: list[int | None]
) -> None:
    assert waiting.run_ok("accept", *asked).startswith(said)
    assert still_held(waiting) == left


def test_a_number_that_nothing_has_fails_and_accepts_nothing(waiting: Place) -> None:
    result = waiting.run("accept", "3", "9")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing with the number 9 waits" in result.stderr
    assert len(still_held(waiting)) == 4


@pytest.mark.parametrize("asked", [["1", "--all"], ["1", "--json"]], ids=" ".join)
def test_accept_does_one_thing_at_a_time(held: Place, asked: list[str]) -> None:
    assert held.run("accept", *asked).exit_code == 2


async def test_beside_a_running_daemon_the_wish_names_what_was_seen(held: Place) -> None:
    async with open_store(held.state) as owner:
        said = await asyncio.to_thread(held.run_ok, "accept", "3")
        assert "The running daemon has been asked to accept" in said
        ((accepted, count),) = (await owner.take_requests()).applied
        assert isinstance(accepted, AcceptHolds)
        assert accepted.holds == (HoldKey(HoldReason.PRICE, 3, "0.25"),)
        assert count == 1

        said = await asyncio.to_thread(held.run_ok, "baseline")
        assert "The running daemon has been asked to start over" in said
        ((over, count),) = (await owner.take_requests()).applied
        assert isinstance(over, StartOver)
        assert count == 1


def test_starting_over_is_left_to_the_next_sweep(held: Place) -> None:
    assert "The next complete sweep" in held.run_ok("baseline")

    found = held.ask(Store.snapshot)
    assert found.start_over
    assert len(found.holds) == 4


def test_before_the_first_baseline_there_is_nothing_to_start_over(place: Place) -> None:
    place.ask(lambda store: store.note_poll(START, PollOutcome.FAILED, "HTTP 503"))
    assert "There is no baseline yet" in place.run_ok("baseline")

"""From the market to the message: routing through the store, the clock and restarts.

Each look is a process of its own over the same state, as `check` from cron is: whatever a route, a
night or a silence holds back must be in the state. What is decided is tested where it is decided;
here nothing of it may get lost on the way.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from build import row
from watcher.app import check
from watcher.config.settings import Settings
from watcher.simulator.server import Simulator
from watcher.store.requests import AddSilence
from watcher.store.store import open_store

NAME = "Reel 2, 1080p"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# A Monday; in Berlin it is 13:00.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NIGHTS = {"name": "nights", "from": "22:00", "to": "07:00"}
FIVE_PERCENT = {"name": "moves", "match": {"min_change": "5%"}, "receivers": ["terminal"]}
WEEKLY = {"name": "weekly", "match": {}, "receivers": ["terminal"], "digest": "0 9 * * 1"}

_MOVE = re.compile(r"([\d.]+) → ([\d.]+) credits")


class Street:
    """A market, a state, a clock, and what is told on the terminal."""

    def __init__(self, simulator: Simulator, path: Path) -> None:
        self.catalogue = simulator.catalogue
        self.now = NOON
        self._seed = 0
        self._plain: dict[str, Any] = {
            "source": {"url": simulator.url},
            "state": {"path": path},
            "poll": {"interval": "1m", "full_sweep_every": "1m", "settle_delay": "0.01s"},
            "confirm": {"removals": "0", "implausible": "0", "collapse": "0"},
        }
        self.settings = Settings()
        self.lay_down()

    def lay_down(self, **sections: Any) -> None:
        """Write the configuration again."""
        self.settings = Settings.model_validate({**self._plain, **sections})

    def costs(self, price: str, name: str = NAME) -> None:
        self.catalogue.edit(name, creditPrice=price, usdPrice=str(float(price) * 0.005))

    async def look(self, after: timedelta = HOUR) -> str:
        """Let time pass and look once; gives what is told."""
        self.now += after
        self._seed += 1
        terminal = io.StringIO()
        await check(self.settings, terminal=terminal, now=lambda: self.now, rng=Random(self._seed))
        return terminal.getvalue()

    async def moves(self, *prices: str, after: timedelta = HOUR) -> list[str]:
        """`100→105` for each move told while the price goes through these."""
        told: list[str] = []
        for price in prices:
            self.costs(price)
            told += short(await self.look(after))
        return told


def short(told: str) -> list[str]:
    return ["→".join(found) for found in _MOVE.findall(told)]


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    rows = [row(NAME, creditPrice="100", usdPrice="0.5"), row("Still 3, 1K")]
    async with Simulator(rows) as simulator:
        street = Street(simulator, tmp_path / "state.db")
        await street.look()
        yield street


async def test_a_price_that_creeps_is_told_in_whole_moves(street: Street) -> None:
    street.lay_down(routes=[FIVE_PERCENT])
    creeping = [str(price) for price in range(101, 141)]
    six = ["100→105", "105→111", "111→117", "117→123", "123→130", "130→137"]
    assert await street.moves(*creeping) == six


async def test_a_price_that_creeps_up_and_back_is_no_news(street: Street) -> None:
    street.lay_down(routes=[FIVE_PERCENT])
    assert await street.moves("102", "104", "102", "100", after=2 * DAY) == []


async def test_a_night_is_told_in_the_morning_as_what_it_came_to(street: Street) -> None:
    street.lay_down(quiet_hours=[NIGHTS], timezone="Europe/Berlin")
    street.now = NOON.replace(hour=21)
    told = await street.moves("110", "120")
    street.costs("30", "Still 3, 1K")
    told += short(await street.look())
    street.costs("40", "Still 3, 1K")
    told += short(await street.look())
    street.catalogue.insert(row("Brief 1, 1K"))
    told += [await street.look(HOUR / 2)]
    street.catalogue.remove("Brief 1, 1K")
    told += [await street.look(HOUR / 2)]
    assert told == ["", ""]
    morning = await street.look(4 * HOUR)
    assert short(morning) == ["100→120"]
    assert "Brief" not in morning
    assert await street.look() == ""


async def test_what_is_told_at_a_threshold_after_a_night_is_where_the_next_move_starts(
    street: Street,
) -> None:
    street.lay_down(routes=[FIVE_PERCENT], quiet_hours=[NIGHTS])
    street.now = NOON.replace(hour=22)
    # Told of 106 the route would measure from there, but by morning it was never worth telling.
    assert await street.moves("106", "102") == []
    assert await street.look(12 * HOUR) == ""
    assert await street.moves("104", "105") == ["100→105"]


async def test_the_urgent_breaks_through_the_night(street: Street) -> None:
    urgent = {"kinds": ["removed"], "min_change": "25%"}
    street.lay_down(quiet_hours=[NIGHTS | {"urgent": urgent}])
    street.now = NOON.replace(hour=22)
    assert await street.moves("110", "124", "125") == ["100→125"]


async def test_a_digest_that_fell_into_downtime_comes_once(street: Street) -> None:
    street.lay_down(routes=[WEEKLY])
    assert await street.moves("110", "130") == []
    letter = await street.look(10 * DAY)
    assert short(letter) == ["100→130"]
    assert "weekly, 2026-03-02 to 2026-03-09" in letter
    assert await street.look() == ""
    assert await street.look(7 * DAY) == ""


async def test_an_empty_digest_comes_where_it_is_asked_for(street: Street) -> None:
    street.lay_down(routes=[WEEKLY | {"empty": "true"}])
    assert await street.look() == ""
    assert "nothing changed" in await street.look(7 * DAY)


async def test_a_silence_ends_with_what_it_came_to_and_counts_what_it_caught(
    street: Street,
) -> None:
    await silence(street, {"model": ["reel*"]}, dropping=False)
    assert await street.moves("110", "120") == []
    assert short(await street.look(DAY)) == ["100→120"]
    async with open_store(street.settings.state.path) as store:
        assert [each.caught for each in await store.silences()] == [2]


async def test_what_a_silence_drops_never_comes(street: Street) -> None:
    street.lay_down(routes=[FIVE_PERCENT])
    await silence(street, {}, dropping=True)
    assert await street.moves("110", "120") == []
    assert await street.look(DAY) == ""
    assert await street.moves("126") == ["120→126"]


async def test_a_price_that_flaps_is_told_once_and_when_it_stands_still(street: Street) -> None:
    assert await street.moves("110", "100", "110", "100") == [
        "100→110",
        "110→100",
        "100→110",
        "110→100",
    ]
    street.costs("110")
    assert "goes back and forth" in await street.look()
    assert await street.moves("100", "110", "120") == []
    assert await street.look(23 * HOUR) == ""
    assert short(await street.look(HOUR)) == ["110→120"]


def promote(street: Street, there: bool) -> None:
    street.catalogue.edit(NAME, discountPrice=there)


def sell_by_video(street: Street, there: bool) -> None:
    street.catalogue.edit(NAME, creditUnit="per video" if there else "per second")


def remove(street: Street, there: bool) -> None:
    if there:
        street.catalogue.remove(NAME)
    else:
        street.catalogue.insert(row(NAME, creditPrice="100", usdPrice="0.5"))


@pytest.mark.parametrize(
    ("way", "news"),
    [
        (promote, "promotion ended"),
        (sell_by_video, "other unit"),
        (remove, "＋ back · 1080p · $0.50 per second (100 credits)"),
    ],
)
async def test_whatever_flaps_is_told_once_and_when_it_stands_still(
    street: Street, way: Callable[[Street, bool], None], news: str
) -> None:
    told = []
    for move in range(12):
        way(street, move % 2 == 0)
        told.append(await street.look())
    assert [bool(it) for it in told] == [True] * 5 + [False] * 7
    assert ["goes back and forth" in it for it in told[:5]] == [False] * 4 + [True]
    assert await street.look(23 * HOUR) == ""
    assert news in await street.look(HOUR)


async def test_how_often_is_flapping_is_as_configured(street: Street) -> None:
    street.lay_down(flap={"changes": "2", "within": "12h"})
    assert await street.moves("110", "100") == ["100→110", "110→100"]
    street.costs("110")
    assert "goes back and forth" in await street.look()
    assert await street.moves("130") == []
    assert short(await street.look(12 * HOUR)) == ["110→130"]


async def test_what_is_used_says_what_it_costs_in_the_title_and_large(street: Street) -> None:
    street.lay_down(usage=[{"model": NAME, "per_month": "12000"}])
    street.costs("101.6")
    title, *lines = (await street.look()).splitlines()
    assert title.endswith(" +1.6 % · +$96/month")
    assert "+$96.00 a month for you" in lines


async def test_a_route_taken_out_of_the_configuration_holds_nothing_back(street: Street) -> None:
    street.lay_down(routes=[WEEKLY])
    assert await street.moves("110", "120") == []
    street.lay_down()
    assert short(await street.look()) == ["100→120"]


async def silence(street: Street, spec: dict[str, Any], *, dropping: bool) -> None:
    """What `silence add --for 1d` leaves behind."""
    wanted = AddSilence(street.now, street.now + DAY, spec, "they try prices", dropping)
    async with open_store(street.settings.state.path) as store:
        await store.apply(wanted)

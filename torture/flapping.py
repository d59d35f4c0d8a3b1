"""Flapping: two backends with different snapshots, one of them chosen by chance at each poll.

The real client, poller, outbox and store in simulated time: a day of it, in the middle of which the
daemon is started again, then two days with one of them, or without a model that flapped. What the
receivers were told leads to the truth, and each got few messages of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from random import Random
from typing import TYPE_CHECKING, Any

from torture.client import InMemoryClient
from torture.daemon import Clock, SimulatedDaemon
from torture.inboxes import Answer, MemoryInbox
from torture.ledger import parse_catalogue
from torture.machine import temporary_directory
from torture.trial import BrokenPromise, Tally, Trial
from watcher.catalog.changes import Kind
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model
from watcher.config.settings import Settings, SourceSettings
from watcher.render.markup import Markup
from watcher.simulator.catalogue import Catalogue, amount, identity_key, listed_usd, plain
from watcher.simulator.generator import generate
from watcher.simulator.replies import Replies
from watcher.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torture.trial import Budget
    from watcher.simulator.catalogue import Row
    from watcher.store.store import Store

__all__ = ["FLAPPING", "name_of"]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MODELS, MANY, FEW = 60, 10, 3
# A value that flaps is told four times, then that it flaps, and then what that came to; in the end
# one model may be gone. Of several values each may come at a time of its own.
MOST_MESSAGES = 7
VALUES_AT_ONCE = 3


class _TwoBackends(InMemoryClient):
    """Answers from one of two catalogues, whichever was chosen last."""

    def __init__(self, catalogues: Sequence[Catalogue], rng: Random) -> None:
        super().__init__(catalogues[0], SourceSettings(), rng)
        self._backends = [Replies(catalogue) for catalogue in catalogues]

    def choose(self, backend: int) -> None:
        self._replies = self._backends[backend]


class _EventInbox(MemoryInbox):
    """Gets CloudEvents, and fails now and then."""

    service = replace(
        MemoryInbox.service, name="events", markup=Markup.CLOUDEVENTS, body_limit=10_000_000
    )

    def __init__(self, name: str, rng: Random) -> None:
        super().__init__(name)
        self.next_answer = lambda: Answer.FAILS if rng.random() < 0.02 else Answer.ACCEPTS

    def messages(self) -> list[list[dict[str, Any]]]:
        """The messages that were about changes, in their order, each as the changes it told."""
        bodies = [json.loads(message.text.partition("\n")[2]) for message in self.received]
        told = ([it["data"] for it in body if ".change." in it["type"]] for body in bodies)
        return [changes for changes in told if changes]


def _promotions(rows: list[Row], rng: Random) -> list[Row]:
    return _edited(rows, rng, MANY, lambda row: {"discountPrice": not row["discountPrice"]})


def _references(rows: list[Row], rng: Random) -> list[Row]:
    return _edited(rows, rng, MANY, lambda row: {"falPrice": plain(_number(row, "falPrice") + 1)})


def _prices(rows: list[Row], rng: Random) -> list[Row]:
    return _edited(rows, rng, MANY, _dearer)


def _units(rows: list[Row], rng: Random) -> list[Row]:
    return _edited(rows, rng, 1, lambda _: {"creditUnit": "per generation"})


def _credit_value(rows: list[Row], _: Random) -> list[Row]:
    return [
        {**row, "usdPrice": plain(_number(row, "creditPrice") * Decimal("0.006"))} for row in rows
    ]


def _presence(rows: list[Row], rng: Random) -> list[Row]:
    gone = {row["modelDescription"] for row in rng.sample(rows, FEW)}
    return [row for row in rows if row["modelDescription"] not in gone]


def _names(rows: list[Row], rng: Random) -> list[Row]:
    return _edited(
        rows, rng, FEW, lambda row: {"modelDescription": f"{row['modelDescription']}, hd"}
    )


def _everything(rows: list[Row], rng: Random) -> list[Row]:
    for edit in (_promotions, _references, _prices, _units):
        rows = edit(rows, rng)
    return _presence(rows, rng)


SCENARIOS = (
    _promotions,
    _references,
    _prices,
    _units,
    _credit_value,
    _presence,
    _names,
    _everything,
)


def _edited(rows: list[Row], rng: Random, count: int, edit: Callable[[Row], Row]) -> list[Row]:
    chosen = rng.sample(range(len(rows)), count)
    return [{**row, **edit(row)} if place in chosen else row for place, row in enumerate(rows)]


def _dearer(row: Row) -> Row:
    price = _number(row, "creditPrice") + 1
    return {"creditPrice": plain(price), "usdPrice": listed_usd(price)}


def _number(row: Row, field: str) -> Decimal:
    return amount(row[field]) or Decimal(0)


def name_of(seed: int) -> str:
    """What flaps in the trial with this seed."""
    return SCENARIOS[seed % len(SCENARIOS)].__name__.strip("_").replace("_", " ")


async def _run_seed(seed: int, _: Budget) -> Tally:
    scenario = SCENARIOS[seed % len(SCENARIOS)]
    with temporary_directory() as place:
        async with open_store(place / "state.db") as store:
            inboxes = await _live(seed, scenario, store)
    most = max(len(inbox.messages()) for inbox in inboxes)
    name = name_of(seed)
    bound = MOST_MESSAGES * (VALUES_AT_ONCE if scenario is _everything else 1)
    wrong = [f"{most} messages of {name} that flapped for a day"] if most > bound else []
    return Tally(1, {f"most messages of {name}": most}, tuple(wrong))


async def _live(
    seed: int, scenario: Callable[[list[Row], Random], list[Row]], store: Store
) -> list[_EventInbox]:
    """A day between two backends, and two days after it; everybody knows the truth then."""
    rng = Random(seed)
    rows = generate(seed, size=MODELS)
    backends = (Catalogue(rows), Catalogue(scenario(rows, rng)))
    client = _TwoBackends(backends, rng)
    inboxes = [_EventInbox(name, rng) for name in ("team", "mail")]
    clock = Clock()

    def start() -> SimulatedDaemon:
        settings = Settings(announce=list(Kind))
        return SimulatedDaemon(store, client, inboxes, clock=clock, rng=rng, settings=settings)

    # What a credit is worth is believed after half an hour.
    stays = HOUR if scenario is _credit_value else timedelta(0)
    daemon, restart_at, choose_at = start(), DAY * rng.random(), timedelta(0)
    await daemon.poll()
    while clock.passed < DAY:
        if clock.passed >= choose_at:
            client.choose(rng.randrange(2))
            choose_at = clock.passed + stays
        await daemon.step()
        if clock.passed > restart_at:
            daemon, restart_at = start(), DAY
    last = rng.randrange(2)
    client.choose(last)
    if rng.random() < 1 / 2:
        _remove_one_that_flapped(backends, last)
    await daemon.run(2 * DAY + HOUR)
    truth = _known_of(backends[last])
    for inbox in inboxes:
        told = _told(_known_of(Catalogue(rows)), chain.from_iterable(inbox.messages()))
        if told != truth:
            raise BrokenPromise(f"{inbox.name} was told {told.items() - truth.items()}")
    return inboxes


def _remove_one_that_flapped(backends: Sequence[Catalogue], last: int) -> None:
    """It vanishes from the backend that stays, where both have it."""
    other = {row["modelDescription"]: row for row in backends[1 - last].rows}
    for row in backends[last].rows:
        if other.get(row["modelDescription"], row) != row:
            backends[last].remove(row["modelDescription"])
            return


def _known_of(catalogue: Catalogue) -> dict[str, tuple[Any, ...]]:
    models = (Model(it, DOCUMENTED_USD_PER_CREDIT) for it in parse_catalogue(catalogue))
    return {identity_key(it.record.description): _essence(it.fields()) for it in models}


def _told(
    known: dict[str, tuple[Any, ...]], changes: Iterable[Mapping[str, Any]]
) -> dict[str, tuple[Any, ...]]:
    """What a receiver knows that knew the first catalogue, after these changes."""
    for change in changes:
        before, after = change["before"], change["after"]
        if before is not None:
            known.pop(identity_key(before["description"]), None)
        if after is not None:
            known[identity_key(after["description"])] = _essence(after)
    return known


def _essence(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(
        fields[name] for name in ("credits", "unit_quantity", "base_unit", "reference", "promotion")
    )


FLAPPING = Trial("flapping", "days of two backends", 400, 0.5, _run_seed)

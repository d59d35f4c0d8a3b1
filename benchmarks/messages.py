"""The CPU time of messages: rendering many changes for each service, routing, replaying a year.

CPU time of this process, the median of several runs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Unit
from watcher.catalog.changes import Kind, ModelChange, RecordedChange
from watcher.catalog.diff import diff_model
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, parse_record
from watcher.notify.client import Sender
from watcher.notify.receiver import TERMINAL, open_receiver
from watcher.render.message import render
from watcher.render.outline import Envelope
from watcher.routing.match import Matcher, Pattern
from watcher.routing.plan import plan
from watcher.routing.rules import Route, RoutingRules
from watcher.routing.simulate import Simulation
from watcher.simulator.generator import generate
from watcher.wording import Known, MessageForm, word

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from watcher.render.markup import Service

__all__ = ["measure"]

NAME = "messages"
TIMES = 5
CHANGES, ROUTES = 10_000, 100
MODELS = 574
# The real catalogue changes about 230 times a month.
CHANGES_A_YEAR = 230 * 12
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

# Never connected to: the service follows from the address.
ADDRESSES = (
    "discord://111111111111111111/abcdefghijklmnopqrstuvwxyz",
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "tgram://123456789:abcdefghijklmnopqrstuvwxyz123456789/12345",
    "mailto://user:password@localhost?to=someone@example.org",
    "ntfy://localhost/topic",
    "matrix://user:password@localhost/room",
)


async def measure() -> AsyncIterator[Figure]:
    """One figure for each service, one for the routes, one for the year."""
    day = changes(MODELS)
    for service in await _services():
        spent = _cpu_of(lambda service=service: render(day, service, Envelope("7f3k2m9q")))
        what = f"rendering {MODELS} changes for {service.name}"
        yield Figure(NAME, what, spent * 1e3, Unit.MILLISECONDS, 50)
    many = changes(CHANGES)
    spent = _cpu_of(lambda: _route(many, routes(ROUTES)))
    yield Figure(NAME, f"routing {CHANGES:,} changes, {ROUTES} routes", spent, Unit.SECONDS, 1)
    year = changes(CHANGES_A_YEAR)
    spent = median([await _replay(year, routes(ROUTES)) for _ in range(TIMES)])
    note = f"{CHANGES_A_YEAR:,} changes, {ROUTES} routes, every message worded"
    yield Figure(NAME, "replaying a year", spent, Unit.SECONDS, 2, note=note)


async def _services() -> tuple[Service, ...]:
    async with Sender() as sender:
        wanted = [*((url, "auto") for url in ADDRESSES), ("json://localhost", "json")]
        opened = [await open_receiver(sender, url, url, form) for url, form in wanted]
        return (*(receiver.service for receiver in opened), TERMINAL)


def _cpu_of(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(TIMES):
        started = process_time()
        work()
        spent.append(process_time() - started)
    return median(spent)


def changes(count: int) -> list[RecordedChange]:
    """Price changes up and down of as many models as the catalogue has, over a year."""
    rng, rows = Random(7), generate(seed=7, size=MODELS)
    found: list[RecordedChange] = []
    for number in range(count):
        row = rows[number % len(rows)]
        factor = Decimal(rng.randint(70, 140)) / 100
        before = Model(parse_record(row), DOCUMENTED_USD_PER_CREDIT)
        price = (before.record.credits or Decimal(1)) * factor + Decimal("0.01")
        after = Model(parse_record(row | {"creditPrice": str(price)}), DOCUMENTED_USD_PER_CREDIT)
        change = diff_model(before, after, number % len(rows))
        at = BEGAN + timedelta(days=365) * number / count
        if change is None:
            change = ModelChange((Kind.RELABELLED,), before, after, {}, number % len(rows))
        found.append(RecordedChange(number + 1, at, change))
    return found


def routes(count: int) -> RoutingRules:
    """Routes as people write them: by provider, name and size of the change; the last takes all."""
    found = [
        Route(
            f"route {number}",
            Matcher(
                provider=(Pattern(f"prov*{number}"),) if number % 3 else (),
                model=(Pattern(f"*model {number}*"), Pattern("!*480p*")),
                min_up=Decimal("0.05") if number % 2 else None,
                min_down=Decimal("0.05") if number % 2 else None,
            ),
            ("team",),
            continues=True,
        )
        for number in range(count - 1)
    ]
    everything = Route("the rest", Matcher(), ("team",))
    return RoutingRules(("team",), (*found, everything))


def _route(many: Sequence[RecordedChange], rules: RoutingRules) -> int:
    """How many deliveries the changes make, with rules that have routed nothing yet."""
    return sum(len(plan(it.change, rules, now=BEGAN).dispatches) for it in many)


async def _replay(news: Sequence[RecordedChange], rules: RoutingRules) -> float:
    """The CPU time of a year's messages, as `replay` makes them from what it has read."""
    async with Sender() as sender:
        service = (await open_receiver(sender, "team", ADDRESSES[0])).service
    started = process_time()
    simulation = Simulation(rules, begun_at=BEGAN)
    for it in simulation.run(news, BEGAN + timedelta(days=365)):
        await word(it.batch, MessageForm(service), Known({}), alert_id="7f3k2m9q", now=it.at)
    return process_time() - started

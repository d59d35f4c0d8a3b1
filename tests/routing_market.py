"""A small market whose changes are recorded as they happen, and the messages they make, in short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from build import USD_PER_CREDIT, priced
from watcher.catalog.changes import (
    Change,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.catalog.diff import diff_model
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import Model
from watcher.routing.match import Matcher, Pattern
from watcher.routing.rules import Route, RoutingRules, Silence
from watcher.routing.simulate import SimulatedMessage, Simulation

# A Monday, at noon.
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def patterns(*texts: str) -> tuple[Pattern, ...]:
    return tuple(Pattern(text) for text in texts)


def percent(number: str) -> Decimal:
    return Decimal(number) / 100


def route(name: str = "all", *receivers: str, **rest: Any) -> Route:
    """A route with the matcher's and the route's own fields side by side."""
    own = {key: rest.pop(key) for key in ("continues", "digest", "empty") if key in rest}
    return Route(name, Matcher(**rest), receivers or ("team",), **own)


def rules(*routes: Route, **rest: Any) -> RoutingRules:
    names = [name for each in routes for name in each.receivers] or ["team"]
    return RoutingRules(tuple(dict.fromkeys(names)), routes, **rest)


def silence(since_at: datetime, lasting: timedelta, **rest: Any) -> Silence:
    return Silence(1, rest.pop("matcher", Matcher()), since_at, since_at + lasting, **rest)


class Market:
    """The models on sale; every change of them is added to `news`, an hour after the one before."""

    def __init__(self, *, step: timedelta = HOUR) -> None:
        self.now = START
        self.step = step
        self.news: list[RecordedChange | Notice] = []
        self.on_sale: dict[int, Model] = {}
        self.gone: dict[int, Model] = {}
        self.worth = USD_PER_CREDIT

    def wait(self, time: timedelta) -> Market:
        self.now += time
        return self

    def opens_with(self, price: str = "100", number: int = 1, **wire: Any) -> Market:
        """A model of the baseline: nothing is announced of it."""
        self.on_sale[number] = self.model(number, price, **wire)
        return self

    def model(self, number: int, price: str, name: str = "", **wire: Any) -> Model:
        return Model(priced(name or f"Reel {number}, 1080p", price, **wire), self.worth)

    def costs(self, *prices: str, number: int = 1, **wire: Any) -> Market:
        for price in prices:
            before = self.on_sale[number]
            name = wire.pop("name", before.record.description)
            after = self.model(number, price, name, **wire)
            change = diff_model(before, after, number)
            if change is not None and before.record.identity_key != after.record.identity_key:
                kinds = (Kind.RENAMED, *(kind for kind in change.kinds if kind != Kind.RELABELLED))
                change = ModelChange(kinds, before, after, change.causes, number)
            self._happens(change)
            self.on_sale[number] = after
        return self

    def launches(self, number: int, price: str, **wire: Any) -> Market:
        self.on_sale[number] = self.model(number, price, **wire)
        return self._happens(ModelChange((Kind.NEW,), None, self.on_sale[number], {}, number))

    def drops(self, number: int = 1) -> Market:
        self.gone[number] = self.on_sale.pop(number)
        return self._happens(ModelChange((Kind.REMOVED,), self.gone[number], None, {}, number))

    def returns(self, price: str, number: int = 1) -> Market:
        before = self.gone.pop(number)
        after = self.on_sale[number] = self.model(number, price, before.record.description)
        whole = diff_model(before, after, number)
        kinds = (Kind.RETURNED, *(whole.kinds if whole else ()))
        causes = whole.causes if whole else {}
        return self._happens(ModelChange(kinds, before, after, causes, number))

    def credit_is_worth(self, usd: str) -> Market:
        before, self.worth = self.worth, Decimal(usd)
        self.on_sale = {
            number: Model(model.record, self.worth) for number, model in self.on_sale.items()
        }
        return self._happens(CreditValueChange(before, self.worth))

    def plays(self, what: str, number: int, to: int) -> Market:
        """One thing of all that can happen, chosen by hypothesis; nothing where it makes no sense."""
        here = self.on_sale.get(number)
        match what:
            case "credit":
                worth = Decimal(to) / 1000
                return self if worth == self.worth else self.credit_is_worth(str(worth))
            case "back" | "new" if here is None:
                if what == "back" and number in self.gone:
                    return self.returns(f"{to}0", number)
                if what == "new" and number not in self.gone:
                    return self.launches(number, f"{to}0")
            case "gone" if here is not None:
                return self.drops(number)
            case "price" | "promotion" | "name" | "reference" if here is not None:
                record = here.record
                return self.costs(
                    f"{to}0" if what == "price" else str(record.credits),
                    number=number,
                    name=f"Reel {number}, {'ABC'[to - 1]}"
                    if what == "name"
                    else record.description,
                    discountPrice=to > 1 if what == "promotion" else record.promotion,
                    falPrice=f"0.{to}" if what == "reference" else str(record.reference),
                )
        return self

    def says(self, kind: NoticeKind) -> Market:
        self.news.append(Notice(kind, self.now, {}))
        return self.wait(self.step)

    @property
    def changes(self) -> list[RecordedChange]:
        return [each for each in self.news if isinstance(each, RecordedChange)]

    def _happens(self, change: Change | None) -> Market:
        if change is not None:
            self.news.append(RecordedChange(len(self.news) + 1, self.now, change))
        return self.wait(self.step)


def simulate(
    market: Market,
    routing: RoutingRules,
    *,
    silences: Iterable[Silence] = (),
    begun_at: datetime = START - HOUR,
    until: datetime | None = None,
) -> list[SimulatedMessage]:
    """Every message that the market's changes make, up to a week after the last change."""
    simulation = Simulation(routing, begun_at=begun_at, silences=tuple(silences))
    messages = list(simulation.run(market.news, until or market.now + 7 * DAY))
    if until is None and not any(each.digest for each in routing.routes):
        assert simulation.waiting() == 0, "nothing waits for ever"
    return messages


def summaries(messages: Iterable[SimulatedMessage]) -> list[str]:
    """The changes of each message: `100→106` a price, `+1` a new model, `-1` a removed one."""
    return [" ".join(map(summary, message.batch.contents)) for message in messages]


def summary(content: RecordedChange | Notice) -> str:
    if isinstance(content, Notice):
        return content.kind.value
    change = content.change
    if isinstance(change, CreditValueChange):
        return f"{change.before}=>{change.after}"
    return " ".join(_parts(change))


def _parts(change: ModelChange) -> Iterator[str]:
    if Kind.NEW in change.kinds:
        yield f"+{change.model_id}"
    if Kind.REMOVED in change.kinds:
        yield f"-{change.model_id}"
    if Kind.RETURNED in change.kinds:
        yield f"~{change.model_id}"
    if Kind.RENAMED in change.kinds:
        assert change.before is not None
        yield f"{change.before.record.description}=>{change.model.record.description}"
    if {Kind.PRICE_UP, Kind.PRICE_DOWN} & set(change.kinds):
        assert change.before is not None
        assert change.after is not None
        yield f"{decimal_text(change.before.price)}→{decimal_text(change.after.price)}"
    for kind in (Kind.PROMOTION_STARTED, Kind.PROMOTION_ENDED):
        if kind in change.kinds:
            yield kind.value

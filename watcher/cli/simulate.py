"""The commands `routes test` and `replay`: what a configuration would do, before it does it.

Also what `replay` shares with `preview`: the stored history, and each message as it would be
rendered. Nothing is sent and nothing is stored.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import click

from watcher.catalog.changes import ModelChange, NoticeKind, RecordedChange
from watcher.cli.options import (
    GlobalOptions,
    load_settings_leniently,
    local_now,
    open_state,
    since_option,
    start_log,
)
from watcher.cli.output import BadUsage, local_time, moment, print_json, say, utc
from watcher.cli.query import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import tzinfo

    from watcher.catalog.changes import Change, Kind, Notice
    from watcher.catalog.record import PriceHistory, Record
    from watcher.config.settings import Settings
    from watcher.notify.client import Sender
    from watcher.notify.receiver import Receiver
    from watcher.outbox import MessageRules
    from watcher.render.markup import Service
    from watcher.render.message import Message
    from watcher.routing.plan import Dispatch, History
    from watcher.routing.rules import Route, RoutingRules, Silence, Usage
    from watcher.routing.simulate import SimulatedMessage, Simulation
    from watcher.store.queries import Reader
    from watcher.wording import Known, MessageForm

# Stands where a real message has its alert id; `changes --alert` finds nothing under it.
PLACEHOLDER_ALERT_ID = "23456789"

# Notices for receivers of alerts; the others are for operators, or samples.
_ABOUT_THE_CATALOGUE = {
    NoticeKind.BASELINE,
    NoticeKind.COLLAPSE,
    NoticeKind.REDENOMINATED,
    NoticeKind.RECOVERED,
}


@dataclass(frozen=True, slots=True)
class Past:
    """What happened since a time, oldest first, with the silences there were.

    `prices` are those of the models that changed, by their numbers.
    """

    contents: tuple[RecordedChange | Notice, ...]
    silences: tuple[Silence, ...]
    prices: Mapping[int, PriceHistory]


@dataclass(frozen=True, slots=True)
class Receivers:
    """The receivers of a configuration, each opened when it is first needed."""

    settings: Settings
    rules: MessageRules
    sender: Sender
    _opened: dict[str, Receiver | None] = field(default_factory=dict)

    async def get(self, name: str) -> Receiver | None:
        """The receiver itself; `None` where its address is out of reach or not valid."""
        if name not in self._opened:
            self._opened[name] = await self._open(name)
        return self._opened[name]

    async def form(self, name: str) -> MessageForm:
        """How it gets its messages; as plain text where it cannot be opened."""
        from watcher.render.markup import Markup, Service

        receiver = await self.get(name)
        service = Service("text", Markup.TEXT, 1_000_000, 250, None)
        return self.rules.form(name, receiver.service if receiver else service)

    async def _open(self, name: str) -> Receiver | None:
        from watcher.app import open_receivers

        one = {key: value for key, value in self.settings.receivers.items() if key == name}
        wanted = self.settings.model_copy(update={"receivers": one})
        try:
            (receiver,) = await open_receivers(wanted, sys.stdout, self.sender)
        except ValueError:
            return None
        return receiver


async def read_past(reader: Reader, since: datetime) -> Past:
    """Read what happened since a time."""
    from watcher.config.rules import parse_silence

    notices = [n for n in await reader.notices(since) if n.kind in _ABOUT_THE_CATALOGUE]
    # What a baseline found different is stored, and on purpose announced to nobody.
    baseline_at = {notice.at for notice in notices if notice.kind is NoticeKind.BASELINE}
    changes = await reader.changes(since=since, newest_first=False)
    announced = [change for change in changes if change.at not in baseline_at]
    contents: list[RecordedChange | Notice] = [*notices, *announced]
    contents.sort(key=lambda content: content.at)
    models = {it.change.model_id for it in announced if isinstance(it.change, ModelChange)}
    return Past(
        tuple(contents),
        tuple(map(parse_silence, await reader.silences())),
        await reader.prices({number for number in models if number is not None}),
    )


async def known_then(
    reader: Reader, simulated: SimulatedMessage, past: Past, usage: Sequence[Usage]
) -> Known:
    """What the outbox would have known when it made the message."""
    from watcher.wording import Known

    at, batch = simulated.at, simulated.batch
    return Known(
        {number: past.prices[number].until(at) for number in batch.model_ids},
        await reader.on_sale_at(at) if batch.needs_what_is_on_sale else (),
        usage,
    )


def plain_message(message: Message, service: Service) -> str:
    """A message for reading, its markup taken off: the title, unless the text begins with it."""
    from watcher.notify.formats import plain_text

    text = plain_text(service.markup, message.body)
    return text if text.startswith(message.title) else f"{message.title}\n\n{text}"


@click.group(epilog="Example: kie-watcher routes test --kind removed --model 'Kling 2.6, 1080p'")
def routes() -> None:
    """Try out the routes of the configuration."""


def _usd_option(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> Decimal | None:
    if value is None:
        return None
    try:
        amount = Decimal(value.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter("write a price in USD, as in 0.30")
    return amount


@routes.command(
    epilog="Example: kie-watcher routes test --model 'Seedance 2.5, 1080p' --interface video"
    " --usd-before 0.30 --usd-after 0.42"
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS, case_sensitive=False),
    multiple=True,
    metavar="K",
    help="What happened, where the prices do not say it; can be given several times.",
)
@click.option("--interface", default="", metavar="X", help="The model's category, as in video.")
@click.option("--provider", default="", metavar="X", help="Who makes the model.")
@click.option("--model", default="", metavar="X", help="The model's whole description.")
@click.option("--usd-before", callback=_usd_option, metavar="USD", help="Its price before, in USD.")
@click.option("--usd-after", callback=_usd_option, metavar="USD", help="Its price after, in USD.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def test(
    options: GlobalOptions,
    /,
    *,
    kinds: tuple[str, ...],
    usd_before: Decimal | None,
    usd_after: Decimal | None,
    as_json: bool,
    **described: str,
) -> None:
    """Show which route takes such a change, and what becomes of it now.

    For every route: whether it takes the change, and why. Then for each receiver: whether it would
    get the change now, or until when a silence, a digest or quiet hours would hold it back. Nothing
    is sent. Thresholds are measured from --usd-before; all prices are of one unit.
    """
    from watcher.config.rules import routing_rules

    change = _made_up_change(kinds, described, (usd_before, usd_after))
    rules, now = routing_rules(load_settings_leniently(options)), local_now(options)
    tested = _test_routes(change, rules, asyncio.run(_read_silences(options)), now)
    if as_json:
        print_json(tested.fields())
        return
    for line in tested.lines(now):
        say(line)


@dataclass(frozen=True, slots=True)
class RouteTest:
    """What every route decides about a change, and what becomes of each delivery now."""

    change: Change
    routes: tuple[TestedRoute, ...]
    deliveries: tuple[TestedDelivery, ...]

    def lines(self, now: datetime) -> Iterator[str]:
        """The result, for people."""
        yield f"Change: {', '.join(kind.value for kind in self.change.kinds)}"
        yield from (route.line() for route in self.routes)
        receivers = dict.fromkeys(name for route in self.routes for name in route.receivers)
        yield f"Goes to: {', '.join(receivers)}" if receivers else "No receiver gets it."
        for delivery in self.deliveries:
            yield f"  {delivery.line(now)}"

    def fields(self) -> dict[str, Any]:
        """The result, for programs."""
        return {
            "kinds": [kind.value for kind in self.change.kinds],
            "routes": [
                {
                    "route": tested.route.name or None,
                    "takes": bool(tested.receivers),
                    "why_not": next(iter(tested.refusals.values()), None),
                    "taken_before_by": tested.taken_before,
                }
                for tested in self.routes
            ],
            "deliveries": [
                {
                    "receiver": delivery.dispatch.receiver,
                    "route": delivery.dispatch.route or None,
                    "now": delivery.why is None,
                    "dropped": delivery.dropped,
                    "held_by": delivery.why,
                    "until": utc(delivery.until),
                }
                for delivery in self.deliveries
            ],
        }


@dataclass(frozen=True, slots=True)
class TestedRoute:
    """Which receivers get a change by one route, and why others do not, in words.

    `taken_before` names the earlier route that took the change, so that this one is not asked.
    """

    route: Route
    receivers: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    taken_before: str | None = None

    def line(self) -> str:
        """One line, for people."""
        if self.taken_before is not None:
            return f"{_name(self.route.name)}: not asked, {_name(self.taken_before)} took it"
        if not self.receivers:
            why = next(iter(self.refusals.values()), "it has no receivers")
            return f"{_name(self.route.name)}: no, {why}"
        parts = [", ".join(self.receivers)]
        parts += [f"not to {name}, {why}" for name, why in self.refusals.items()]
        if self.route.digest is not None:
            parts.append(f"in its digest ({self.route.digest})")
        if self.route.continues:
            parts.append("later routes are asked too")
        return f"{_name(self.route.name)}: yes, to {'; '.join(parts)}"


def ask_routes(change: Change, rules: RoutingRules, history: History) -> Iterator[TestedRoute]:
    """What every route decides, as `decide` says; the reasons of those that it passes over too."""
    from watcher.routing.plan import decide

    decisions = tuple(decide(change, rules, history))
    taken_by: str | None = None
    for route in rules.effective_routes:
        if taken_by is not None:
            yield TestedRoute(route, taken_before=taken_by)
            continue
        own = [it for it in decisions if it.route is route]
        receivers = tuple(it.receiver for it in own if it.refusal is None)
        refusals = {it.receiver: it.refusal() for it in own if it.refusal is not None}
        if not own and (why := route.matcher.refusal(change, announce=rules.announce)):
            refusals = dict.fromkeys(route.receivers, why())
        yield TestedRoute(route, receivers, refusals)
        if receivers and not route.continues:
            taken_by = route.name


def _name(route: str) -> str:
    from watcher.routing.rules import DEFAULT_ROUTE

    return "without routes" if route == DEFAULT_ROUTE else f"“{route}”"


@dataclass(frozen=True, slots=True)
class TestedDelivery:
    """What becomes of one delivery: it is sent now unless there is a reason (`why`) against it."""

    dispatch: Dispatch
    until: datetime | None = None
    why: str | None = None
    dropped: bool = False

    def line(self, now: datetime) -> str:
        """One line, for people."""
        if self.dropped:
            return f"{self.dispatch.receiver}: never sent, dropped by {self.why}"
        if self.why is None:
            return f"{self.dispatch.receiver}: sent now"
        return f"{self.dispatch.receiver}: held back by {self.why} until {moment(self.until, now)}"


async def _read_silences(options: GlobalOptions) -> list[Silence]:
    """The silences there are; none where there is no state yet."""
    from watcher.config.rules import parse_silence
    from watcher.store.connection import NoStateError

    try:
        async with open_state(options) as reader:
            return list(map(parse_silence, await reader.silences()))
    except NoStateError:
        return []


def _made_up_change(
    kinds: Sequence[str],
    described: dict[str, str],
    prices: tuple[Decimal | None, Decimal | None],
) -> Change:
    """The change that was described: of the kinds given, or of the kind that the prices show."""
    from watcher.catalog.changes import CreditValueChange, Kind, ModelChange
    from watcher.catalog.record import Model

    given = tuple(Kind(kind.lower()) for kind in kinds)
    if given == (Kind.CREDIT_VALUE,):
        return CreditValueChange(Decimal("0.005"), Decimal("0.006"))
    given = given or _kinds_of(*prices)
    before, after = (Model(_record(described, usd), Decimal("0.005")) for usd in prices)
    return ModelChange(
        given,
        None if Kind.NEW in given else before,
        None if Kind.REMOVED in given else after,
    )


def _kinds_of(before: Decimal | None, after: Decimal | None) -> tuple[Kind, ...]:
    from watcher.catalog.changes import Kind

    match before, after:
        case None, None:
            raise BadUsage("say what happened: --kind, or --usd-before and --usd-after")
        case None, _:
            return (Kind.NEW,)
        case _, None:
            return (Kind.REMOVED,)
        case Decimal() as low, Decimal() as high if low != high:
            return (Kind.PRICE_UP if low < high else Kind.PRICE_DOWN,)
    raise BadUsage("both prices are the same, so nothing happened; give --kind to say what did")


def _record(described: dict[str, str], usd: Decimal | None) -> Record:
    from watcher.catalog.pricing import parse_unit
    from watcher.catalog.record import Record, fold

    description = described["model"].strip()
    return Record(
        description=description,
        identity_key=fold(description),
        interface=described["interface"].strip(),
        provider=described["provider"].strip(),
        credits=None,
        unit=parse_unit(""),
        usd_listed=usd,
        reference=None,
        rate=None,
        anchor="",
        promotion=False,
    )


def _test_routes(
    change: Change, rules: RoutingRules, silences: list[Silence], now: datetime
) -> RouteTest:
    from watcher.catalog.changes import RecordedChange
    from watcher.routing.plan import NO_HISTORY
    from watcher.routing.simulate import Simulation

    simulation = Simulation(rules, begun_at=now, silences=silences)
    planned = simulation.add(RecordedChange(1, now, change))
    # Decides what is sent; the messages themselves are not asked for.
    list(simulation.due(now))
    deliveries = [_tested(dispatch, simulation) for dispatch in planned.dispatches]
    deliveries += [
        TestedDelivery(it, None, _silence_text(it.silence_id, silences), dropped=True)
        for it in planned.suppressed
    ]
    return RouteTest(change, tuple(ask_routes(change, rules, NO_HISTORY)), tuple(deliveries))


def _tested(dispatch: Dispatch, simulation: Simulation) -> TestedDelivery:
    """What the outbox would do with one delivery now."""
    from watcher.routing.release import DeferredBy

    deferral = simulation.deferral(dispatch.receiver, dispatch.route)
    if deferral is None:
        return TestedDelivery(dispatch)
    match deferral.by:
        case DeferredBy.SILENCE:
            why = _silence_text(dispatch.silence_id, simulation.silences)
        case DeferredBy.DIGEST:
            why = f"the digest of “{dispatch.route}”"
        case DeferredBy.FLAP:
            why = "flapping"
        case DeferredBy.QUIET:
            why = "quiet hours"
        case _:
            assert_never(deferral.by)
    return TestedDelivery(dispatch, deferral.until, why)


def _silence_text(number: int | None, silences: Sequence[Silence]) -> str:
    reason = next((silence.reason for silence in silences if silence.id == number), "")
    return f"silence {number} ({reason})" if reason else f"silence {number}"


@click.command(epilog="Example: kie-watcher replay --since 30d --with new.yaml")
@click.option(
    "--since",
    callback=since_option,
    default="30d",
    show_default=True,
    metavar="TIME",
    help="From so long ago (30d, 36h) or from a date (2026-11-01).",
)
@click.option(
    "--with",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration whose routes to try; the state stays that of the usual one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each message.")
@click.pass_obj
def replay(options: GlobalOptions, since: datetime, file: Path | None, as_json: bool) -> None:
    """Run the stored changes through a configuration.

    Prints every message it would have sent, to whom and when, with time as it was: its routes and
    thresholds, quiet hours, digests and the silences there were. Nothing is sent and nothing is
    stored. Messages are worded as the receiver would get them, with its own template (a tenth of a
    second each); charts are named, not drawn. Addresses need not be readable.
    """
    tried = load_settings_leniently(GlobalOptions(file) if file else options)
    start_log(tried, minimum_level="warning")
    gc.enable()
    summary = asyncio.run(_replay(options, tried, since, as_json=as_json))
    if not as_json:
        for line in summary.lines():
            say(line)


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """How many messages a replay had, and how many deliveries came to none."""

    since: datetime
    messages: Counter[str]
    netted: int
    dropped: int
    waiting: int

    def lines(self) -> Iterator[str]:
        """The summary, for people."""
        from watcher.render.figures import counted

        since = local_time(self.since, self.since.tzinfo)
        sent = ", ".join(f"{count} to {name}" for name, count in sorted(self.messages.items()))
        total = counted(self.messages.total(), "message", "messages")
        yield f"Since {since}: {total}{f' ({sent})' if sent else ''}."
        if self.netted:
            yield f"{counted(self.netted, 'delivery', 'deliveries')} came to nothing."
        if self.dropped:
            yield f"{counted(self.dropped, 'delivery', 'deliveries')} dropped by a silence."
        if self.waiting:
            yield f"{counted(self.waiting, 'delivery', 'deliveries')} would still be held back now."


async def _replay(
    options: GlobalOptions, tried: Settings, since: datetime, *, as_json: bool
) -> ReplaySummary:
    from watcher.app import message_rules
    from watcher.notify.client import Sender
    from watcher.routing.simulate import Simulation
    from watcher.wording import charted, word

    messages = Counter[str]()
    async with Sender() as sender, open_state(options) as reader:
        receivers = Receivers(tried, message_rules(tried), sender)
        rules = receivers.rules.routing
        past = await read_past(reader, since)
        simulation = Simulation(rules, begun_at=since, silences=past.silences)
        for simulated in simulation.run(past.contents, datetime.now(UTC)):
            batch, form = simulated.batch, await receivers.form(simulated.receiver)
            known = await known_then(reader, simulated, past, rules.usage)
            message = await word(
                batch, form, known, alert_id=PLACEHOLDER_ALERT_ID, now=simulated.at
            )
            replayed = ReplayedMessage(
                simulated, message, form.service, bool(charted(batch, form, known)), rules.zone
            )
            messages[simulated.receiver] += 1
            replayed.print(as_json=as_json)
    local = since.astimezone(rules.zone)
    return ReplaySummary(
        local, messages, simulation.netted, simulation.dropped, simulation.waiting()
    )


@dataclass(frozen=True, slots=True)
class ReplayedMessage:
    """One message as it would have been sent; its chart is not drawn."""

    simulated: SimulatedMessage
    message: Message
    service: Service
    has_chart: bool
    zone: tzinfo

    def print(self, *, as_json: bool) -> None:
        if as_json:
            print_json(self.fields())
            return
        simulated, digest = self.simulated, self.simulated.batch.digest
        kind = "" if digest is None else f", digest “{digest.route}”"
        chart = ", with a chart" if self.has_chart else ""
        at = local_time(simulated.at, self.zone)
        say(f"── {at} to {simulated.receiver} ({self.service.name}{kind}{chart})")
        for line in plain_message(self.message, self.service).splitlines():
            say(line)
        say()

    def fields(self) -> dict[str, Any]:
        batch = self.simulated.batch
        changes = [it.id for it in batch.contents if isinstance(it, RecordedChange)]
        return {
            "at": utc(self.simulated.at),
            "receiver": self.simulated.receiver,
            "service": self.service.name,
            "digest": None if batch.digest is None else batch.digest.route,
            "changes": changes,
            "notices": [c.kind.value for c in batch.contents if not isinstance(c, RecordedChange)],
            "chart": self.has_chart,
            "markup": self.service.markup.value,
            "title": self.message.title,
            "body": self.message.body,
        }

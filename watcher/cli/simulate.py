"""The commands `routes test` and `replay`: what a configuration would do, before it does it.

Also what `replay` shares with `preview`: the stored history, and each message as it would be
rendered. Nothing is sent and nothing is stored.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watcher.catalog.changes import ModelChange, NoticeKind, RecordedChange
from watcher.cli.options import (
    GlobalOptions,
    load_settings_leniently,
    open_state,
    since_option,
)
from watcher.cli.output import BadUsage, local_time, moment, print_json, say, utc
from watcher.cli.query import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.catalog.changes import Change, Kind, Notice
    from watcher.catalog.record import Record
    from watcher.config.settings import Settings
    from watcher.notify.receiver import Receiver
    from watcher.render.markup import Service
    from watcher.render.message import Message
    from watcher.routing.plan import Dispatch, RouteDecision
    from watcher.routing.rules import RoutingRules, Silence
    from watcher.routing.simulate import SimulatedMessage
    from watcher.store.queries import StateReader

# Stands where a real message has its alert id; `changes --alert` finds nothing under it.
PLACEHOLDER_ALERT_ID = "23456789"

# Notices for receivers of alerts; the others are for operators, or samples.
_ABOUT_THE_CATALOGUE = {NoticeKind.BASELINE, NoticeKind.COLLAPSE, NoticeKind.RECOVERED}


@dataclass(frozen=True, slots=True)
class History:
    """What happened since a time, oldest first, and the silences there were."""

    contents: tuple[RecordedChange | Notice, ...]
    silences: tuple[Silence, ...]


@dataclass(frozen=True, slots=True)
class Receivers:
    """The receivers of a configuration, each opened when it is first needed."""

    settings: Settings
    _opened: dict[str, Receiver | None] = field(default_factory=dict)

    def get(self, name: str) -> Receiver | None:
        """The receiver itself; `None` where its address is out of reach or not valid."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def service(self, name: str) -> Service:
        """The service to render for; plain text where the receiver cannot be opened."""
        from watcher.render.markup import Markup, Service

        receiver = self.get(name)
        if receiver is None:
            return Service("text", Markup.TEXT, 1_000_000, 250, None)
        return receiver.service

    def _open(self, name: str) -> Receiver | None:
        from watcher.app import open_receivers

        one = {key: value for key, value in self.settings.receivers.items() if key == name}
        try:
            (receiver,) = open_receivers(
                self.settings.model_copy(update={"receivers": one}), sys.stdout
            )
        except ValueError:
            return None
        return receiver


async def read_history(reader: StateReader, since: datetime) -> History:
    """Read what happened since a time."""
    from watcher.app import parse_silence

    notices = [n for n in await reader.notices(since) if n.kind in _ABOUT_THE_CATALOGUE]
    # What a baseline found different is stored, and on purpose announced to nobody.
    baseline_at = {notice.at for notice in notices if notice.kind is NoticeKind.BASELINE}
    changes = await reader.changes(since=since, newest_first=False)
    announced = [change for change in changes if change.at not in baseline_at]
    contents: list[RecordedChange | Notice] = [*notices, *announced]
    contents.sort(key=lambda content: content.at)
    silences = tuple(map(parse_silence, await reader.silences()))
    return History(tuple(contents), silences)


async def render_simulated(
    reader: StateReader, simulated: SimulatedMessage, service: Service, settings: Settings
) -> Message:
    """Render a message as the outbox would."""
    from watcher.config.routing_rules import routing_rules
    from watcher.render.enrichment import enrich
    from watcher.render.message import render

    batch = simulated.batch
    changes = [it.change for it in batch.contents if isinstance(it, RecordedChange)]
    models = [change for change in changes if isinstance(change, ModelChange)]
    histories = await reader.histories({it.model_id for it in models if it.model_id is not None})
    prices = {number: history.prices for number, history in histories.items()}
    gone = any(change.after is None for change in models)
    on_sale = await reader.on_sale_at(simulated.at) if gone else ()
    items = enrich(batch, prices, on_sale, routing_rules(settings).usage)
    return render(items, service, PLACEHOLDER_ALERT_ID, batch.digest)


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
    from watcher.config.routing_rules import routing_rules

    change = _made_up_change(kinds, described, (usd_before, usd_after))
    rules, now = routing_rules(load_settings_leniently(options)), datetime.now(UTC)
    tested = _test_routes(change, rules, asyncio.run(_read_silences(options)), now)
    if as_json:
        print_json(tested.fields())
        return
    for line in tested.lines(now):
        say(line)


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """What becomes of one delivery: it is sent now unless there is a reason (`why`) against it."""

    dispatch: Dispatch
    until: datetime | None
    why: str | None
    dropped: bool = False

    def line(self, now: datetime) -> str:
        """One line, for people."""
        if self.dropped:
            return f"{self.dispatch.receiver}: never sent, dropped by {self.why}"
        if self.why is None:
            return f"{self.dispatch.receiver}: sent now"
        return f"{self.dispatch.receiver}: held back by {self.why} until {moment(self.until, now)}"


@dataclass(frozen=True, slots=True)
class RouteTest:
    """What every route decides about a change, and what becomes of each delivery."""

    change: Change
    decisions: tuple[RouteDecision, ...]
    deliveries: tuple[PlannedDelivery, ...]

    def lines(self, now: datetime) -> Iterator[str]:
        """The result, for people."""
        from watcher.routing.plan import explain

        yield f"Change: {', '.join(kind.value for kind in self.change.kinds)}"
        yield from explain(self.decisions)
        for delivery in self.deliveries:
            yield f"  {delivery.line(now)}"

    def fields(self) -> dict[str, Any]:
        """The result, for programs."""
        return {
            "kinds": [kind.value for kind in self.change.kinds],
            "routes": [
                {
                    "route": decision.route.name or None,
                    "takes": decision.takes,
                    "why_not": decision.refusal,
                    "taken_before_by": decision.taken_before,
                }
                for decision in self.decisions
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


async def _read_silences(options: GlobalOptions) -> list[Silence]:
    """The silences there are; none where there is no state yet."""
    from watcher.app import parse_silence
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
        fal=None,
        rate=None,
        anchor="",
        promotion=False,
    )


def _test_routes(
    change: Change, rules: RoutingRules, silences: list[Silence], now: datetime
) -> RouteTest:
    from watcher.routing.plan import plan, route_decisions

    planned = plan(change, rules, now=now, silences=silences)
    due = [_planned(change, dispatch, rules, silences, now) for dispatch in planned.dispatches]
    dropped = [
        PlannedDelivery(dispatch, None, _silence_text(dispatch.silence_id, silences), dropped=True)
        for dispatch in planned.suppressed
    ]
    return RouteTest(change, route_decisions(change, rules), (*due, *dropped))


def _planned(
    change: Change,
    dispatch: Dispatch,
    rules: RoutingRules,
    silences: list[Silence],
    now: datetime,
) -> PlannedDelivery:
    """What the outbox would do with one delivery now."""
    from watcher.catalog.changes import ModelChange, RecordedChange
    from watcher.routing.release import QueuedItem, release

    item = QueuedItem(
        1,
        RecordedChange(1, now, change),
        now,
        route=dispatch.route,
        silence_id=dispatch.silence_id,
        current=change.after if isinstance(change, ModelChange) else None,
    )
    found = release([item], rules, receiver=dispatch.receiver, now=now, silences=silences)
    if found.batches:
        return PlannedDelivery(dispatch, None, None)
    route = rules.route(dispatch.route)
    if dispatch.silence_id is not None:
        why = _silence_text(dispatch.silence_id, silences)
    elif route is not None and route.digest is not None:
        why = f"the digest of “{route.name}”"
    else:
        why = "quiet hours"
    return PlannedDelivery(dispatch, found.next_at, why)


def _silence_text(number: int | None, silences: list[Silence]) -> str:
    reason = next((silence.reason for silence in silences if silence.id == number), "")
    return f"silence {number} ({reason})" if reason else f"silence {number}"


@click.command(epilog="Example: kie-watcher replay --since 30d --config new.yaml")
@click.option(
    "--since",
    callback=since_option,
    default="30d",
    show_default=True,
    metavar="TIME",
    help="From so long ago (30d, 36h) or from a date (2026-11-01).",
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration to try; the state stays that of the usual one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each message.")
@click.pass_obj
def replay(options: GlobalOptions, since: datetime, file: Path | None, as_json: bool) -> None:
    """Run the stored changes through a configuration.

    Prints every message it would have sent, to whom and when, with time as it was: its routes and
    thresholds, quiet hours, digests and the silences there were. Nothing is sent and nothing is
    stored. Messages are rendered for each receiver's service; addresses need not be readable.
    """
    tried = load_settings_leniently(GlobalOptions(file) if file else options)
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

        since = local_time(self.since)
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
    from watcher.config.routing_rules import routing_rules
    from watcher.routing.simulate import Simulation

    receivers, messages = Receivers(tried), Counter[str]()
    async with open_state(options) as reader:
        history = await read_history(reader, since)
        simulation = Simulation(routing_rules(tried), begun_at=since, silences=history.silences)
        for simulated in simulation.run(history.contents, datetime.now(UTC)):
            service = receivers.service(simulated.receiver)
            message = await render_simulated(reader, simulated, service, tried)
            messages[simulated.receiver] += 1
            _print(simulated, message, service, as_json=as_json)
    return ReplaySummary(
        since, messages, simulation.netted, simulation.dropped, simulation.waiting()
    )


def _print(
    simulated: SimulatedMessage, message: Message, service: Service, *, as_json: bool
) -> None:
    if as_json:
        print_json(_fields(simulated, message, service))
        return
    digest = simulated.batch.digest
    kind = "" if digest is None else f", digest “{digest.route}”"
    at = local_time(simulated.at)
    say(f"── {at} to {simulated.receiver} ({service.name}{kind})")
    for line in plain_message(message, service).splitlines():
        say(line)
    say()


def _fields(simulated: SimulatedMessage, message: Message, service: Service) -> dict[str, Any]:
    batch = simulated.batch
    changes = [content.id for content in batch.contents if isinstance(content, RecordedChange)]
    return {
        "at": utc(simulated.at),
        "receiver": simulated.receiver,
        "service": service.name,
        "digest": None if batch.digest is None else batch.digest.route,
        "changes": changes,
        "notices": [c.kind.value for c in batch.contents if not isinstance(c, RecordedChange)],
        "markup": service.markup.value,
        "title": message.title,
        "body": message.body,
    }

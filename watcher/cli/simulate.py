"""What `replay` and `preview` share: the remembered news, and each message as it would be worded.

Knows the memory, the receivers' services and the way from a batch to a text. Refuses to send
anything, and to store anything.

The command `routes test`: which route takes a change, and why each earlier one does not.

Knows how a made-up change is asked for on a command line. Refuses to know what a route asks for.

The command `replay`: what a configuration would have told of what is remembered.

Knows how it is shown to whom what would have gone, and when. Refuses to send and to store anything.
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
from watcher.cli.options import Chosen, memory, outlook
from watcher.cli.options import since as since_asked
from watcher.cli.output import BadUsage, json_line, moment, say, utc
from watcher.cli.query import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.catalog.changes import Change, Kind, Notice
    from watcher.config.settings import Settings
    from watcher.notify.receiver import Receiver
    from watcher.render.markup import Service
    from watcher.render.message import Message
    from watcher.routing.plan import Dispatch, RouteVerdict
    from watcher.routing.rules import RoutingRules, Silence
    from watcher.routing.simulate import Rehearsal, Told
    from watcher.store.queries import Views

# Stands where a real message has its alert id; `changes --alert` finds nothing under it.
NO_ALERT = "23456789"

# What is told to receivers of alerts; the rest is for operators, or was only tried.
_OF_THE_CATALOGUE = {NoticeKind.BASELINE, NoticeKind.COLLAPSE, NoticeKind.RECOVERED}


@dataclass(frozen=True, slots=True)
class News:
    """What was remembered since a time, oldest first, and the silences there were."""

    contents: tuple[RecordedChange | Notice, ...]
    silences: tuple[Silence, ...]


@dataclass(frozen=True, slots=True)
class Receivers:
    """The receivers of a configuration, each opened when it is first asked for."""

    settings: Settings
    _opened: dict[str, Receiver | None] = field(default_factory=dict)

    def opened(self, name: str) -> Receiver | None:
        """The receiver itself; `None` where its address is out of reach or no good."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def service(self, name: str) -> Service:
        """What rendering must know of it; plain text where nothing is known."""
        from watcher.render.markup import Markup, Service

        receiver = self.opened(name)
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


async def remembered(views: Views, since: datetime) -> News:
    """Look up what happened since a time."""
    from watcher.app import silence_meant

    notices = [n for n in await views.notices(since) if n.kind in _OF_THE_CATALOGUE]
    # What a baseline found different was taken as it is, on purpose, and told to nobody.
    taken_at = {notice.at for notice in notices if notice.kind is NoticeKind.BASELINE}
    changes = await views.changes(since=since, newest_first=False)
    told = [change for change in changes if change.at not in taken_at]
    contents: list[RecordedChange | Notice] = [*notices, *told]
    contents.sort(key=lambda content: content.at)
    silences = tuple(map(silence_meant, await views.silences()))
    return News(tuple(contents), silences)


async def worded(views: Views, told: Told, service: Service, settings: Settings) -> Message:
    """The message that the outbox would make of a batch."""
    from watcher.config.rules import routing_rules
    from watcher.render.enrichment import tell
    from watcher.render.message import render

    batch = told.batch
    changes = [it.change for it in batch.contents if isinstance(it, RecordedChange)]
    models = [change for change in changes if isinstance(change, ModelChange)]
    pasts = await views.pasts({it.model_id for it in models if it.model_id is not None})
    prices = {number: past.prices for number, past in pasts.items()}
    gone = any(change.after is None for change in models)
    on_sale = await views.on_sale_at(told.at) if gone else ()
    tellings = tell(batch, prices, on_sale, routing_rules(settings).usage)
    return render(tellings, service, NO_ALERT, batch.digest)


def readable(message: Message, service: Service) -> str:
    """A message for reading, its markup taken off: the title, unless the text begins with it."""
    from watcher.notify.formats import plain_text

    text = plain_text(service.markup, message.body)
    return text if text.startswith(message.title) else f"{message.title}\n\n{text}"


@click.group(epilog="Example: kie-watcher routes test --kind removed --model 'Kling 2.6, 1080p'")
def routes() -> None:
    """Try out the routes of the configuration."""


def _usd(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Decimal | None:
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
@click.option("--usd-before", callback=_usd, metavar="USD", help="Its price before, in USD.")
@click.option("--usd-after", callback=_usd, metavar="USD", help="Its price after, in USD.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def test(
    chosen: Chosen,
    /,
    *,
    kinds: tuple[str, ...],
    usd_before: Decimal | None,
    usd_after: Decimal | None,
    as_json: bool,
    **described: str,
) -> None:
    """Say which route takes such a change, and what becomes of it now.

    Every route says yes or no, and why. Then for each receiver: whether it would be told now, or
    until when a silence, a digest or quiet hours would hold it back. Nothing is sent. Thresholds
    are measured from --usd-before; all prices are of one unit.
    """
    from watcher.config.rules import routing_rules

    change = _change(kinds, described, (usd_before, usd_after))
    rules, now = routing_rules(outlook(chosen)), datetime.now(UTC)
    trial = _tried(change, rules, asyncio.run(_silences(chosen)), now)
    if as_json:
        json_line(trial.fields())
        return
    for line in trial.lines(now):
        say(line)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one delivery: told now where `until` is `None` and it is not dropped."""

    dispatch: Dispatch
    until: datetime | None
    why: str | None
    dropped: bool = False

    def line(self, now: datetime) -> str:
        """The fate in one line."""
        if self.dropped:
            return f"{self.dispatch.receiver}: never told, dropped by {self.why}"
        if self.why is None:
            return f"{self.dispatch.receiver}: told now"
        return f"{self.dispatch.receiver}: held back by {self.why} until {moment(self.until, now)}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What every route said to a change, and what becomes of each delivery."""

    change: Change
    verdicts: tuple[RouteVerdict, ...]
    fates: tuple[Fate, ...]

    def lines(self, now: datetime) -> Iterator[str]:
        """The trial, for people."""
        from watcher.routing.plan import explain

        yield f"Change: {', '.join(kind.value for kind in self.change.kinds)}"
        yield from explain(self.verdicts)
        for fate in self.fates:
            yield f"  {fate.line(now)}"

    def fields(self) -> dict[str, Any]:
        """The trial, for programs."""
        return {
            "kinds": [kind.value for kind in self.change.kinds],
            "routes": [
                {
                    "route": verdict.route.name or None,
                    "takes": verdict.takes,
                    "why_not": verdict.refusal,
                    "taken_before_by": verdict.taken_before,
                }
                for verdict in self.verdicts
            ],
            "deliveries": [
                {
                    "receiver": fate.dispatch.receiver,
                    "route": fate.dispatch.route or None,
                    "now": fate.why is None,
                    "dropped": fate.dropped,
                    "held_by": fate.why,
                    "until": utc(fate.until),
                }
                for fate in self.fates
            ],
        }


async def _silences(chosen: Chosen) -> list[Silence]:
    """The silences there are; none where there is no state yet."""
    from watcher.app import silence_meant
    from watcher.store.connection import NoStateError
    from watcher.store.store import open_reader

    try:
        async with open_reader(memory(chosen).path) as views:
            return list(map(silence_meant, await views.silences()))
    except NoStateError:
        return []


def _change(
    kinds: Sequence[str],
    described: dict[str, str],
    prices: tuple[Decimal | None, Decimal | None],
) -> Change:
    """The change that was asked for; the prices say what it is unless the kinds do."""
    from watcher.catalog.changes import CreditValueChange, Kind, ModelChange
    from watcher.catalog.record import Model

    asked = tuple(Kind(kind.lower()) for kind in kinds)
    if asked == (Kind.CREDIT_VALUE,):
        return CreditValueChange(Decimal("0.005"), Decimal("0.006"))
    asked = asked or _kinds_of(*prices)
    before, after = (Model(_record(described, usd), Decimal("0.005")) for usd in prices)
    return ModelChange(
        asked,
        None if Kind.NEW in asked else before,
        None if Kind.REMOVED in asked else after,
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


def _record(described: dict[str, str], usd: Decimal | None) -> Any:
    from watcher.catalog.pricing import parse_unit
    from watcher.catalog.record import Record, fold

    description = described["model"].strip()
    return Record(
        description=description,
        folded=fold(description),
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


def _tried(change: Change, rules: RoutingRules, silences: list[Silence], now: datetime) -> Trial:
    from watcher.routing.plan import plan, verdicts

    planned = plan(change, rules, now=now, silences=silences)
    fates = [_fate(change, dispatch, rules, silences, now) for dispatch in planned.dispatches]
    dropped = [
        Fate(dispatch, None, _named(dispatch.silence_id, silences), dropped=True)
        for dispatch in planned.suppressed
    ]
    return Trial(change, verdicts(change, rules), (*fates, *dropped))


def _fate(
    change: Change,
    dispatch: Dispatch,
    rules: RoutingRules,
    silences: list[Silence],
    now: datetime,
) -> Fate:
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
        return Fate(dispatch, None, None)
    route = rules.route(dispatch.route)
    if dispatch.silence_id is not None:
        why = _named(dispatch.silence_id, silences)
    elif route is not None and route.digest is not None:
        why = f"the digest of “{route.name}”"
    else:
        why = "quiet hours"
    return Fate(dispatch, found.next_at, why)


def _named(number: int | None, silences: list[Silence]) -> str:
    reason = next((silence.reason for silence in silences if silence.id == number), "")
    return f"silence {number} ({reason})" if reason else f"silence {number}"


@click.command(epilog="Example: kie-watcher replay --since 30d --config new.yaml")
@click.option(
    "--since",
    callback=since_asked,
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
    help="The configuration to try; the memory stays that of the usual one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each message.")
@click.pass_obj
def replay(chosen: Chosen, since: datetime, file: Path | None, as_json: bool) -> None:
    """Run what is remembered through a configuration.

    Prints every message it would have sent, to whom and when, with time as it was: its routes and
    thresholds, quiet hours, digests and the silences there were. Nothing is sent and nothing is
    stored. The wording is that of each receiver's service; addresses need not be readable.
    """
    tried = outlook(Chosen(file) if file else chosen)
    account = asyncio.run(_replay(chosen, tried, since, as_json=as_json))
    if not as_json:
        for line in account.lines():
            say(line)


@dataclass(slots=True)
class Account:
    """What a replay came to."""

    since: datetime
    messages: Counter[str] = field(default_factory=Counter)
    netted: int = 0
    dropped: int = 0
    waiting: int = 0

    def lines(self) -> Iterator[str]:
        """The account, for people."""
        from watcher.render.figures import counted

        since = f"{self.since.astimezone():%Y-%m-%d %H:%M}"
        told = ", ".join(f"{count} to {name}" for name, count in sorted(self.messages.items()))
        total = counted(self.messages.total(), "message", "messages")
        yield f"Since {since}: {total}{f' ({told})' if told else ''}."
        if self.netted:
            yield f"{counted(self.netted, 'delivery', 'deliveries')} came to nothing."
        if self.dropped:
            yield f"{counted(self.dropped, 'delivery', 'deliveries')} dropped by a silence."
        if self.waiting:
            yield f"{counted(self.waiting, 'delivery', 'deliveries')} would still be held back now."


async def _replay(chosen: Chosen, tried: Settings, since: datetime, *, as_json: bool) -> Account:
    from watcher.config.rules import routing_rules
    from watcher.routing.simulate import Rehearsal
    from watcher.store.store import open_reader

    receivers, account = Receivers(tried), Account(since)
    async with open_reader(memory(chosen).path) as views:
        news = await remembered(views, since)
        rehearsal = Rehearsal(routing_rules(tried), begun_at=since, silences=news.silences)
        for told in rehearsal.run(news.contents, datetime.now(UTC)):
            service = receivers.service(told.receiver)
            message = await worded(views, told, service, tried)
            account.messages[told.receiver] += 1
            _print(told, message, service, as_json=as_json)
    return _closed(account, rehearsal)


def _closed(account: Account, rehearsal: Rehearsal) -> Account:
    account.netted, account.dropped = rehearsal.netted, rehearsal.dropped
    account.waiting = rehearsal.waiting()
    return account


def _print(told: Told, message: Message, service: Service, *, as_json: bool) -> None:
    if as_json:
        json_line(_fields(told, message, service))
        return
    digest = told.batch.digest
    kind = "" if digest is None else f", digest “{digest.route}”"
    say(f"── {told.at.astimezone():%Y-%m-%d %H:%M} to {told.receiver} ({service.name}{kind})")
    for line in readable(message, service).splitlines():
        say(line)
    say()


def _fields(told: Told, message: Message, service: Service) -> dict[str, Any]:
    batch = told.batch
    changes = [content.id for content in batch.contents if isinstance(content, RecordedChange)]
    return {
        "at": utc(told.at),
        "receiver": told.receiver,
        "service": service.name,
        "digest": None if batch.digest is None else batch.digest.route,
        "changes": changes,
        "notices": [c.kind.value for c in batch.contents if not isinstance(c, RecordedChange)],
        "markup": service.markup.value,
        "title": message.title,
        "body": message.body,
    }

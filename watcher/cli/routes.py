"""The command `routes test`: which route takes a change, and why each earlier one does not.

Knows how a made-up change is asked for on a command line. Refuses to know what a route asks for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.configured import Chosen, memory, outlook
from watcher.cli.endings import BadUsage
from watcher.cli.printing import json_line, moment, say, utc
from watcher.cli.views import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.changes import Change, Kind
    from watcher.routing import Dispatch, RouteVerdict, RoutingRules, Silence

__all__ = ["routes"]


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
    from watcher.config.rules import routing_rules  # noqa: PLC0415

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
        from watcher.routing import explain  # noqa: PLC0415

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
    from watcher.daemon import silence_meant  # noqa: PLC0415
    from watcher.store import NoStateError, open_reader  # noqa: PLC0415

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
    from watcher.catalog import Model  # noqa: PLC0415
    from watcher.changes import CreditValueChange, Kind, ModelChange  # noqa: PLC0415

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
    from watcher.changes import Kind  # noqa: PLC0415

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
    from watcher.catalog import Record, fold  # noqa: PLC0415
    from watcher.units import parse_unit  # noqa: PLC0415

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
    from watcher.routing import plan, verdicts  # noqa: PLC0415

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
    from watcher.changes import ModelChange, RecordedChange  # noqa: PLC0415
    from watcher.routing import QueuedItem, release  # noqa: PLC0415

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

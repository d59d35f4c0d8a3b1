"""The commands `accept` and `baseline`: believe it now, because a person says so.

Knows how open holds are numbered for people. Refuses to decide what a sweep shows: whatever is
accepted is only believed if the next sweep still shows it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.options import Chosen, memory, opened
from watcher.cli.outbox import ASKED, done_or_left
from watcher.cli.output import BadUsage, Column, failed, json_line, moment, say, table, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.store.requests import HoldName, Request
    from watcher.store.values import OpenHold, Status

COLUMNS = (
    *(Column("Number", numeric=True), Column("Waits"), Column("Model"), Column("Seen")),
    *(Column("Since"), Column("Settled from")),
)
WHOLE_CATALOGUE = "the whole catalogue"


@click.command(epilog="Example: kie-watcher accept 12")
@click.argument("holds", nargs=-1, type=click.IntRange(min=0), metavar="[HOLD]...")
@click.option("--all", "everything", is_flag=True, help="Accept all that waits.")
@click.option("--json", "as_json", is_flag=True, help="Print what waits, one JSON object a line.")
@click.pass_obj
def accept(chosen: Chosen, holds: tuple[int, ...], everything: bool, as_json: bool) -> None:
    """Believe now what waits for confirmation.

    Without a HOLD it lists what waits, with numbers. What is accepted is believed and told by the
    next sweep, if that still shows it. Accepting a collapse (number 0) accepts the removals that
    it holds.
    """
    if holds and everything:
        raise BadUsage("name holds by number, or give --all")
    found = asyncio.run(_look(chosen)).holds
    if not holds and not everything:
        _list(found, as_json=as_json)
        return
    if as_json:
        raise BadUsage("--json is for listing what waits")
    _accept(chosen, found, None if everything else holds)


@click.command(epilog="Example: kie-watcher baseline")
@click.pass_obj
def baseline(chosen: Chosen) -> None:
    """Start over with the catalogue as it is.

    No alert for each difference: the next complete sweep becomes the new baseline. What differs is
    remembered as changes that nobody is told of, nothing waits for confirmation any more, routes
    measure from the new prices, and everybody gets one notice. History is kept, and so is what is
    already on its way.
    """
    from watcher.store.requests import StartOver

    if asyncio.run(_look(chosen)).swept_at is None:
        say("There is no baseline yet; the first complete sweep is one by itself.")
        return
    count = asyncio.run(_wish(chosen, StartOver(datetime.now(UTC))))
    if count is None:
        say(ASKED.format("start over"))
    else:
        say("The next complete sweep, by `kie-watcher run` or `check`, is the new baseline.")


def hold_line(waiting: OpenHold, now: datetime) -> str:
    """One hold in one line, its number first."""
    hold = waiting.hold
    what = waiting.description or WHOLE_CATALOGUE
    until = moment(hold.until_at, now)
    return f"{waiting.number}: {hold.reason.value}: {what}, settled from {until}"


def hold_fields(waiting: OpenHold) -> dict[str, Any]:
    """One hold for programs."""
    return {
        "number": waiting.number,
        "reason": waiting.hold.reason.value,
        "model": waiting.description,
        "seen": waiting.hold.subject or None,
        "since": utc(waiting.hold.since_at),
        "until": utc(waiting.hold.until_at),
    }


async def _look(chosen: Chosen) -> Status:
    async with opened(chosen) as views:
        return await views.status()


async def _wish(chosen: Chosen, request: Request) -> int | None:
    return await done_or_left(memory(chosen).path, request)


def _list(found: Sequence[OpenHold], *, as_json: bool) -> None:
    if as_json:
        for waiting in found:
            json_line(hold_fields(waiting))
    elif found:
        now = datetime.now(UTC)
        table(COLUMNS, [_row(waiting, now) for waiting in found])
    else:
        say("Nothing waits for confirmation.")


def _row(waiting: OpenHold, now: datetime) -> tuple[str, ...]:
    hold = waiting.hold
    return (
        str(waiting.number),
        hold.reason.value,
        waiting.description or WHOLE_CATALOGUE,
        _seen(waiting),
        moment(hold.since_at, now),
        moment(hold.until_at, now),
    )


def _seen(waiting: OpenHold) -> str:
    """What was seen that must be seen again: a price per base unit, or a name."""
    from watcher.catalog.confirm import HoldReason

    subject = waiting.hold.subject
    if waiting.hold.reason is HoldReason.PRICE:
        return f"{subject} credits a unit" if subject else "no price"
    return subject or "missing"


def _accept(chosen: Chosen, found: Sequence[OpenHold], numbers: tuple[int, ...] | None) -> None:
    from watcher.store.requests import AcceptHolds

    names = None if numbers is None else tuple(_named(found, number) for number in numbers)
    flat = None if names is None else tuple(name for each in names for name in each)
    count = asyncio.run(_wish(chosen, AcceptHolds(datetime.now(UTC), flat)))
    if count is None:
        say(ASKED.format("accept what it still sees"))
    elif not count:
        say("Nothing waits for confirmation.")
    else:
        waits = "1 hold is" if count == 1 else f"{count} holds are"
        say(f"{waits} accepted; the next `kie-watcher run` or `check` believes what it still sees.")


def _named(found: Sequence[OpenHold], number: int) -> tuple[HoldName, ...]:
    from watcher.store.requests import HoldName

    holds = [waiting.hold for waiting in found if waiting.number == number]
    if not holds:
        raise failed(f"nothing with the number {number} waits (see `kie-watcher accept`)")
    return tuple(HoldName(hold.reason, hold.model_id, hold.subject) for hold in holds)

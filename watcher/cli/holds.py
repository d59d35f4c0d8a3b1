"""The commands `accept` and `baseline`: changes confirmed because a person decides so.

What is accepted is still only confirmed if the next sweep shows it again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from watcher.cli.listing import Cell, Form, Listing, form_options, print_list
from watcher.cli.options import (
    LEFT_FOR_DAEMON,
    GlobalOptions,
    apply_or_leave,
    local_now,
    read_state,
    state_path,
)
from watcher.cli.output import BadUsage, failed, moment, say
from watcher.cli.query import WHOLE_CATALOGUE, hold_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.store.requests import HoldKey
    from watcher.store.values import OpenHold


@click.command(epilog="Example: kie-watcher accept 12")
@click.argument("holds", nargs=-1, type=click.IntRange(min=0), metavar="[HOLD]...")
@click.option("--all", "everything", is_flag=True, help="Accept all that wait.")
@form_options
@click.pass_obj
def accept(options: GlobalOptions, holds: tuple[int, ...], everything: bool, form: Form) -> None:
    """Accept changes that wait for confirmation (holds).

    Without a HOLD it lists them, with their numbers. What is accepted is announced by the next
    sweep, if that still shows it. Accepting a collapse (number 0) accepts the removals that it
    holds.
    """
    if holds and everything:
        raise BadUsage("name holds by number, or give --all")
    found = read_state(state_path(options), lambda reader: reader.status()).holds
    if not holds and not everything:
        print_list(found, _holds(local_now(options)), form)
        return
    if form != "table":
        raise BadUsage(f"--{form} is for listing the holds")
    _accept(options, found, None if everything else holds)


@click.command(epilog="Example: kie-watcher baseline")
@click.pass_obj
def baseline(options: GlobalOptions) -> None:
    """Start over with the catalogue as it is.

    The next complete sweep becomes the new baseline, without an alert for each difference. What
    differs is stored as changes that are not announced, nothing waits for confirmation any more,
    routes measure from the new prices, and every receiver gets one notice. History is kept, and
    so are messages that are not sent yet.
    """
    from watcher.store.requests import StartOver

    found = read_state(state_path(options), lambda reader: reader.status())
    if found.swept_at is None:
        say("There is no baseline yet; the first complete sweep is one by itself.")
        return
    request = StartOver(datetime.now(UTC))
    count = asyncio.run(apply_or_leave(state_path(options), request))
    if count is None:
        say(LEFT_FOR_DAEMON.format("start over"))
    else:
        say("The next complete sweep, by `kie-watcher run` or `check`, is the new baseline.")


def _holds(now: datetime) -> Listing[OpenHold]:
    def cells(waiting: OpenHold) -> tuple[Cell, ...]:
        hold = waiting.hold
        return (
            waiting.number,
            hold.reason.value,
            waiting.description or WHOLE_CATALOGUE,
            _seen(waiting),
            moment(hold.since_at, now),
            moment(hold.until_at, now),
        )

    headings = "Number", "Reason", "Model", "Seen", "Since", "Confirmed from"
    return Listing(
        headings,
        cells,
        hold_fields,
        "Nothing waits for confirmation.",
        lead=("Number", "Model"),
        labelled=("Since", "Confirmed from"),
    )


def _seen(waiting: OpenHold) -> str:
    """What must be seen again: a price per base unit, or a name."""
    from watcher.catalog.confirm import HoldReason

    subject = waiting.hold.subject
    if waiting.hold.reason is HoldReason.PRICE:
        return f"{subject} credits a unit" if subject else "no price"
    return subject or "missing"


def _accept(
    options: GlobalOptions, found: Sequence[OpenHold], numbers: tuple[int, ...] | None
) -> None:
    from watcher.store.requests import AcceptHolds

    keys = None
    if numbers is not None:
        keys = tuple(key for number in numbers for key in _keys_of(found, number))
    request = AcceptHolds(datetime.now(UTC), keys)
    count = asyncio.run(apply_or_leave(state_path(options), request))
    if count is None:
        say(LEFT_FOR_DAEMON.format("accept what the next sweep still shows"))
    elif not count:
        say("Nothing waits for confirmation.")
    else:
        waits = "1 hold is" if count == 1 else f"{count} holds are"
        say(f"{waits} accepted; the next `kie-watcher run` or `check` confirms what it still sees.")


def _keys_of(found: Sequence[OpenHold], number: int) -> tuple[HoldKey, ...]:
    from watcher.store.requests import HoldKey

    holds = [waiting.hold for waiting in found if waiting.number == number]
    if not holds:
        raise failed(f"nothing with the number {number} waits (see `kie-watcher accept`)")
    return tuple(HoldKey(hold.reason, hold.model_id, hold.subject) for hold in holds)

"""The command `status`: one screen that says whether all is well.

Knows what an operator looks at first. Refuses to judge: exit 0 means that it could look.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.configured import Chosen, memory
from watcher.cli.printing import json_line, moment, news_count, say, utc
from watcher.cli.settling import hold_fields, hold_line
from watcher.cli.views import opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from watcher.store.values import PollStatus, ReceiverStatus, Status

__all__ = ["status"]

NAME_WIDTH = 14
MOST_HOLDS = 10


@click.command(epilog="Example: kie-watcher status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(chosen: Chosen, as_json: bool) -> None:
    """Show on one screen how things stand.

    The last poll and sweep and how they ended, models by category, what waits for confirmation,
    and what is pending or dead at each receiver.
    """

    async def ask() -> Status:
        async with opened(chosen) as views:
            return await views.status()

    found = asyncio.run(ask())
    if as_json:
        json_line(_fields(found))
        return
    known = memory(chosen)
    say(_line("State", str(known.path)))
    for line in _screen(found, known.receivers, datetime.now(UTC)):
        say(line)


def _screen(found: Status, receivers: Collection[str], now: datetime) -> Iterator[str]:
    yield from _poll(found.poll, now)
    yield _line("Last sweep", moment(found.swept_at, now))
    yield _line("Models", _models(found))
    yield _line("On hold", str(len(found.holds)) if found.holds else "nothing")
    for waiting in found.holds[:MOST_HOLDS]:
        yield _line("", hold_line(waiting, now))
    if len(found.holds) > MOST_HOLDS:
        more = len(found.holds) - MOST_HOLDS
        yield _line("", f"and {more} more, see `kie-watcher accept`")
    yield from _receivers(found, receivers, now)


def _poll(poll: PollStatus | None, now: datetime) -> Iterator[str]:
    if poll is None:
        yield _line("Last poll", "never")
        return
    why = f": {poll.reason}" if poll.reason else ""
    yield _line("Last poll", f"{moment(poll.at, now)}, {poll.outcome}{why}")
    if poll.failures:
        in_a_row = f"{poll.failures} in a row; last success {moment(poll.last_success_at, now)}"
        yield _line("Failures", in_a_row)


def _models(found: Status) -> str:
    if not found.models:
        return "none"
    categories = ", ".join(f"{count} {name or '(none)'}" for name, count in found.models.items())
    return f"{sum(found.models.values())}: {categories}"


def _receivers(found: Status, receivers: Collection[str], now: datetime) -> Iterator[str]:
    """One line for each receiver that is configured, or that something is still due to."""
    busy = {receiver.receiver: receiver for receiver in found.receivers}
    for place, name in enumerate(sorted({*receivers, *busy})):
        heading = "" if place else "Receivers"
        said = _pending(busy[name], now) if name in busy else "nothing pending"
        strange = "" if name in receivers else " (not configured)"
        yield _line(heading, f"{name}{strange}: {said}")


def _pending(receiver: ReceiverStatus, now: datetime) -> str:
    said = []
    if receiver.waiting or receiver.open:
        messages = "1 message" if receiver.open == 1 else f"{receiver.open} messages"
        said.append(f"{messages} and {news_count(receiver.waiting)} pending")
    if receiver.oldest_at:
        said.append(f"oldest {moment(receiver.oldest_at, now)}")
    if receiver.next_attempt_at:
        said.append(f"next attempt {moment(receiver.next_attempt_at, now)}")
    if receiver.dead:
        said.append(f"{receiver.dead} DEAD, see `kie-watcher outbox list`")
    if receiver.last_error:
        said.append(f"last error: {receiver.last_error}")
    return ", ".join(said)


def _line(heading: str, text: str) -> str:
    return f"{heading:<{NAME_WIDTH}}{text}".rstrip()


def _fields(found: Status) -> dict[str, Any]:
    from watcher.prices import decimal_text  # noqa: PLC0415

    return {
        "poll": found.poll and _poll_fields(found.poll),
        "swept_at": utc(found.swept_at),
        "usd_per_credit": decimal_text(found.usd_per_credit),
        "models": dict(found.models),
        "holds": [hold_fields(waiting) for waiting in found.holds],
        "receivers": [_receiver_fields(receiver) for receiver in found.receivers],
    }


def _poll_fields(poll: PollStatus) -> dict[str, Any]:
    return {
        "at": utc(poll.at),
        "outcome": poll.outcome,
        "reason": poll.reason,
        "last_success_at": utc(poll.last_success_at),
        "failures": poll.failures,
    }


def _receiver_fields(receiver: ReceiverStatus) -> dict[str, Any]:
    return {
        "receiver": receiver.receiver,
        "waiting": receiver.waiting,
        "open": receiver.open,
        "dead": receiver.dead,
        "oldest_at": utc(receiver.oldest_at),
        "next_attempt_at": utc(receiver.next_attempt_at),
        "last_error": receiver.last_error,
    }

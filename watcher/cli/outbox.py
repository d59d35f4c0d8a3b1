"""Carrying out what a person asks of the state, here or by the daemon that owns it.

Knows that a state has one writer: beside a running daemon a wish is left for it, which takes it
within seconds. Refuses to know what is wished.

The command `outbox`: what waits to be sent and what died, and what to do about it.

Knows what a person calls messages by. Refuses to send anything itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.options import Chosen, memory, opened
from watcher.cli.output import BadUsage, Column, age, failed, json_line, news_count, say, table, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from watcher.store.requests import Request, Wish
    from watcher.store.values import OutboxView, StoredMessage, Waiting

ASKED = "The running daemon has been asked to {}; it does so within seconds."


async def done_or_left(state: Path, request: Request) -> int | None:
    """How many things the wish was about; `None` where it is left for the running daemon."""
    from watcher.store import requests
    from watcher.store.connection import InUseError
    from watcher.store.store import open_store

    try:
        async with open_store(state) as store:
            return await store.apply(request)
    except InUseError:
        requests.leave(state, request)
        return None


COLUMNS = (
    *(Column("Number", numeric=True), Column("Alert"), Column("Receiver"), Column("State")),
    *(Column("Attempts", numeric=True), Column("Next attempt"), Column("Last error")),
    *(Column("Age"), Column("Title")),
)


@dataclass(frozen=True, slots=True)
class Aim:
    """Which messages are meant: those named by number or alert id, a receiver's, or all."""

    messages: tuple[str, ...]
    receiver: str | None

    @classmethod
    def of(cls, messages: tuple[str, ...], receiver: str | None, everything: bool) -> Aim:
        if (bool(messages), receiver is not None, everything).count(True) != 1:
            raise BadUsage(
                "say which: messages by number or alert id, or --receiver NAME, or --all"
            )
        return cls(messages, receiver)

    def numbers(self, there: OutboxView) -> tuple[int, ...] | None:
        """The numbers of the messages named; `None` where none is named."""
        if not self.messages:
            return None
        known = {message.alert_id: message.id for message in there.messages}
        known |= {str(message.id): message.id for message in there.messages}
        if missing := [name for name in self.messages if name not in known]:
            listed = ", ".join(missing)
            raise failed(f"neither waiting nor dead: {listed} (see `kie-watcher outbox list`)")
        return tuple(known[name] for name in self.messages)


@click.group(
    invoke_without_command=True, epilog="Example: kie-watcher outbox retry --receiver team"
)
@click.pass_context
def outbox(context: click.Context) -> None:
    """List, retry, forward or discard what waits to be sent or died.

    Without a command it lists. A message is dead when it was refused for good, or not accepted
    within delivery.give_up_after. It is kept until it is retried or discarded.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@outbox.command("list", epilog="Example: kie-watcher outbox list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def list_(chosen: Chosen, as_json: bool = False) -> None:
    """List what waits and what died, oldest first."""
    found, receivers = asyncio.run(_look(chosen)), memory(chosen).receivers
    if not as_json:
        _outbox_table(found, receivers)
        return
    for message in found.messages:
        json_line(_message_fields(message, receivers))
    for waiting in found.waiting:
        json_line(_waiting_fields(waiting, receivers))


def _aimed(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that say which messages are meant."""
    for add in (
        click.argument("messages", nargs=-1, metavar="[MESSAGE]..."),
        click.option("--receiver", metavar="NAME", help="All of this receiver."),
        click.option("--all", "everything", is_flag=True, help="All of all receivers."),
    ):
        command = add(command)
    return click.pass_obj(command)


@outbox.command(epilog="Example: kie-watcher outbox retry 12 7k2mw9xc")
@_aimed
def retry(
    chosen: Chosen, messages: tuple[str, ...], receiver: str | None, everything: bool
) -> None:
    """Send dead messages again, the same text under the same id.

    Name each MESSAGE by its number or alert id, or give --receiver or --all.
    """
    from watcher.store.requests import Wish

    _carry_out(chosen, Wish.RETRY, Aim.of(messages, receiver, everything))


@outbox.command(epilog="Example: kie-watcher outbox discard --receiver old-team")
@_aimed
def discard(
    chosen: Chosen, messages: tuple[str, ...], receiver: str | None, everything: bool
) -> None:
    """Give up messages, open or dead.

    Name each MESSAGE by its number or alert id, or give --receiver or --all, which also give up
    what is in no message yet. What happened stays remembered: only the telling is given up.
    """
    from watcher.store.requests import Wish

    _carry_out(chosen, Wish.DISCARD, Aim.of(messages, receiver, everything))


@outbox.command(epilog="Example: kie-watcher outbox forward --receiver old-team --to team")
@_aimed
@click.option("--to", required=True, metavar="NAME", help="The receiver who gets it instead.")
def forward(
    chosen: Chosen, messages: tuple[str, ...], receiver: str | None, everything: bool, to: str
) -> None:
    """Send messages, open or dead, to another receiver.

    Name each MESSAGE by its number or alert id, or give --receiver or --all, which also forward
    what is in no message yet. What the other receiver was told already is not told again.
    """
    from watcher.store.requests import Forward

    aim, known = Aim.of(messages, receiver, everything), memory(chosen)
    if to not in known.receivers:
        raise BadUsage(
            f"there is no receiver {to} (configured: {', '.join(sorted(known.receivers))})"
        )
    numbers = aim.numbers(asyncio.run(_look(chosen)))
    request = Forward(datetime.now(UTC), to, numbers, aim.receiver)
    count = asyncio.run(done_or_left(known.path, request))
    if count is None:
        say(ASKED.format("forward"))
    elif not count:
        say("There is nothing to forward.")
    else:
        say(f"{_pieces(count)} forwarded; the next `kie-watcher run` or `check` sends.")


async def _look(chosen: Chosen) -> OutboxView:
    async with opened(chosen) as views:
        return await views.outbox()


def _carry_out(chosen: Chosen, wish: Wish, aim: Aim) -> None:
    count = asyncio.run(_done_or_left(chosen, wish, aim))
    if count is None:
        say(ASKED.format(wish.value))
    elif not count:
        say(f"There is nothing to {wish.value}.")
    else:
        say(_done(wish, count))


def _done(wish: Wish, count: int) -> str:
    from watcher.render.figures import counted
    from watcher.store.requests import Wish

    if wish is Wish.RETRY:
        what = counted(count, "message is", "messages are")
        return f"{what} open again; the next `kie-watcher run` or `check` sends."
    return f"{_pieces(count)} discarded."


def _pieces(count: int) -> str:
    from watcher.render.figures import counted

    return counted(count, "message or waiting piece", "messages and waiting pieces")


async def _done_or_left(chosen: Chosen, wish: Wish, aim: Aim) -> int | None:
    from watcher.store.requests import OutboxRequest

    numbers = aim.numbers(await _look(chosen))
    request = OutboxRequest(wish, datetime.now(UTC), numbers, aim.receiver)
    return await done_or_left(memory(chosen).path, request)


def _outbox_table(found: OutboxView, receivers: Collection[str]) -> None:
    now = datetime.now(UTC)
    if found.messages:
        rows = [_message_row(message, receivers, now) for message in found.messages]
        table(COLUMNS, rows)
    for waiting in found.waiting:
        name, news = _named(waiting.receiver, receivers), news_count(waiting.items)
        say(f"{name}: {news} in no message yet, oldest {age(waiting.oldest_at, now)}")
    if not found.messages and not found.waiting:
        say("Nothing waits and nothing died.")


def _message_row(
    message: StoredMessage, receivers: Collection[str], now: datetime
) -> tuple[str, ...]:
    from watcher.store.values import MessageState

    is_open = message.state is MessageState.OPEN
    return (
        str(message.id),
        message.alert_id,
        _named(message.receiver, receivers),
        message.state.value,
        str(message.attempts),
        age(message.next_attempt_at, now) if is_open else "never",
        message.last_error or "",
        age(message.created_at, now),
        message.title,
    )


def _named(receiver: str, receivers: Collection[str]) -> str:
    return receiver if receiver in receivers else f"{receiver} (not configured)"


def _message_fields(message: StoredMessage, receivers: Collection[str]) -> dict[str, Any]:
    from watcher.store.values import MessageState

    is_open = message.state is MessageState.OPEN
    return {
        "id": message.id,
        "alert": message.alert_id,
        "receiver": message.receiver,
        "configured": message.receiver in receivers,
        "state": message.state.value,
        "items": message.items,
        "attempts": message.attempts,
        "created_at": utc(message.created_at),
        "next_attempt_at": utc(message.next_attempt_at) if is_open else None,
        "last_error": message.last_error,
        "title": message.title,
    }


def _waiting_fields(waiting: Waiting, receivers: Collection[str]) -> dict[str, Any]:
    return {
        "receiver": waiting.receiver,
        "configured": waiting.receiver in receivers,
        "state": "waiting",
        "items": waiting.items,
        "oldest_at": utc(waiting.oldest_at),
    }

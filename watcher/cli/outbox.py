"""The command `outbox`: what waits to be sent and what is dead, and what to do about it.

Also how every command that changes the state makes its request: the state has one writer, so beside
a running daemon the request is left for it, which takes it within seconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.options import GlobalOptions, load_settings_leniently, open_state, state_path
from watcher.cli.output import (
    BadUsage,
    Column,
    age,
    failed,
    news_count,
    print_json,
    print_table,
    say,
    unknown_receiver,
    utc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from watcher.store.requests import DiscardMessages, Request, RetryMessages
    from watcher.store.values import OutboxView, StoredMessage, WaitingDeliveries

LEFT_FOR_DAEMON = "The running daemon has been asked to {}; it does so within seconds."

COLUMNS = (
    *(Column("Number", numeric=True), Column("Alert"), Column("Receiver"), Column("State")),
    *(Column("Attempts", numeric=True), Column("Next attempt"), Column("Last error")),
    *(Column("Age"), Column("Title")),
)


async def apply_or_leave(state: Path, request: Request) -> int | None:
    """How many things the request changed; `None` where it is left for the running daemon."""
    from watcher.store.connection import InUseError
    from watcher.store.requests import leave_request
    from watcher.store.store import open_store

    try:
        async with open_store(state) as store:
            return await store.apply(request)
    except InUseError:
        leave_request(state, request)
        return None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are meant: those named by number or alert id, a receiver's, or all."""

    messages: tuple[str, ...]
    receiver: str | None

    @classmethod
    def of(cls, messages: tuple[str, ...], receiver: str | None, everything: bool) -> Selection:
        if (bool(messages), receiver is not None, everything).count(True) != 1:
            raise BadUsage(
                "say which: messages by number or alert id, or --receiver NAME, or --all"
            )
        return cls(messages, receiver)

    def numbers(self, found: OutboxView) -> tuple[int, ...] | None:
        """The numbers of the messages named; `None` where none is named."""
        if not self.messages:
            return None
        known = {message.alert_id: message.id for message in found.messages}
        known |= {str(message.id): message.id for message in found.messages}
        if missing := [name for name in self.messages if name not in known]:
            listed = ", ".join(missing)
            raise failed(f"neither waiting nor dead: {listed} (see `kie-watcher outbox list`)")
        return tuple(known[name] for name in self.messages)


@click.group(
    invoke_without_command=True, epilog="Example: kie-watcher outbox retry --receiver team"
)
@click.pass_context
def outbox(context: click.Context) -> None:
    """List, retry, forward or discard what waits to be sent or is dead.

    Without a command it lists. A message is dead when it was refused for good, or not accepted
    within delivery.give_up_after. It is kept until it is retried or discarded.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@outbox.command("list", epilog="Example: kie-watcher outbox list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def list_(options: GlobalOptions, as_json: bool = False) -> None:
    """List what waits to be sent and what is dead, oldest first."""
    found = asyncio.run(_read_outbox(options))
    receivers = load_settings_leniently(options).receiver_names()
    if not as_json:
        _print_outbox(found, receivers)
        return
    for message in found.messages:
        print_json(_message_fields(message, receivers))
    for waiting in found.waiting:
        print_json(_waiting_fields(waiting, receivers))


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that say which messages are meant."""
    for add in (
        click.argument("messages", nargs=-1, metavar="[MESSAGE]..."),
        click.option("--receiver", metavar="NAME", help="All of this receiver."),
        click.option("--all", "everything", is_flag=True, help="All of all receivers."),
    ):
        command = add(command)
    return click.pass_obj(command)


@outbox.command(epilog="Example: kie-watcher outbox retry 12 7k2mw9xc")
@_selecting
def retry(
    options: GlobalOptions, messages: tuple[str, ...], receiver: str | None, everything: bool
) -> None:
    """Send dead messages again, the same text under the same id.

    And at once those that wait for another try. Name each MESSAGE by its number or alert id, or
    give --receiver or --all.
    """
    from watcher.render.figures import counted
    from watcher.store.requests import RetryMessages

    selection = Selection.of(messages, receiver, everything)
    count = asyncio.run(_apply_to(selection, RetryMessages, options))
    if count is None:
        say(LEFT_FOR_DAEMON.format("retry"))
    elif not count:
        say("There is nothing to retry.")
    else:
        what = counted(count, "message is", "messages are")
        say(f"{what} due now; the next `kie-watcher run` or `check` sends.")


@outbox.command(epilog="Example: kie-watcher outbox discard --receiver old-team")
@_selecting
def discard(
    options: GlobalOptions, messages: tuple[str, ...], receiver: str | None, everything: bool
) -> None:
    """Give up messages, open or dead.

    Name each MESSAGE by its number or alert id, or give --receiver or --all, which also give up
    what is in no message yet. The changes stay in the history: they are only not sent.
    """
    from watcher.store.requests import DiscardMessages

    selection = Selection.of(messages, receiver, everything)
    count = asyncio.run(_apply_to(selection, DiscardMessages, options))
    if count is None:
        say(LEFT_FOR_DAEMON.format("discard"))
    elif not count:
        say("There is nothing to discard.")
    else:
        say(f"{_pieces(count)} discarded.")


@outbox.command(epilog="Example: kie-watcher outbox forward --receiver old-team --to team")
@_selecting
@click.option("--to", required=True, metavar="NAME", help="The receiver who gets it instead.")
def forward(
    options: GlobalOptions,
    messages: tuple[str, ...],
    receiver: str | None,
    everything: bool,
    to: str,
) -> None:
    """Send messages, open or dead, to another receiver.

    Name each MESSAGE by its number or alert id, or give --receiver or --all, which also forward
    what is in no message yet. What the other receiver already got is not sent again.
    """
    from watcher.store.requests import ForwardMessages

    selection = Selection.of(messages, receiver, everything)
    receivers = load_settings_leniently(options).receiver_names()
    if to not in receivers:
        raise unknown_receiver(to, receivers)
    numbers = selection.numbers(asyncio.run(_read_outbox(options)))
    request = ForwardMessages(datetime.now(UTC), to, numbers, selection.receiver)
    count = asyncio.run(apply_or_leave(state_path(options), request))
    if count is None:
        say(LEFT_FOR_DAEMON.format("forward"))
    elif not count:
        say("There is nothing to forward.")
    else:
        say(f"{_pieces(count)} forwarded; the next `kie-watcher run` or `check` sends.")


async def _read_outbox(options: GlobalOptions) -> OutboxView:
    async with open_state(options) as reader:
        return await reader.outbox()


async def _apply_to(
    selection: Selection,
    request_type: type[RetryMessages | DiscardMessages],
    options: GlobalOptions,
) -> int | None:
    numbers = selection.numbers(await _read_outbox(options))
    request = request_type(datetime.now(UTC), numbers, selection.receiver)
    return await apply_or_leave(state_path(options), request)


def _pieces(count: int) -> str:
    from watcher.render.figures import counted

    return counted(count, "message or waiting piece", "messages and waiting pieces")


def _print_outbox(found: OutboxView, receivers: Collection[str]) -> None:
    now = datetime.now(UTC)
    if found.messages:
        rows = [_message_row(message, receivers, now) for message in found.messages]
        print_table(COLUMNS, rows)
    for waiting in found.waiting:
        name, news = _marked(waiting.receiver, receivers), news_count(waiting.items)
        say(f"{name}: {news} in no message yet, oldest {age(waiting.oldest_at, now)}")
    if not found.messages and not found.waiting:
        say("Nothing waits and nothing is dead.")


def _message_row(
    message: StoredMessage, receivers: Collection[str], now: datetime
) -> tuple[str, ...]:
    from watcher.store.values import MessageState

    is_open = message.state is MessageState.OPEN
    return (
        str(message.id),
        message.alert_id,
        _marked(message.receiver, receivers),
        message.state.value,
        str(message.attempts),
        age(message.next_attempt_at, now) if is_open else "never",
        message.last_error or "",
        age(message.created_at, now),
        message.title,
    )


def _marked(receiver: str, receivers: Collection[str]) -> str:
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


def _waiting_fields(waiting: WaitingDeliveries, receivers: Collection[str]) -> dict[str, Any]:
    return {
        "receiver": waiting.receiver,
        "configured": waiting.receiver in receivers,
        "state": "waiting",
        "items": waiting.items,
        "oldest_at": utc(waiting.oldest_at),
    }

"""The command `outbox`: what waits to be sent and what is dead, and what to do about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.listing import Cell, Form, Listing, form_options, print_list
from watcher.cli.options import (
    LEFT_FOR_DAEMON,
    GlobalOptions,
    apply_or_leave,
    load_settings_leniently,
    read_state,
    state_path,
)
from watcher.cli.output import (
    BadUsage,
    age,
    failed,
    news_count,
    say,
    unknown_receiver,
    utc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from watcher.store.requests import DiscardMessages, RetryMessages
    from watcher.store.values import OutboxView, StoredMessage, WaitingDeliveries

HEADINGS = (
    *("Number", "Alert", "Receiver", "State", "Attempts"),
    *("Next attempt", "Last error", "Age", "Title"),
)


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
@form_options
@click.pass_context
def outbox(context: click.Context, form: Form) -> None:
    """List, retry, forward or discard what waits to be sent or is dead.

    Without a command it lists. A message is dead when it was refused permanently, or not accepted
    within delivery.give_up_after. It is kept until it is retried or discarded.
    """
    if context.invoked_subcommand is not None and form != "table":
        raise BadUsage(f"--{form} is for listing; write it after the command")
    if context.invoked_subcommand is None:
        context.invoke(list_, form=form)


@outbox.command("list", epilog="Example: kie-watcher outbox list --json")
@form_options
@click.pass_obj
def list_(options: GlobalOptions, form: Form = "table") -> None:
    """List what waits to be sent and what is dead, oldest first."""
    settings = load_settings_leniently(options)
    found = read_state(settings.state.path.absolute(), lambda reader: reader.outbox())
    receivers = settings.receiver_names()
    things: list[StoredMessage | WaitingDeliveries] = [*found.messages, *found.waiting]
    print_list(things, _listing(receivers, datetime.now(UTC)), form)


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
    count = _apply_to(selection, RetryMessages, options)
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
    count = _apply_to(selection, DiscardMessages, options)
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
    path = state_path(options)
    numbers = selection.numbers(read_state(path, lambda reader: reader.outbox()))
    request = ForwardMessages(datetime.now(UTC), to, numbers, selection.receiver)
    count = asyncio.run(apply_or_leave(path, request))
    if count is None:
        say(LEFT_FOR_DAEMON.format("forward"))
    elif not count:
        say("There is nothing to forward.")
    else:
        say(f"{_pieces(count)} forwarded; the next `kie-watcher run` or `check` sends.")


def _apply_to(
    selection: Selection,
    request_type: type[RetryMessages | DiscardMessages],
    options: GlobalOptions,
) -> int | None:
    path = state_path(options)
    numbers = selection.numbers(read_state(path, lambda reader: reader.outbox()))
    request = request_type(datetime.now(UTC), numbers, selection.receiver)
    return asyncio.run(apply_or_leave(path, request))


def _pieces(count: int) -> str:
    from watcher.render.figures import counted

    return counted(count, "message or waiting piece", "messages and waiting pieces")


def _listing(
    receivers: Collection[str], now: datetime
) -> Listing[StoredMessage | WaitingDeliveries]:
    from watcher.store.values import MessageState, StoredMessage

    def cells(listed: StoredMessage | WaitingDeliveries) -> tuple[Cell, ...]:
        name = listed.receiver
        receiver = name if name in receivers else f"{name} (not configured)"
        if not isinstance(listed, StoredMessage):
            oldest, news = age(listed.oldest_at, now), news_count(listed.items)
            what = f"{news} in no message yet"
            return None, None, receiver, "waiting", None, None, None, oldest, what
        is_open = listed.state is MessageState.OPEN
        return (
            listed.id,
            listed.alert_id,
            receiver,
            listed.state.value,
            listed.attempts,
            age(listed.next_attempt_at, now) if is_open else "never",
            listed.last_error,
            age(listed.created_at, now),
            listed.title,
        )

    def fields(listed: StoredMessage | WaitingDeliveries) -> dict[str, Any]:
        if isinstance(listed, StoredMessage):
            return _message_fields(listed, receivers)
        return _waiting_fields(listed, receivers)

    return Listing(
        HEADINGS,
        cells,
        fields,
        "Nothing waits and nothing is dead.",
        lead=("Number", "Alert", "Title"),
        labelled=("Next attempt", "Last error"),
    )


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

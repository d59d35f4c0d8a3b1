"""The commands that show something and change nothing: `models`, `changes`, `status` and `health`.

All of them work while the daemon runs and without the service's secrets. `health` asks the running
watcher with nothing except the standard library: it runs every few seconds and must be light.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import click

from watcher.catalog.changes import CreditValueChange, Kind, public_fields
from watcher.cli.holds import hold_fields, hold_line
from watcher.cli.options import (
    GlobalOptions,
    load_settings_leniently,
    open_state,
    since_option,
)
from watcher.cli.output import (
    FAILED,
    BadUsage,
    Column,
    failed,
    moment,
    news_count,
    print_json,
    print_table,
    say,
    utc,
)
from watcher.config.addresses import TcpAddress, UnixAddress, parse_listen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import PurePath

    from watcher.catalog.changes import RecordedChange
    from watcher.catalog.record import Model
    from watcher.store.values import KnownModel, ModelList, PollStatus, ReceiverStatus, Status

KINDS = tuple(kind.value for kind in Kind)
LONGEST_OLD_NAME = 80

# Of the screen of `status`.
HEADING_WIDTH = 14
MOST_HOLDS = 10

PATIENCE = timedelta(seconds=5)
LONGEST_REPLY = 4096
READY = "ready"
# Whoever listens on all addresses is asked at this one.
_LISTENS_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on


@click.command(epilog="Example: kie-watcher models --interface video --search '1080p audio'")
@click.option("--interface", metavar="X", help="Only this category, as in video.")
@click.option("--provider", metavar="X", help="Only this provider.")
@click.option("--search", metavar="TEXT", help="Only models with all these words in their name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def models(
    options: GlobalOptions,
    interface: str | None,
    provider: str | None,
    search: str | None,
    as_json: bool,
) -> None:
    """List the catalogue as stored. Upper and lower case are the same."""

    async def read() -> ModelList:
        async with open_state(options) as reader:
            return await reader.models(interface=interface, provider=provider, search=search)

    found = asyncio.run(read()).models
    if as_json:
        for known, model in found:
            print_json(_model_fields(known, model))
    elif found:
        _print_models(found)
    else:
        say("No model matches.")


@click.command(
    epilog="Example: kie-watcher changes --since 7d --kind price_up --model '*seedance*'"
)
@click.option(
    "--since",
    callback=since_option,
    metavar="TIME",
    help="Only since so long ago (7d, 36h) or since a date (2026-11-01).",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS, case_sensitive=False),
    multiple=True,
    metavar="K",
    help=f"Only of this kind, or of one of several: {', '.join(KINDS)}.",
)
@click.option("--model", "glob", metavar="GLOB", help="Only models whose description matches.")
@click.option(
    "--alert", "alert_id", metavar="ID", help="Only the changes in the alert with this id."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, oldest first.")
@click.pass_obj
def changes(options: GlobalOptions, /, *, as_json: bool, **filters: Any) -> None:
    """List changes, newest first. Upper and lower case are the same."""

    async def read() -> tuple[RecordedChange, ...]:
        async with open_state(options) as reader:
            return await reader.changes(**filters, newest_first=not as_json)

    found = asyncio.run(read())
    if as_json:
        for recorded in found:
            print_json(public_fields(recorded))
    elif found:
        print_changes(found)
    else:
        say("No change matches.")


def print_changes(found: Sequence[RecordedChange]) -> None:
    """Print changes for people, in the order given."""
    now = datetime.now(UTC)
    print_table(
        (Column("When"), Column("Kinds"), Column("Model"), Column("What")),
        [(moment(recorded.at, now), *_change_cells(recorded)) for recorded in found],
    )


def _change_cells(recorded: RecordedChange) -> tuple[str, str, str]:
    from watcher.render.words import announcement, phrases

    change = recorded.change
    kinds = ", ".join(kind.value for kind in change.kinds)
    if isinstance(change, CreditValueChange):
        return kinds, "(all)", announcement(change)
    description = change.model.record.description
    return kinds, description, "; ".join(phrases(change, LONGEST_OLD_NAME))


def _print_models(found: Sequence[tuple[KnownModel, Model]]) -> None:
    from watcher.render.figures import against_reference, price

    print_table(
        (
            Column("Category"),
            Column("Provider"),
            Column("Model"),
            Column("Price"),
            Column("Discount"),
            Column("Last changed"),
        ),
        [
            (
                model.record.interface,
                model.record.provider,
                model.record.description,
                price(model),
                against_reference(model, model),
                f"{known.last_changed_at.astimezone():%Y-%m-%d}",
            )
            for known, model in found
        ],
    )


def _model_fields(known: KnownModel, model: Model) -> dict[str, Any]:
    return model.fields() | {
        "first_seen": utc(known.first_seen_at),
        "last_changed": utc(known.last_changed_at),
    }


@click.command(epilog="Example: kie-watcher status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(options: GlobalOptions, as_json: bool) -> None:
    """Show on one screen whether all is well.

    The last poll and sweep and how they ended, models by category, what waits for confirmation,
    and what is pending or dead at each receiver.
    """

    async def read() -> Status:
        async with open_state(options) as reader:
            return await reader.status()

    found = asyncio.run(read())
    if as_json:
        print_json(_status_fields(found))
        return
    settings = load_settings_leniently(options)
    say(_line("State", str(settings.state.path.absolute())))
    for line in _status_lines(found, settings.receiver_names(), datetime.now(UTC)):
        say(line)


def _status_lines(found: Status, receivers: Collection[str], now: datetime) -> Iterator[str]:
    yield from _poll_lines(found.poll, now)
    yield _line("Last sweep", moment(found.swept_at, now))
    yield _line("Models", _models_text(found))
    yield _line("On hold", str(len(found.holds)) if found.holds else "nothing")
    for waiting in found.holds[:MOST_HOLDS]:
        yield _line("", hold_line(waiting, now))
    if len(found.holds) > MOST_HOLDS:
        more = len(found.holds) - MOST_HOLDS
        yield _line("", f"and {more} more, see `kie-watcher accept`")
    yield from _receiver_lines(found, receivers, now)


def _poll_lines(poll: PollStatus | None, now: datetime) -> Iterator[str]:
    if poll is None:
        yield _line("Last poll", "never")
        return
    why = f": {poll.why}" if poll.why else ""
    yield _line("Last poll", f"{moment(poll.at, now)}, {poll.outcome}{why}")
    if poll.failures:
        in_a_row = f"{poll.failures} in a row; last success {moment(poll.last_success_at, now)}"
        yield _line("Failures", in_a_row)


def _models_text(found: Status) -> str:
    if not found.models:
        return "none"
    categories = ", ".join(f"{count} {name or '(none)'}" for name, count in found.models.items())
    return f"{sum(found.models.values())}: {categories}"


def _receiver_lines(found: Status, receivers: Collection[str], now: datetime) -> Iterator[str]:
    """One line for each receiver that is configured, or that something is still due to."""
    busy = {receiver.receiver: receiver for receiver in found.receivers}
    for place, name in enumerate(sorted({*receivers, *busy})):
        heading = "" if place else "Receivers"
        pending = _pending_text(busy[name], now) if name in busy else "nothing pending"
        mark = "" if name in receivers else " (not configured)"
        yield _line(heading, f"{name}{mark}: {pending}")


def _pending_text(receiver: ReceiverStatus, now: datetime) -> str:
    parts = []
    if receiver.waiting or receiver.open:
        messages = "1 message" if receiver.open == 1 else f"{receiver.open} messages"
        parts.append(f"{messages} and {news_count(receiver.waiting)} pending")
    if receiver.oldest_at:
        parts.append(f"oldest {moment(receiver.oldest_at, now)}")
    if receiver.next_attempt_at:
        parts.append(f"next attempt {moment(receiver.next_attempt_at, now)}")
    if receiver.dead:
        parts.append(f"{receiver.dead} DEAD, see `kie-watcher outbox list`")
    if receiver.last_error:
        parts.append(f"last error: {receiver.last_error}")
    return ", ".join(parts)


def _line(heading: str, text: str) -> str:
    return f"{heading:<{HEADING_WIDTH}}{text}".rstrip()


def _status_fields(found: Status) -> dict[str, Any]:
    from watcher.catalog.pricing import decimal_text

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
        "reason": poll.why,
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


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the watcher is ready, and its own answer, or why there was none."""

    ok: bool
    answer: str


def ask_readiness(address: TcpAddress | UnixAddress, patience: timedelta = PATIENCE) -> Readiness:
    """Ask the watcher that listens on `address`."""
    connection = _connection(address, patience.total_seconds())
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read(LONGEST_REPLY).decode("utf-8", "replace").strip()
    except TimeoutError:
        return Readiness(ok=False, answer=f"no answer within {patience.total_seconds():g} s")
    except (OSError, HTTPException) as error:
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        return Readiness(ok=False, answer=f"no answer ({why})")
    finally:
        connection.close()
    if response.status == HTTPStatus.OK and text == READY:
        return Readiness(ok=True, answer=text)
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE and text:
        return Readiness(ok=False, answer=text)
    return Readiness(ok=False, answer=f"answered {response.status}: not a kie-watcher?")


def _connection(address: TcpAddress | UnixAddress, timeout: float) -> HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, timeout)
    return HTTPConnection(
        _LISTENS_EVERYWHERE.get(address.host, address.host), address.port, timeout
    )


class _UnixConnection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: PurePath, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@click.command(epilog="Example: kie-watcher health --listen unix:/run/kie-watcher/web")
@click.option("--listen", metavar="ADDRESS", help="Ask there instead of at web.listen.")
@click.pass_obj
def health(options: GlobalOptions, listen: str | None) -> None:
    """Ask the running watcher whether it is ready.

    It needs `web.listen` in the configuration. Exit 0: it is ready. Exit 1: it is not, or does
    not answer; the reason is printed.
    """
    found = ask_readiness(_parse_address(listen) if listen else _configured_address(options))
    for line in found.answer.splitlines():
        say(line)
    if not found.ok:
        raise click.exceptions.Exit(FAILED)


def _parse_address(listen: str) -> TcpAddress | UnixAddress:
    try:
        return parse_listen(listen)
    except ValueError as error:
        raise BadUsage(f"--listen {error}") from None


def _configured_address(options: GlobalOptions) -> TcpAddress | UnixAddress:
    listen = load_settings_leniently(options).web.listen
    if listen is None:
        raise failed("the configuration has no web.listen, so there is nobody to ask")
    return listen

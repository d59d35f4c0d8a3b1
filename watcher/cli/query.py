"""The commands that list what is remembered: `models` and `changes`.

Knows how that is shown, to people and to programs. Refuses to write anything: both work while the
daemon runs.

The command `status`: one screen that says whether all is well.

Knows what an operator looks at first. Refuses to judge: exit 0 means that it could look.

The one question to a running watcher: whether it is ready.

Knows how to ask over TCP and over a unix socket, with nothing but the standard library: a health
check runs every few seconds and must be light. Refuses to know configuration and exit codes.

The command `health`: for a container or a monitor that asks whether the watcher works.

Knows exit codes, and finds where to ask without the service's secrets. Refuses to judge: the
running watcher does.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import click

from watcher.catalog.changes import CreditValueChange, Kind, public_fields
from watcher.cli.holds import hold_fields, hold_line
from watcher.cli.options import Chosen, memory, opened, since
from watcher.cli.output import (
    FAILED,
    BadUsage,
    Column,
    failed,
    json_line,
    moment,
    news_count,
    say,
    table,
    utc,
)
from watcher.config.addresses import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path, PurePath

    from watcher.catalog.changes import RecordedChange
    from watcher.catalog.record import Model
    from watcher.store.values import Catalogue, KnownModel, PollStatus, ReceiverStatus, Status

LONGEST_OLD_NAME = 80
KINDS = tuple(kind.value for kind in Kind)


@click.command(epilog="Example: kie-watcher models --interface video --search '1080p audio'")
@click.option("--interface", metavar="X", help="Only this category, as in video.")
@click.option("--provider", metavar="X", help="Only this provider.")
@click.option("--search", metavar="TEXT", help="Only models with all these words in their name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def models(
    chosen: Chosen, interface: str | None, provider: str | None, search: str | None, as_json: bool
) -> None:
    """List the catalogue as last believed. Upper and lower case are the same."""

    async def ask() -> Catalogue:
        async with opened(chosen) as views:
            return await views.models(interface=interface, provider=provider, search=search)

    found = asyncio.run(ask()).models
    if not as_json:
        _models_table(found)
        return
    for known, model in found:
        json_line(_model_fields(known, model))


@click.command(
    epilog="Example: kie-watcher changes --since 7d --kind price_up --model '*seedance*'"
)
@click.option(
    "--since",
    callback=since,
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
@click.option("--model", "glob", metavar="GLOB", help="Only models whose description fits.")
@click.option("--alert", "alert_id", metavar="ID", help="Only what the alert of this id told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, oldest first.")
@click.pass_obj
def changes(chosen: Chosen, /, *, as_json: bool, **narrowed: Any) -> None:
    """List what happened, newest first. Upper and lower case are the same."""

    async def ask() -> tuple[RecordedChange, ...]:
        async with opened(chosen) as views:
            return await views.changes(**narrowed, newest_first=not as_json)

    found = asyncio.run(ask())
    if not as_json:
        changes_table(found)
        return
    for recorded in found:
        json_line(public_fields(recorded))


def changes_table(found: Sequence[RecordedChange]) -> None:
    """Print changes for people, in the order given."""
    if not found:
        say("Nothing happened that fits.")
        return
    now = datetime.now(UTC)
    table(
        (Column("When"), Column("Kinds"), Column("Model"), Column("What")),
        [(moment(recorded.at, now), *_told(recorded)) for recorded in found],
    )


def _told(recorded: RecordedChange) -> tuple[str, str, str]:
    from watcher.render.words import announcement, phrases

    change = recorded.change
    kinds = ", ".join(kind.value for kind in change.kinds)
    if isinstance(change, CreditValueChange):
        return kinds, "(all)", announcement(change)
    description = change.model.record.description
    return kinds, description, "; ".join(phrases(change, LONGEST_OLD_NAME))


def _models_table(found: Sequence[tuple[KnownModel, Model]]) -> None:
    from watcher.render.figures import against_fal, price

    if not found:
        say("No model fits.")
        return
    table(
        (
            Column("Category"),
            Column("Provider"),
            Column("Model"),
            Column("Price"),
            Column("Against Fal"),
            Column("Last changed"),
        ),
        [
            (
                model.record.interface,
                model.record.provider,
                model.record.description,
                price(model),
                against_fal(model, model),
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


PATIENCE = timedelta(seconds=5)
LONGEST_REPLY = 4096
READY = "ready"
# What listens everywhere is asked here.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened at


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the watcher is ready, and its words, or ours for why it did not answer."""

    ok: bool
    words: str


def ask(address: TcpAddress | UnixAddress, patience: timedelta = PATIENCE) -> Health:
    """Ask the watcher that answers at `address`."""
    connection = _connection(address, patience.total_seconds())
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read(LONGEST_REPLY).decode("utf-8", "replace").strip()
    except TimeoutError:
        return Health(ok=False, words=f"no answer within {patience.total_seconds():g} s")
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        return Health(ok=False, words=f"no answer ({why})")
    finally:
        connection.close()
    if response.status == HTTPStatus.OK and text == READY:
        return Health(ok=True, words=text)
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE and text:
        return Health(ok=False, words=text)
    return Health(ok=False, words=f"answered {response.status}: not a kie-watcher?")


def _connection(address: TcpAddress | UnixAddress, timeout: float) -> HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, timeout)
    return HTTPConnection(_EVERYWHERE.get(address.host, address.host), address.port, timeout)


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
@click.option("--listen", metavar="ADDRESS", help="Ask there, whatever web.listen says.")
@click.pass_obj
def health(chosen: Chosen, listen: str | None) -> None:
    """Ask the running watcher whether it is ready.

    It needs `web.listen` in the configuration. Exit 0: it is ready. Exit 1: it is not, or does
    not answer; the reason is printed.
    """
    found = ask(_read(listen) if listen else _configured(chosen))
    for line in found.words.splitlines():
        say(line)
    if not found.ok:
        raise click.exceptions.Exit(FAILED)


def _read(listen: str) -> TcpAddress | UnixAddress:
    from watcher.config.addresses import parse_listen

    try:
        return parse_listen(listen)
    except ValueError as error:
        raise BadUsage(f"--listen {error}") from None


def _configured(chosen: Chosen) -> TcpAddress | UnixAddress:
    """Where the configuration says. What is wrong with secrets does not matter here."""
    from watcher.config.errors import ConfigError
    from watcher.config.loading import find, load

    file = find(chosen.file, os.environ)
    try:
        listen = load(file, os.environ, lambda *_: []).web.listen
    except ConfigError as error:
        secret = {"receivers", "heartbeat"}
        if file is None or not all(p.key.split(".")[0] in secret for p in error.problems):
            raise
        listen = _beside_bad_secrets(file)
    if listen is None:
        raise failed("the configuration has no web.listen, so there is nobody to ask")
    return listen


def _beside_bad_secrets(file: Path) -> TcpAddress | UnixAddress | None:
    from watcher.config.document import read_document, substitute
    from watcher.config.settings import WebSettings

    content = substitute(read_document(file.read_text("utf-8-sig")), os.environ).content
    sections = content if isinstance(content, dict) else {}
    return WebSettings.model_validate(sections.get("web") or {}).listen

"""The command `replay`: what a configuration would have told of what is remembered.

Knows how it is shown to whom what would have gone, and when. Refuses to send and to store anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watcher.changes import RecordedChange
from watcher.cli.asked import since as since_asked
from watcher.cli.configured import Chosen, memory, outlook
from watcher.cli.printing import json_line, say, utc
from watcher.cli.rehearsing import Receivers, readable, remembered, worded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.config.settings import Settings
    from watcher.rendering import Message, Service
    from watcher.routing import Rehearsal, Told

__all__ = ["replay"]


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
        from watcher.rendering.numbers import counted  # noqa: PLC0415

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
    from watcher.config.rules import routing_rules  # noqa: PLC0415
    from watcher.routing import Rehearsal  # noqa: PLC0415
    from watcher.store import open_reader  # noqa: PLC0415

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

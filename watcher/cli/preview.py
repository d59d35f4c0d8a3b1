"""The command `preview`: a message as it would be sent, before anybody gets it.

Knows files and their names. Refuses to send anything: whatever would leave the machine is caught.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watcher.cli.options import BUILT_IN_RECEIVER, Chosen, memory, outlook
from watcher.cli.options import since as since_asked
from watcher.cli.output import BadUsage, failed, say
from watcher.cli.simulate import NO_ALERT, News, Receivers, readable, remembered, worded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.config.settings import Settings
    from watcher.notify.wire import Unsent
    from watcher.render.markup import Service
    from watcher.render.message import Message
    from watcher.routing.simulate import Rehearsal, Told

PRIVATE_FILE, PRIVATE_DIRECTORY = 0o600, 0o700
USUAL_SINCE = "7d"
# A digest each week or month, and flapping that goes on: enough to let all of it come.
MOST_MOMENTS = 100

_ENDINGS = (
    ("cloudevents", ".json"),
    ("json", ".json"),
    ("x-www-form-urlencoded", ".form"),
    ("multipart", ".multipart"),
    ("html", ".html"),
    ("xml", ".xml"),
    ("rfc822", ".eml"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One message, with what the service would have got, where that is known."""

    message: Message
    service: Service
    sent: tuple[Unsent, ...]

    @property
    def text(self) -> str:
        """The message for reading, its markup taken off."""
        return f"{readable(self.message, self.service)}\n"


@click.command(epilog="Example: kie-watcher preview --receiver mail --since 7d --out /tmp/preview")
@click.option("--receiver", required=True, metavar="NAME", help="The receiver it is for.")
@click.option(
    "--since",
    callback=since_asked,
    metavar="TIME",
    help=f"What happened since so long ago (7d, 36h) or a date; {USUAL_SINCE} unless given.",
)
@click.option("--sample", is_flag=True, help="A made-up alert instead, as test-notify sends.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write files there: the text, and exactly what would be sent.",
)
@click.pass_obj
def preview(
    chosen: Chosen, receiver: str, since: datetime | None, sample: bool, out: Path | None
) -> None:
    """Show what a receiver would get, without sending it.

    It is what the receiver would be told now, had it been away all that time; quiet hours and
    silences left aside. It is printed as text. With --out, files hold that, and what would go over
    the wire: for e-mail the letter (.eml) and its HTML. Treat these as secret: some services have
    their tokens in the message.
    """
    if sample and since is not None:
        raise BadUsage("give --since or --sample, not both")
    known = outlook(chosen)
    _require(known, receiver)
    asked = since or _usual_since()
    shown = asyncio.run(
        _sample(known, receiver) if sample else _news(chosen, known, receiver, asked)
    )
    if not shown:
        say(f"{receiver} would be told nothing.")
    elif out is None:
        for each in shown:
            _print(each)
    else:
        _write(shown, receiver, out)


def _usual_since() -> datetime:
    from watcher.config.durations import parse_duration

    return datetime.now(UTC) - parse_duration(USUAL_SINCE)


def _print(shown: Shown) -> None:
    """Print one message, harmless on a terminal."""
    for line in shown.text.splitlines():
        say(line)
    say()


def _require(known: Settings, receiver: str) -> None:
    names = sorted(known.receivers) or [BUILT_IN_RECEIVER]
    if receiver not in names:
        raise BadUsage(f"there is no receiver {receiver} (configured: {', '.join(names)})")


async def _sample(known: Settings, name: str) -> list[Shown]:
    from watcher.catalog.changes import Notice, NoticeKind
    from watcher.render.message import render

    receivers = Receivers(known)
    notice = Notice(NoticeKind.SAMPLE, datetime.now(UTC), {})
    message = render([notice], receivers.service(name), NO_ALERT)
    return [await _shown(receivers, name, message)]


async def _news(chosen: Chosen, known: Settings, name: str, since: datetime) -> list[Shown]:
    from watcher.store.store import open_reader

    receivers = Receivers(known)
    async with open_reader(memory(chosen).path) as views:
        found = _told(await remembered(views, since), known, name, since)
        service = receivers.service(name)
        messages = [await worded(views, told, service, known) for told in found]
    return [await _shown(receivers, name, message) for message in messages]


def _told(news: News, known: Settings, name: str, since: datetime) -> list[Told]:
    """What one receiver would be told if it had been away: nothing of it was told meanwhile."""
    from watcher.config.rules import routing_rules
    from watcher.routing.simulate import Rehearsal

    rehearsal = Rehearsal(replace(routing_rules(known), quiet=()), begun_at=since)
    for content in news.contents:
        rehearsal.hear(content)
    return [told for told in _all_in_time(rehearsal) if told.receiver == name]


def _all_in_time(rehearsal: Rehearsal) -> Iterator[Told]:
    """Let the clock run on, until nothing is held back: a digest is seen before its time."""
    at: datetime | None = datetime.now(UTC)
    for _ in range(MOST_MOMENTS):
        if at is None or not rehearsal.waiting():
            return
        yield from rehearsal.due(at)
        at = rehearsal.next_at()


async def _shown(receivers: Receivers, name: str, message: Message) -> Shown:
    from watcher.notify.wire import caught

    receiver, service = receivers.opened(name), receivers.service(name)
    if receiver is None or name == BUILT_IN_RECEIVER:
        return Shown(message, service, ())
    with caught() as unsent:
        await receiver.send(message.title, message.body, NO_ALERT)
    return Shown(message, service, tuple(one for one in unsent if _is_the_message(one)))


def _is_the_message(unsent: Unsent) -> bool:
    """Not what some services want first, such as a login."""
    from watcher.notify.wire import LETTER

    return unsent.content_type == LETTER or NO_ALERT.encode() in unsent.content


def _write(shown: list[Shown], receiver: str, out: Path) -> None:
    try:
        out.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        for number, each in enumerate(shown, start=1):
            for ending, content in _files(each):
                path = out / f"{receiver}-{number}{ending}"
                _write_private(path, content)
                say(str(path))
    except OSError as error:
        raise failed(f"{out} cannot be written: {error.strerror}") from None


def _files(shown: Shown) -> Iterator[tuple[str, bytes]]:
    yield ".txt", shown.text.encode()
    several = len(shown.sent) > 1
    for number, unsent in enumerate(shown.sent, start=1):
        mark = f".{number}" if several else ""
        yield f"{mark}{_ending(unsent)}", unsent.content
    if (page := _page(shown)) is not None:
        yield ".html", page


def _ending(unsent: Unsent) -> str:
    kind = unsent.content_type.partition(";")[0]
    return next((ending for word, ending in _ENDINGS if word in kind), ".bin")


def _page(shown: Shown) -> bytes | None:
    """The HTML of a letter."""
    from watcher.notify.formats import read_json
    from watcher.notify.wire import LETTER
    from watcher.render.markup import Markup

    for unsent in shown.sent:
        if unsent.content_type == LETTER and (page := _html_part(unsent.content)):
            return page
    if shown.service.markup is Markup.EMAIL:
        return str(read_json(shown.message.body).get("html", "")).encode()
    return None


def _html_part(letter: bytes) -> bytes | None:
    from email import message_from_bytes, policy

    part = message_from_bytes(letter, policy=policy.default).get_body(("html",))
    return None if part is None else str(part.get_content()).encode()


def _write_private(path: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)

"""The command `preview`: a message as it would be sent, before anybody gets it.

Nothing is sent: what makes a message of the services of our own makes it without sending it, and of
the others it is shown what Apprise would be handed.
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

from watcher.cli.options import (
    GlobalOptions,
    load_settings_leniently,
    open_state,
    since_option,
    start_log,
)
from watcher.cli.output import BadUsage, failed, say, unknown_receiver
from watcher.cli.simulate import (
    PLACEHOLDER_ALERT_ID,
    Receivers,
    known_then,
    plain_message,
    read_past,
)
from watcher.config.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.config.settings import Settings
    from watcher.notify.formats import Preview
    from watcher.render.markup import Service
    from watcher.render.message import Message
    from watcher.routing.simulate import SimulatedMessage, Simulation
    from watcher.wording import Known

PRIVATE_FILE, PRIVATE_DIRECTORY = 0o600, 0o700
DEFAULT_SINCE = "7d"
# Enough for every digest, weekly or monthly, and for flapping that goes on.
MOST_STEPS = 100

_FILE_ENDINGS = (("apprise", ".apprise.json"), ("json", ".json"), ("rfc822", ".eml"))


@dataclass(frozen=True, slots=True)
class PreviewedMessage:
    """One message, with its chart, and what would go out, where that is known."""

    message: Message
    service: Service
    chart: bytes | None
    sent: Preview | None

    @property
    def text(self) -> str:
        """The message for reading, its markup taken off."""
        return f"{plain_message(self.message, self.service)}\n"


@click.command(epilog="Example: kie-watcher preview --receiver mail --since 7d --out /tmp/preview")
@click.option("--receiver", required=True, metavar="NAME", help="The receiver it is for.")
@click.option(
    "--since",
    callback=since_option,
    metavar="TIME",
    help=f"What happened since so long ago (7d, 36h) or a date; {DEFAULT_SINCE} unless given.",
)
@click.option("--sample", is_flag=True, help="A made-up alert instead, as test-notify sends.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write files there: the text, and what would be sent.",
)
@click.pass_obj
def preview(
    options: GlobalOptions, receiver: str, since: datetime | None, sample: bool, out: Path | None
) -> None:
    """Show what a receiver would get, without sending it.

    It is what the receiver would get now if nothing had been sent to it since then; quiet hours
    and silences are ignored. It is printed as text. With --out, files hold that text, its chart
    and, for Slack, Discord, Telegram, ntfy, e-mail (.eml, and its HTML) and JSON, exactly what
    would be sent; for other services the title and the body that Apprise is handed (.apprise.json).
    """
    if sample and since is not None:
        raise BadUsage("give --since or --sample, not both")
    settings = load_settings_leniently(options)
    if receiver not in settings.receiver_names():
        raise unknown_receiver(receiver, settings.receiver_names())
    start_log(settings, minimum_level="warning")
    if since is None:
        since = datetime.now(UTC) - parse_duration(DEFAULT_SINCE)
    previewed = asyncio.run(_previewed(options, settings, receiver, None if sample else since))
    if not previewed:
        say(f"{receiver} would get nothing.")
    elif out is None:
        for each in previewed:
            for line in each.text.splitlines():
                say(line)
            say()
    else:
        _write(previewed, receiver, out)


async def _previewed(
    options: GlobalOptions, settings: Settings, name: str, since: datetime | None
) -> list[PreviewedMessage]:
    """What a receiver would get: of what happened since a time, or (`None`) a made-up alert."""
    from watcher.app import message_rules
    from watcher.notify.client import Sender

    async with Sender() as sender:
        receivers = Receivers(settings, message_rules(settings), sender)
        if since is None:
            return [await _sample(receivers, name)]
        return await _since(options, receivers, name, since)


async def _sample(receivers: Receivers, name: str) -> PreviewedMessage:
    from watcher.catalog.changes import Notice, NoticeKind
    from watcher.routing.release import Batch
    from watcher.routing.simulate import SimulatedMessage
    from watcher.wording import Known

    now = datetime.now(UTC)
    batch = Batch((), (Notice(NoticeKind.SAMPLE, now, {}),))
    return await _preview(receivers, SimulatedMessage(name, now, batch), Known({}))


async def _since(
    options: GlobalOptions, receivers: Receivers, name: str, since: datetime
) -> list[PreviewedMessage]:
    from watcher.routing.simulate import Simulation

    rules = replace(receivers.rules.routing, quiet=())
    async with open_state(options) as reader:
        past = await read_past(reader, since)
        simulation = Simulation(rules, begun_at=since)
        for content in past.contents:
            simulation.add(content)
        return [
            await _preview(
                receivers, simulated, await known_then(reader, simulated, past, rules.usage)
            )
            for simulated in _run_until_empty(simulation)
            if simulated.receiver == name
        ]


def _run_until_empty(simulation: Simulation) -> Iterator[SimulatedMessage]:
    """Let time pass until nothing is held back, so that a digest is seen before its time."""
    at: datetime | None = datetime.now(UTC)
    for _ in range(MOST_STEPS):
        if at is None or not simulation.waiting():
            return
        yield from simulation.due(at)
        at = simulation.next_at()


async def _preview(
    receivers: Receivers, simulated: SimulatedMessage, known: Known
) -> PreviewedMessage:
    from watcher.notify.receiver import ServiceReceiver
    from watcher.wording import draw, word

    name, batch, at = simulated.receiver, simulated.batch, simulated.at
    receiver, form = await receivers.get(name), await receivers.form(name)
    message = await word(batch, form, known, alert_id=PLACEHOLDER_ALERT_ID, now=at)
    chart = await draw(batch, form, known, at)
    sent = None
    if isinstance(receiver, ServiceReceiver):
        sent = await receiver.preview(message.title, message.body, PLACEHOLDER_ALERT_ID, chart)
    return PreviewedMessage(message, form.service, chart, sent)


def _write(previewed: list[PreviewedMessage], receiver: str, out: Path) -> None:
    try:
        out.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        for number, each in enumerate(previewed, start=1):
            stem = f"{receiver}-{number}"
            for ending, content in _files(each, stem):
                path = out / f"{stem}{ending}"
                _write_private(path, content)
                say(str(path))
    except OSError as error:
        raise failed(f"{out} cannot be written: {error.strerror}") from None


def _files(previewed: PreviewedMessage, stem: str) -> Iterator[tuple[str, bytes]]:
    from watcher.render.markup import CHART_ID

    yield ".txt", previewed.text.encode()
    if previewed.sent is not None:
        kind, content = previewed.sent.content_type, previewed.sent.content
        ending = next((ending for word, ending in _FILE_ENDINGS if word in kind), ".bin")
        yield ending, content
        if ending == ".eml" and (page := _html_part(content)):
            # Where a browser finds the chart.
            yield ".html", page.replace(f"cid:{CHART_ID}".encode(), f"{stem}.png".encode())
    if previewed.chart is not None:
        yield ".png", previewed.chart


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

"""What `replay` and `preview` share: the remembered news, and each message as it would be worded.

Knows the memory, the receivers' services and the way from a batch to a text. Refuses to send
anything, and to store anything.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.changes import ModelChange, NoticeKind, RecordedChange

if TYPE_CHECKING:
    from datetime import datetime

    from watcher.changes import Notice
    from watcher.config.settings import Settings
    from watcher.notify import Receiver
    from watcher.rendering import Message, Service
    from watcher.routing import Silence, Told
    from watcher.store import Views

__all__ = ["NO_ALERT", "News", "Receivers", "readable", "remembered", "worded"]

# Stands where a real message has its alert id; `changes --alert` finds nothing under it.
NO_ALERT = "23456789"

# What is told to receivers of alerts; the rest is for operators, or was only tried.
_OF_THE_CATALOGUE = {NoticeKind.BASELINE, NoticeKind.COLLAPSE, NoticeKind.RECOVERED}


@dataclass(frozen=True, slots=True)
class News:
    """What was remembered since a time, oldest first, and the silences there were."""

    contents: tuple[RecordedChange | Notice, ...]
    silences: tuple[Silence, ...]


@dataclass(frozen=True, slots=True)
class Receivers:
    """The receivers of a configuration, each opened when it is first asked for."""

    settings: Settings
    _opened: dict[str, Receiver | None] = field(default_factory=dict)

    def opened(self, name: str) -> Receiver | None:
        """The receiver itself; `None` where its address is out of reach or no good."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def service(self, name: str) -> Service:
        """What rendering must know of it; plain text where nothing is known."""
        from watcher.rendering import Markup, Service  # noqa: PLC0415

        receiver = self.opened(name)
        if receiver is None:
            return Service("text", Markup.TEXT, 1_000_000, 250, None)
        return receiver.service

    def _open(self, name: str) -> Receiver | None:
        from watcher.daemon import open_receivers  # noqa: PLC0415

        one = {key: value for key, value in self.settings.receivers.items() if key == name}
        try:
            (receiver,) = open_receivers(
                self.settings.model_copy(update={"receivers": one}), sys.stdout
            )
        except ValueError:
            return None
        return receiver


async def remembered(views: Views, since: datetime) -> News:
    """Look up what happened since a time."""
    from watcher.daemon import silence_meant  # noqa: PLC0415

    notices = [n for n in await views.notices(since) if n.kind in _OF_THE_CATALOGUE]
    # What a baseline found different was taken as it is, on purpose, and told to nobody.
    taken_at = {notice.at for notice in notices if notice.kind is NoticeKind.BASELINE}
    changes = await views.changes(since=since, newest_first=False)
    told = [change for change in changes if change.at not in taken_at]
    contents: list[RecordedChange | Notice] = [*notices, *told]
    contents.sort(key=lambda content: content.at)
    silences = tuple(map(silence_meant, await views.silences()))
    return News(tuple(contents), silences)


async def worded(views: Views, told: Told, service: Service, settings: Settings) -> Message:
    """The message that the outbox would make of a batch."""
    from watcher.config.rules import routing_rules  # noqa: PLC0415
    from watcher.rendering import render  # noqa: PLC0415
    from watcher.telling import tell  # noqa: PLC0415

    batch = told.batch
    changes = [it.change for it in batch.contents if isinstance(it, RecordedChange)]
    models = [change for change in changes if isinstance(change, ModelChange)]
    pasts = await views.pasts({it.model_id for it in models if it.model_id is not None})
    prices = {number: past.prices for number, past in pasts.items()}
    gone = any(change.after is None for change in models)
    on_sale = await views.on_sale_at(told.at) if gone else ()
    tellings = tell(batch, prices, on_sale, routing_rules(settings).usage)
    return render(tellings, service, NO_ALERT, batch.digest)


def readable(message: Message, service: Service) -> str:
    """A message for reading, its markup taken off: the title, unless the text begins with it."""
    from watcher.notify.plain import plain_text  # noqa: PLC0415

    text = plain_text(service.markup, message.body)
    return text if text.startswith(message.title) else f"{message.title}\n\n{text}"

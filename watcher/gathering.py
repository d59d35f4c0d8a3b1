"""From what waits for a receiver to messages that never change again.

release → look up → word → fix. Knows what of a receiver's deliveries has been put off. Refuses to
know how a message is sent, and what becomes of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from watcher.changes import Kind, ModelChange, RecordedChange
from watcher.rendering import render
from watcher.routing import Flap, quiet_until, release
from watcher.store import ConflictError, Draft, Settlement
from watcher.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.notify import Receiver
    from watcher.rendering import Message, Telling
    from watcher.routing import Batch, Digest, Past, QueuedItem, Release, RoutingRules, Silence
    from watcher.store import Store, StoredMessage, StoredSilence

__all__ = ["Gatherer", "TellingRules", "new_alert_id"]

log = structlog.get_logger()

# No vowels: an id never spells a word; no 0/o, 1/l: it can be read out.
_ALERT_ID_LETTERS = "23456789bcdfghjkmnpqrstvwxyz"
_ALERT_ID_LENGTH = 8
# What is due by the clock must not make a worker spin.
_SOONEST = timedelta(seconds=0.1)


@dataclass(frozen=True, slots=True)
class TellingRules:
    """What the configuration says about when something is told.

    `silence` reads a stored silence's matcher, which is written as a configuration writes one;
    `templates` are the receivers' own, by name, and `charts` names those who like pictures.
    """

    routing: RoutingRules
    silence: Callable[[StoredSilence], Silence]
    templates: Mapping[str, str] = field(default_factory=dict)
    charts: frozenset[str] = frozenset()


class Gatherer:
    """Makes messages of what is due. `now` gives aware UTC times.

    `deferred` hears why deliveries are put off (`quiet`, `digest`, `silence`, `flap`) and how many,
    `netted` how many came to nothing.
    """

    def __init__(
        self,
        store: Store,
        rules: TellingRules,
        *,
        now: Callable[[], datetime],
        rng: Random,
        deferred: Callable[[str, int], None] = lambda _why, _count: None,
        netted: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._rng = rng
        self._deferred = deferred
        self._netted = netted
        self._put_off: dict[str, frozenset[int]] = defaultdict(frozenset)

    @property
    def deferring(self) -> frozenset[str]:
        """The receivers for which something is put off on purpose."""
        return frozenset(name for name, items in self._put_off.items() if items)

    def rests_until(self, receiver: str, message: StoredMessage, now: datetime) -> datetime:
        """Until when a message that failed is not tried again, for somebody may be asleep.

        What was first tried in a quiet window broke through it, and goes on; so does what a person
        opened again.
        """
        routing = self._rules.routing
        until = quiet_until(routing.quiet, routing.zone, receiver, now)
        began = quiet_until(routing.quiet, routing.zone, receiver, message.opened_at)
        return now if until is None or began is not None or not message.attempts else until

    async def gather(self, receiver: Receiver) -> tuple[StoredMessage | None, timedelta | None]:
        """Make messages of what is due; the first of them, or how long until something may be."""
        while True:
            now = self._now()
            found = await self._release(receiver.name, now)
            try:
                messages = await self._fix(receiver, found, now)
            except ConflictError as conflict:
                # A person may have discarded some of it meanwhile: gather it anew.
                log.debug("message.fixed_anew", receiver=receiver.name, why=str(conflict))
                continue
            if messages:
                return messages[0], None
            return None, None if found.next_at is None else max(found.next_at - now, _SOONEST)

    async def _release(self, receiver: str, now: datetime) -> Release:
        items = await self._store.gathered(receiver)
        silences = await self._store.silences()
        found = release(
            items,
            self._rules.routing,
            receiver=receiver,
            now=now,
            silences=tuple(map(self._rules.silence, silences)),
            digests=await self._store.digests(receiver),
        )
        self._count(receiver, items, found)
        return found

    def _count(self, receiver: str, items: Iterable[QueuedItem], found: Release) -> None:
        """Note what is put off from now on; what was before has been counted."""
        done = {number for batch in found.batches for number in batch.deliveries}
        left = [it for it in items if it.delivery_id not in done.union(found.netted)]
        before = self._put_off[receiver]
        new = [it for it in left if it.delivery_id not in before]
        for why, count in Counter(map(self._why, new)).items():
            self._deferred(why, count)
        self._put_off[receiver] = frozenset(it.delivery_id for it in left)

    def _why(self, item: QueuedItem) -> str:
        route = self._rules.routing.route(item.route)
        if item.silence_id is not None:
            return "silence"
        if route is not None and route.digest is not None:
            return "digest"
        return "flap" if item.flap is Flap.HELD else "quiet"

    async def _fix(
        self, receiver: Receiver, found: Release, now: datetime
    ) -> tuple[StoredMessage, ...]:
        """Word each batch as one message that never changes again."""
        drafts = [await self._draft(receiver, batch) for batch in found.batches]
        settlement = Settlement(found.netted, found.anchors, found.digests)
        fixed: tuple[StoredMessage, ...] = ()
        if drafts:
            fixed = await self._store.fix_messages(receiver.name, drafts, now, settlement)
        elif settlement:
            await self._store.settle(receiver.name, settlement, now)
        if found.netted:
            self._netted(len(found.netted))
        return fixed

    async def _draft(self, receiver: Receiver, batch: Batch) -> Draft:
        alert_id = new_alert_id(self._rng)
        prices = await self._prices(batch)
        tellings = await self._tellings(batch, prices)
        worded = await self._worded(receiver, tellings, alert_id, batch.digest)
        return Draft(
            alert_id,
            worded.title,
            worded.body,
            receiver.service.markup.value,
            batch.deliveries,
            await self._picture(receiver, batch, prices),
        )

    async def _worded(
        self,
        receiver: Receiver,
        tellings: Sequence[Telling],
        alert_id: str,
        digest: Digest | None,
    ) -> Message:
        """In the words of the receiver's own template, where it has one."""
        template = self._rules.templates.get(receiver.name)
        if template is None:
            return render(tellings, receiver.service, alert_id, digest)
        from watcher.templates import message  # noqa: PLC0415 - few receivers have one

        return await message(
            tellings,
            receiver.service,
            alert_id,
            template=template,
            now=self._now(),
            digest=digest,
        )

    async def _picture(
        self, receiver: Receiver, batch: Batch, prices: Mapping[int, Past]
    ) -> bytes | None:
        """The chart of what moved, for a receiver that wants one; none where it fails."""
        if receiver.name not in self._rules.charts:
            return None
        from watcher.charts import drawn, moved  # noqa: PLC0415 - an extra, and few want it

        points = {number: past.prices for number, past in prices.items()}
        series = moved(batch.contents, points)
        return await drawn(series, self._now()) if series else None

    async def _prices(self, batch: Batch) -> dict[int, Past]:
        numbers = {it.model_id for it in _model_changes(batch) if it.model_id is not None}
        return await self._store.pasts(numbers)

    async def _tellings(self, batch: Batch, pasts: Mapping[int, Past]) -> tuple[Telling, ...]:
        """Look up what is known beside the changes of a message."""
        prices = {number: past.prices for number, past in pasts.items()}
        gone = any(Kind.REMOVED in change.kinds for change in _model_changes(batch))
        on_sale = await self._store.on_sale() if gone else ()
        cut = {number for number, past in pasts.items() if not past.whole}
        return tell(batch, prices, on_sale, self._rules.routing.usage, cut=cut)


def _model_changes(batch: Batch) -> list[ModelChange]:
    changes = [it.change for it in batch.contents if isinstance(it, RecordedChange)]
    return [change for change in changes if isinstance(change, ModelChange)]


def new_alert_id(rng: Random) -> str:
    """A short name for a message, the same in every try: for people to quote and to search for."""
    return "".join(rng.choices(_ALERT_ID_LETTERS, k=_ALERT_ID_LENGTH))

"""From what waits for a receiver to messages that never change again.

release → look up → word → fix. Knows what of a receiver's deliveries has been put off. Refuses to
know how a message is sent, and what becomes of it.

From what is recorded to what is told: one worker per receiver, until accepted or dead.

Knows the order: gather → send → mark. A message is fixed
before it is first tried, so that a retry says the same under the same id; it is marked sent only
after it was accepted, so a crash in between repeats it and never loses it. Refuses to know SQL and
Apprise.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from watcher.catalog.changes import Kind, ModelChange, RecordedChange
from watcher.notify.receiver import Verdict
from watcher.render.enrichment import tell
from watcher.render.message import render
from watcher.routing.calendar import quiet_until
from watcher.routing.release import release
from watcher.routing.rules import Flap
from watcher.schedule import first_of, next_attempt
from watcher.store.connection import ConflictError, StateError
from watcher.store.values import Draft, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.notify.receiver import Outcome, Receiver
    from watcher.render.message import Message
    from watcher.render.news import Telling
    from watcher.routing.net_effect import Digest
    from watcher.routing.plan import Past
    from watcher.routing.release import Batch, QueuedItem, Release
    from watcher.routing.rules import RoutingRules, Silence
    from watcher.store.requests import Request
    from watcher.store.store import Store
    from watcher.store.values import StoredMessage, StoredSilence

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
        from watcher.render.templates.message import message  # noqa: PLC0415 - few receivers have one

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
        from watcher.render.charts.chart import drawn, moved  # noqa: PLC0415

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


# How often requests of other commands (retry, discard) are looked for.
_REQUESTS = "requests"
_LOOK_FOR_REQUESTS = timedelta(seconds=2)
_PAUSE_AFTER_TROUBLE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one receiver: what came of it, how long it took, whether it was the last.

    `waited` is how long after it was worded the message was accepted; `None` where it was not.
    """

    receiver: str
    alert_id: str
    outcome: Outcome
    took: timedelta
    attempts: int
    died: bool
    waited: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a receiver said to a message."""

    message_id: int
    outcome: Outcome
    took: timedelta


class Outbox:
    """Sends what the store holds for each receiver.

    `now` gives aware UTC times, and `pace` says how many of its seconds pass in one of ours.
    `after` hears of every try, `sign` in how long each worker begins again (`None`: when there is
    news): a sign of life. `asked` hears what people asked of the state meanwhile, once that is
    done.
    """

    def __init__(
        self,
        store: Store,
        receivers: Sequence[Receiver],
        gatherer: Gatherer,
        *,
        give_up_after: timedelta,
        now: Callable[[], datetime],
        rng: Random,
        pace: float = 1.0,
        after: Callable[[Attempt], None] = lambda _: None,
        sign: Callable[[str, timedelta | None], None] = lambda _who, _within: None,
        asked: Callable[[Sequence[Request]], None] = lambda _: None,
    ) -> None:
        self._after = after
        self._asked = asked
        self._sign = sign
        self._store = store
        self._receivers = tuple(receivers)
        self._gatherer = gatherer
        self._give_up_after = give_up_after
        self._now = now
        self._rng = rng
        self._pace = pace
        self._news = {receiver.name: asyncio.Event() for receiver in receivers}
        self._failing: set[str] = set()
        self._unmarked: dict[str, _Answer] = {}

    def wake(self) -> None:
        """Say that there is something new to send."""
        for news in self._news.values():
            news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve every receiver until `stop` is set; a slow one holds up none of the others."""
        async with asyncio.TaskGroup() as workers:
            for receiver in self._receivers:
                workers.create_task(self._serve(receiver, stop))
            workers.create_task(self._serve_requests(stop))

    async def deliver_all(self) -> dict[str, tuple[Outcome, ...]]:
        """One round for `check`: try what is due of every receiver once, side by side."""
        async with asyncio.TaskGroup() as round_:
            tasks = {r.name: round_.create_task(self._one_round(r)) for r in self._receivers}
        return {name: task.result() for name, task in tasks.items()}

    async def deliver(self, receiver: Receiver) -> tuple[Outcome | None, timedelta | None]:
        """Send the receiver's next message, where one is due.

        Returns what came of it (`None`: nothing was tried) and how long until there is something
        to do again (`None`: only when there is news).
        """
        message = await self._store.open_message(receiver.name)
        if message is None:
            message, wait = await self._gatherer.gather(receiver)
            if message is None:
                return None, wait
        rest = self._gatherer.rests_until(receiver.name, message, self._now()) - self._now()
        early = max(self._early(message), rest)
        if early > timedelta(0):
            return None, early
        return await self._attempt(receiver, message)

    def _early(self, message: StoredMessage) -> timedelta:
        """How long until the message is due."""
        now, planned_at = self._now(), message.opened_at
        if message.last_attempt_at is not None:
            planned_at = max(planned_at, message.last_attempt_at)
        # Planned later than now, it was planned before the clock was set back: days may be missing
        # until then, and nobody wants to wait for those.
        return timedelta(0) if now < planned_at else message.next_attempt_at - now

    async def _serve(self, receiver: Receiver, stop: asyncio.Event) -> None:
        news = self._news[receiver.name]
        while not stop.is_set():
            news.clear()
            self._sign(receiver.name, timedelta(0))
            try:
                _, wait = await self.deliver(receiver)
            except StateError as error:
                log.warning("outbox.state_failed", receiver=receiver.name, why=str(error))
                wait = _PAUSE_AFTER_TROUBLE
            except Exception:
                log.exception("outbox.crashed", receiver=receiver.name)
                wait = _PAUSE_AFTER_TROUBLE
            self._sign(receiver.name, wait)
            await first_of(stop, news, within=None if wait is None else wait / self._pace)

    async def take_requests(self) -> None:
        """Carry out what other commands asked for while this process owns the store."""
        try:
            taken = await self._store.take_requests()
        except StateError as error:
            log.warning("outbox.request_failed", why=str(error))
            return
        if taken.set_aside:
            log.warning("outbox.request_set_aside", files=list(taken.set_aside))
        if taken.applied:
            self.wake()
            self._asked([request for request, _ in taken.applied])

    async def _serve_requests(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._sign(_REQUESTS, _LOOK_FOR_REQUESTS)
            await self.take_requests()
            await first_of(stop, within=_LOOK_FOR_REQUESTS)

    async def _one_round(self, receiver: Receiver) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        while True:
            outcome, _ = await self.deliver(receiver)
            if outcome is None:
                return tuple(outcomes)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.RETRY:
                return tuple(outcomes)

    async def _attempt(
        self, receiver: Receiver, message: StoredMessage
    ) -> tuple[Outcome, timedelta | None]:
        answer = await self._offer(receiver, message)
        outcome = answer.outcome
        died = self._is_hopeless(message, outcome)
        wait = await self._mark(message, outcome, died)
        del self._unmarked[receiver.name]
        accepted = outcome.verdict is Verdict.ACCEPTED
        attempt = Attempt(
            receiver=receiver.name,
            alert_id=message.alert_id,
            outcome=outcome,
            took=answer.took,
            attempts=message.attempts + 1,
            died=died,
            waited=self._now() - message.created_at if accepted else None,
        )
        self._log(attempt)
        self._after(attempt)
        return outcome, wait

    async def _offer(self, receiver: Receiver, message: StoredMessage) -> _Answer:
        """Send the message, unless it was answered already and the state could not take that in.

        A disk that is full for days must not send the same message every half minute.
        """
        answer = self._unmarked.get(receiver.name)
        if answer is not None and answer.message_id == message.id:
            return answer
        picture = await self._store.picture(message.id)
        started = perf_counter()
        outcome = await receiver.send(
            message.title, message.body, message.alert_id, message.markup, picture
        )
        took = timedelta(seconds=perf_counter() - started)
        answer = self._unmarked[receiver.name] = _Answer(message.id, outcome, took)
        return answer

    def _is_hopeless(self, message: StoredMessage, outcome: Outcome) -> bool:
        if outcome.verdict is Verdict.RETRY:
            return self._now() - message.opened_at >= self._give_up_after
        return outcome.verdict is Verdict.REFUSED

    async def _mark(self, message: StoredMessage, outcome: Outcome, died: bool) -> timedelta | None:
        """Record what came of a try; how long until the receiver's next one."""
        now = self._now()
        if outcome.verdict is Verdict.ACCEPTED:
            await self._store.mark_sent(message.id, now)
            return timedelta(0)
        if died:
            await self._store.mark_dead(message.id, outcome.reason, now)
            return timedelta(0)
        wait = next_attempt(message.attempts + 1, outcome.retry_after, self._rng)
        await self._store.mark_failed(message.id, outcome.reason, now, now + wait)
        return wait

    def _log(self, attempt: Attempt) -> None:
        """Say each message's end; of a failing receiver only that it fails, and that it is back."""
        fields = {
            "receiver": attempt.receiver,
            "alert": attempt.alert_id,
            "attempts": attempt.attempts,
            "took": round(attempt.took.total_seconds(), 3),
        }
        if attempt.died:
            log.error("message.dead", why=attempt.outcome.reason, **fields)
        elif attempt.outcome.verdict is Verdict.ACCEPTED:
            log.info("message.sent", **fields)
            if attempt.receiver in self._failing:
                self._failing.discard(attempt.receiver)
                log.info("receiver.recovered", receiver=attempt.receiver)
        else:
            emit = log.debug if attempt.receiver in self._failing else log.warning
            emit("message.failed", why=attempt.outcome.reason, **fields)
            self._failing.add(attempt.receiver)

"""From what is recorded to what is told: one worker per receiver, until accepted or dead.

Knows the order: release what is due → render → fix the text → send → mark. A message is fixed
before it is first tried, so that a retry says the same under the same id; it is marked sent only
after it was accepted, so a crash in between repeats it and never loses it. Refuses to know SQL and
Apprise.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from watcher.changes import Kind, ModelChange, RecordedChange
from watcher.notify import Verdict
from watcher.rendering import render
from watcher.routing import release
from watcher.schedule import next_attempt
from watcher.store import ConflictError, Draft, Settlement, StateError
from watcher.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from random import Random

    from watcher.notify import Outcome, Receiver
    from watcher.rendering.facts import Telling
    from watcher.routing import Batch, Release, RoutingRules, Silence
    from watcher.store import Request, Store, StoredMessage, StoredSilence

__all__ = ["Attempt", "DeliveryRules", "Outbox", "new_alert_id"]

log = structlog.get_logger()

# No vowels: an id never spells a word; no 0/o, 1/l: it can be read out.
_ALERT_ID_LETTERS = "23456789bcdfghjkmnpqrstvwxyz"
_ALERT_ID_LENGTH = 8
# How often requests of other commands (retry, discard) are looked for.
_REQUESTS = "requests"
_LOOK_FOR_REQUESTS = timedelta(seconds=2)
# What is due by the clock must not make a worker spin.
_SOONEST = timedelta(seconds=0.1)
_PAUSE_AFTER_TROUBLE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What the configuration says about when something is told, and how long it is tried.

    `silence` reads a stored silence's matcher, which is written as a configuration writes one.
    """

    give_up_after: timedelta
    routing: RoutingRules
    silence: Callable[[StoredSilence], Silence]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one receiver: what came of it, how long it took, whether it was the last."""

    receiver: str
    alert_id: str
    outcome: Outcome
    took: timedelta
    attempts: int
    died: bool


class Outbox:
    """Sends what the store holds for each receiver.

    `now` gives aware UTC times; `after` hears of every try, `sign` in how long each worker begins
    again (`None`: when there is news): a sign of life. `asked` hears what people asked of the
    state meanwhile, once that is done.
    """

    def __init__(
        self,
        store: Store,
        receivers: Sequence[Receiver],
        rules: DeliveryRules,
        *,
        now: Callable[[], datetime],
        rng: Random,
        after: Callable[[Attempt], None] = lambda _: None,
        sign: Callable[[str, timedelta | None], None] = lambda _who, _within: None,
        asked: Callable[[Sequence[Request]], None] = lambda _: None,
    ) -> None:
        self._after = after
        self._asked = asked
        self._sign = sign
        self._store = store
        self._receivers = tuple(receivers)
        self._rules = rules
        self._now = now
        self._rng = rng
        self._news = {receiver.name: asyncio.Event() for receiver in receivers}
        self._failing: set[str] = set()
        self._deferring: set[str] = set()

    @property
    def deferring(self) -> frozenset[str]:
        """The receivers for which something is put off on purpose."""
        return frozenset(self._deferring)

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
            message, wait = await self._gather(receiver)
            if message is None:
                return None, wait
        early = message.next_attempt_at - self._now()
        if early > timedelta(0):
            return None, early
        return await self._attempt(receiver, message)

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
            await _first_of(stop, news, wait)

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
        never = asyncio.Event()
        while not stop.is_set():
            self._sign(_REQUESTS, _LOOK_FOR_REQUESTS)
            await self.take_requests()
            await _first_of(stop, never, _LOOK_FOR_REQUESTS)

    async def _one_round(self, receiver: Receiver) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        while True:
            outcome, _ = await self.deliver(receiver)
            if outcome is None:
                return tuple(outcomes)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.RETRY:
                return tuple(outcomes)

    async def _gather(self, receiver: Receiver) -> tuple[StoredMessage | None, timedelta | None]:
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
        told = sum(len(batch.deliveries) for batch in found.batches)
        waits = len(items) > told + len(found.netted)
        (self._deferring.add if waits else self._deferring.discard)(receiver)
        return found

    async def _fix(
        self, receiver: Receiver, found: Release, now: datetime
    ) -> tuple[StoredMessage, ...]:
        """Word each batch as one message that never changes again."""
        drafts = [await self._draft(receiver, batch) for batch in found.batches]
        settlement = Settlement(found.netted, found.anchors, found.digests)
        if drafts:
            return await self._store.fix_messages(receiver.name, drafts, now, settlement)
        if settlement:
            await self._store.settle(receiver.name, settlement, now)
        return ()

    async def _draft(self, receiver: Receiver, batch: Batch) -> Draft:
        alert_id = new_alert_id(self._rng)
        tellings = await self._tellings(batch)
        rendered = render(tellings, receiver.service, alert_id, batch.digest)
        markup = receiver.service.markup.value
        return Draft(alert_id, rendered.title, rendered.body, markup, batch.deliveries)

    async def _tellings(self, batch: Batch) -> tuple[Telling, ...]:
        """Look up what is known beside the changes of a message."""
        changes = [it.change for it in batch.contents if isinstance(it, RecordedChange)]
        models = [change for change in changes if isinstance(change, ModelChange)]
        pasts = await self._store.pasts({it.model_id for it in models if it.model_id is not None})
        prices = {number: past.prices for number, past in pasts.items()}
        gone = any(Kind.REMOVED in change.kinds for change in models)
        on_sale = await self._store.on_sale() if gone else ()
        return tell(batch, prices, on_sale, self._rules.routing.usage)

    async def _attempt(
        self, receiver: Receiver, message: StoredMessage
    ) -> tuple[Outcome, timedelta | None]:
        started = perf_counter()
        outcome = await receiver.send(message.title, message.body, message.alert_id)
        took = timedelta(seconds=perf_counter() - started)
        died = self._is_hopeless(message, outcome)
        wait = await self._mark(message, outcome, died)
        attempt = Attempt(
            receiver.name, message.alert_id, outcome, took, message.attempts + 1, died
        )
        self._log(attempt)
        self._after(attempt)
        return outcome, wait

    def _is_hopeless(self, message: StoredMessage, outcome: Outcome) -> bool:
        if outcome.verdict is Verdict.RETRY:
            return self._now() - message.opened_at >= self._rules.give_up_after
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


def new_alert_id(rng: Random) -> str:
    """A short name for a message, the same in every try: for people to quote and to search for."""
    return "".join(rng.choices(_ALERT_ID_LETTERS, k=_ALERT_ID_LENGTH))


async def _first_of(stop: asyncio.Event, news: asyncio.Event, wait: timedelta | None) -> None:
    """Return when stopped, when there is news, or after `wait` (`None`: however long)."""
    waiters = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(news.wait())]
    try:
        await asyncio.wait(
            waiters,
            timeout=None if wait is None else wait.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)

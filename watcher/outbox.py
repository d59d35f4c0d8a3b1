"""From what is recorded to what is told: one worker per receiver, until accepted or dead.

Knows the order: gather → send → mark. A message is fixed
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

from watcher.notify import Verdict
from watcher.schedule import next_attempt
from watcher.store import StateError
from watcher.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from random import Random

    from watcher.gathering import Gatherer
    from watcher.notify import Outcome, Receiver
    from watcher.store import Request, Store, StoredMessage

__all__ = ["Attempt", "Outbox"]

log = structlog.get_logger()

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

"""From queued deliveries to messages that are sent: one task for each receiver.

batch (release → word → store) → send → mark. A message is stored before it is first
tried and never changes after that, so that a retry sends the same text under the same id. It is
marked as sent only after it was accepted, so a crash in between repeats it and never loses it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, assert_never

from watcher.heavy import collector_paused, run_heavy
from watcher.log import log
from watcher.notify.outcome import Verdict
from watcher.observer import NOBODY, Observer, SendAttempt
from watcher.routing.calendar import quiet_until
from watcher.routing.release import release
from watcher.schedule import UNANSWERED_IN_A_ROW, first_of, next_attempt, time_waited
from watcher.store.connection import ConflictError, StateError
from watcher.store.values import Draft, ReleaseEffects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.notify.outcome import Outcome
    from watcher.notify.receiver import Receiver
    from watcher.render.markup import Service
    from watcher.routing.release import Batch, Release
    from watcher.routing.rules import RoutingRules, Silence
    from watcher.store.requests import Request
    from watcher.store.store import Store
    from watcher.store.values import StoredMessage, StoredSilence
    from watcher.wording import MessageForm

# No vowels: an id never spells a word; no 0/o, 1/l: it can be read out.
_ALERT_ID_LETTERS = "23456789bcdfghjkmnpqrstvwxyz"
_ALERT_ID_LENGTH = 8
# One round: batch, word, draw, wait for a place, send a message and its picture, mark.
LONGEST_ROUND = timedelta(minutes=5)
# What is due by the clock must not make a task spin.
_SHORTEST_WAIT = timedelta(seconds=0.1)
# A wait knows nothing of a clock that is set, nor of a machine that sleeps.
_LONGEST_WAIT = timedelta(minutes=15)
# How often the requests of commands (retry, discard) are taken.
_REQUESTS_EVERY = timedelta(seconds=2)
_PAUSE_AFTER_ERROR = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class MessageRules:
    """What the configuration says about when something is sent, and in which form.

    `parse_silence` reads a stored silence, whose matcher is written as in a configuration;
    `templates` are the receivers' own, by name; `charts` names the receivers that get charts, and
    `in_credits` those that read prices in credits first.
    """

    routing: RoutingRules
    parse_silence: Callable[[StoredSilence], Silence]
    templates: Mapping[str, str] = field(default_factory=dict)
    charts: frozenset[str] = frozenset()
    in_credits: frozenset[str] = frozenset()

    def form(self, receiver: str, service: Service) -> MessageForm:
        """How a receiver gets its messages."""
        # Most rounds make no message.
        from watcher.render.figures import Notation  # noqa: PLC0415
        from watcher.wording import MessageForm  # noqa: PLC0415

        notation = Notation(self.routing.zone, "credits" if receiver in self.in_credits else "usd")
        template, charts = self.templates.get(receiver), receiver in self.charts
        return MessageForm(service, template, charts, receiver, notation)


class Batcher:
    """Makes messages of the deliveries that are due. `now` gives aware UTC times."""

    def __init__(
        self,
        store: Store,
        rules: MessageRules,
        *,
        now: Callable[[], datetime],
        rng: Random,
        observer: Observer = NOBODY,
    ) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._rng = rng
        self._observer = observer

    def resumes_at(self, receiver: str, message: StoredMessage, now: datetime) -> datetime:
        """When a failed message may be tried again: not in quiet hours, somebody may be asleep.

        A message first tried in quiet hours was urgent enough for them, and is tried again in
        them; so is one that a person retried in them.
        """
        routing = self._rules.routing
        until = quiet_until(routing.quiet, routing.zone, receiver, now)
        opened_in_quiet = quiet_until(routing.quiet, routing.zone, receiver, message.opened_at)
        if until is None or opened_in_quiet is not None or not message.attempts:
            return now
        return until

    async def next_message(
        self, receiver: Receiver
    ) -> tuple[StoredMessage | None, timedelta | None]:
        """Make messages of what is due; returns the first, or how long until one may be due."""
        while True:
            now = self._now()
            released = await self._release(receiver.name, now)
            try:
                messages = await self._create_messages(receiver, released, now)
            except ConflictError as conflict:
                # A person may have discarded some of it meanwhile.
                log.debug("message.batched_again", receiver=receiver.name, why=str(conflict))
                continue
            if messages:
                return messages[0], None
            if released.next_at is None:
                return None, None
            return None, max(released.next_at - now, _SHORTEST_WAIT)

    async def _release(self, receiver: str, now: datetime) -> Release:
        silences = await self._store.silences()
        items = await self._store.queued(receiver)
        released = await run_heavy(
            len(items),
            release,
            items,
            self._rules.routing,
            receiver=receiver,
            now=now,
            silences=tuple(map(self._rules.parse_silence, silences)),
            digests=await self._store.digests(receiver),
        )
        self._observer.deferred(receiver, {n: why.by for n, why in released.deferred.items()})
        return released

    async def _create_messages(
        self, receiver: Receiver, released: Release, now: datetime
    ) -> tuple[StoredMessage, ...]:
        """Store one message for each batch, and what else was released."""
        drafts = [await self._draft(receiver, batch) for batch in released.batches]
        effects = ReleaseEffects(released.netted, released.anchors, released.digests)
        messages: tuple[StoredMessage, ...] = ()
        if drafts:
            messages = await self._store.create_messages(receiver.name, drafts, now, effects)
        elif effects:
            await self._store.record_release(receiver.name, effects, now)
        if released.netted:
            self._observer.suppressed("netted", len(released.netted))
        return messages

    async def _draft(self, receiver: Receiver, batch: Batch) -> Draft:
        from watcher.wording import Known, draw, word  # noqa: PLC0415 - most rounds make no message

        form, now = self._rules.form(receiver.name, receiver.service), self._now()
        alert_id = new_alert_id(self._rng)
        known = Known(
            await self._store.prices(batch.model_ids),
            await self._store.on_sale() if batch.needs_what_is_on_sale else (),
            self._rules.routing.usage,
        )
        message = await word(batch, form, known, alert_id=alert_id, now=now)
        return Draft(
            alert_id,
            message.title,
            message.body,
            receiver.service.markup.value,
            batch.deliveries,
            await draw(batch, form, known, now),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """A receiver's answer to a message, until it is stored."""

    outcome: Outcome
    took: timedelta


class Outbox:
    """Sends what the store holds for each receiver.

    `now` gives aware UTC times, and `pace` says how many of its seconds pass in a real one.
    `requested` is called with the requests that were applied.
    """

    def __init__(
        self,
        store: Store,
        receivers: Sequence[Receiver],
        batcher: Batcher,
        *,
        give_up_after: timedelta,
        now: Callable[[], datetime],
        rng: Random,
        pace: float = 1.0,
        observer: Observer = NOBODY,
        requested: Callable[[Sequence[Request]], None] = lambda _: None,
    ) -> None:
        self._observer = observer
        self._requested = requested
        self._store = store
        self._receivers = tuple(receivers)
        self._batcher = batcher
        self._give_up_after = give_up_after
        self._now = now
        self._rng = rng
        self._pace = pace
        self._news = {receiver.name: asyncio.Event() for receiver in receivers}
        self._failing: set[str] = set()
        self._sent_at: dict[str, datetime] = {}
        self._unmarked: dict[int, _Answer] = {}

    def go_on_from(self, failing: Collection[str]) -> None:
        """That these receivers fail was said by another process, and is not said again."""
        self._failing.update(failing)

    def wake(self) -> None:
        """Let every receiver's task look at once whether there is something to send."""
        for news in self._news.values():
            news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve every receiver until `stop` is set; a slow one delays none of the others."""
        async with asyncio.TaskGroup() as tasks:
            for receiver in self._receivers:
                tasks.create_task(self._serve(receiver, stop))
            tasks.create_task(self._serve_requests(stop))

    async def deliver_all(self) -> dict[str, tuple[Outcome, ...]]:
        """One round for `check`: try once whatever is due, all receivers at the same time."""
        async with asyncio.TaskGroup() as group:
            tasks = {r.name: group.create_task(self._one_round(r)) for r in self._receivers}
        return {name: task.result() for name, task in tasks.items()}

    async def deliver(self, receiver: Receiver) -> tuple[Outcome | None, timedelta | None]:
        """Send the receiver's next message, where one is due.

        Returns the outcome (`None`: nothing was tried) and how long until there is something to
        do again (`None`: until there is something new).
        """
        message = await self._open_message(receiver)
        wait = None if message is None else self._time_until_due(receiver, message)
        # What may have arrived at a receiver that gives no answers holds up nothing new.
        if message is None or (wait and message.unanswered >= UNANSWERED_IN_A_ROW):
            with collector_paused():
                made, made_in = await self._batcher.next_message(receiver)
            if made is None:
                return None, min((it for it in (wait, made_in) if it is not None), default=None)
            message, wait = made, self._time_until_due(receiver, made)
        if wait:
            return None, wait
        return await self._attempt(receiver, message)

    async def _open_message(self, receiver: Receiver) -> StoredMessage | None:
        """The message to be tried next; what was tried for too long is given up."""
        while message := await self._store.open_message(receiver.name):
            if message.waited < self._give_up_after:
                return message
            # Others were tried meanwhile, as its receiver gives no answers.
            await self._store.give_up(message.id, self._now())
            log.error(
                "message.dead",
                why=message.last_error,
                receiver=receiver.name,
                alert=message.alert_id,
                attempts=message.attempts,
            )
        return None

    def _time_until_due(self, receiver: Receiver, message: StoredMessage) -> timedelta:
        """How long until a message may be tried; zero where it may be now."""
        now = self._now()
        # Planned later than now, it was planned before the clock was set back. The time until then
        # may be years, which nobody wants to wait for.
        planned = message.next_attempt_at if now >= message.planned_at else now
        resumes_at = self._batcher.resumes_at(receiver.name, message, now)
        return max(
            planned - now, resumes_at - now, self._time_until_pace(receiver, now), timedelta(0)
        )

    async def _serve(self, receiver: Receiver, stop: asyncio.Event) -> None:
        news, who = self._news[receiver.name], f"outbox:{receiver.name}"
        try:
            while not stop.is_set():
                news.clear()
                self._observer.check_in(who, LONGEST_ROUND)
                wait = await self._deliver_safely(receiver)
                wait = None if wait is None else min(wait, _LONGEST_WAIT)
                self._observer.check_in(who, None if wait is None else wait + LONGEST_ROUND)
                await first_of(stop, news, within=None if wait is None else wait / self._pace)
        finally:
            # The receiver may have left the configuration.
            self._observer.check_in(who, None)

    async def _deliver_safely(self, receiver: Receiver) -> timedelta | None:
        try:
            _, wait = await self.deliver(receiver)
        except StateError as error:
            log.warning("outbox.state_failed", receiver=receiver.name, why=str(error))
            return _PAUSE_AFTER_ERROR
        except Exception:
            log.exception("outbox.crashed", receiver=receiver.name)
            return _PAUSE_AFTER_ERROR
        return wait

    async def take_requests(self) -> None:
        """Apply the requests that commands left for this process, the owner of the state.

        Never raises: whatever is wrong with one, sending goes on.
        """
        try:
            taken = await self._store.take_requests(self._now())
            if taken is None:
                return
            if taken.rejected:
                log.warning("outbox.request_rejected", files=list(taken.rejected))
            if taken.applied:
                self.wake()
                self._requested([request for request, _ in taken.applied])
        except StateError as error:
            log.warning("outbox.request_failed", why=str(error))
        except Exception:
            log.exception("outbox.requests_crashed")

    async def _serve_requests(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._observer.check_in("requests", _REQUESTS_EVERY + LONGEST_ROUND)
            await self.take_requests()
            await first_of(stop, within=_REQUESTS_EVERY)

    async def _one_round(self, receiver: Receiver) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        while True:
            outcome, wait = await self.deliver(receiver)
            if outcome is None and wait is not None and wait <= receiver.service.pace:
                await asyncio.sleep(wait / self._pace / timedelta(seconds=1))
                # The pause is over, whatever the clock says by now.
                self._sent_at.pop(receiver.name, None)
                continue
            if outcome is None:
                return tuple(outcomes)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.RETRY:
                return tuple(outcomes)

    async def _attempt(
        self, receiver: Receiver, message: StoredMessage
    ) -> tuple[Outcome, timedelta | None]:
        answer = await self._send(receiver, message)
        outcome = answer.outcome
        died, wait = await self._mark(message, outcome)
        del self._unmarked[message.id]
        accepted = outcome.verdict is Verdict.ACCEPTED
        attempt = SendAttempt(
            receiver=receiver.name,
            alert_id=message.alert_id,
            outcome=outcome,
            took=answer.took,
            attempts=message.attempts + 1,
            died=died,
            unanswered=0 if accepted else message.unanswered + outcome.ambiguous,
            waited=self._now() - message.created_at if accepted else None,
        )
        self._log(attempt)
        self._observer.attempted(attempt)
        return outcome, wait

    async def _send(self, receiver: Receiver, message: StoredMessage) -> _Answer:
        """Send the message, unless it was answered already and the answer could not be stored.

        A disk that is full for days must not send the same message every half minute.
        """
        if message.id in self._unmarked:
            return self._unmarked[message.id]
        picture = await self._store.picture(message.id)
        started = perf_counter()
        outcome = await receiver.send(
            message.title, message.body, message.alert_id, message.markup, picture
        )
        took = timedelta(seconds=perf_counter() - started)
        self._sent_at[receiver.name] = self._now()
        answer = self._unmarked[message.id] = _Answer(outcome, took)
        return answer

    def _time_until_pace(self, receiver: Receiver, now: datetime) -> timedelta:
        """How long until the receiver's service takes another message."""
        sent_at = self._sent_at.get(receiver.name)
        # Later than now it was sent by a clock that was set back since.
        if sent_at is None or sent_at > now:
            return timedelta(0)
        return sent_at + receiver.service.pace - now

    async def _mark(self, message: StoredMessage, outcome: Outcome) -> tuple[bool, timedelta]:
        """Store the outcome of an attempt.

        Returns whether the message is dead, and how long until the receiver's next attempt.
        """
        now = self._now()
        match outcome.verdict:
            case Verdict.ACCEPTED:
                await self._store.mark_sent(message.id, now)
                return False, timedelta(0)
            case Verdict.REFUSED:
                await self._store.mark_dead(message.id, outcome.reason, now)
                return True, timedelta(0)
            case Verdict.RETRY:
                return await self._mark_failed(message, outcome, now)
            case _:
                assert_never(outcome.verdict)

    async def _mark_failed(
        self, message: StoredMessage, outcome: Outcome, now: datetime
    ) -> tuple[bool, timedelta]:
        unanswered = message.unanswered + 1 if outcome.ambiguous else 0
        wait = next_attempt(
            message.attempts + 1, outcome.retry_after, self._rng, unanswered=unanswered
        )
        await self._store.mark_failed(
            message.id, outcome.reason, now, now + wait, unanswered=unanswered
        )
        waited = message.waited + time_waited(message.planned_at, message.next_attempt_at, now)
        died = waited >= self._give_up_after
        if died:
            await self._store.give_up(message.id, now)
        # Others may be next, or something new, where this one lets them pass.
        is_last = died or unanswered >= UNANSWERED_IN_A_ROW
        return died, timedelta(0) if is_last else wait

    def _log(self, attempt: SendAttempt) -> None:
        """Log each message's end; of a failing receiver only the first failure and the recovery."""
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
    """A short name for a message, the same in every attempt, that people can quote and search."""
    return "".join(rng.choices(_ALERT_ID_LETTERS, k=_ALERT_ID_LENGTH))

"""The pages for monitoring: /livez, /readyz and /metrics, and what makes the watcher unready."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from watcher.config.durations import duration_text
from watcher.monitor.metrics import CONTENT_TYPE
from watcher.store.connection import StateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from watcher.config.settings import Settings
    from watcher.monitor.metrics import Metrics
    from watcher.monitor.monitor import Monitor
    from watcher.store.values import ReceiverStatus, Status

# A message is tried within seconds of its time; a send takes at most minutes.
OVERDUE_AFTER = timedelta(minutes=10)
# What is not deferred on purpose is in a message within seconds.
UNBATCHED_AFTER = timedelta(hours=1)


def health_routes(monitor: Monitor, metrics: Metrics) -> list[web.RouteDef]:
    """The routes of the three pages."""

    def stuck() -> tuple[str, ...]:
        return tuple(f"{who} is stuck" for who in monitor.watchdog.overdue)

    async def status() -> Status | None:
        try:
            return await monitor.store.status()
        except StateError:
            # Its text names files, which are for the log only.
            return None

    async def live(_: web.Request) -> web.Response:
        return _reply("alive", stuck())

    async def ready(_: web.Request) -> web.Response:
        read = await status()
        if read is None:
            return _reply("ready", (*stuck(), "the state cannot be read"))
        now, deferring = monitor.now(), monitor.deferring
        reasons = unready_reasons(read, monitor.settings, now, deferring)
        return _reply("ready", (*stuck(), *reasons))

    async def counts(_: web.Request) -> web.Response:
        page = metrics.page(await status(), monitor.raised)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})

    return [web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", counts)]


def _reply(good: str, reasons: Sequence[str]) -> web.Response:
    if reasons:
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="\n".join((*reasons, "")))
    return web.Response(text=f"{good}\n")


def unready_reasons(
    status: Status, settings: Settings, now: datetime, deferring: Collection[str] = ()
) -> tuple[str, ...]:
    """Why the watcher is not ready, each reason a line; none where it is.

    `deferring` names the receivers for which something is deferred on purpose (quiet hours, a
    digest, a silence), so that its age says nothing. The outbox is stuck where a receiver's next
    try is long overdue, or where something waits that is in no message. That a receiver fails is
    no reason: messages to it are tried when they should be.
    """
    oldest = 2 * settings.poll.full_sweep_every
    # What is left for a receiver that is no longer configured is not sent.
    served = [it for it in status.receivers if it.receiver in settings.receiver_names()]
    return (*_sweep_reasons(status, oldest, now), *_outbox_reasons(served, now, deferring))


def _sweep_reasons(status: Status, oldest: timedelta, now: datetime) -> Iterator[str]:
    if status.swept_at is None:
        yield "no complete sweep of the catalogue has been made yet"
        return
    age = now - status.swept_at
    if age > oldest:
        minutes, limit = age // timedelta(minutes=1), duration_text(oldest)
        yield f"the last complete sweep is {minutes} minutes old, more than {limit}"


def _outbox_reasons(
    receivers: Iterable[ReceiverStatus], now: datetime, deferring: Collection[str]
) -> Iterator[str]:
    for receiver in receivers:
        if _is_overdue(receiver, now):
            yield f"the outbox is stuck: the next try at {receiver.receiver} is overdue"
        elif receiver.receiver not in deferring and _is_unbatched(receiver, now):
            yield f"the outbox is stuck: what waits for {receiver.receiver} is in no message"


def _is_overdue(receiver: ReceiverStatus, now: datetime) -> bool:
    due = receiver.next_attempt_at
    return due is not None and now - due > OVERDUE_AFTER


def _is_unbatched(receiver: ReceiverStatus, now: datetime) -> bool:
    # While a message is open, what came later rightly waits for its turn.
    if receiver.open or not receiver.waiting or receiver.oldest_at is None:
        return False
    return now - receiver.oldest_at > UNBATCHED_AFTER

"""Notifying past the outbox, where the state is the problem.

A state that cannot even be opened ends the process, which may be started again every minute: a
small file beside the state says what operators were notified of.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.log import log
from watcher.monitor.alarms import Alarm, AlarmKind, Alarms
from watcher.notify.outcome import Verdict
from watcher.outbox import new_alert_id
from watcher.render.figures import Notation
from watcher.render.message import render
from watcher.render.outline import Envelope

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, tzinfo
    from pathlib import Path
    from random import Random

    from watcher.catalog.changes import Notice
    from watcher.monitor.alarms import AlarmRules
    from watcher.notify.receiver import Receiver
    from watcher.store.connection import StateError

# A receiver that hangs must not hold up what else is to be done.
SEND_TIMEOUT = timedelta(seconds=45)
# How often operators are reminded of a state that cannot be opened.
REMIND_AFTER = timedelta(days=1)

_LONGEST_NOTE = 64 * 1024
_NOTE_SUFFIX = ".notified"


async def notify_directly(
    receivers: Sequence[Receiver],
    names: Collection[str],
    notice: Notice,
    *,
    zone: tzinfo,
    rng: Random,
) -> frozenset[str]:
    """Send a notice, once, to the receivers named; those that accepted it. Never raises."""
    notation = Notation(zone)

    async def accepts(receiver: Receiver) -> bool:
        alert_id, markup = new_alert_id(rng), receiver.service.markup.value
        try:
            envelope = Envelope(alert_id, receiver.name, notation=notation)
            message = render([notice], receiver.service, envelope)
            async with asyncio.timeout(SEND_TIMEOUT.total_seconds()):
                outcome = await receiver.send(message.title, message.body, alert_id, markup)
        except Exception:
            log.exception("alarm.send_failed", receiver=receiver.name)
            return False
        return outcome.verdict is Verdict.ACCEPTED

    asked = [receiver for receiver in receivers if receiver.name in names]
    accepted = await asyncio.gather(*map(accepts, asked))
    return frozenset(it.name for it, ok in zip(asked, accepted, strict=True) if ok)


async def say_last_words(
    error: StateError,
    state: Path,
    receivers: Sequence[Receiver],
    *,
    rules: AlarmRules,
    now: datetime,
    rng: Random,
) -> None:
    """Notify operators that the state at `state` cannot be used. Never raises.

    Not again where they were notified of the same recently.
    """
    note, why = _note_beside(state), str(error)
    before = _read_note(note)
    if before is not None and before.why == why and abs(now - before.last_at) < REMIND_AFTER:
        return
    alarms = Alarms(rules, lambda: now)
    alarms.state_failed(why)
    for notice, names in alarms.take_notices():
        if await notify_directly(receivers, names, notice, zone=rules.zone, rng=rng):
            since_at = now if before is None else before.since_at
            _write_note(note, Alarm(AlarmKind.STATE, since_at, now, why, raised_at=now))


def withdraw_last_words(state: Path) -> Alarm | None:
    """The state can be used: remove the note and give its alarm, which is to be ended."""
    note = _note_beside(state)
    alarm = _read_note(note)
    with suppress(OSError):
        note.unlink(missing_ok=True)
    return alarm


def _note_beside(state: Path) -> Path:
    return state.with_name(state.name + _NOTE_SUFFIX)


def _read_note(note: Path) -> Alarm | None:
    try:
        with note.open("rb") as file:
            return Alarm.from_json(json.loads(file.read(_LONGEST_NOTE)))
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _write_note(note: Path, alarm: Alarm) -> None:
    """Write the note; where that fails, operators may be notified again."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with suppress(OSError), os.fdopen(os.open(note, flags, 0o600), "w") as file:
        json.dump(alarm.to_json(), file)

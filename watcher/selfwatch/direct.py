"""A notice offered past the outbox, for when the state is what is wrong.

Knows how a notice becomes a message that is sent at once. Refuses to know when that is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.gathering import new_alert_id
from watcher.notify import Verdict
from watcher.rendering import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from watcher.changes import Notice
    from watcher.notify import Receiver

__all__ = ["offer"]


async def offer(receivers: Sequence[Receiver], name: str, notice: Notice, rng: Random) -> bool:
    """Send it to the receiver of that name; whether there is one and it accepted."""
    for receiver in receivers:
        if receiver.name == name:
            alert_id = new_alert_id(rng)
            message = render([notice], receiver.service, alert_id)
            markup = receiver.service.markup.value
            outcome = await receiver.send(message.title, message.body, alert_id, markup)
            return outcome.verdict is Verdict.ACCEPTED
    return False

"""What operators are told of a state that cannot be opened, before the process ends.

There is no state to remember that in, and whoever starts the process again may do so every minute:
a small file beside the state says who was told of what, until the state can be used again. Refuses
to know what is wrong with it.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from watcher.alarms import AlarmKind, Book, StateFailed, Trouble, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from watcher.alarms import Policy
    from watcher.changes import Notice
    from watcher.store import StateError

__all__ = ["LastWords"]

log = structlog.get_logger()

# Where nobody looks for a day, they are reminded.
AGAIN_AFTER = timedelta(days=1)
# A receiver that hangs must not keep the process from ending.
PATIENCE = timedelta(seconds=45)
_LONGEST = 64 * 1024
_SUFFIX = ".told"


class LastWords:
    """Says once that the state at `state` cannot be used, and remembers that it was said.

    `send` offers a notice to one receiver and says whether it was accepted.
    """

    def __init__(
        self, state: Path, policy: Policy, send: Callable[[str, Notice], Awaitable[bool]]
    ) -> None:
        self._file = state.with_name(state.name + _SUFFIX)
        self._policy = policy
        self._send = send

    async def say(self, error: StateError, now: datetime) -> None:
        """Tell the operators, unless they were told the same of late. Never raises."""
        before = self._read()
        since_at = now if before is None else before.since_at
        if before is not None and before.why == str(error) and now - before.last_at < AGAIN_AFTER:
            return
        judgement = judge(Book.opened({}, now), StateFailed(str(error)), self._policy, now)
        offers = [self._offer(who, it) for it, whom in judgement.notices for who in whom]
        if any(await asyncio.gather(*offers)):
            self._write(Trouble(AlarmKind.STATE, since_at, now, str(error), told_at=now))

    def take_back(self) -> Trouble | None:
        """The state can be used: what was said of it, once, for its end to be told."""
        trouble = self._read()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        return trouble

    async def _offer(self, name: str, notice: Notice) -> bool:
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await self._send(name, notice)
        except Exception:
            log.exception("last_words.failed", receiver=name)
            return False

    def _read(self) -> Trouble | None:
        try:
            with self._file.open("rb") as file:
                return Trouble.from_json(json.loads(file.read(_LONGEST)))
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None

    def _write(self, trouble: Trouble) -> None:
        """Where it cannot be written they may be told again: better than not at all."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with suppress(OSError), os.fdopen(os.open(self._file, flags, 0o600), "w") as file:
            json.dump(trouble.to_json(), file)

"""What the watcher logs while a test looks."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from watcher.log import OWN_LOGGER

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Every event of any level, with its fields, its `event` and its `log_level`."""
    logger, kept = logging.getLogger(OWN_LOGGER), _Kept()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield kept.events
    finally:
        logger.removeHandler(kept)
        logger.setLevel(level)
        logger.propagate = propagate


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.__dict__["fields"]
        named = {"event": record.msg, "log_level": record.levelname.lower()}
        self.events.append({**fields, **named})

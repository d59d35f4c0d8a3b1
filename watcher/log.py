"""Logging: where lines go and what they look like, with no secret and no control character.

structlog and the loggers of the standard library, which other libraries use, share one output.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import SysLogHandler
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from watcher.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import Processor

    from watcher.safe_text import Redactor

_FROM_WARNINGS_ON = ("asyncio", "aiohttp")
_COLOURS = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}


def configure(level: str, format: str, redactor: Redactor, stream: TextIO) -> None:  # noqa: A002
    """Send every log line of the process to `stream`, from now on.

    `level` is debug, info, warning or error. `format` is readable, json, or auto: readable where
    `stream` is a terminal, JSON elsewhere. Where journald reads `stream`, each line begins with
    its priority and has no time, which journald adds. May be called again, and then replaces what
    it set up.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    readable = format == "readable" or (format == "auto" and stream.isatty())
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    renderer: Processor = _Readable(colour) if readable else structlog.processors.JSONRenderer()
    to_journal = _goes_to_journal(stream, os.environ)
    timestamp: list[Processor] = [structlog.processors.TimeStamper(fmt="iso", utc=True)]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *([] if to_journal else timestamp),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _Redact(redactor),
            _WithPriority(renderer) if to_journal else renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(number)


def _goes_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether journald reads `stream`: systemd says which file it reads, by device and inode.

    That it says so is not enough: the stream may have been redirected since.
    """
    try:
        file = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def _route_standard_logging(level: int) -> None:
    """Route the standard library's loggers through structlog; libraries log from warnings on."""
    lowest = logging.DEBUG if level == logging.DEBUG else logging.WARNING
    relay = _ToStructlog(lowest)
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _ToStructlog)]:
        root.removeHandler(old)
    root.addHandler(relay)
    root.setLevel(lowest)
    for name in _FROM_WARNINGS_ON:
        logging.getLogger(name).setLevel(lowest)
    logging.captureWarnings(capture=True)


class _ToStructlog(logging.Handler):
    """Hands a record of the standard library to structlog, where everything is redacted."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = structlog.get_logger(source=record.name)
            log.log(_standard_level(record.levelno), _text(record), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 - a log line must never end what it is about
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: logging's own way would print the record, not redacted."""


def _standard_level(number: int) -> int:
    """Libraries add levels between the standard ones; each counts as the one below it."""
    return min(max(number // 10 * 10, logging.DEBUG), logging.CRITICAL)


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


class _Redact:
    """Makes every key and value of an event safe to show."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> dict[str, Any]:
        return {self._text(key): self._value(key, value) for key, value in event.items()}

    def _value(self, key: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if key in {"exception", "stack"}:
            # Indented, so that no line of a foreign text looks like a log line of its own.
            lines = self._clean(str(value)).split("\n")
            return "\n".join(f"  {one_line(line)}" for line in lines)
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(value, Mapping):
            return {self._text(inner): self._value("", kept) for inner, kept in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value("", kept) for kept in value]
        return self._text(value)

    def _text(self, value: Any) -> str:
        return one_line(self._clean(str(value)))

    def _clean(self, text: str) -> str:
        return self._redactor.clean(text)


class _Readable:
    """One event as one line for a person: time, level, what happened, and the values."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        level, time = str(event.pop("level")), event.pop("timestamp", None)
        line = f"{time} " if time else ""
        line += f"{self._coloured(level)} {event.pop('event')}"
        below = [event.pop(key) for key in ("stack", "exception") if event.get(key)]
        values = "".join(f" {key}={_shown(value)}" for key, value in event.items())
        return "\n".join([line + values, *below])

    def _coloured(self, level: str) -> str:
        colour = _COLOURS.get(level) if self._colour else None
        return f"\x1b[{colour}m{level:<7}\x1b[0m" if colour else f"{level:<7}"


class _WithPriority:
    """An event as `renderer` shows it, each line with the priority that journald takes from it."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        # Every line: to journald each is an entry, and an exception has many.
        prefix = f"<{SysLogHandler.priority_names[event['level']]}>"
        rendered = str(self._renderer(logger, method, event))
        return "\n".join(f"{prefix}{line}" for line in rendered.split("\n"))


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value and not set(value) & set(' "='):
        return value
    return '"' + value.replace('"', '\\"') + '"'

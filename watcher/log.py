"""Logging: where lines go and what they look like, with no secret and no control character.

`log` takes events with values as fields: `log.info("poll.done", models=574)`. It and the loggers of
other libraries share one output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from watcher.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.safe_text import Redactor

# The logger beneath `log`.
OWN_LOGGER = "watcher"

_FROM_WARNINGS_ON = ("asyncio", "aiohttp")
_COLOURS = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}
# Of syslog, which journald goes by.
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class EventLog:
    """Logs events, named `noun.verb`, with values as fields."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(OWN_LOGGER)

    def debug(self, event: str, /, **fields: Any) -> None:
        self.log(logging.DEBUG, event, **fields)

    def info(self, event: str, /, **fields: Any) -> None:
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, /, **fields: Any) -> None:
        self.log(logging.ERROR, event, **fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self._logger.error(event, exc_info=sys.exc_info(), extra={"fields": fields})

    def log(self, level: int, event: str, /, **fields: Any) -> None:
        """An event at one of the levels of the standard library."""
        self._logger.log(level, event, extra={"fields": fields})


log = EventLog()


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
    to_journal = _goes_to_journal(stream, os.environ)
    renderer = _Readable(colour).render if readable else json.dumps
    output = _Output(stream, _Redact(redactor), renderer, to_journal=to_journal)
    # Libraries log from warnings on.
    lowest = logging.DEBUG if number == logging.DEBUG else logging.WARNING
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Output)]:
        root.removeHandler(old)
    root.addHandler(output)
    root.setLevel(lowest)
    logging.getLogger(OWN_LOGGER).setLevel(number)
    for name in _FROM_WARNINGS_ON:
        logging.getLogger(name).setLevel(lowest)
    logging.captureWarnings(capture=True)


def _goes_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether journald reads `stream`: systemd says which file it reads, by device and inode.

    That it says so is not enough: the stream may have been redirected since.
    """
    try:
        file = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


class _Output(logging.Handler):
    """Writes every record as one event, redacted."""

    def __init__(
        self,
        stream: TextIO,
        redact: _Redact,
        render: Callable[[dict[str, Any]], str],
        *,
        to_journal: bool,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._redact = redact
        self._render = render
        self._to_journal = to_journal

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self._render(self._redact.all(self._event(record)))
            if self._to_journal:
                # Every line: to journald each is an entry, and an exception has many.
                prefix = f"<{_PRIORITIES[_level_name(record.levelno)]}>"
                text = "\n".join(f"{prefix}{line}" for line in text.split("\n"))
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001 - a log line must never end what it is about
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: logging's own way would print the record, not redacted."""

    def _event(self, record: logging.LogRecord) -> dict[str, Any]:
        if record.name == OWN_LOGGER:
            event = {**record.__dict__["fields"], "event": record.msg}
        else:
            event = {"source": record.name, "event": _text(record)}
        event["level"] = _level_name(record.levelno)
        if not self._to_journal:
            event["timestamp"] = datetime.fromtimestamp(record.created, UTC)
        if record.exc_info:
            event["exception"] = logging.Formatter().formatException(record.exc_info)
        return event


def _level_name(number: int) -> str:
    """Libraries add levels between the standard ones; each counts as the one below it."""
    standard = min(max(number // 10 * 10, logging.DEBUG), logging.CRITICAL)
    return logging.getLevelName(standard).lower()


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


class _Redact:
    """Makes every key and value of an event safe to show."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def all(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return {self._text(key): self._value(key, value) for key, value in event.items()}

    def _value(self, key: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if key == "exception":
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

    def render(self, event: dict[str, Any]) -> str:
        level, time = event.pop("level"), event.pop("timestamp", None)
        line = f"{time} " if time else ""
        line += f"{self._coloured(level)} {event.pop('event')}"
        below = [event.pop("exception")] if "exception" in event else []
        values = "".join(f" {key}={_shown(value)}" for key, value in event.items())
        return "\n".join([line + values, *below])

    def _coloured(self, level: str) -> str:
        colour = _COLOURS.get(level) if self._colour else None
        return f"\x1b[{colour}m{level:<7}\x1b[0m" if colour else f"{level:<7}"


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value and not set(value) & set(' "='):
        return value
    return '"' + value.replace('"', '\\"') + '"'

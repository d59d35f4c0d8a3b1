"""What the commands share: the configuration and the state they work with, and values of options.

Commands that only show the state must work without the service's secrets, so most of them load the
configuration leniently.
"""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from watcher.config.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from watcher.config.settings import LogLevel, Settings
    from watcher.notify.client import Sender
    from watcher.store.queries import Reader
    from watcher.store.requests import Request


T = TypeVar("T")

LEFT_FOR_DAEMON = "The running daemon has been asked to {}; it does so within seconds."


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What the command line says before the command: the file named by --config, if any."""

    config_file: Path | None = None


def load_settings(options: GlobalOptions, sender: Sender) -> Settings:
    """The whole configuration, receivers checked by the sender. For a thread beside its loop's.

    Raises `ConfigError` with all that is wrong, and `SenderError`.
    """
    from watcher.config.loading import find_file, load

    file = find_file(options.config_file, os.environ)
    return load(file, os.environ, sender.check_url, _check_template)


def load_settings_remembering(options: GlobalOptions, sender: Sender) -> Settings:
    """The same, but the sender is asked only where an address is not one of those found good last.

    What was found then, it knows without being asked.
    """
    from watcher.config.errors import ConfigError
    from watcher.config.loading import find_file, load
    from watcher.notify.remembered import recall, remember

    file = find_file(options.config_file, os.environ)
    with suppress(ConfigError):
        settings = load(file, os.environ, lambda _url, _format: [], _check_template)
        addresses = settings.addresses()
        sender.known |= recall(settings.state.path, addresses)
        if sender.known.keys() >= set(addresses):
            return settings
    settings = load_settings(options, sender)
    remember(settings.state.path, {it: sender.known[it] for it in settings.addresses()})
    return settings


def _check_template(source: str) -> list[str]:
    from watcher.wording import check_template

    return check_template(source)


def load_settings_leniently(options: GlobalOptions) -> Settings:
    """The configuration for commands that do not send; receivers may be unreadable.

    Their secrets may be in the environment of the service and in files that only it can read.
    """
    from watcher.config.loading import find_file, load_leniently

    return load_leniently(find_file(options.config_file, os.environ), os.environ)


def local_now(options: GlobalOptions) -> datetime:
    """Now, in the configured time zone: commands show times in that of their `now`."""
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(load_settings_leniently(options).timezone))


def state_path(options: GlobalOptions) -> Path:
    """Where the state is."""
    return load_settings_leniently(options).state.path.absolute()


@asynccontextmanager
async def open_state(options: GlobalOptions) -> AsyncIterator[Reader]:
    """The state, open for reading. Raises `StateError` where there is none yet."""
    from watcher.store.queries import open_reader

    async with open_reader(state_path(options)) as reader:
        yield reader


def read_state(path: Path, ask: Callable[[Reader], Awaitable[T]]) -> T:
    """What the state says. Raises `StateError` where there is none yet."""
    import asyncio

    from watcher.store.queries import open_reader

    answers: list[T] = []

    async def read() -> None:
        async with open_reader(path) as reader:
            # Not as the coroutine's result: its end makes a text of that, which takes a while.
            answers.append(await ask(reader))

    asyncio.run(read())
    return answers[0]


async def apply_or_leave(state: Path, request: Request) -> int | None:
    """How many things the request changed; `None` where it is left for the running daemon.

    The state has one writer: the daemon, where it runs, takes the request within seconds.
    """
    from watcher.store.connection import InUseError
    from watcher.store.requests import leave_request
    from watcher.store.store import open_store

    try:
        async with open_store(state) as store:
            return await store.apply(request, request.at)
    except InUseError:
        leave_request(state, request)
        return None


def start_log(settings: Settings, minimum_level: LogLevel = "debug") -> None:
    """Send log lines to stderr as configured, with no secret in them; none below the minimum."""
    from watcher.config.settings import LogLevel
    from watcher.log import configure
    from watcher.safe_text import Redactor

    level = max(settings.log.level, minimum_level, key=get_args(LogLevel).index)
    configure(level, settings.log.format, Redactor(settings.secrets()), sys.stderr)


def exposed_files(options: GlobalOptions, settings: Settings) -> tuple[Path, ...]:
    """The files with secrets in them that every user of this machine can read."""
    from watcher.config.loading import exposed_files, find_file

    return exposed_files(settings, find_file(options.config_file, os.environ))


def since_option(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Read the value of an option such as `--since`."""
    if value is None:
        return None
    if (at := parse_time(value.strip(), datetime.now(UTC))) is None:
        raise click.BadParameter("write how long ago, as in 7d or 36h, or a date, as in 2026-11-01")
    return at


def duration_option(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta:
    """Read the value of an option such as `--for`."""
    try:
        duration = parse_duration(value.strip())
    except (ValueError, OverflowError):
        duration = timedelta(0)
    if duration <= timedelta(0):
        raise click.BadParameter("write a duration, as in 3d or 12h")
    return duration


def parse_time(text: str, now: datetime) -> datetime | None:
    """So long before `now` (`7d`), or a date or time, local unless it says otherwise.

    `None` where it is neither.
    """
    with suppress(ValueError, OverflowError):
        return now - parse_duration(text)
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    return None

"""The commands that do the work: `run` for good, `check` once, `demo` for show.

Knows signals and exit codes. Refuses to know what a poll is: the daemon is handed everything.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from watcher.cli.options import Chosen, settings, start_log
from watcher.cli.output import FAILED, complain, say
from watcher.cli.query import changes_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.app import CheckReport
    from watcher.config.settings import Settings
    from watcher.demo import DemoReport

_rebuilding = click.option(
    "--rebuild",
    is_flag=True,
    help="If the state is damaged, move it aside and start anew; a sound one is left alone.",
)


@click.command(epilog="Example: kie-watcher --config /etc/kie-watcher/config.yaml run")
@_rebuilding
@click.pass_obj
def run(chosen: Chosen, rebuild: bool) -> None:
    """Watch until stopped: poll, remember, tell.

    Without a configuration it watches Kie.ai with sane defaults and prints alerts here. SIGTERM
    and SIGINT (Ctrl-C) finish the work in hand and stop within seconds.
    """
    known = settings(chosen)
    start_log(known)
    if rebuild:
        _rebuild(known)
    asyncio.run(_run(chosen, known))
    _leave_at_once()


@click.command(epilog="Example: */10 * * * *  cd /var/lib/kie-watcher && kie-watcher check")
@_rebuilding
@click.pass_obj
def check(chosen: Chosen, rebuild: bool) -> None:
    """Poll once, send what is due, and exit; for cron.

    It prints what changed; under cron, or in a pipe, nothing where nothing happened. What waits
    for confirmation carries over to the next run. Exit 1 if the poll failed or a message was not
    accepted.
    """
    known = settings(chosen)
    # Each run would otherwise log its one poll, and cron would mail that line every time.
    start_log(known, quietest="warning")
    if rebuild:
        _rebuild(known)
    report = asyncio.run(_check(known))
    # Without receivers, the alert that was just printed has said it all.
    if known.receivers:
        _print_news(report)
    if sys.stdout.isatty():
        say(_poll_line(report))
    for line in _trouble(report):
        complain(line)
    if not report.ok:
        raise click.exceptions.Exit(FAILED)


@click.command(epilog="Example: kie-watcher demo --speed 2")
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 5),
    default=1.0,
    show_default=True,
    metavar="N",
    help="How many times faster than usual, 0.1 to 5.",
)
def demo(speed: float) -> None:
    """Watch a made-up market for under a minute.

    The real daemon runs against the simulator that ships with it, and prints alerts as they
    happen. Nothing leaves the machine and no state is kept.
    """
    from watcher.config.settings import Settings

    # The story breaks things on purpose: what the log says of that would hide the alerts.
    start_log(Settings(), quietest="error")
    report = asyncio.run(_demo(speed))
    say()
    for line in report.lines():
        say(line)
    if report.unsent:
        raise click.exceptions.Exit(FAILED)


async def _run(chosen: Chosen, known: Settings) -> None:
    from watcher.app import Reloads, run

    stop = asyncio.Event()
    reloads = Reloads(load=lambda: settings(chosen), relog=start_log)
    with _stopped_by_signals(stop), _reloaded_by_signal(reloads.asked):
        await run(known, stop=stop, terminal=sys.stdout, reloads=reloads, environment=os.environ)


async def _check(known: Settings) -> CheckReport:
    from watcher import app

    return await app.check(known, terminal=sys.stdout)


async def _demo(speed: float) -> DemoReport:
    from watcher.demo import demo as played

    stop = asyncio.Event()
    with _stopped_by_signals(stop):
        return await played(speed, terminal=sys.stdout, stop=stop)


def _leave_at_once() -> None:
    """End the process though a send hangs: its thread would keep us for as long as it waits.

    All that counts is stored by now, and what was not accepted is sent again at the next start.
    """
    hanging = [it for it in threading.enumerate() if it is not threading.main_thread()]
    if any(not thread.daemon for thread in hanging):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT. A second one changes nothing: stopping is under way."""
    loop = asyncio.get_running_loop()
    both = (signal.SIGTERM, signal.SIGINT)
    for number in both:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in both:
            loop.remove_signal_handler(number)


@contextmanager
def _reloaded_by_signal(asked: asyncio.Event) -> Iterator[None]:
    """Set `asked` on SIGHUP, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _rebuild(known: Settings) -> None:
    from watcher.store.backup import rebuild

    path = known.state.path.absolute()
    if kept := rebuild(path, datetime.now(UTC)):
        complain(f"{path} was damaged and is now {kept}; the next sweep is a new baseline")


def _print_news(report: CheckReport) -> None:
    from watcher.render.words import announcement

    for notice in report.poll.notices:
        say(announcement(notice))
    if report.changes:
        changes_table(report.changes)


def _poll_line(report: CheckReport) -> str:
    from watcher.render.figures import counted

    poll, changes = report.poll, counted(len(report.changes), "change", "changes")
    holds = f", {poll.holds} waiting for confirmation" if poll.holds else ""
    return f"Poll: {poll.outcome.value}, {changes}{holds}."


def _trouble(report: CheckReport) -> Iterator[str]:
    """What went wrong, a line for each thing."""
    from watcher.notify.receiver import Verdict

    if not report.poll.outcome.is_good:
        yield f"poll {report.poll.outcome.value}: {report.poll.why}"
    for name, outcomes in report.deliveries.items():
        for outcome in outcomes:
            if outcome.verdict is Verdict.RETRY:
                yield f"{name}: will be tried again: {outcome.reason}"
            elif outcome.verdict is Verdict.REFUSED:
                yield f"{name}: not sent, kept as a dead letter: {outcome.reason}"

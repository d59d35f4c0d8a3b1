"""The commands that watch: `run` until it is stopped, `check` once, `demo` on a made-up market.

Signals and exit codes are handled here; `app` and `daemon` do the work.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from watcher.cli.options import (
    GlobalOptions,
    exposed_files,
    load_settings,
    load_settings_remembering,
    local_now,
    start_log,
)
from watcher.cli.output import FAILED, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.app import CheckReport
    from watcher.config.settings import Settings
    from watcher.demo import DemoReport

_rebuild_option = click.option(
    "--rebuild",
    is_flag=True,
    help="If the state is damaged, move it aside and start with a new one; a sound one is kept.",
)


@click.command(epilog="Example: kie-watcher --config /etc/kie-watcher/config.yaml run")
@_rebuild_option
@click.pass_obj
def run(options: GlobalOptions, rebuild: bool) -> None:
    """Watch until stopped: poll, store, notify.

    Without a configuration it watches Kie.ai with the defaults and prints alerts here. SIGTERM
    and SIGINT (Ctrl-C) let it finish what it is storing or sending, and stop it within seconds.
    SIGHUP has it read the configuration again.
    """
    gc.enable()
    asyncio.run(_run(options, rebuild=rebuild))


@click.command(epilog="Example: */10 * * * *  cd /var/lib/kie-watcher && kie-watcher check")
@_rebuild_option
@click.pass_obj
def check(options: GlobalOptions, rebuild: bool) -> None:
    """Poll once, send what is due, and exit; for cron.

    It prints what changed; under cron, or in a pipe, nothing where nothing happened. What waits
    for confirmation carries over to the next run. Exit 1 if the poll failed or a message was not
    accepted; what goes on failing is printed by the first run that meets it, and when it is over.
    """
    report, has_receivers = asyncio.run(_check(options, rebuild=rebuild))
    # Without receivers, the alert that was just printed says the same.
    if has_receivers:
        _print_news(report, local_now(options))
    if sys.stdout.isatty():
        say(_poll_line(report))
    for line in complaints(report):
        warn(line)
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

    # The demo breaks things on purpose: what is logged of that would hide the alerts.
    start_log(Settings(), minimum_level="error")
    gc.enable()
    report = asyncio.run(_demo(speed))
    say()
    for line in report.lines():
        say(line)
    if report.unsent:
        raise click.exceptions.Exit(FAILED)


def complaints(report: CheckReport) -> Iterator[str]:
    """What begins to fail and what no longer does, a line for each thing.

    What goes on failing was said by the run that met it first: cron mails every line.
    """
    from watcher.notify.outcome import Verdict

    poll, before = report.poll, report.not_good_before
    if not poll.outcome.is_good and not before:
        yield f"poll {poll.outcome.value}: {poll.why}"
    elif poll.outcome.is_good and before:
        yield f"polls work again, after {before} that did not"
    for name, outcomes in report.deliveries.items():
        failed_before = name in report.failing_before
        for outcome in outcomes:
            if outcome.verdict is Verdict.RETRY and not failed_before:
                yield f"{name}: will be tried again: {outcome.reason}"
            elif outcome.verdict is Verdict.REFUSED:
                yield f"{name}: not sent, kept as a dead letter: {outcome.reason}"
        if failed_before and any(it.verdict is Verdict.ACCEPTED for it in outcomes):
            yield f"{name}: accepts messages again"


async def _run(options: GlobalOptions, *, rebuild: bool) -> None:
    from watcher.daemon import Reloads, run
    from watcher.log import log
    from watcher.notify.client import Sender

    stop = asyncio.Event()
    async with Sender() as sender:
        reloads = Reloads(load=partial(load_settings, options, sender), configure_log=start_log)
        settings = await asyncio.to_thread(reloads.load)
        start_log(settings)
        for file in exposed_files(options, settings):
            log.warning("config.exposed", file=str(file), fix=f"chmod o-r {file}")
        if rebuild:
            _rebuild(settings)
        with _stop_on_signals(stop), _reload_on_signal(reloads.requested):
            await run(
                settings,
                stop=stop,
                terminal=sys.stdout,
                reloads=reloads,
                environment=os.environ,
                sender=sender,
            )


async def _check(options: GlobalOptions, *, rebuild: bool) -> tuple[CheckReport, bool]:
    """The report, and whether there are receivers."""
    from watcher import app
    from watcher.notify.client import Sender

    async with Sender() as sender:
        settings = await asyncio.to_thread(load_settings_remembering, options, sender)
        # Each run would otherwise log its one poll, and cron would mail that line every time.
        start_log(settings, minimum_level="warning")
        if rebuild:
            _rebuild(settings)
        report = await app.check(settings, terminal=sys.stdout, sender=sender)
        return report, bool(settings.receivers)


async def _demo(speed: float) -> DemoReport:
    from watcher.demo import demo as play

    stop = asyncio.Event()
    with _stop_on_signals(stop):
        return await play(speed, terminal=sys.stdout, stop=stop)


@contextmanager
def _stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT. A second signal has no effect."""
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
def _reload_on_signal(asked: asyncio.Event) -> Iterator[None]:
    """Set `asked` on SIGHUP, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _rebuild(settings: Settings) -> None:
    from watcher.store.backup import rebuild

    path = settings.state.path.absolute()
    if kept := rebuild(path, datetime.now(UTC)):
        warn(f"{path} was damaged and is now {kept}; the next sweep is a new baseline")


def _print_news(report: CheckReport, now: datetime) -> None:
    if report.poll.notices:
        from watcher.render.figures import Notation
        from watcher.render.notices import announcement

        for notice in report.poll.notices:
            say(announcement(notice, Notation(now.tzinfo or UTC)))
    if report.changes:
        from watcher.cli.query import print_changes

        print_changes(report.changes, now)


def _poll_line(report: CheckReport) -> str:
    from watcher.render.figures import counted

    poll, changes = report.poll, counted(len(report.changes), "change", "changes")
    holds = f", {poll.holds} waiting for confirmation" if poll.holds else ""
    return f"Poll: {poll.outcome.value}, {changes}{holds}."

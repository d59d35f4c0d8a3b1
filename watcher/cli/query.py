"""The commands that show what is stored and change nothing: `models`, `changes` and `status`.

All of them work while the daemon runs and without the service's secrets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.catalog.changes import SHORT_KINDS, CreditValueChange, Kind, public_fields
from watcher.catalog.record import RecordFilter, fold
from watcher.cli.listing import Cell, Form, Listing, form_options, print_list
from watcher.cli.options import (
    GlobalOptions,
    load_settings_leniently,
    local_now,
    read_state,
    since_option,
    state_path,
)
from watcher.cli.output import (
    moment,
    news_count,
    print_json,
    say,
    utc,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import tzinfo
    from pathlib import Path

    from watcher.catalog.changes import RecordedChange
    from watcher.catalog.record import Model
    from watcher.store.values import (
        KnownModel,
        OpenHold,
        PollStatus,
        ReceiverStatus,
        Status,
    )

KINDS = tuple(kind.value for kind in Kind)
LONGEST_OLD_NAME = 80

# Of the screen of `status`.
HEADING_WIDTH = 14
MOST_HOLDS = 10

MOST_NAMES = 3

WHOLE_CATALOGUE = "the whole catalogue"


def _narrowing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which models are meant, as the fields of a `RecordFilter`."""
    for name, metavar, text in (
        ("model", "GLOB", "Only models whose description matches."),
        ("family", "GLOB", "Only families that match: the part before the first comma."),
        ("search", "TEXT", "Only models with all these words in their name."),
        ("provider", "X", "Only this provider."),
        ("interface", "X", "Only this category, as in video."),
    ):
        command = click.option(f"--{name}", metavar=metavar, help=text)(command)
    return command


@click.command(epilog="Example: kie-watcher models --interface video --search '1080p audio'")
@_narrowing
@form_options
@click.pass_obj
def models(options: GlobalOptions, /, *, form: Form, **asked: str | None) -> None:
    """List the catalogue as stored. Upper and lower case are the same."""
    path, only = state_path(options), RecordFilter(**asked)
    found = read_state(path, lambda reader: reader.models(only))
    if not found.models:
        _say_what_is_close(path, only)
    print_list(found.models, _models(local_now(options).tzinfo), form)


@click.command(
    epilog="Example: kie-watcher changes --since 7d --kind price_up --model '*seedance*'"
)
@click.option(
    "--since",
    callback=since_option,
    metavar="TIME",
    help="Only since so long ago (7d, 36h) or since a date (2026-11-01).",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice([*SHORT_KINDS, *KINDS], case_sensitive=False),
    multiple=True,
    metavar="K",
    help=f"Only of this kind, or of one of several: {', '.join([*SHORT_KINDS, *KINDS])}.",
)
@_narrowing
@click.option(
    "--alert", "alert_id", metavar="ID", help="Only the changes in the alert with this id."
)
@form_options
@click.pass_obj
def changes(
    options: GlobalOptions,
    /,
    *,
    form: Form,
    since: datetime | None,
    kinds: tuple[str, ...],
    alert_id: str | None,
    **asked: str | None,
) -> None:
    """List changes: newest first, but oldest first as JSON or CSV.

    Upper and lower case are the same.
    """
    path, only = state_path(options), RecordFilter(**asked)
    found = read_state(
        path,
        lambda reader: reader.changes(
            since=since,
            kinds={each for kind in kinds for each in SHORT_KINDS.get(kind, {kind})},
            only=only,
            alert_id=alert_id,
            newest_first=form == "table",
        ),
    )
    if not found:
        _say_what_is_close(path, only)
    print_changes(found, local_now(options), form)


def _say_what_is_close(path: Path, only: RecordFilter) -> None:
    """Say which names are nearest to a model or family that is no pattern and that nobody has."""
    from difflib import get_close_matches

    known = read_state(path, lambda reader: reader.models()).models
    records = [model.record for _, model in known]
    for option, asked, names in (
        ("model", only.model, {record.description for record in records}),
        ("family", only.family, {record.family for record in records}),
    ):
        if asked is None or set(asked) & set("*?["):
            continue
        folded = {fold(name): name for name in sorted(names)}
        if fold(asked) not in folded:
            nearest = [folded[it] for it in get_close_matches(fold(asked), folded)]
            within = [name for it, name in folded.items() if fold(asked) in it]
            close = ", ".join(f"“{name}”" for name in (nearest or within)[:MOST_NAMES])
            like = f"; closest: {close}" if close else f"; a pattern has a *: '*{asked}*'"
            warn(f"--{option}: none is called “{asked}”{like}")


def print_changes(found: Sequence[RecordedChange], now: datetime, form: Form = "table") -> None:
    """Print changes in the order given, their times in the zone of `now`."""

    def cells(recorded: RecordedChange) -> tuple[Cell, ...]:
        from watcher.render.figures import Notation
        from watcher.render.notices import announcement
        from watcher.render.words import more_words, news

        notation = Notation(now.tzinfo or UTC)
        change = recorded.change
        named = moment(recorded.at, now), ", ".join(change.kinds)
        if isinstance(change, CreditValueChange):
            return *named, "(all)", announcement(change, notation)
        said = (news([change]), *more_words([change], LONGEST_OLD_NAME, notation))
        return *named, change.model.record.description, " · ".join(said)

    headings = "When", "Kinds", "Model", "What"
    listing = Listing(headings, cells, public_fields, "No change matches.", ("Model",))
    print_list(found, listing, form)


def _models(zone: tzinfo | None) -> Listing[tuple[KnownModel, Model]]:
    def cells(listed: tuple[KnownModel, Model]) -> tuple[Cell, ...]:
        from watcher.render.figures import prices, standings

        known, model = listed
        return (
            model.record.interface,
            model.record.provider,
            model.record.description,
            prices([model]),
            standings([model]),
            f"{known.last_changed_at.astimezone(zone):%Y-%m-%d}",
        )

    headings = "Category", "Provider", "Model", "Price", "Discount", "Last changed"
    return Listing(headings, cells, _model_fields, "No model matches.", ("Model",))


def _model_fields(listed: tuple[KnownModel, Model]) -> dict[str, Any]:
    known, model = listed
    return model.fields() | {
        "first_seen": utc(known.first_seen_at),
        "last_changed": utc(known.last_changed_at),
    }


@click.command(epilog="Example: kie-watcher status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(options: GlobalOptions, as_json: bool) -> None:
    """Show on one screen whether all is well.

    The last poll and sweep and how they ended, models by category, what waits for confirmation,
    and what is pending or dead at each receiver.
    """
    settings = load_settings_leniently(options)
    path = settings.state.path.absolute()
    found = read_state(path, lambda reader: reader.status())
    if as_json:
        print_json(_status_fields(found))
        return
    say(_line("State", str(path)))
    for line in _status_lines(found, settings.receiver_names(), local_now(options)):
        say(line)


def _status_lines(found: Status, receivers: Collection[str], now: datetime) -> Iterator[str]:
    yield from _poll_lines(found.poll, now)
    yield _line("Last sweep", moment(found.swept_at, now))
    yield _line("Models", _models_text(found))
    yield _line("On hold", str(len(found.holds)) if found.holds else "nothing")
    for waiting in found.holds[:MOST_HOLDS]:
        yield _line("", hold_line(waiting, now))
    if len(found.holds) > MOST_HOLDS:
        more = len(found.holds) - MOST_HOLDS
        yield _line("", f"and {more} more, see `kie-watcher accept`")
    yield from _receiver_lines(found, receivers, now)


def _poll_lines(poll: PollStatus | None, now: datetime) -> Iterator[str]:
    if poll is None:
        yield _line("Last poll", "never")
        return
    why = f": {poll.why}" if poll.why else ""
    yield _line("Last poll", f"{moment(poll.at, now)}, {poll.outcome}{why}")
    if poll.failures:
        in_a_row = f"{poll.failures} in a row; last success {moment(poll.last_success_at, now)}"
        yield _line("Failures", in_a_row)


def _models_text(found: Status) -> str:
    if not found.models:
        return "none"
    categories = ", ".join(f"{count} {name or '(none)'}" for name, count in found.models.items())
    return f"{sum(found.models.values())}: {categories}"


def _receiver_lines(found: Status, receivers: Collection[str], now: datetime) -> Iterator[str]:
    """One line for each receiver that is configured, or that something is still due to."""
    busy = {receiver.receiver: receiver for receiver in found.receivers}
    for place, name in enumerate(sorted({*receivers, *busy})):
        heading = "" if place else "Receivers"
        pending = _pending_text(busy[name], now) if name in busy else "nothing pending"
        mark = "" if name in receivers else " (not configured)"
        yield _line(heading, f"{name}{mark}: {pending}")


def _pending_text(receiver: ReceiverStatus, now: datetime) -> str:
    parts = []
    if receiver.waiting or receiver.open:
        messages = "1 message" if receiver.open == 1 else f"{receiver.open} messages"
        parts.append(f"{messages} and {news_count(receiver.waiting)} pending")
    if receiver.oldest_at:
        parts.append(f"oldest {moment(receiver.oldest_at, now)}")
    if receiver.next_attempt_at:
        parts.append(f"next attempt {moment(receiver.next_attempt_at, now)}")
    if receiver.dead:
        parts.append(f"{receiver.dead} DEAD, see `kie-watcher outbox list`")
    if receiver.last_error:
        parts.append(f"last error: {receiver.last_error}")
    return ", ".join(parts)


def _line(heading: str, text: str) -> str:
    return f"{heading:<{HEADING_WIDTH}}{text}".rstrip()


def _status_fields(found: Status) -> dict[str, Any]:
    from watcher.catalog.pricing import decimal_text

    return {
        "poll": found.poll and _poll_fields(found.poll),
        "swept_at": utc(found.swept_at),
        "usd_per_credit": decimal_text(found.usd_per_credit),
        "models": dict(found.models),
        "holds": [hold_fields(waiting) for waiting in found.holds],
        "receivers": [_receiver_fields(receiver) for receiver in found.receivers],
    }


def _poll_fields(poll: PollStatus) -> dict[str, Any]:
    return {
        "at": utc(poll.at),
        "outcome": poll.outcome,
        "reason": poll.why,
        "last_success_at": utc(poll.last_success_at),
        "failures": poll.failures,
    }


def _receiver_fields(receiver: ReceiverStatus) -> dict[str, Any]:
    return {
        "receiver": receiver.receiver,
        "waiting": receiver.waiting,
        "open": receiver.open,
        "dead": receiver.dead,
        "oldest_at": utc(receiver.oldest_at),
        "next_attempt_at": utc(receiver.next_attempt_at),
        "last_error": receiver.last_error,
    }


def hold_line(waiting: OpenHold, now: datetime) -> str:
    """One hold in one line, its number first."""
    hold = waiting.hold
    what = waiting.description or " ".join(
        (WHOLE_CATALOGUE, f"({hold.subject})" * bool(hold.subject))
    )
    until = moment(hold.until_at, now)
    return f"{waiting.number}: {hold.reason.value}: {what.strip()}, confirmed from {until}"


def hold_fields(waiting: OpenHold) -> dict[str, Any]:
    """One hold for programs."""
    return {
        "number": waiting.number,
        "reason": waiting.hold.reason.value,
        "model": waiting.description,
        "seen": waiting.hold.subject or None,
        "since": utc(waiting.hold.since_at),
        "until": utc(waiting.hold.until_at),
    }

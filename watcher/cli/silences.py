"""The command `silence`: hold back messages for a time.

What is silenced is given by options, and checked as the `match` of a route in the configuration is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.listing import Cell, Form, Listing, form_options, print_list
from watcher.cli.options import (
    LEFT_FOR_DAEMON,
    GlobalOptions,
    apply_or_leave,
    duration_option,
    local_now,
    read_state,
    state_path,
)
from watcher.cli.output import BadUsage, failed, moment, say, utc
from watcher.cli.query import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime, timedelta
    from pathlib import Path

    from pydantic import ValidationError

    from watcher.catalog.changes import Kind
    from watcher.store.requests import AddSilence
    from watcher.store.values import StoredSilence

LONGEST_REASON = 200
# Of an alert about more models their families are silenced.
MOST_MODELS = 50
LONGEST_PATTERN = 200

# Key of a match, its option and the help for it.
_PATTERNS = (
    ("interface", "--interface", "Only this category, as in video."),
    ("provider", "--provider", "Only this provider."),
    ("model", "--model", "Only models whose description matches."),
    ("family", "--family", "Only families that match: the part before the first comma."),
)
_OPTIONS = {"kinds": "--kind", "min_change": "--min-change"}


@click.group(invoke_without_command=True, epilog="Example: kie-watcher silence list")
@form_options
@click.pass_context
def silence(context: click.Context, form: Form) -> None:
    """Hold back messages for a time: add, list or end silences.

    Without a command it lists. What a silence catches is stored and counted as always; its net
    effect is sent when the silence ends.
    """
    if context.invoked_subcommand is not None and form != "table":
        raise BadUsage(f"--{form} is for listing; write it after the command")
    if context.invoked_subcommand is None:
        context.invoke(list_, form=form)


def _matching(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what is silenced, as a route's match does."""
    for key, option, help_text in reversed(_PATTERNS):
        pattern = click.option(option, key, multiple=True, metavar="PATTERN", help=help_text)
        command = pattern(command)
    kinds = f"Only this kind: price, discount, promotion, reference, or one of {', '.join(KINDS)}."
    return click.option("--kind", "kinds", multiple=True, metavar="K", help=kinds)(command)


@silence.command(
    epilog="Example: kie-watcher silence add --model '*seedance*' --kind price --for 3d"
    " --reason 'they are still trying prices'"
)
@_matching
@click.option(
    "--min-change",
    metavar="SHARE",
    help="Only price moves of at least this: 5%, or '{up: 2%, down: 10%}'.",
)
@click.option("--all", "everything", is_flag=True, help="Silence everything; instead of the above.")
@click.option(
    "--alert",
    "alert_id",
    metavar="ID",
    help="Silence what this alert is about, its models and kinds; instead of the above.",
)
@click.option(
    "--for",
    "lasting",
    required=True,
    callback=duration_option,
    metavar="TIME",
    help="How long, as in 3d or 12h.",
)
@click.option(
    "--reason",
    metavar="TEXT",
    help="Why, for those who wonder later; with --alert that is reason enough.",
)
@click.option("--drop", is_flag=True, help="Never send what it catches, not even at its end.")
@click.pass_obj
def add(
    options: GlobalOptions,
    /,
    *,
    lasting: timedelta,
    reason: str | None,
    drop: bool,
    everything: bool,
    alert_id: str | None,
    **match: Any,
) -> None:
    """Silence what matches, from now on.

    A PATTERN is a glob, upper and lower case are the same; re:… is a regular expression, !…
    excludes. An option can be given several times. All that is given must hold.
    """
    from watcher.store.requests import AddSilence

    spec = _match_spec(match)
    if [bool(spec), everything, alert_id is not None].count(True) != 1:
        raise BadUsage("say what to silence, or --alert ID, or --all for everything; see --help")
    if reason is None and alert_id is None:
        raise BadUsage("--reason: say why, for those who wonder later")
    if alert_id is not None:
        spec = _alert_spec(state_path(options), alert_id)
    reason = f"alert {alert_id}" if reason is None else reason
    now = local_now(options)
    added = AddSilence(now, now + lasting, spec, _checked_reason(reason), drop)
    number = _add(state_path(options), added)
    if number is None:
        say(LEFT_FOR_DAEMON.format("add the silence"))
        return
    then = "is dropped" if drop else "comes as its net effect then"
    say(f"Silence {number} until {moment(added.until_at, now)}. What it catches {then}.")


@silence.command("list", epilog="Example: kie-watcher silence list --all --json")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@form_options
@click.pass_obj
def list_(options: GlobalOptions, everything: bool = False, form: Form = "table") -> None:
    """List silences, oldest first."""
    now = local_now(options)
    found = [
        one for one in _read_silences(state_path(options)) if everything or _ends_at(one) > now
    ]
    nothing = "Nothing was ever silenced." if everything else "Nothing is silenced."
    print_list(found, _silences(now, nothing), form)


@silence.command(epilog="Example: kie-watcher silence end 3")
@click.argument("number", type=click.IntRange(min=1), metavar="ID")
@click.pass_obj
def end(options: GlobalOptions, number: int) -> None:
    """End the silence with the number ID before its time.

    The net effect of what it caught is sent, unless it was added with --drop.
    """
    from watcher.store.requests import EndSilence

    now = local_now(options)
    path = state_path(options)
    _require_active(_read_silences(path), number, now)
    count = asyncio.run(apply_or_leave(path, EndSilence(now, number)))
    say(
        LEFT_FOR_DAEMON.format("end the silence") if count is None else f"Silence {number} is over."
    )


def _read_silences(path: Path) -> tuple[StoredSilence, ...]:
    return read_state(path, lambda reader: reader.silences())


def _alert_spec(path: Path, alert_id: str) -> dict[str, Any]:
    """The models of an alert, or their families where those are many, and what happened to them."""
    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import fold

    found = read_state(path, lambda reader: reader.changes(alert_id=alert_id, newest_first=False))
    changes = [it.change for it in found if isinstance(it.change, ModelChange)]
    if not changes:
        raise failed(
            f"there is no alert {alert_id} that is about a model (see `kie-watcher changes`)"
        )
    records = [change.model.record for change in changes]
    kinds = dict.fromkeys(_both_ways(kind) for change in changes for kind in change.kinds)
    key, names = "model", dict.fromkeys(record.identity_key for record in records)
    if len(names) > MOST_MODELS:
        key, names = "family", dict.fromkeys(fold(record.family) for record in records)
    if len(names) > MOST_MODELS:
        raise failed(f"alert {alert_id} is about {len(names):,} families; say which, or --all")
    return {"kinds": list(kinds), key: [_exactly(name) for name in names]}


def _both_ways(kind: Kind) -> str:
    """`price` for a rise and for a fall."""
    word = kind.value.partition("_")[0]
    return word if word in {"price", "discount", "promotion", "reference"} else kind.value


def _exactly(name: str) -> str:
    """A pattern for one folded name: what would mean something in a pattern is any character."""
    plain = "".join("?" if char in "*?[" or not char.isprintable() else char for char in name)
    if plain.startswith(("!", "re:")):
        plain = f"?{plain[1:]}"
    return plain if len(plain) <= LONGEST_PATTERN else f"{plain[: LONGEST_PATTERN - 1]}*"


def _add(path: Path, added: AddSilence) -> int | None:
    """The number it got; `None` where it is left for the running daemon."""
    # Where there is no state yet, this fails: there is nothing to silence.
    _read_silences(path)
    if asyncio.run(apply_or_leave(path, added)) is None:
        return None
    return max(one.id for one in _read_silences(path) if one.since_at == added.at)


def _require_active(found: tuple[StoredSilence, ...], number: int, now: datetime) -> None:
    silence = next((one for one in found if one.id == number), None)
    if silence is None:
        raise failed(f"there is no silence {number} (see `kie-watcher silence list`)")
    if (ended_at := _ends_at(silence)) <= now:
        raise failed(f"silence {number} has been over since {moment(ended_at, now)}")


def _match_spec(match: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, as a configuration would have it. Raises `BadUsage` where it is not valid."""
    from pydantic import ValidationError

    from watcher.config.routes import MatchSettings

    given = {
        key: list(values) if key != "min_change" else _share(values)
        for key, values in match.items()
        if values
    }
    spec = {key: given[key] for key in MatchSettings.model_fields if key in given}
    try:
        MatchSettings.model_validate(spec)
    except ValidationError as error:
        raise BadUsage("\n".join(_problems(error))) from None
    return spec


def _share(text: str) -> Any:
    """A share, or one for each direction, written as in a configuration."""
    from watcher.config.document import read_document

    document = read_document(text, "--min-change")
    if document.problems:
        raise BadUsage(f"--min-change: {document.problems[0].what}")
    return document.content


def _problems(error: ValidationError) -> Iterator[str]:
    for details in error.errors(include_url=False, include_input=False):
        key = str(details["loc"][0])
        problem = details.get("ctx", {}).get("error") or "is not what belongs here; see --help"
        yield f"{_OPTIONS.get(key, f'--{key}')}: {problem}"


def _checked_reason(reason: str) -> str:
    text = " ".join(reason.split())
    if not text or len(text) > LONGEST_REASON:
        raise BadUsage(f"--reason: write one line of at most {LONGEST_REASON} characters")
    return text


def _ends_at(one: StoredSilence) -> datetime:
    return one.until_at if one.ended_at is None else min(one.until_at, one.ended_at)


def _silences(now: datetime, nothing: str) -> Listing[StoredSilence]:
    def cells(one: StoredSilence) -> tuple[Cell, ...]:
        ends_at = _ends_at(one)
        until = moment(ends_at, now)
        return (
            one.id,
            _match_text(one),
            until if ends_at > now else f"over since {until}",
            one.caught,
            "dropped" if one.dropping else "net effect",
            one.reason,
        )

    headings = "Number", "Silences", "Until", "Caught", "Then", "Reason"
    return Listing(
        headings, cells, lambda one: _fields(one, now), nothing, lead=("Number", "Silences")
    )


def _match_text(one: StoredSilence) -> str:
    """What it silences in one line, as a configuration would have it."""
    conditions = [f"{key}: {_value_text(value)}" for key, value in one.spec.items()]
    return "; ".join(conditions) or "everything"


def _value_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _fields(one: StoredSilence, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "active": _ends_at(one) > now,
        "match": dict(one.spec),
        "since": utc(one.since_at),
        "until": utc(one.until_at),
        "ended": utc(one.ended_at),
        "drop": one.dropping,
        "caught": one.caught,
        "reason": one.reason,
    }

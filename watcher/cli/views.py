"""The commands that list what is remembered: `models` and `changes`.

Knows how that is shown, to people and to programs. Refuses to write anything: both work while the
daemon runs.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from watcher.changes import CreditValueChange, Kind, public_fields
from watcher.cli.asked import since
from watcher.cli.configured import Chosen, memory
from watcher.cli.printing import Column, json_line, moment, say, table, utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from watcher.catalog import Model
    from watcher.changes import RecordedChange
    from watcher.store import Views
    from watcher.store.values import Catalogue, KnownModel

__all__ = ["changes", "changes_table", "models", "opened"]

LONGEST_OLD_NAME = 80
KINDS = tuple(kind.value for kind in Kind)


@asynccontextmanager
async def opened(chosen: Chosen) -> AsyncIterator[Views]:
    """The memory, open for reading; ends with a clear sentence where there is none yet."""
    from watcher.store import open_reader  # noqa: PLC0415

    async with open_reader(memory(chosen).path) as views:
        yield views


@click.command(epilog="Example: kie-watcher models --interface video --search '1080p audio'")
@click.option("--interface", metavar="X", help="Only this category, as in video.")
@click.option("--provider", metavar="X", help="Only this provider.")
@click.option("--search", metavar="TEXT", help="Only models with all these words in their name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def models(
    chosen: Chosen, interface: str | None, provider: str | None, search: str | None, as_json: bool
) -> None:
    """List the catalogue as last believed. Upper and lower case are the same."""

    async def ask() -> Catalogue:
        async with opened(chosen) as views:
            return await views.models(interface=interface, provider=provider, search=search)

    found = asyncio.run(ask()).models
    if not as_json:
        _models_table(found)
        return
    for known, model in found:
        json_line(_model_fields(known, model))


@click.command(
    epilog="Example: kie-watcher changes --since 7d --kind price_up --model '*seedance*'"
)
@click.option(
    "--since",
    callback=since,
    metavar="TIME",
    help="Only since so long ago (7d, 36h) or since a date (2026-11-01).",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS, case_sensitive=False),
    multiple=True,
    metavar="K",
    help=f"Only of this kind, or of one of several: {', '.join(KINDS)}.",
)
@click.option("--model", "glob", metavar="GLOB", help="Only models whose description fits.")
@click.option("--alert", "alert_id", metavar="ID", help="Only what the alert of this id told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, oldest first.")
@click.pass_obj
def changes(chosen: Chosen, /, *, as_json: bool, **narrowed: Any) -> None:
    """List what happened, newest first. Upper and lower case are the same."""

    async def ask() -> tuple[RecordedChange, ...]:
        async with opened(chosen) as views:
            return await views.changes(**narrowed, newest_first=not as_json)

    found = asyncio.run(ask())
    if not as_json:
        changes_table(found)
        return
    for recorded in found:
        json_line(public_fields(recorded))


def changes_table(found: Sequence[RecordedChange]) -> None:
    """Print changes for people, in the order given."""
    if not found:
        say("Nothing happened that fits.")
        return
    now = datetime.now(UTC)
    table(
        (Column("When"), Column("Kinds"), Column("Model"), Column("What")),
        [(moment(recorded.at, now), *_told(recorded)) for recorded in found],
    )


def _told(recorded: RecordedChange) -> tuple[str, str, str]:
    from watcher.rendering.wording import announcement, phrases  # noqa: PLC0415

    change = recorded.change
    kinds = ", ".join(kind.value for kind in change.kinds)
    if isinstance(change, CreditValueChange):
        return kinds, "(all)", announcement(change)
    description = change.model.record.description
    return kinds, description, "; ".join(phrases(change, LONGEST_OLD_NAME))


def _models_table(found: Sequence[tuple[KnownModel, Model]]) -> None:
    from watcher.rendering.pricing_words import against_fal, price  # noqa: PLC0415

    if not found:
        say("No model fits.")
        return
    table(
        (
            Column("Category"),
            Column("Provider"),
            Column("Model"),
            Column("Price"),
            Column("Against Fal"),
            Column("Last changed"),
        ),
        [
            (
                model.record.interface,
                model.record.provider,
                model.record.description,
                price(model),
                against_fal(model, model),
                f"{known.last_changed_at.astimezone():%Y-%m-%d}",
            )
            for known, model in found
        ],
    )


def _model_fields(known: KnownModel, model: Model) -> dict[str, Any]:
    return model.fields() | {
        "first_seen": utc(known.first_seen_at),
        "last_changed": utc(known.last_changed_at),
    }

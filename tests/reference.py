"""Writes what the program says of itself into docs/commands.md and docs/configuration.md.

`make docs` runs it; a test fails where a page is behind. Between a comment `<!-- from: WHAT -->`
and `<!-- end -->` everything is generated: the help of a command, or the keys of the configuration.
The text around it is written by hand.
"""

from __future__ import annotations

import ast
import inspect
import re
import typing
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT
from watcher.cli.main import cli
from watcher.config import routes, settings
from watcher.config.durations import duration_text
from watcher.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent.parent / "docs"
PAGES = (DOCS / "commands.md", DOCS / "configuration.md")
PROGRAM = "kie-watcher"
WIDTH = 96

_HEAD = ("| key | type | default | what it does |", "|---|---|---|---|")
_GENERATED = re.compile(r"(<!-- from: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)

# How the types are called for the people who set the keys, by a word of the annotation; the first
# that is in it.
_TYPES = {
    "parse_source_url": "URL",
    "SecretUrl": "URL",
    "TcpAddress": "HOST:PORT or unix:PATH",
    "parse_path": "path",
    "PlainPath": "path",
    "timedelta": "sweep or a duration",
    "DurationOrForever": "duration or forever",
    "DurationOrZero": "duration or 0",
    "Duration": "duration",
    "MinChangeSettings": "share, or one for each direction",
    "LeastShare": "share above 0%",
    "Share": "share",
    "Discount": "percent",
    "WholeNumber": "whole number",
    "PositiveNumber": "number above 0",
    "Number": "number",
    "OnOff": "true or false",
    "AnyKind": "list of kinds",
    "KindWord": "list of kinds",
    "AnyDay": "list of days",
    "Patterns": "list of patterns",
    "OnePattern": "pattern",
    "ReceiverNames": "list of receivers",
    "TimeZone": "IANA name",
    "TimeOfDay": '"HH:MM"',
    "Schedule": "cron expression",
    "Name": "text",
    "dict": "receivers, by name",
    "RouteSettings": "list of routes",
    "QuietHoursSettings": "list of windows",
    "UsageSettings": "list of models",
    "MatchSettings": "conditions",
}


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, `outbox retry` for one."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def help_of(name: str) -> str:
    """What `--help` of a command prints, in the width of the page."""
    command = dict([(PROGRAM, cli), *((f"{PROGRAM} {it}", found) for it, found in commands())])[
        name
    ]
    context = click.Context(
        command,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    return f"```text\n{command.get_help(context)}\n```\n"


@cache
def fields_of(section: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """The annotation of each key as it is written, and the text below it; of base classes first."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(section.__mro__):
        if base.__module__ not in {settings.__name__, routes.__name__}:
            continue
        (tree,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(tree, ast.ClassDef)
        for node, below in zip(tree.body, [*tree.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        told = " ".join(text.split())
                    case _:
                        told = ""
                found[node.target.id] = (ast.unparse(node.annotation), told)
    return found


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a value has within it, at any depth of lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in sections_in(part)]


def within(key: str, annotation: Any) -> str:
    """What the keys of a section begin with, where it is the value of `key`."""
    match typing.get_origin(annotation):
        case origin if origin is dict:
            return f"{key}.NAME."
        case origin if origin is tuple:
            return f"{key}[]."
    return f"{key}."


def type_of(annotation: str, info: FieldInfo) -> str:
    if typing.get_origin(info.annotation) is typing.Literal:
        return ", ".join(typing.get_args(info.annotation))
    words = set(re.findall(r"\w+", annotation))
    name = next(word for type_name, word in _TYPES.items() if type_name in words)
    if limits := re.search(r"\bbetween\((\d+), (\d+)\)", annotation):
        return f"{limits[1]} to {limits[2]}"
    if limits := re.search(r"share_between\((\d+), (\d+)\)", annotation):
        return f"{name}, {limits[1]}% to {limits[2]}%"
    if least := re.search(r"above\((\d+),", annotation):
        return f"{name} above {least[1]}"
    return name


def default_of(kind: str, info: FieldInfo) -> str:
    if info.is_required():
        return "must be set"
    match info.get_default(call_default_factory=True):
        case None if "forever" in kind:
            return "forever"
        case None | () | {}:
            return "none"
        case bool(answer):
            return str(answer).lower()
        case timedelta() as duration:
            return duration_text(duration)
        case Decimal() as share if kind.startswith("share"):
            return f"{share * 100:f}".rstrip("0").rstrip(".") + "%"
        case BaseModel():
            return "everything"
        case int() | Decimal() as number:
            return str(number)
        case frozenset() | tuple() as chosen:
            return ", ".join(f"`{each}`" for each in in_order(chosen))
        case other:
            return f"`{other}`"


def in_order(chosen: frozenset[StrEnum] | tuple[str, ...]) -> list[str]:
    """A list of words; kinds in the order of their definition, since a set has none."""
    if chosen == ANNOUNCED_BY_DEFAULT:
        return [kind for kind in type(next(iter(chosen))) if kind in chosen]  # type: ignore[attr-defined]
    return list(chosen)


def tables() -> Iterator[str]:
    """A table of each section's keys, and before it what the section is; each section once."""
    due: list[tuple[type[BaseModel], str]] = [(Settings, "")]
    told_already = set()
    while due:
        section, prefix = due.pop(0)
        if section in told_already:
            continue
        told_already.add(section)
        rows, inner = [], []
        for name, (annotation, told) in fields_of(section).items():
            info = section.model_fields[name]
            key = prefix + (info.alias or name)
            inner += [(it, within(key, info.annotation)) for it in sections_in(info.annotation)]
            if told:
                kind = "path" if name.endswith("_file") else type_of(annotation, info)
                cells = (f"`{key}`", kind, default_of(kind, info), told)
                rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        due = inner + due
        title = f"`{prefix.rstrip('.')}`" if prefix else "At the top"
        yield "\n".join([f"### {title}\n", f"{inspect.getdoc(section)}\n", *_HEAD, *rows]) + "\n"


def refreshed(text: str) -> str:
    """A page with all that is generated as it should be now."""

    def fill(found: re.Match[str]) -> str:
        content = "\n".join(tables()) if found[2] == "settings" else help_of(found[2])
        return f"{found[1]}{content}{found[3]}"

    return _GENERATED.sub(fill, text)


def main() -> None:
    for page in PAGES:
        page.write_text(refreshed(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()

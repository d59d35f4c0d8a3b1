"""Jinja2 as templates may use it, and its errors in words with the line they are about.

Knows what a template can reach: the values it is given, the filters and tests of Jinja2, and no
attribute, file or other template. Refuses to know what the values are.

A template filled with as much of the news as a service takes: whole lines, weightiest first.

Knows how a context is cut and that `hidden` counts what is missing. Refuses to know what a line
says.

What is wrong with a template, found before a message depends on it.

Refuses to know what it is tried on: samples are given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import unescape
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from watcher.worker import NotDoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jinja2 import Template

# How Jinja2 calls a template that is in no file.
_NAME = "<template>"
LONGEST_REASON = 200


class Environment(ImmutableSandboxedEnvironment):
    """A name that is not there is an error: a gap in a message would be seen by nobody."""

    def __init__(self, *, markup: bool) -> None:
        """`markup`: the text is HTML, and what is put into it is escaped."""
        super().__init__(
            autoescape=markup,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        del self.globals["lipsum"]

    def compiled(self, source: str) -> Template:
        """Raises `NotDoneError` with the line where it is no template."""
        try:
            return self.from_string(source)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a template can make anything go wrong
            raise NotDoneError(_in_words(error)) from None


def written(template: Template, context: dict[str, Any], longest: int) -> str | None:
    """The filled template; `None` where it is longer than so many characters.

    Raises `NotDoneError` with the line where it cannot be filled.
    """
    pieces: list[str] = []
    length = 0
    try:
        for piece in template.generate(context):
            length += len(piece)
            if length > longest:
                return None
            pieces.append(piece)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a template can make anything go wrong
        raise NotDoneError(_in_words(error)) from None
    return "".join(pieces).strip("\n")


def _shown(value: Any) -> Any:
    return "" if value is None else value


def _in_words(error: Exception) -> str:
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error)
    where = "" if line is None else f"line {line}: "
    return f"{where}{_what(error)}"


def _what(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "calls itself without end"
    said = " ".join(str(error).split()).rstrip(".")[:LONGEST_REASON]
    if isinstance(error, SecurityError):
        return f"is not allowed, {said}"
    if isinstance(error, TypeError) and "no loader" in said:
        return "names another template; there is only this one"
    return said if isinstance(error, TemplateError) and said else f"{type(error).__name__}, {said}"


def _line_of(error: Exception) -> int | None:
    """Jinja2 gives tracebacks the lines of the template."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _NAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


# However little of a text counts (tags may not), no more is written than this.
LONGEST_TEXT = 256 * 1024
LONGEST_SHARE = 4
LEAST_TEXT = 2000

_TAG = re.compile(r"<[^>]*>")


def _characters(text: str) -> int:
    """UTF-16 units, and an ampersand as the entity some services make of it before they count."""
    return len(text.encode("utf-16-le", "replace")) // 2 + 4 * text.count("&")


def _visible(text: str) -> int:
    return len(unescape(_TAG.sub("", text)).encode("utf-16-le", "replace")) // 2


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


# By name: each counts a text as `watcher.rendering` does for one kind of service.
MEASURES: Mapping[str, Callable[[str], int]] = {
    "characters": _characters,
    "visible": _visible,
    "bytes": _bytes,
}


@dataclass(frozen=True, slots=True)
class Filling:
    """A template, what goes into it, and how long the text may be by which measure."""

    source: str
    context: dict[str, Any]
    markup: bool
    measure: str
    longest: int


def fill(filling: Filling) -> dict[str, Any]:
    """The `text`, and how many of the contents are `shown` in it.

    Raises `NotDoneError` where the template fails, where nothing comes of it, and where even
    without any news it is longer than it may be.
    """
    template = Environment(markup=filling.markup).compiled(filling.source)
    measure = MEASURES[filling.measure]
    most = min(LONGEST_TEXT, max(LEAST_TEXT, LONGEST_SHARE * filling.longest))

    def attempt(count: int) -> dict[str, Any] | None:
        context, shown = _cut(filling.context, count)
        text = written(template, context, most)
        if text is None or measure(text) > filling.longest:
            return None
        if not text.strip():
            raise NotDoneError("comes out empty")
        return {"text": text, "shown": shown}

    return _fullest(attempt, _things(filling.context), filling.longest)


def _fullest(
    attempt: Callable[[int], dict[str, Any] | None], count: int, longest: int
) -> dict[str, Any]:
    """The attempt with the most things that succeeds; more things are taken to be longer."""
    if (found := attempt(count)) is not None:
        return found
    fits, too_many = 0, count
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if (better := attempt(middle)) is None:
            too_many = middle
        else:
            fits, found = middle, better
    # A template may be made for news, and fail without any: it is not asked needlessly.
    if found is None and (found := attempt(0)) is None:
        raise NotDoneError(f"comes out longer than the {longest:,} characters there is room for")
    return found


def _things(context: dict[str, Any]) -> int:
    """What is told or left out as one: a notice, a line."""
    return len(context["notices"]) + sum(len(group["lines"]) for group in context["groups"])


def _cut(context: dict[str, Any], count: int) -> tuple[dict[str, Any], int]:
    """The context with its first `count` things, and how many contents those are."""
    notices = context["notices"][:count]
    room = count - len(notices)
    groups = []
    for group in context["groups"]:
        lines = group["lines"][:room]
        room -= len(lines)
        if lines:
            groups.append({**group, "lines": lines})
    of_all = [notice["change"] for notice in notices if notice["change"] is not None]
    changes = [change for group in groups for line in group["lines"] for change in line["changes"]]
    shown = len(notices) + len(changes)
    cut = {"notices": notices, "groups": groups, "changes": of_all + changes}
    return {**context, **cut, "hidden": context["total"] - shown}, shown


def problems(trial: Filling, samples: list[dict[str, Any]]) -> list[str]:
    """Everything wrong with the template of a trial, which is tried on each of the samples."""
    environment = Environment(markup=trial.markup)
    try:
        environment.compiled(trial.source)
    except NotDoneError as error:
        return [str(error)]
    found = list(_foreign_names(environment, trial))
    return found or list(_failures(trial, samples))


def _foreign_names(environment: Environment, trial: Filling) -> Iterator[str]:
    try:
        parsed = environment.parse(trial.source)
        unknown = meta.find_undeclared_variables(parsed) - trial.context.keys()
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}: {error.message}"
        return
    known = ", ".join(sorted(trial.context))
    for name in sorted(unknown - environment.globals.keys()):
        yield f"there is no {name}; a template knows {known}"
    if list(meta.find_referenced_templates(parsed)):
        yield "names another template; there is only this one"


def _failures(trial: Filling, samples: list[dict[str, Any]]) -> Iterator[str]:
    told: set[str] = set()
    for sample in samples:
        try:
            fill(replace(trial, context=sample))
        except NotDoneError as error:
            if str(error) not in told:
                yield str(error)
            told.add(str(error))

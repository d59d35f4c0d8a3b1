"""Jinja2 as templates may use it: filled within limits, and its errors in words with their line.

A template reaches the values that it is given and the filters and tests of Jinja2; no attribute, no
file and no other template. Loaded only in the worker process. Why a template fails is a
`ValueError` in words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.exceptions import SecurityError
from jinja2.filters import do_mark_safe
from jinja2.sandbox import ImmutableSandboxedEnvironment

from watcher.render.markup import MarkupStyle, utf8_size, visible_width, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jinja2 import Template

LONGEST_REASON = 200
# Of what does not count (tags, for some services) no more is written than this.
LONGEST_TEXT = 256 * 1024
LONGEST_SHARE = 4
LEAST_TEXT = 2000

# How Jinja2 calls a template that is in no file.
_NAME = "<template>"

# What writes in the markup of the service.
MARKUP_NAMES = ("bold", "br", "bullet", "code", "large", "link")

# By name: each counts a text as built-in messages do for one kind of service.
MEASURES: Mapping[str, Callable[[str], int]] = {
    "characters": width,
    "visible": visible_width,
    "bytes": utf8_size,
}


def answer(request: bytes) -> bytes:
    """The reply to the request of a worker: a filled template, or what is wrong with it."""
    fields = json.loads(request)
    samples, style = fields.pop("samples"), MarkupStyle(**fields.pop("style"))
    filled = FillRequest(**fields, style=style)
    result = fill(filled) if samples is None else problems(filled, samples)
    return json.dumps(result).encode()


class SandboxEnvironment(ImmutableSandboxedEnvironment):
    """An unknown name is an error: nobody would notice a gap in a message."""

    def __init__(self, style: MarkupStyle, *, html: bool) -> None:
        """`html`: what is put into the text is escaped; `style` is how the service marks it up."""
        super().__init__(
            autoescape=html,
            undefined=StrictUndefined,
            finalize=lambda value: "" if value is None else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        del self.globals["lipsum"]
        # What is marked up has been escaped already.
        written: Callable[[str], str] = do_mark_safe if html else str
        self.globals |= {
            "bold": lambda text, address=None: written(style.bold(str(text), address)),
            "large": lambda text: written(style.large.format(style.text(str(text)))),
            "link": lambda text, address: written(style.linked(str(text), str(address))),
            "code": lambda text: written(style.code.format(style.text(str(text)))),
            "bullet": style.item.format(""),
            "br": written(style.newline.removesuffix("\n")),
        }

    def compiled(self, source: str) -> Template:
        """The template. Raises `ValueError` with the line where it is not valid."""
        try:
            return self.from_string(source)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a template can make anything go wrong
            raise ValueError(_in_words(error)) from None


def _filled(template: Template, context: dict[str, Any], longest: int) -> str | None:
    """The filled template; `None` where it is longer than so many characters.

    Raises `ValueError` with the line where it cannot be filled.
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
        raise ValueError(_in_words(error)) from None
    return "".join(pieces).strip("\n")


def _in_words(error: Exception) -> str:
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error)
    where = "" if line is None else f"line {line}: "
    return f"{where}{_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "calls itself without end"
    text = " ".join(str(error).split()).rstrip(".")[:LONGEST_REASON]
    if isinstance(error, SecurityError):
        return f"is not allowed, {text}"
    if isinstance(error, TypeError) and "no loader" in text:
        return "names another template; there is only this one"
    return text if isinstance(error, TemplateError) and text else f"{type(error).__name__}, {text}"


def _line_of(error: Exception) -> int | None:
    """Jinja2 gives tracebacks the lines of the template."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _NAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


@dataclass(frozen=True, slots=True)
class FillRequest:
    """A template, its context and markup, whether it is HTML, and how long it may be.

    `measure` names how the length is measured.
    """

    source: str
    context: dict[str, Any]
    style: MarkupStyle
    html: bool
    measure: str
    longest: int


def fill(request: FillRequest) -> dict[str, Any]:
    """The `text`, and how many of the contents are `shown` in it.

    As much of the context is used as fits, by whole lines, the first of it first. Raises
    `ValueError` where the template fails, where the text is empty, and where it is too long
    even with nothing to tell.
    """
    template = SandboxEnvironment(request.style, html=request.html).compiled(request.source)
    measure = MEASURES[request.measure]
    most = min(LONGEST_TEXT, max(LEAST_TEXT, LONGEST_SHARE * request.longest))

    def attempt(count: int) -> dict[str, Any] | None:
        context, shown = _cut(request.context, count)
        text = _filled(template, context, most)
        if text is None or measure(text) > request.longest:
            return None
        if not text.strip():
            raise ValueError("comes out empty")
        return {"text": text, "shown": shown}

    context = request.context
    entries = len(context["notices"]) + sum(len(group["lines"]) for group in context["groups"])
    return _fullest(attempt, entries, request.longest)


def _fullest(
    attempt: Callable[[int], dict[str, Any] | None], count: int, longest: int
) -> dict[str, Any]:
    """The attempt with the most entries that succeeds; more entries are taken to be longer."""
    if (found := attempt(count)) is not None:
        return found
    fits, too_many = 0, count
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if (better := attempt(middle)) is None:
            too_many = middle
        else:
            fits, found = middle, better
    # A template may need something to tell, and fail without: it is not tried needlessly.
    if found is None and (found := attempt(0)) is None:
        raise ValueError(f"comes out longer than the {longest:,} characters there is room for")
    return found


def _cut(context: dict[str, Any], count: int) -> tuple[dict[str, Any], int]:
    """The context with its first `count` notices and lines, and how many contents those are."""
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


def problems(request: FillRequest, samples: list[dict[str, Any]]) -> list[str]:
    """Everything that is wrong with a template, which is tried on each of the samples."""
    environment = SandboxEnvironment(request.style, html=request.html)
    try:
        environment.compiled(request.source)
    except ValueError as error:
        return [str(error)]
    found = list(_unknown_names(environment, request))
    return found or list(_failures(request, samples))


def _unknown_names(environment: SandboxEnvironment, request: FillRequest) -> Iterator[str]:
    try:
        parsed = environment.parse(request.source)
        unknown = meta.find_undeclared_variables(parsed) - request.context.keys()
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}: {error.message}"
        return
    known = ", ".join(sorted([*request.context, *MARKUP_NAMES]))
    for name in sorted(unknown - environment.globals.keys()):
        yield f"there is no {name}; a template knows {known}"
    if list(meta.find_referenced_templates(parsed)):
        yield "names another template; there is only this one"


def _failures(request: FillRequest, samples: list[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for sample in samples:
        try:
            fill(replace(request, context=sample))
        except ValueError as error:
            if str(error) not in seen:
                yield str(error)
            seen.add(str(error))

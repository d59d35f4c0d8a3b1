"""A template and its context handed to the sandbox, and what came back.

Knows what the sandbox is asked and what it may take. Refuses to know Jinja2: a template is never
even read in this process.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from watcher.apart import Bounds, Job, done, done_waiting
from watcher.confined import NotDoneError
from watcher.rendering.dress import Markup
from watcher.templates.sample import samples

if TYPE_CHECKING:
    from watcher.rendering.dress import Service

__all__ = [
    "Limits",
    "TemplateFailedError",
    "Text",
    "check",
    "limits_of",
    "render_aside",
    "render_template",
]

# The sandbox bounds itself, so that all of it together stays well below what the daemon may take.
BOUNDS = Bounds(time=timedelta(seconds=5), memory=160 * 2**20, reply=2 * 2**20)
LONGEST_SOURCE = 64 * 1024
NO_LIMIT = 256 * 1024

_MODULE = "watcher.sandbox"
# Those whose text is HTML: what is put into it is escaped.
_HTML = frozenset({Markup.HTML, Markup.TELEGRAM_HTML, Markup.EMAIL})
_MEASURES = {Markup.TELEGRAM_HTML: "visible", Markup.EMAIL: "bytes"}


class TemplateFailedError(Exception):
    """Nothing came of a template; the text says why, with the line where it is known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes: whether it is HTML, and how long it may be by which measure."""

    html: bool = False
    measure: str = "characters"
    longest: int = NO_LIMIT


@dataclass(frozen=True, slots=True)
class Text:
    """A filled template, and how many of the contents are told in it."""

    text: str
    shown: int


def limits_of(service: Service) -> Limits:
    measure = _MEASURES.get(service.markup, "characters")
    return Limits(service.markup in _HTML, measure, service.body_limit)


def render_template(source: str, context: dict[str, Any], limits: Limits) -> Text:
    """The filled template with as many of the contents as fit. Raises `TemplateFailedError`.

    Takes about a third of a second, and at most five; where there is an event loop, `render_aside`
    does not hold it up.
    """
    try:
        return Text(**json.loads(done_waiting(_job(source, context, limits))))
    except NotDoneError as error:
        raise TemplateFailedError(str(error)) from None


async def render_aside(source: str, context: dict[str, Any], limits: Limits) -> Text:
    """The same for an event loop; cancelled, it ends what it began."""
    try:
        return Text(**json.loads(await done(_job(source, context, limits))))
    except NotDoneError as error:
        raise TemplateFailedError(str(error)) from None


def check(source: str) -> list[str]:
    """All that is wrong with a template; nothing where it serves every kind of message.

    Fills it from samples in another process, and waits for that: a third of a second.
    """
    tried = samples()
    try:
        job = _job(source, tried[0], Limits(), tried)
        found: list[str] = json.loads(done_waiting(job))
    except NotDoneError as error:
        found = [str(error)]
    return [f"does not work: {problem}; mend the template" for problem in found]


def _job(
    source: str,
    context: dict[str, Any],
    limits: Limits,
    tried: list[dict[str, Any]] | None = None,
) -> Job:
    if len(source.encode("utf-8", "replace")) > LONGEST_SOURCE:
        raise NotDoneError(f"is larger than {LONGEST_SOURCE // 1024} KiB")
    filling = {
        "source": source,
        # Each change stands in its line already; the sandbox gathers them anew.
        "context": context | {"changes": []},
        "markup": limits.html,
        "measure": limits.measure,
        "longest": limits.longest,
    }
    request = json.dumps({"filling": filling, "samples": tried})
    return Job(_MODULE, request.encode(), BOUNDS)

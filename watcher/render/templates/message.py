"""The templates to start from: for each kind of service one that says what built-in messages say.

Refuses to know what is put into them.

A template and its context handed to the sandbox, and what came back.

Knows what the sandbox is asked and what it may take. Refuses to know Jinja2: a template is never
even read in this process.

A whole message by a receiver's own template, and the built-in one where the template fails.

Knows what each kind of service wants around a text. Refuses to know how a message is sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import structlog

from watcher.render.contents import sorted_contents
from watcher.render.email import text_of
from watcher.render.fitting import Fitted
from watcher.render.markup import Markup, width
from watcher.render.message import Message, embed, render, slack_blocks
from watcher.render.templates.context import context_of, samples
from watcher.worker import Bounds, Job, NotDoneError, done, done_waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.render.contents import Contents, Digest
    from watcher.render.markup import Service
    from watcher.render.news import Content, Telling

_OF_MARKUP = {
    Markup.MARKDOWN: "markdown",
    Markup.DISCORD_EMBED: "markdown",
    Markup.TEXT: "text",
    Markup.TERMINAL: "text",
    Markup.HTML: "html",
    Markup.TELEGRAM_HTML: "telegram",
    Markup.SLACK_BLOCKS: "slack",
    Markup.EMAIL: "email",
}
# By the names that people know services by; what has none of its own takes text.
_OF_SERVICE = {
    "discord": "markdown",
    "gchat": "markdown",
    "gotify": "markdown",
    "mail": "email",
    "mailto": "email",
    "mailtos": "email",
    "matrix": "html",
    "mattermost": "markdown",
    "mmost": "markdown",
    "ntfy": "markdown",
    "ntfys": "markdown",
    "pover": "html",
    "pushover": "html",
    "sms": "text",
    "teams": "markdown",
    "tgram": "telegram",
    "workflows": "markdown",
    "zulip": "markdown",
}
_KINDS = tuple(dict.fromkeys(_OF_MARKUP.values()))


class NoTemplateError(ValueError):
    """There is no template for that; the text says what there is."""


def built_in(service: str | Markup) -> str:
    """The source for a service by its name, or by the markup that it takes.

    Raises `NoTemplateError` for a name that is not known, and for what programs read.
    """
    kind = _OF_MARKUP.get(service) if isinstance(service, Markup) else _kind(service)
    if kind is None:
        raise NoTemplateError(f"there is no template for {service}; choose of {_known()}")
    return (files("watcher.render.templates") / "sources" / f"{kind}.j2").read_text("utf-8")


def template_names() -> tuple[str, ...]:
    """Every name that `built_in` knows: those of the templates, then those of services."""
    return (*_KINDS, *sorted(_OF_SERVICE))


def _kind(service: str) -> str | None:
    name = service.strip().lower()
    return name if name in _KINDS else _OF_SERVICE.get(name)


def _known() -> str:
    return ", ".join(template_names())


# The sandbox bounds itself, so that all of it together stays well below what the daemon may take.
BOUNDS = Bounds(time=timedelta(seconds=5), memory=160 * 2**20, reply=2 * 2**20)
LONGEST_SOURCE = 64 * 1024
NO_LIMIT = 256 * 1024

_MODULE = "watcher.render.templates"
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


log = structlog.get_logger()


async def message(
    contents: Sequence[Content | Telling],
    service: Service,
    alert_id: str,
    *,
    template: str,
    now: datetime,
    digest: Digest | None = None,
) -> Message:
    """What the template makes of the contents, within what the service takes.

    The built-in message where it fails, which is logged with its reason as `template.failed`.
    """
    try:
        return await filled(contents, service, alert_id, template=template, now=now, digest=digest)
    except TemplateFailedError as error:
        log.warning("template.failed", service=service.name, alert=alert_id, why=str(error))
        return render(contents, service, alert_id, digest)


async def filled(
    contents: Sequence[Content | Telling],
    service: Service,
    alert_id: str,
    *,
    template: str,
    now: datetime,
    digest: Digest | None = None,
) -> Message:
    """The same. Raises `TemplateFailedError` where the template fails."""
    if service.markup is Markup.CLOUDEVENTS:
        raise TemplateFailedError("is not asked where programs read: format: json")
    told = sorted_contents(contents, digest)
    context = context_of(told, service, alert_id, now)
    text = await render_aside(template, context, limits_of(service))
    title = context["title"] if service.title_limit else ""
    body = _body(text, service, title, told)
    return Message(title, body, text.shown, len(told.tellings) - text.shown)


def _body(text: Text, service: Service, title: str, told: Contents) -> str:
    said = text.text
    if service.section_limit is not None:
        said = "\n\n".join(_sections(said, service.section_limit))
    # The text closes itself.
    whole = Fitted(said, ("",), text.shown, 0)
    match service.markup:
        case Markup.DISCORD_EMBED:
            return embed(title, whole, told)
        case Markup.SLACK_BLOCKS:
            return slack_blocks(title, whole)
        case Markup.EMAIL:
            return json.dumps({"html": said, "text": text_of(said)}, ensure_ascii=False)
        case _:
            return said


def _sections(text: str, longest: int) -> Iterator[str]:
    """Paragraphs of at most `longest`, broken at line ends."""
    for paragraph in text.split("\n\n"):
        section = ""
        for line in paragraph.split("\n"):
            if width(line) > longest:
                raise TemplateFailedError(f"makes a line of more than {longest:,} characters")
            together = f"{section}\n{line}" if section else line
            if width(together) > longest:
                yield section
                together = line
            section = together
        yield section

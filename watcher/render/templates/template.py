"""A message by a receiver's own Jinja2 template, and the built-in templates to start from.

Jinja2 runs in a worker process with bounds of its own: a template is never even read in this one.
Where a template fails, the built-in message is sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import structlog

from watcher.render.email import html_to_text
from watcher.render.fitting import Fitted
from watcher.render.markup import Markup, width
from watcher.render.message import Message, discord_embed, render, slack_blocks
from watcher.render.outline import arrange
from watcher.render.templates.context import context_of, samples
from watcher.worker import Bounds, Job, JobFailedError, run_job, run_job_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.render.enrichment import Content, MessageItem
    from watcher.render.markup import Service
    from watcher.render.outline import Outline
    from watcher.routing.net_effect import DigestSummary

# The worker bounds itself: all that run at once stay well below what the service may take.
BOUNDS = Bounds(time=timedelta(seconds=5), memory=160 * 2**20, reply=2 * 2**20)
LONGEST_SOURCE = 64 * 1024
NO_LIMIT = 256 * 1024

_MODULE = "watcher.render.templates"
# Those whose text is HTML: what is put into it is escaped.
_HTML = frozenset({Markup.HTML, Markup.TELEGRAM_HTML, Markup.EMAIL})
_MEASURES = {Markup.TELEGRAM_HTML: "visible", Markup.EMAIL: "bytes"}

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
# By the names that people know services by; what takes no markup gets text.
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
    """There is no template by that name; the text lists the names there are."""


class TemplateFailedError(Exception):
    """A template could not be filled; the text says why, with the line where it is known."""


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """What a service takes: whether it is HTML, and how long it may be by which measure."""

    html: bool = False
    measure: str = "characters"
    longest: int = NO_LIMIT


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """The text, and how many of the contents are in it."""

    text: str
    shown: int


def built_in(service: str | Markup) -> str:
    """The source of the template for a service by its name, or for a markup.

    Raises `NoTemplateError` for an unknown name, and for what programs read.
    """
    if isinstance(service, Markup):
        kind = _OF_MARKUP.get(service)
    else:
        name = service.strip().lower()
        kind = name if name in _KINDS else _OF_SERVICE.get(name)
    if kind is None:
        known = ", ".join(template_names())
        raise NoTemplateError(f"there is no template for {service}; choose one of {known}")
    return (files("watcher.render.templates") / "sources" / f"{kind}.j2").read_text("utf-8")


def template_names() -> tuple[str, ...]:
    """Every name that `built_in` knows: those of the templates, then those of services."""
    return (*_KINDS, *sorted(_OF_SERVICE))


def check_template(source: str) -> list[str]:
    """All that is wrong with a template; nothing where it works for every kind of message.

    Fills it from samples in a worker, and waits for that: a third of a second.
    """
    contexts = samples()
    try:
        job = _job(source, contexts[0], TemplateLimits(), contexts)
        found: list[str] = json.loads(run_job_blocking(job))
    except JobFailedError as error:
        found = [str(error)]
    return [f"does not work: {problem}; fix the template" for problem in found]


log = structlog.get_logger()


async def render_or_fall_back(
    contents: Sequence[Content | MessageItem],
    service: Service,
    alert_id: str,
    *,
    template: str,
    now: datetime,
    digest: DigestSummary | None = None,
) -> Message:
    """What the template makes of the contents, within what the service takes.

    The built-in message where it fails, which is logged with its reason as `template.failed`.
    """
    try:
        return await render_template(
            contents, service, alert_id, template=template, now=now, digest=digest
        )
    except TemplateFailedError as error:
        log.warning("template.failed", service=service.name, alert=alert_id, why=str(error))
        return render(contents, service, alert_id, digest)


async def render_template(
    contents: Sequence[Content | MessageItem],
    service: Service,
    alert_id: str,
    *,
    template: str,
    now: datetime,
    digest: DigestSummary | None = None,
) -> Message:
    """The same, but raises `TemplateFailedError` where the template fails."""
    if service.markup is Markup.CLOUDEVENTS:
        raise TemplateFailedError("is not used where programs read: format: json")
    outline = arrange(contents, digest)
    context = context_of(outline, service, alert_id, now)
    filled = await fill_template(template, context, limits_of(service))
    title = context["title"] if service.title_limit else ""
    body = _body(filled, service, title, outline)
    return Message(title, body, filled.shown, len(outline.items) - filled.shown)


def limits_of(service: Service) -> TemplateLimits:
    measure = _MEASURES.get(service.markup, "characters")
    return TemplateLimits(service.markup in _HTML, measure, service.body_limit)


async def fill_template(
    source: str, context: dict[str, Any], limits: TemplateLimits
) -> FilledTemplate:
    """The template with as many of the contents as fit. Raises `TemplateFailedError`.

    Takes about a third of a second, and at most five. Cancelled, it ends its worker.
    """
    try:
        return FilledTemplate(**json.loads(await run_job(_job(source, context, limits))))
    except JobFailedError as error:
        raise TemplateFailedError(str(error)) from None


def _job(
    source: str,
    context: dict[str, Any],
    limits: TemplateLimits,
    contexts: list[dict[str, Any]] | None = None,
) -> Job:
    """The job of a worker: to fill a template, or to try it on each of `contexts`."""
    if len(source.encode("utf-8", "replace")) > LONGEST_SOURCE:
        raise JobFailedError(f"is larger than {LONGEST_SOURCE // 1024} KiB")
    request = {
        "source": source,
        # Each change is in its line already; the worker collects them again.
        "context": context | {"changes": []},
        "html": limits.html,
        "measure": limits.measure,
        "longest": limits.longest,
        "samples": contexts,
    }
    return Job(_MODULE, json.dumps(request).encode(), BOUNDS)


def _body(filled: FilledTemplate, service: Service, title: str, outline: Outline) -> str:
    text = filled.text
    if service.section_limit is not None:
        text = "\n\n".join(_sections(text, service.section_limit))
    # The text has its own last line.
    whole = Fitted(text, ("",), filled.shown, 0)
    match service.markup:
        case Markup.DISCORD_EMBED:
            return discord_embed(title, whole, outline)
        case Markup.SLACK_BLOCKS:
            return slack_blocks(title, whole)
        case Markup.EMAIL:
            return json.dumps({"html": text, "text": html_to_text(text)}, ensure_ascii=False)
        case _:
            return text


def _sections(text: str, longest: int) -> Iterator[str]:
    """Paragraphs of at most `longest`, broken at line ends."""
    for paragraph in text.split("\n\n"):
        section = ""
        for line in paragraph.split("\n"):
            if width(line) > longest:
                raise TemplateFailedError(f"makes a line of more than {longest:,} characters")
            longer = f"{section}\n{line}" if section else line
            if width(longer) > longest:
                yield section
                longer = line
            section = longer
        yield section

"""A message by a receiver's own Jinja2 template: a worker's request, and its reply as a message.

A template is never even parsed in the watcher's own process.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from watcher.render.email import html_to_text
from watcher.render.fitting import Fitted
from watcher.render.markup import Markup, style_for, width
from watcher.render.message import Message, body_of, title_of
from watcher.render.templates.context import SAMPLE_SERVICE, context_of, samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from watcher.render.markup import Service
    from watcher.render.outline import Outline

LONGEST_SOURCE = 64 * 1024

# Those whose text is HTML: what is put into it is escaped.
_HTML = frozenset({Markup.HTML, Markup.TELEGRAM_HTML, Markup.EMAIL})
_MEASURES = {Markup.TELEGRAM_HTML: "visible", Markup.EMAIL: "bytes"}


class TemplateFailedError(ValueError):
    """A template cannot be used; the text says why, with the line where it is known."""


def default_template() -> str:
    """The template to start an own one from: it says what the built-in message says."""
    return (files("watcher.render.templates") / "default.j2").read_text("utf-8")


def check_request(source: str) -> bytes:
    """What a worker is asked to say all that is wrong with a template, as a JSON list of texts.

    Raises `TemplateFailedError`.
    """
    contexts = samples()
    return _request(source, contexts[0], SAMPLE_SERVICE, contexts)


def fill_request(source: str, outline: Outline, service: Service, now: datetime) -> bytes:
    """What a worker is asked to fill a template. Raises `TemplateFailedError`."""
    if service.markup is Markup.CLOUDEVENTS:
        raise TemplateFailedError("is not used where programs read: format: json")
    return _request(source, context_of(outline, service, now), service, None)


def message_from(reply: bytes, outline: Outline, service: Service) -> Message:
    """The message of a filled template. Raises `TemplateFailedError`."""
    filled = json.loads(reply)
    text, shown = filled["text"], filled["shown"]
    title = title_of(outline, service)
    return Message(title, _body(text, service, title, outline), shown, len(outline.items) - shown)


def _request(
    source: str,
    context: dict[str, Any],
    service: Service,
    contexts: list[dict[str, Any]] | None,
) -> bytes:
    """To fill a template, or to try it on each of `contexts`."""
    if len(source.encode("utf-8", "replace")) > LONGEST_SOURCE:
        raise TemplateFailedError(f"is larger than {LONGEST_SOURCE // 1024} KiB")
    request = {
        "source": source,
        # Each change is in its line already; the worker collects them again.
        "context": context | {"changes": []},
        "style": asdict(style_for(service)),
        "html": service.markup in _HTML,
        "measure": _MEASURES.get(service.markup, "characters"),
        "longest": service.body_limit,
        "samples": contexts,
    }
    return json.dumps(request).encode()


def _body(text: str, service: Service, title: str, outline: Outline) -> str:
    if service.section_limit is not None:
        text = "\n\n".join(_sections(text, service.section_limit))
    if service.markup is Markup.EMAIL:
        return json.dumps({"html": text, "text": html_to_text(text)}, ensure_ascii=False)
    # The text has its own last line.
    return body_of(Fitted(text, ("",), 0, 0), outline, service, title)


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

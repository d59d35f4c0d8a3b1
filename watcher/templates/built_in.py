"""The templates to start from: for each kind of service one that says what built-in messages say.

Refuses to know what is put into them.
"""

from __future__ import annotations

from importlib.resources import files

from watcher.rendering.dress import Markup

__all__ = ["NoTemplateError", "built_in", "template_names"]

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
    return (files("watcher.templates") / "sources" / f"{kind}.j2").read_text("utf-8")


def template_names() -> tuple[str, ...]:
    """Every name that `built_in` knows: those of the templates, then those of services."""
    return (*_KINDS, *sorted(_OF_SERVICE))


def _kind(service: str) -> str | None:
    name = service.strip().lower()
    return name if name in _KINDS else _OF_SERVICE.get(name)


def _known() -> str:
    return ", ".join(template_names())

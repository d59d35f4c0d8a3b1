"""Messages by a receiver's own template: what a template is told, what comes of it, and a start.

Refuses to know Jinja2, which runs in a process of its own, and how a message is sent.
"""

from watcher.templates.asking import (
    Limits,
    TemplateFailedError,
    Text,
    check,
    limits_of,
    render_template,
)
from watcher.templates.built_in import NoTemplateError, built_in, template_names
from watcher.templates.context import context_of
from watcher.templates.messages import filled, message

__all__ = [
    "Limits",
    "NoTemplateError",
    "TemplateFailedError",
    "Text",
    "built_in",
    "check",
    "context_of",
    "filled",
    "limits_of",
    "message",
    "render_template",
    "template_names",
]

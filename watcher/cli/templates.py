"""The commands about templates: `template show` prints the built-in one of a service.

Refuses to know receivers: a template is for a kind of service.
"""

from __future__ import annotations

import click

from watcher.cli.endings import BadUsage

__all__ = ["template"]


@click.group(epilog="Example: kie-watcher template show email")
def template() -> None:
    """Templates of your own for messages."""


@template.command(epilog="Example: kie-watcher template show discord")
@click.argument("service", metavar="SERVICE")
def show(service: str) -> None:
    """Print the built-in template of a service, to start your own from.

    SERVICE is markdown, text, html, telegram, slack or email, or a service that takes one of them:
    discord, ntfy, matrix. Name the file under `template:` of a receiver; validate tries it.
    """
    from watcher.templates.built_in import NoTemplateError, built_in  # noqa: PLC0415

    try:
        source = built_in(service)
    except NoTemplateError as error:
        raise BadUsage(str(error)) from None
    click.echo(source, nl=False)

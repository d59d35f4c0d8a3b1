"""The command `health`: for a container or a monitor that asks whether the watcher works.

Knows exit codes, and finds where to ask without the service's secrets. Refuses to judge: the
running watcher does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from watcher.cli.endings import FAILED, BadUsage, failed
from watcher.cli.printing import say

if TYPE_CHECKING:
    from pathlib import Path

    from watcher.cli.configured import Chosen
    from watcher.config.addresses import TcpAddress, UnixAddress

__all__ = ["health"]


@click.command(epilog="Example: kie-watcher health --listen unix:/run/kie-watcher/web")
@click.option("--listen", metavar="ADDRESS", help="Ask there, whatever web.listen says.")
@click.pass_obj
def health(chosen: Chosen, listen: str | None) -> None:
    """Ask the running watcher whether it is ready.

    It needs `web.listen` in the configuration. Exit 0: it is ready. Exit 1: it is not, or does
    not answer; the reason is printed.
    """
    from watcher.selfwatch.health import ask  # noqa: PLC0415

    found = ask(_read(listen) if listen else _configured(chosen))
    for line in found.words.splitlines():
        say(line)
    if not found.ok:
        raise click.exceptions.Exit(FAILED)


def _read(listen: str) -> TcpAddress | UnixAddress:
    from watcher.config.addresses import parse_listen  # noqa: PLC0415

    try:
        return parse_listen(listen)
    except ValueError as error:
        raise BadUsage(f"--listen {error}") from None


def _configured(chosen: Chosen) -> TcpAddress | UnixAddress:
    """Where the configuration says. What is wrong with secrets does not matter here."""
    from watcher.config.errors import ConfigError  # noqa: PLC0415
    from watcher.config.loading import find, load  # noqa: PLC0415

    file = find(chosen.file, os.environ)
    try:
        listen = load(file, os.environ, lambda *_: []).web.listen
    except ConfigError as error:
        secret = {"receivers", "heartbeat"}
        if file is None or not all(p.key.split(".")[0] in secret for p in error.problems):
            raise
        listen = _beside_bad_secrets(file)
    if listen is None:
        raise failed("the configuration has no web.listen, so there is nobody to ask")
    return listen


def _beside_bad_secrets(file: Path) -> TcpAddress | UnixAddress | None:
    from watcher.config.positions import read_document  # noqa: PLC0415
    from watcher.config.settings import WebSettings  # noqa: PLC0415
    from watcher.config.variables import substitute  # noqa: PLC0415

    content = substitute(read_document(file.read_text("utf-8-sig")), os.environ).content
    sections = content if isinstance(content, dict) else {}
    return WebSettings.model_validate(sections.get("web") or {}).listen

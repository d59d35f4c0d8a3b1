"""`template show` prints what one starts from, and says what there is where one asks for more."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from watcher.cli.setup import template
from watcher.render.templates.template import built_in


@pytest.mark.parametrize("service", ["discord", "mailto", "Telegram", "text"])
def test_the_built_in_template_is_printed_as_it_is(service: str) -> None:
    shown = CliRunner().invoke(template, ["show", service])
    assert shown.exit_code == 0
    assert shown.stdout == built_in(service)


def test_what_there_is_no_template_for_is_bad_usage() -> None:
    shown = CliRunner().invoke(template, ["show", "pigeon"])
    assert shown.exit_code == 2
    assert shown.stderr.startswith(
        "kie-watcher: there is no template for pigeon; choose one of markdown"
    )


def test_asking_for_help_loads_no_machinery() -> None:
    program = (
        "import sys\n"
        "from watcher.cli.setup import template\n"
        "template(['show', '--help'], standalone_mode=False)\n"
        "print(sorted({'jinja2', 'structlog', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")

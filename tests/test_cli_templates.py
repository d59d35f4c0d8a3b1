"""`template show` prints what one starts from."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from watcher.cli.main import cli
from watcher.render.templates.template import default_template


def test_the_built_in_template_is_printed_as_it_is() -> None:
    shown = CliRunner().invoke(cli, ["template", "show"])
    assert shown.exit_code == 0
    assert shown.stdout == default_template()


def test_asking_for_help_loads_no_machinery() -> None:
    program = (
        "import sys\n"
        "from watcher.cli.setup import template\n"
        "template(['show', '--help'], standalone_mode=False)\n"
        "print(sorted({'jinja2', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")

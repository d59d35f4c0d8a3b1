"""Virtual environments that only the benchmark needs, made where they are missing.

They are under build/, which git ignores and `make clean` removes. Refuses to know what runs there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["of_operators", "of_urlwatch"]

FOLDER = ROOT / "build" / "bench"


def of_operators() -> Path | None:
    """The programs of an environment with kie-watcher and what it needs, without test tools."""
    return _made("operators", ["--editable", str(ROOT)])


def of_urlwatch() -> Path | None:
    """The programs of an environment with urlwatch."""
    return _made("urlwatch", ["urlwatch"])


def _made(name: str, requirements: list[str]) -> Path | None:
    """The environment's folder of programs; `None` where it cannot be made.

    Made anew when the requirements of the project are newer.
    """
    environment, done = FOLDER / name, FOLDER / f"{name}.made"
    programs = environment / "bin"
    if done.exists() and done.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return programs
    shutil.rmtree(environment, ignore_errors=True)
    print(f"  once: an environment for {name} …", file=sys.stderr, flush=True)
    pip = [str(programs / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for step in (
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, "install", *requirements],
    ):
        if subprocess.run(step, capture_output=True, check=False).returncode:
            return None
    done.touch()
    return programs

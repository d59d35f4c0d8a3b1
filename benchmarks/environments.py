"""Virtual environments that only the benchmarks need, made where they are missing.

They are under build/, which git ignores and `make clean` removes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["operator_environment", "urlwatch_environment"]

FOLDER = ROOT / "build" / "bench"


def operator_environment() -> Path | None:
    """The bin directory of an environment with kie-watcher and without test tools, or `None`."""
    return _environment("operators", ["--editable", str(ROOT)])


def urlwatch_environment() -> Path | None:
    """The bin directory of an environment with urlwatch, or `None`."""
    return _environment("urlwatch", ["urlwatch"])


def _environment(name: str, requirements: list[str]) -> Path | None:
    """The environment's bin directory; `None` where the environment cannot be made.

    It is made again where pyproject.toml is newer.
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

"""What it is shipped in: the wheel's contents, the container and the unit fit the program."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from watcher import __version__, cli

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "kie-watcher.service"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
EXPOSURE_IN_TENTHS = 12

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine"
)


def docker(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def directives(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there: `verify` looks for it."""
    text = UNIT.read_text("utf-8").replace("/opt/kie-watcher/bin/kie-watcher", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    return tmp_path / UNIT.name


def test_the_command_is_the_one_that_everything_calls() -> None:
    assert PROJECT["project"]["scripts"] == {"kie-watcher": "watcher.cli:main"}
    assert callable(cli.main)


def test_the_wheel_carries_the_example_configuration() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"config.example.yaml": "watcher/config.example.yaml"}
    assert (ROOT / "config.example.yaml").is_file()


def test_the_container_copies_files_that_exist_and_are_let_through() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = {rule[1:] for rule in rules if rule.startswith("!")}
    sources = [
        source.rstrip("/")
        for copied in docker("COPY")
        if not copied.startswith("--from")
        for source in copied.split()[:-1]
    ]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert set(sources) == let_through


@pytest.mark.parametrize("name", ["kie-watcher.db", "config.yaml", ".git", ".venv"])
def test_no_state_and_no_secret_gets_into_the_container(name: str) -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in rules
    assert not [rule for rule in rules if rule.startswith("!") and fnmatch(name, rule[1:])]


def test_the_container_runs_the_daemon_as_nobody_special_where_the_volume_is() -> None:
    assert docker("ENTRYPOINT") == ['["kie-watcher"]']
    assert docker("CMD") == ['["run"]']
    assert docker("WORKDIR")[-1] == docker("VOLUME")[-1] == "/var/lib/kie-watcher"
    assert docker("USER")[-1].isdigit()
    assert docker("USER")[-1] != "0"


def test_the_containers_base_is_pinned_by_version() -> None:
    bases = {base.split()[0] for base in docker("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases.pop())


def test_the_unit_restarts_all_but_bad_configuration_and_never_gives_up() -> None:
    assert directives("ExecStart") == ["/opt/kie-watcher/bin/kie-watcher run"]
    assert directives("Restart") == ["on-failure"]
    assert directives("RestartPreventExitStatus") == ["2"]
    assert directives("StartLimitIntervalSec") == ["0"]
    assert directives("WorkingDirectory") == ["%S/kie-watcher"]


def test_every_line_that_hardens_the_unit_says_why() -> None:
    lines = UNIT.read_text("utf-8").splitlines()
    first = lines.index("DynamicUser=yes")
    hardening = [
        at
        for at, line in enumerate(lines[: lines.index("[Install]")])
        if at >= first and "=" in line
    ]
    unexplained = [
        lines[at]
        for at in hardening
        if not lines[at].startswith("#") and not lines[at - 1].startswith("#")
    ]
    assert unexplained == ["StateDirectoryMode=0700"]


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_the_unit_is_as_closed_as_a_network_service_can_be(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true"]
    done = subprocess.run(
        [*command, f"--threshold={EXPOSURE_IN_TENTHS}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_changelog_knows_this_version_or_has_not_released_it() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [__version__])

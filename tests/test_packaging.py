"""What it is shipped in: the wheel's contents, the container and the unit fit the program."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from watcher import __version__
from watcher.cli import main as cli
from watcher.config.loading import load
from watcher.notify.addresses import check_url
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "kie-watcher.service"
DROP_INS = ROOT / "systemd" / "drop-ins"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
EXPOSURE_IN_TENTHS = 12
KNOWS_NOTIFY_RELOAD = 253

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine"
)

for_real = pytest.mark.skipif(
    "KIE_WATCHER_BUILD" not in os.environ, reason="make check-container does this"
)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of a word and the rest, lines put together."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in whole.split("\n"))]


def docker(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def directives(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there: `verify` looks for it."""
    text = UNIT.read_text("utf-8").replace("/opt/kie-watcher/bin/kie-watcher", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    return tmp_path / UNIT.name


def test_the_command_is_the_one_that_everything_calls() -> None:
    assert PROJECT["project"]["scripts"] == {"kie-watcher": "watcher.cli.main:main"}
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


@pytest.mark.parametrize("instruction", ["ENTRYPOINT", "CMD"])
def test_the_container_needs_no_shell(instruction: str) -> None:
    assert all(form.startswith("[") for form in docker(instruction))


def test_the_container_asks_the_program_itself_how_it_is() -> None:
    [form] = docker("HEALTHCHECK")
    options, _, command = form.partition(" CMD ")
    assert command == '["kie-watcher", "health"]'
    assert re.findall(r"--([a-z-]+)=", options) == [
        "interval",
        "timeout",
        "start-period",
        "retries",
    ]


def test_nothing_gets_into_the_container_but_what_was_checked_against_its_hash() -> None:
    fetching = [run for run in docker("RUN") if "pip" in run and "--no-index" not in run]
    [download] = fetching
    assert "--require-hashes" in download
    assert "--requirement requirements.lock" in download
    assert not re.search(r"apt-get|curl|wget|https?:", DOCKERFILE)


def test_the_composed_container_can_read_the_configuration_that_its_recipe_makes(
    tmp_path: Path,
) -> None:
    recipe = re.findall(
        r"^#   (install .+ config\.yaml)  ", (ROOT / "compose.yaml").read_text(), re.MULTILINE
    )
    shutil.copy(ROOT / "config.example.yaml", tmp_path)

    subprocess.run(shlex.split(*recipe), cwd=tmp_path, check=True, umask=0o077)

    assert (tmp_path / "config.yaml").stat().st_mode & stat.S_IROTH


def test_the_composed_container_can_write_to_its_volume_only() -> None:
    composed: Any = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    service = composed["services"]["kie-watcher"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ulimits"] == {"core": 0}
    assert "user" not in service
    state, configuration = service["volumes"]
    assert state == f"state:{docker('VOLUME')[-1]}"
    assert configuration.endswith(":/etc/kie-watcher/config.yaml:ro")
    assert set(composed["volumes"]) == {"state"}
    assert set(composed["secrets"]) == set(service["secrets"])
    assert all(set(secret) == {"file"} for secret in composed["secrets"].values())
    assert not service.get("environment")


# The lock


def locked() -> dict[str, str]:
    """Each package of the lock with its version."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", LOCK, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize(
    "needed", [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
)
def test_the_lock_has_what_the_project_asks_for(needed: str) -> None:
    """Where this fails, run `make lock`."""
    requirement = Requirement(needed)
    version = locked().get(canonicalize_name(requirement.name))
    assert version is not None
    assert requirement.specifier.contains(version, prereleases=True)


def test_the_lock_holds_nothing_that_nobody_asks_for() -> None:
    asked = re.split(r"^(?=[^\s#])", LOCK, flags=re.MULTILINE)[1:]
    directly = {
        canonicalize_name(Requirement(needed).name)
        for needed in (*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"])
    }
    told = {
        canonicalize_name(entry.partition("==")[0]) for entry in asked if "(pyproject.toml" in entry
    }
    assert told == directly


def test_every_package_of_the_lock_has_its_hashes_and_no_address() -> None:
    entries = re.split(r"^(?=[^\s#])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host| @ ", LOCK)


# The unit


def test_the_unit_restarts_all_but_what_restarting_cannot_mend_and_never_gives_up() -> None:
    program = "/opt/kie-watcher/bin/kie-watcher"
    assert directives("ExecStart") == [f"{program} --config /etc/kie-watcher/config.yaml run"]
    assert directives("Restart") == ["always"]
    assert directives("RestartSec") == ["15s"]
    assert directives("RestartPreventExitStatus") == ["2 78"]
    assert directives("StartLimitIntervalSec") == ["0"]
    assert directives("WorkingDirectory") == ["%S/kie-watcher"]


def test_the_unit_hears_from_the_program_how_it_is() -> None:
    assert directives("Type") == ["notify"]
    assert directives("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert directives("WatchdogSec") == ["2min"]
    # While it stops nothing pings.
    assert directives("TimeoutStopSec") == ["60s"]


def test_the_unit_leaves_no_secret_behind() -> None:
    assert directives("LimitCORE") == ["0"]
    assert directives("UMask") == ["0077"]
    assert directives("StateDirectoryMode") == ["0700"]


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


def verified(unit: Path) -> tuple[int, str]:
    # A path that holds nothing else: other units of this machine are not the question.
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def dropped_in(unit: Path, name: str) -> None:
    directory = unit.with_name(f"{unit.name}.d")
    directory.mkdir()
    shutil.copy(DROP_INS / name, directory)


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    assert verified(unit) == (0, "")


@needs_systemd
def test_systemd_has_nothing_to_say_against_credentials(unit: Path) -> None:
    dropped_in(unit, "credentials.conf")
    assert verified(unit) == (0, "")


@needs_systemd
def test_a_systemd_that_knows_notify_reload_takes_the_drop_in(unit: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    if int(told.stdout.split()[1]) < KNOWS_NOTIFY_RELOAD:
        pytest.skip("this systemd does not know notify-reload")
    dropped_in(unit, "notify-reload.conf")
    assert verified(unit) == (0, "")


def test_a_credential_is_a_file_that_the_configuration_can_name(tmp_path: Path) -> None:
    example = (DROP_INS / "credentials.conf").read_text("utf-8")
    [name] = re.findall(r"^LoadCredential=([a-z-]+):/etc/kie-watcher/\1$", example, re.MULTILINE)
    shown = re.search(r"^# In config.yaml:\n((?:#   .*\n)+)", example, re.MULTILINE)
    assert shown
    (tmp_path / "config.yaml").write_text(re.sub("(?m)^#   ", "", shown[1]))
    (tmp_path / name).write_text("json://hooks.example/path\n")
    settings = load(tmp_path / "config.yaml", {"CREDENTIALS_DIRECTORY": str(tmp_path)}, check_url)
    assert settings.receivers["team"].address.get_secret_value() == "json://hooks.example/path"


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


# make install-service


# Stands for what fetches and builds the packages: a program that says where it is, and no network.
STAND_IN = """#!/bin/sh
set -eu
printf '#!%s/bin/python\\nimport sys; print(sys.prefix)\\n' "$ENVIRONMENT" \\
  > "$ENVIRONMENT/bin/kie-watcher"
chmod 755 "$ENVIRONMENT/bin/kie-watcher"
"""


class Installation:
    """`make` with another root, and where it puts things."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.root = root / "root"
        self.variables = variables
        self.program = self.root / variables.get("PREFIX", "/opt/kie-watcher").lstrip("/")
        self.etc = self.root / variables.get("SYSCONFDIR", "/etc").lstrip("/")
        self.config = self.etc / "kie-watcher/config.yaml"
        self.unit = self.etc / "systemd/system/kie-watcher.service"
        self.fill = root / "fill"
        self.fill.write_text(STAND_IN)
        self.fill.chmod(0o755)

    def make(self, target: str, *, real: bool = False) -> subprocess.CompletedProcess[str]:
        given = {"DESTDIR": self.root, "PYTHON": sys.executable, **self.variables}
        if not real:
            given["FILL"] = self.fill
        return subprocess.run(
            ["make", "--silent", target, *(f"{name}={value}" for name, value in given.items())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            # As strict as root's may be.
            umask=0o077,
        )

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_installing_puts_program_unit_and_configuration_in_their_places(
    installation: Installation,
) -> None:
    done = installation.make("install-service")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run(
        [installation.program / "bin/python", installation.program / "bin/kie-watcher"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str(installation.program)
    assert installation.unit.read_text("utf-8") == UNIT.read_text("utf-8")
    assert load(installation.config, {}, check_url).state.path == Path(
        "/var/lib/kie-watcher/kie-watcher.db"
    )
    example = (ROOT / "config.example.yaml").read_text("utf-8").splitlines()
    written = installation.config.read_text("utf-8").splitlines()
    assert [new for old, new in zip(example, written, strict=True) if old != new] == [
        "  path: /var/lib/kie-watcher/kie-watcher.db"
    ]
    assert not [name for name in installation.files() if name.endswith((".new", ".old"))]


def test_a_user_who_is_nobody_in_particular_can_read_all_of_it(installation: Installation) -> None:
    assert installation.make("install-service").returncode == 0
    closed = [
        path
        for path in installation.root.rglob("*")
        if path.stat().st_mode & (0o055 if path.is_dir() else 0o044) not in (0o055, 0o044)
    ]
    assert not closed


def test_nothing_installed_names_the_place_where_it_was_staged(installation: Installation) -> None:
    assert installation.make("install-service").returncode == 0
    script = (installation.program / "bin/kie-watcher").read_text()
    assert script.startswith("#!/opt/kie-watcher/bin/python\n")
    texts = [path for path in installation.root.rglob("*") if path.is_file()]
    assert not [path for path in texts if str(installation.root).encode() in path.read_bytes()]


def test_other_places_are_honoured(tmp_path: Path) -> None:
    installation = Installation(tmp_path, PREFIX="/srv/watch", SYSCONFDIR="/usr/local/etc")
    done = installation.make("install-service")
    assert done.returncode == 0, done.stderr
    unit = installation.unit.read_text("utf-8")
    assert (
        "ExecStart=/srv/watch/bin/kie-watcher --config /usr/local/etc/kie-watcher/config.yaml run"
        in unit
    )
    assert "/opt/" not in unit
    assert " /etc/kie-watcher" not in unit
    assert (installation.program / "bin/kie-watcher").exists()
    assert not (installation.root / "opt").exists()


def test_installing_again_replaces_the_program_and_never_the_configuration(
    installation: Installation,
) -> None:
    assert installation.make("install-service").returncode == 0
    installation.config.write_text("log: {level: debug}\n")
    (installation.program / "left-over").touch()
    installation.unit.write_text("old")
    done = installation.make("install-service")
    assert done.returncode == 0, done.stderr
    assert f"{installation.config}: kept as it is" in done.stdout
    assert installation.config.read_text() == "log: {level: debug}\n"
    assert not (installation.program / "left-over").exists()
    assert installation.unit.read_text("utf-8") == UNIT.read_text("utf-8")


def test_an_upgrade_that_fails_leaves_the_old_program(installation: Installation) -> None:
    assert installation.make("install-service").returncode == 0
    before = installation.files()
    installation.fill.write_text("#!/bin/sh\nexit 1\n")
    assert installation.make("install-service").returncode != 0
    assert before <= installation.files()


@pytest.mark.parametrize("target", ["install-service", "uninstall-service"])
@pytest.mark.parametrize("prefix", ["/usr/local", "relative", "", "/"])
def test_a_directory_that_is_not_the_programs_is_left_alone(
    tmp_path: Path, target: str, prefix: str
) -> None:
    installation = Installation(tmp_path, PREFIX=prefix)
    (installation.root / "usr/local/bin").mkdir(parents=True)
    (installation.root / "usr/local/bin/precious").touch()
    assert installation.make(target).returncode != 0
    assert installation.files() == {"usr/local/bin/precious"}


def test_uninstalling_leaves_configuration_and_nothing_else(installation: Installation) -> None:
    assert installation.make("install-service").returncode == 0
    installation.config.with_name("team-url").write_text("secret")
    done = installation.make("uninstall-service")
    assert done.returncode == 0, done.stderr
    assert installation.files() == {"etc/kie-watcher/config.yaml", "etc/kie-watcher/team-url"}
    assert installation.make("uninstall-service").returncode == 0


# For real: minutes, and the network


def beneath(root: Path, text: str) -> str:
    """A command of the Dockerfile with its places moved beneath `root`."""
    return re.sub(r"(?<![\w/.-])/(wheels|opt/kie-watcher|etc/kie-watcher)", rf"{root}/\1", text)


def build_as_the_container_is_built(root: Path) -> None:
    """Carry out the build stage: its COPYs, and its RUNs with a new environment for the image."""
    source = root / "source"
    source.mkdir()
    subprocess.run([sys.executable, "-m", "venv", root / "image"], check=True)
    environment = {**os.environ, "PATH": f"{root / 'image/bin'}:/usr/bin:/bin"}
    environment.pop("PYTHONPATH", None)
    second_stage = [word for word, _ in instructions()].index("FROM", 1)
    for word, rest in instructions()[:second_stage]:
        if word == "COPY":
            subprocess.run(
                ["cp", "-r", *(ROOT / file for file in rest.split()[:-1]), source], check=True
            )
        elif word == "RUN":
            command = ["/bin/sh", "-euc", beneath(root, rest)]
            subprocess.run(command, cwd=source, env=environment, check=True)


@for_real
async def test_what_the_container_is_built_from_runs_and_is_healthy_for_real(
    tmp_path: Path,
) -> None:
    build_as_the_container_is_built(tmp_path)
    program = tmp_path / "opt/kie-watcher/bin/kie-watcher"
    installed = {path for path in (tmp_path / "opt").rglob("*") if path.is_file()}
    assert program in installed
    assert not [path for path in installed if "hatchling" in path.parts or "pip" in path.parts]
    [check_up] = [form.partition(" CMD ")[2] for form in docker("HEALTHCHECK")]
    volume = tmp_path / "volume"
    volume.mkdir()
    configuration = tmp_path / "etc/kie-watcher/config.yaml"
    environment = {
        "PATH": str(program.parent),
        "HOME": str(volume),
        "KIE_WATCHER_CONFIG": str(configuration),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    async def call(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            program, *arguments, cwd=volume, env=environment
        )

    async def health() -> int:
        return await (await call(*json.loads(check_up)[1:])).wait()

    async with Simulator(generate(seed=5, size=60)) as simulator:
        with configuration.open("a") as more:
            more.write(f'source: {{url: "{simulator.url}"}}\n')
        assert await health() == 1
        daemon = await call(*json.loads(docker("CMD")[-1]))
        try:
            async with asyncio.timeout(60):
                while await health() == 1:
                    assert daemon.returncode is None
            assert await health() == 0
        finally:
            if daemon.returncode is None:
                daemon.terminate()
        async with asyncio.timeout(60):
            assert await daemon.wait() == 0
        assert await health() == 1
    assert {path.name for path in volume.iterdir()} >= {"kie-watcher.db"}
    assert {path for path in (tmp_path / "opt").rglob("*") if path.is_file()} == installed


@for_real
def test_the_service_is_installed_with_the_locked_packages_for_real(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    done = installation.make("install-service", real=True)
    assert done.returncode == 0, done.stderr
    python = installation.program / "bin/python"
    asked = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    told = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    there = {
        canonicalize_name(name): version
        for name, _, version in (each.partition("==") for each in told.stdout.split())
    }
    assert there.pop("kie-watcher") == __version__
    assert there.items() <= locked().items()
    script = installation.program / "bin/kie-watcher"
    assert subprocess.run([python, script, "--version"], check=True).returncode == 0


def test_the_changelog_knows_this_version_or_has_not_released_it() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [__version__])

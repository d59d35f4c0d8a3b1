"""The walls of the house: who may import whom, and what asking for help must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "watcher"

PURE = set(
    "alarms catalog changes confirm diff matching prices printable renames rendering routing"
    " schedule secrets telling units".split()
)
# Each I/O room, and the libraries that only it may touch.
IO = {"kie", "store", "notify"}
OWN_LIBRARIES = {"kie": {"aiohttp"}, "store": {"aiosqlite", "sqlite3"}, "notify": {"apprise"}}
CONFIG = {"config"}
ORDER = {"poller", "intake", "gathering", "outbox", "tidying"}
ROOTS = {"cli", "daemon", "demo", "onlookers", "service", "__main__"}
# Looks at all the others from outside: its metrics, its alarms, what it answers when asked.
WATCHING = {"selfwatch"}

LOOSE_LIBRARIES = {"aiohttp", "aiosqlite", "apprise", "asyncio", "sqlite3", "structlog", "time"}
NO_ROOM_IS_CALLED = {"utils", "util", "helpers", "helper", "manager", "handler", "common", "misc"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module a file names in an import, wherever it stands, under `TYPE_CHECKING` too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def libraries(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)} - {"watcher"}


def rooms(path: Path) -> set[str]:
    """The rooms of the package that a file imports from."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("watcher.")}


def files_of(names: set[str]) -> list[Path]:
    return [path for path in modules() if room_of(path) in names]


@pytest.mark.parametrize("path", files_of(PURE), ids=lambda path: path.stem)
def test_the_domain_knows_no_network_no_disk_no_loop_and_no_log(path: Path) -> None:
    assert not libraries(path) & LOOSE_LIBRARIES
    assert not rooms(path) - PURE


@pytest.mark.parametrize("path", files_of(PURE), ids=lambda path: path.stem)
def test_the_domain_never_looks_at_a_clock_or_rolls_dice(path: Path) -> None:
    calls = {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }
    assert not {call for call in calls if call in {"datetime.now", "datetime.utcnow", "date.today"}}
    assert not {call for call in calls if call.startswith("random.")}


@pytest.mark.parametrize("room", sorted(IO))
def test_no_io_room_knows_another(room: str) -> None:
    strangers = (IO - {room}) | ORDER | ROOTS | {"simulator"}
    foreign = set().union(*(owned for owner, owned in OWN_LIBRARIES.items() if owner != room))
    for path in files_of({room}):
        assert not rooms(path) & strangers, path
        assert not libraries(path) & foreign, path


@pytest.mark.parametrize("path", files_of(CONFIG), ids=lambda path: path.stem)
def test_configuration_knows_neither_apprise_nor_the_rooms_it_configures(path: Path) -> None:
    assert not libraries(path) & LOOSE_LIBRARIES
    assert not rooms(path) & (IO | ORDER | ROOTS | {"simulator"})


@pytest.mark.parametrize("path", files_of({"simulator"}), ids=lambda path: path.stem)
def test_the_simulator_knows_nothing_of_the_rest(path: Path) -> None:
    assert rooms(path) <= {"simulator"}


@pytest.mark.parametrize("library", ["apprise", "aiosqlite", "sqlite3", "aiohttp"])
def test_a_library_of_one_room_is_imported_by_no_other(library: str) -> None:
    owners = {room for room, libraries_ in OWN_LIBRARIES.items() if library in libraries_}
    users = {room_of(path) for path in modules() if library in libraries(path)}
    assert users <= owners | ({"simulator", *WATCHING} if library == "aiohttp" else set())


def test_only_what_watches_the_watch_counts_and_only_the_roots_know_it() -> None:
    counting = {room_of(path) for path in modules() if "prometheus_client" in libraries(path)}
    assert counting <= WATCHING
    users = {room_of(path) for path in modules() if rooms(path) & WATCHING}
    assert users <= ROOTS | WATCHING


def test_only_the_composition_roots_import_the_composition_roots() -> None:
    users = {room_of(path) for path in modules() if rooms(path) & ROOTS}
    assert users <= ROOTS


def test_every_room_has_its_place_in_these_rules() -> None:
    known = (
        PURE
        | IO
        | CONFIG
        | ORDER
        | ROOTS
        | WATCHING
        | {"apart", "charts", "confined", "sandbox", "templates"}
        | {"simulator", "log", "systemd", "reload", "waiting", "cores", "__init__"}
    )
    assert {room_of(path) for path in modules()} == known


def test_no_room_is_named_for_nothing() -> None:
    assert not {path.stem for path in modules()} & NO_ROOM_IS_CALLED


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_room_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("command", [[], ["changes"], ["run"], ["outbox", "list"]], ids=str)
def test_asking_for_help_loads_no_machinery(command: list[str]) -> None:
    program = (
        "import sys\n"
        "from watcher.cli import main\n"
        "try:\n"
        f"    main({[*command, '--help']!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'apprise', 'aiohttp', 'pydantic', 'aiosqlite', 'structlog', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == "[]\n"
    assert "Usage:" in done.stdout

"""Which package may import which, and what asking for help must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "watcher"

# Values in, values out. Of `monitor` only the alarms, of `store` only its values.
PURE = {"catalog", "routing", "render", "monitor.alarms", "store.values", "safe_text"}
APART = {"worker"}
# Each I/O room, and the libraries that only it may touch.
IO = {"kie", "store", "notify"}
OWN_LIBRARIES = {
    "kie": {"aiohttp"},
    "store": {"sqlite3"},
    "notify": {"apprise", "requests", "smtplib"},
}
CONFIG = {"config"}
ORDER = {"poller", "outbox", "wording"}
ROOTS = {"cli", "app", "daemon", "demo", "__main__"}
# May import all the others: metrics, alarms, and the pages that say how they are. What polls and
# sends reports to an `observer` that it is given, and does not know what comes of it.
WATCHING = {"monitor"}

LOOSE_LIBRARIES = {"aiohttp", "apprise", "asyncio", "logging", "sqlite3", "time"}
NO_ROOM_IS_CALLED = {"utils", "util", "helpers", "helper", "manager", "handler", "common", "misc"}


@cache
def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_in(path: Path, places: set[str]) -> bool:
    """Whether a file is in one of these rooms, folders of rooms or modules."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return any(f"{name}.".startswith(f"{place}.") for place in places)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imported(path: Path) -> set[str]:
    """Every module a file names in an import, wherever it stands, under `TYPE_CHECKING` too."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
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


def modules_used(path: Path) -> list[Path]:
    """The files of the package that a file imports from."""
    used = [
        place
        for name in imported(path)
        if name.startswith("watcher.")
        and (place := PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")).exists()
    ]
    assert used or not rooms(path) - {"__version__"}, path
    return used


def files_of(names: set[str]) -> list[Path]:
    return [path for path in modules() if is_in(path, names)]


def pure() -> list[Path]:
    return files_of(PURE)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE).with_suffix(""))


@pytest.mark.parametrize("path", pure(), ids=name_of)
def test_the_domain_knows_no_network_no_disk_no_loop_and_no_log(path: Path) -> None:
    assert not libraries(path) & LOOSE_LIBRARIES
    assert not set(modules_used(path)) - set(pure())


@pytest.mark.parametrize("path", pure(), ids=name_of)
def test_the_domain_never_looks_at_a_clock_or_rolls_dice(path: Path) -> None:
    calls = {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(tree_of(path))
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


@pytest.mark.parametrize("path", files_of(CONFIG), ids=name_of)
def test_configuration_knows_neither_apprise_nor_the_rooms_it_configures(path: Path) -> None:
    assert not libraries(path) & LOOSE_LIBRARIES
    configured = {room_of(used) for used in modules_used(path) if used not in pure()}
    assert not configured & (IO | ORDER | ROOTS | {"simulator"})


@pytest.mark.parametrize("path", files_of({"simulator"}), ids=name_of)
def test_the_simulator_knows_nothing_of_the_rest(path: Path) -> None:
    assert rooms(path) <= {"simulator"}


@pytest.mark.parametrize("library", ["apprise", "requests", "smtplib", "sqlite3", "aiohttp"])
def test_a_library_of_one_room_is_imported_by_no_other(library: str) -> None:
    owners = {room for room, libraries_ in OWN_LIBRARIES.items() if library in libraries_}
    users = {room_of(path) for path in modules() if library in libraries(path)}
    assert users <= owners | ({"simulator", *WATCHING} if library == "aiohttp" else set())


def test_only_what_watches_the_watch_counts_and_only_the_roots_know_it() -> None:
    counting = {room_of(path) for path in modules() if "prometheus_client" in libraries(path)}
    assert counting <= WATCHING
    watching = [path for path in files_of(WATCHING) if path not in pure()]
    users = {room_of(path) for path in modules() if set(modules_used(path)) & set(watching)}
    assert users <= ROOTS | WATCHING


def test_only_the_composition_roots_import_the_composition_roots() -> None:
    users = {room_of(path) for path in modules() if rooms(path) & ROOTS}
    assert users <= ROOTS


def test_every_room_has_its_place_in_these_rules() -> None:
    loose = {
        "simulator",
        "clock",
        "log",
        "schedule",
        "heavy",
        "proxy",
        "tls",
        "observer",
        "__init__",
    }
    known = PURE | APART | IO | CONFIG | ORDER | ROOTS | WATCHING | loose
    assert [path for path in modules() if not is_in(path, known)] == []


def test_no_room_is_named_for_nothing() -> None:
    assert not {path.stem for path in modules()} & NO_ROOM_IS_CALLED


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_room_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("command", [[], ["changes"], ["run"], ["outbox", "list"]], ids=str)
def test_asking_for_help_loads_no_machinery(command: list[str]) -> None:
    program = (
        "import sys\n"
        "from watcher.cli.main import main\n"
        "try:\n"
        f"    main({[*command, '--help']!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'apprise', 'aiohttp', 'pydantic', 'sqlite3', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == "[]\n"
    assert "Usage:" in done.stdout

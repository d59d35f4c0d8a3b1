"""Where a configuration is looked for, and how a file becomes typed settings or a `ConfigError`.

The error has everything that is wrong at once. The checks of a URL (by Apprise) and of a template
(by Jinja2) are arguments.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.config.document import place_after, read_document
from watcher.config.errors import SECRET_SECTIONS, ConfigError, Place, Problem
from watcher.config.secrets import mask
from watcher.config.settings import ReceiverSettings, Settings
from watcher.config.validation import named_receivers, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EXAMPLE = "config.example.yaml"
USUAL_FILES = (Path("config.yaml"), Path("/etc/kie-watcher/config.yaml"))
MAX_BYTES = 1_048_576


def find_file(
    explicit: Path | None,
    environment: Mapping[str, str],
    usual: Sequence[Path] = USUAL_FILES,
) -> Path | None:
    """The file to load: the one named, `KIE_WATCHER_CONFIG`, a usual one that is there, or none."""
    if explicit is not None:
        return explicit
    if named := environment.get("KIE_WATCHER_CONFIG"):
        return Path(named)
    # lexists: a link that leads nowhere is a mistake to report, not a request for the defaults.
    return next((path for path in usual if os.path.lexists(path)), None)


def load(
    path: Path | None,
    environment: Mapping[str, str],
    check_receiver: Callable[[str, str], list[str]],
    check_template: Callable[[str], list[str]] | None = None,
) -> Settings:
    """The settings of a file, or the defaults. Raises `ConfigError` with all that is wrong.

    `check_receiver` lists what is wrong with an Apprise URL and the format wanted of it,
    `check_template` what is wrong with the text of a template; each problem says how to fix it.
    Without `check_template` every template is good.
    """
    if path is None:
        return Settings()
    document = read_document(_file_text(path), str(path), environment)
    settings, problems = validate(document)
    for name, receiver in settings.receivers.items():
        if url := receiver.address.get_secret_value():
            key = "url" if receiver.url else "url_file"
            secrets = receiver.address.secrets()
            found = [mask(what, secrets) for what in check_receiver(url, receiver.format)]
            problems += [document.problem(("receivers", name, key), what) for what in found]
        if receiver.template and check_template:
            found = check_template(receiver.template.text)
            problems += [document.problem(("receivers", name, "template"), what) for what in found]
    if problems:
        raise ConfigError(problems)
    return settings


def load_leniently(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file, for somebody who may not have the service's secrets.

    Receivers and the heartbeat may be out of reach, in variables and files of the service: such a
    receiver has an empty address. Raises `ConfigError` for everything else that is wrong. No
    address and no template is checked.
    """
    if path is None:
        return Settings()
    document = read_document(_file_text(path), str(path), environment)
    settings, problems = validate(document)
    if not all(problem.key.split(".")[0] in SECRET_SECTIONS for problem in problems):
        raise ConfigError(problems)
    # Nothing of a receiver may be readable; it is there all the same.
    named = named_receivers(document) or ()
    receivers = {name: settings.receivers.get(name, ReceiverSettings()) for name in named}
    return settings.model_copy(update={"receivers": receivers})


def exposed_files(settings: Settings, configuration: Path | None) -> tuple[Path, ...]:
    """The files with secrets in them that every user of this machine can read."""
    if configuration is None:
        return ()
    return tuple(filter(_is_exposed, settings.files_with_secrets(configuration)))


def example_text() -> str:
    """The example configuration, as `kie-watcher init` writes it."""
    package = Path(__file__).resolve().parents[1]
    # In an editable installation the file is beside the package, where people find it.
    beside = package.parent / EXAMPLE
    return (beside if beside.is_file() else package / EXAMPLE).read_text("utf-8")


def _is_exposed(path: Path) -> bool:
    try:
        whole = path.resolve(strict=True)
        return bool(whole.stat().st_mode & stat.S_IROTH) and all(
            directory.stat().st_mode & stat.S_IXOTH for directory in whole.parents
        )
    except (OSError, RuntimeError):
        return False


def _file_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise _unusable_file(path, f"cannot be read ({why}); name another or fix it") from None
    except ValueError:
        raise _unusable_file(path, "is not a path; name a file") from None
    if len(content) > MAX_BYTES:
        raise _unusable_file(path, "is larger than 1 MiB; no configuration needs that")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = place_after(content[: error.start].decode("utf-8-sig", "replace"))
        raise _unusable_file(path, "is not UTF-8; save it as UTF-8", place) from None


def _unusable_file(path: Path, what: str, place: Place | None = None) -> ConfigError:
    return ConfigError([Problem(str(path), place or Place(), "file", what)])

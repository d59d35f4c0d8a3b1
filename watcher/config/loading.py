"""Where a configuration is looked for, and how a file becomes typed settings or a `ConfigError`.

The error has everything that is wrong at once. The checks of a URL (by Apprise) and of a template
(by Jinja2) are arguments.
"""

from __future__ import annotations

import os
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.document import read_document, substitute
from watcher.config.errors import ConfigError, Finding, Place, in_file_order
from watcher.config.receivers import HeartbeatReader, ReceiverChecks, ReceiversReader
from watcher.config.secrets import SecretUrlReader
from watcher.config.settings import ReceiverSettings, Settings
from watcher.config.validation import SECRET_SECTIONS, CrossChecks, validate_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.config.document import YamlContent

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
    checks = ReceiverChecks(check_receiver, check_template)
    settings, findings = _read(_file_text(path), environment, checks)
    if findings:
        raise ConfigError(in_file_order(findings, str(path)))
    return settings


def load_leniently(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file, for somebody who may not have the service's secrets.

    Receivers and the heartbeat may be out of reach, in variables and files of the service: such a
    receiver is there with an empty address. Raises `ConfigError` for everything else that is wrong.
    No address is checked.
    """
    try:
        return load(path, environment, _accept_any)
    except ConfigError as error:
        if path is None or not all(p.key.split(".")[0] in SECRET_SECTIONS for p in error.problems):
            raise
    document = read_document(path.read_text("utf-8-sig"))
    filled = substitute(document, environment)
    sections = filled.content if isinstance(filled.content, dict) else {}
    section = sections.get("receivers")
    urls = SecretUrlReader(document, filled)
    readable = ReceiversReader(urls, ReceiverChecks(_accept_any)).read(section)
    names = section if isinstance(section, dict) else ()
    unreadable = ReceiverSettings(url=SecretStr(""))
    return validate_settings(document, _without_secrets(sections), filled.broken).value.model_copy(
        update={"receivers": {name: readable.get(name, unreadable) for name in names}}
    )


def _accept_any(_url: str, _format: str) -> list[str]:
    return []


def example_text() -> str:
    """The example configuration, as `kie-watcher init` writes it."""
    packaged = resources.files("watcher") / EXAMPLE
    if packaged.is_file():
        return packaged.read_text("utf-8")
    # An editable installation: the file is beside the package, where people find it.
    return (Path(__file__).resolve().parents[2] / EXAMPLE).read_text("utf-8")


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
        place = _place_of_byte(content, error.start)
        raise _unusable_file(path, "is not UTF-8; save it as UTF-8", place) from None


def _unusable_file(path: Path, what: str, place: Place | None = None) -> ConfigError:
    return ConfigError((Finding(place or Place(), "file", what).in_file(str(path)),))


def _place_of_byte(content: bytes, position: int) -> Place:
    before = content[:position].decode("utf-8-sig", "replace")
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _read(
    text: str, environment: Mapping[str, str], checks: ReceiverChecks
) -> tuple[Settings, list[Finding]]:
    document = read_document(text)
    filled = substitute(document, environment)
    sections = {} if filled.content is None else filled.content
    if not isinstance(sections, dict):
        what = "is not a mapping; write sections such as poll: with their keys beneath"
        return Settings(), [document.finding((), what)]
    urls = SecretUrlReader(document, filled)
    receivers = ReceiversReader(urls, checks).read(sections.get("receivers"))
    heartbeat = HeartbeatReader(urls).read(sections.get("heartbeat"))
    validated = validate_settings(document, _without_secrets(sections), filled.broken)
    settings = validated.value.model_copy(update={"receivers": receivers, "heartbeat": heartbeat})
    cross_checks = CrossChecks(document, sections, validated, frozenset(filled.broken))
    findings = chain(
        document.findings,
        filled.findings,
        urls.findings,
        validated.findings,
        cross_checks.findings(),
    )
    return settings, list(findings)


def _without_secrets(sections: dict[str, YamlContent]) -> dict[str, YamlContent]:
    return {name: each for name, each in sections.items() if name not in SECRET_SECTIONS}

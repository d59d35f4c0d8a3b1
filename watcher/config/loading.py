"""YAML to typed settings, with every error at once, each with its place and how to mend it.

Knows where a configuration is looked for and in which order it is read. Refuses to know what
Apprise thinks of a URL, and whether a template renders: these checks are handed in.

A configuration as somebody reads it who does not have the service's secrets.

Knows that receivers and the heartbeat may be out of reach, in variables and files of the service,
and that everything else must be right. Refuses to judge what is out of reach.
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
from watcher.config.receivers import Checks, HeartbeatReader, ReceiversReader
from watcher.config.secrets import SecretUrls
from watcher.config.settings import ReceiverSettings, Settings
from watcher.config.validation import READ_APART, Agreement, fit_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EXAMPLE = "config.example.yaml"
USUAL_FILES = (Path("config.yaml"), Path("/etc/kie-watcher/config.yaml"))

MOST_BYTES = 1_048_576


def find(
    explicit: Path | None,
    environment: Mapping[str, str],
    usual: Sequence[Path] = USUAL_FILES,
) -> Path | None:
    """The file to load: the one named, `KIE_WATCHER_CONFIG`, a usual one that is there, or none."""
    if explicit is not None:
        return explicit
    if named := environment.get("KIE_WATCHER_CONFIG"):
        return Path(named)
    # lexists: a link that leads nowhere is a mistake to report, not a wish for the defaults.
    return next((path for path in usual if os.path.lexists(path)), None)


def load(
    path: Path | None,
    environment: Mapping[str, str],
    check_receiver: Callable[..., list[str]],
    check_template: Callable[[str], list[str]] | None = None,
) -> Settings:
    """The settings of a file, or the defaults. Raises `ConfigError` with all that is wrong.

    `check_receiver` names what is wrong with an Apprise URL, and with the format wanted of it where
    that is a second argument; `check_template` what is wrong with the text of a template; each
    thing with its mending. Without `check_template` every template will do.
    """
    if path is None:
        return Settings()
    checks = Checks(check_receiver, check_template)
    settings, findings = _read(_text(path), environment, checks)
    if findings:
        raise ConfigError(in_file_order(findings, str(path)))
    return settings


def example_text() -> str:
    """The example configuration, as `kie-watcher init` writes it."""
    packaged = resources.files("watcher") / EXAMPLE
    if packaged.is_file():
        return packaged.read_text("utf-8")
    # An editable installation: the file stands beside the package, where people find it.
    return (Path(__file__).resolve().parents[2] / EXAMPLE).read_text("utf-8")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise _no_file(path, f"cannot be read ({why}); name another or mend it") from None
    except ValueError:
        raise _no_file(path, "is not a path; name a file") from None
    if len(content) > MOST_BYTES:
        raise _no_file(path, "is larger than 1 MiB; no configuration needs that")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_of_byte(content, error.start)
        raise _no_file(path, "is not UTF-8; save it as UTF-8", place) from None


def _no_file(path: Path, what: str, place: Place | None = None) -> ConfigError:
    return ConfigError((Finding(place or Place(), "file", what).in_file(str(path)),))


def _place_of_byte(content: bytes, position: int) -> Place:
    before = content[:position].decode("utf-8-sig", "replace")
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _read(
    text: str, environment: Mapping[str, str], checks: Checks
) -> tuple[Settings, list[Finding]]:
    document = read_document(text)
    filled = substitute(document, environment)
    sections = {} if filled.content is None else filled.content
    if not isinstance(sections, dict):
        what = "is not a mapping; write sections such as poll: with their keys beneath"
        return Settings(), [Finding(document.place_of(()), "file", what)]
    urls = SecretUrls(document, filled)
    receivers = ReceiversReader(urls, checks).read(sections.get("receivers"))
    heartbeat = HeartbeatReader(urls).read(sections.get("heartbeat"))
    plain = {name: each for name, each in sections.items() if name not in READ_APART}
    fitted = fit_settings(document, plain, filled.broken)
    agreement = Agreement(document, sections, fitted, frozenset(filled.broken))
    settings = fitted.value.model_copy(update={"receivers": receivers, "heartbeat": heartbeat})
    findings = chain(
        document.findings,
        filled.findings,
        urls.findings,
        fitted.findings,
        agreement.findings(),
    )
    return settings, list(findings)


def load_beside_secrets(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file; a receiver that cannot be read is there with an empty address.

    Raises `ConfigError` for all else that is wrong. No address is checked.
    """
    try:
        return load(path, environment, _anything_goes)
    except ConfigError as error:
        if path is None or not all(p.key.split(".")[0] in READ_APART for p in error.problems):
            raise
        return _beside_secrets(path, environment)


def _beside_secrets(path: Path, environment: Mapping[str, str]) -> Settings:
    document = read_document(path.read_text("utf-8-sig"))
    filled = substitute(document, environment)
    sections = filled.content if isinstance(filled.content, dict) else {}
    plain = {name: each for name, each in sections.items() if name not in READ_APART}
    receivers = sections.get("receivers")
    read = ReceiversReader(SecretUrls(document, filled), Checks(_anything_goes)).read(receivers)
    names = receivers if isinstance(receivers, dict) else ()
    unread = ReceiverSettings(url=SecretStr(""))
    return fit_settings(document, plain, filled.broken).value.model_copy(
        update={"receivers": {name: read.get(name, unread) for name in names}}
    )


def _anything_goes(_url: str, _format: str = "auto") -> list[str]:
    return []

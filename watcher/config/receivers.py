"""The receivers and the heartbeat of a configuration: each a secret URL, with options.

The checks of a URL and of a template are arguments. No problem repeats what a section holds or
refers to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, SecretStr

from watcher.config.addresses import parse_heartbeat_url
from watcher.config.secrets import mask
from watcher.config.settings import (
    TERMINAL_RECEIVER,
    HeartbeatOptions,
    HeartbeatSettings,
    ReceiverOptions,
    ReceiverSettings,
)
from watcher.config.validation import Validated, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from watcher.config.document import YamlContent
    from watcher.config.errors import KeyPath
    from watcher.config.secrets import SecretUrlReader

Options = TypeVar("Options", bound=BaseModel)

PROGRAM = "kie-watcher"
MAX_TEMPLATE_BYTES = 65_536

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_URL = 'is not a mapping; write url: "${NAME}" or url_file: beneath it'


@dataclass(frozen=True, slots=True)
class ReceiverChecks:
    """What others know of a receiver: each check lists all that is wrong, with how to fix it.

    `url` is given an Apprise URL and the format wanted of it; `template` the text of a template.
    Without `template` every one passes.
    """

    url: Callable[[str, str], list[str]]
    template: Callable[[str], list[str]] | None = None


@dataclass(frozen=True, slots=True)
class ReceiversReader:
    """Reads the section `receivers`; what is wrong with it is among the findings of `urls`."""

    urls: SecretUrlReader
    checks: ReceiverChecks

    def read(self, section: YamlContent) -> dict[str, ReceiverSettings]:
        if section is None:
            return {}
        if not isinstance(section, dict):
            what = "is not a mapping; write each receiver as a name with a url"
            self.urls.report(("receivers",), what)
            return {}
        read = {name: self._receiver(name, content) for name, content in section.items()}
        return {name: receiver for name, receiver in read.items() if receiver is not None}

    def _receiver(self, name: str, content: YamlContent) -> ReceiverSettings | None:
        path = ("receivers", name)
        if not _NAME.fullmatch(name):
            what = "is not a name for a receiver; use at most 40 letters, digits, - and _"
            self.urls.report_key(path, what)
        if name == TERMINAL_RECEIVER:
            what = "is the name of the built-in receiver; choose another"
            self.urls.report_key(path, what)
        if not isinstance(content, dict):
            self.urls.report(path, _NO_URL)
            return None
        options, text = self._options(path, content)
        found = self.urls.read(path, content)
        if found is None:
            return None
        receiver = ReceiverSettings(
            url=SecretStr(found.url),
            variables=found.variables,
            template_text=text,
            **options.model_dump(exclude_unset=True),
        )
        for problem in self.checks.url(found.url, receiver.format):
            self.urls.report(found.path, mask(problem, receiver.secrets()))
        return receiver

    def _options(
        self, path: KeyPath, content: dict[str, YamlContent]
    ) -> tuple[ReceiverOptions, str | None]:
        """What is wanted of messages, and the text of the template that is named."""
        validated = _validate_options(self.urls, ReceiverOptions, path, content)
        options = validated.value
        if options.charts and (missing := missing_packages("charts")):
            what = f"needs {', '.join(missing)}; install kie-watcher[charts], or remove the line"
            self.urls.report((*path, "charts"), what)
        if options.template is None or ("template",) in validated.invalid:
            return options, None
        return options, self._template((*path, "template"), options.template)

    def _template(self, path: KeyPath, file: Path) -> str | None:
        try:
            text = _read_template(file)
        except ValueError as error:
            self.urls.report(path, str(error))
            return None
        if self.checks.template is not None:
            for problem in self.checks.template(text):
                self.urls.report(path, problem)
        return text


def _read_template(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEMPLATE_BYTES + 1)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise ValueError(
            f"the file cannot be read ({why}); fix the path or its permissions"
        ) from None
    if len(content) > MAX_TEMPLATE_BYTES:
        what = f"the file is larger than {MAX_TEMPLATE_BYTES // 1024} KiB"
        raise ValueError(f"{what}; no template needs that")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8; save it as UTF-8") from None
    if not text.strip():
        raise ValueError("the file is empty, and so would be every message; write a template")
    return text


@dataclass(frozen=True, slots=True)
class HeartbeatReader:
    """Reads the section `heartbeat`; what is wrong with it is among the findings of `urls`."""

    urls: SecretUrlReader

    def read(self, section: YamlContent) -> HeartbeatSettings | None:
        """What is set; `None` where nothing is."""
        path = ("heartbeat",)
        if section is None:
            return None
        if not isinstance(section, dict):
            self.urls.report(path, _NO_URL)
            return None
        options = _validate_options(self.urls, HeartbeatOptions, path, section).value
        found = self.urls.read(path, section)
        if found is None:
            return None
        try:
            url = parse_heartbeat_url(found.url)
        except ValueError as error:
            self.urls.report(found.path, str(error))
            return None
        return HeartbeatSettings(url=SecretStr(url), variables=found.variables, every=options.every)


def _validate_options(
    urls: SecretUrlReader, model: type[Options], path: KeyPath, content: dict[str, YamlContent]
) -> Validated[Options]:
    """The options of a section, without its URL; what is wrong with them is reported."""
    urls.report_unknown_keys(path, content, tuple(model.model_fields))
    given = {key: value for key, value in content.items() if key in model.model_fields}
    validated = validate(urls.document, model, given, urls.filled.broken, path)
    urls.findings.extend(validated.findings)
    return validated


def missing_packages(extra: str) -> tuple[str, ...]:
    """The packages an extra needs that are not there; none where the program is not installed."""
    return tuple(name for name in _needed_for(extra) if not _is_installed(name))


def _needed_for(extra: str) -> Iterator[str]:
    belongs = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    try:
        requirements = metadata.requires(PROGRAM) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if belongs.search(requirement) and (name := _PACKAGE_NAME.match(requirement)):
            yield name[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True

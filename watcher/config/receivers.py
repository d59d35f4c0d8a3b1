"""Which parts of an optional extra are not installed.

Knows them from what the installed program says it needs. Refuses to know what they are for.

The receivers of a configuration: a name, one secret URL, and how messages are liked there.

Refuses to know what makes a URL or a template a good one (those checks are given) and never lets
a problem repeat what stands in or behind a receiver.

The heartbeat of a configuration: a secret URL and how often it is pinged.

Never lets a problem repeat the URL. Refuses to know which monitor answers there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.addresses import parse_heartbeat_url
from watcher.config.secrets import mask
from watcher.config.settings import (
    RESERVED,
    HeartbeatOptions,
    HeartbeatSettings,
    ReceiverOptions,
    ReceiverSettings,
)
from watcher.config.validation import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from watcher.config.document import Plain
    from watcher.config.errors import KeyPath
    from watcher.config.secrets import SecretUrls

PROGRAM = "kie-watcher"

_PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def missing_for(extra: str) -> tuple[str, ...]:
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


_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_OPTIONS = tuple(ReceiverOptions.model_fields)

MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Checks:
    """What others know of a receiver: each names all that is wrong, with its mending.

    `url` is asked of an Apprise URL, and of the format that is wanted of it where that is not
    `auto`; `template` of a template's text, without it none is wrong.
    """

    url: Callable[..., list[str]]
    template: Callable[[str], list[str]] | None = None


@dataclass(frozen=True, slots=True)
class ReceiversReader:
    """Reads the section `receivers`; what is wrong with it is among the findings of `urls`."""

    urls: SecretUrls
    checks: Checks

    def read(self, section: Plain) -> dict[str, ReceiverSettings]:
        if section is None:
            return {}
        if not isinstance(section, dict):
            what = "is not a mapping; write each receiver as a name with a url"
            self.urls.complain(("receivers",), what)
            return {}
        read = {name: self._receiver(name, content) for name, content in section.items()}
        return {name: receiver for name, receiver in read.items() if receiver is not None}

    def _receiver(self, name: str, content: Plain) -> ReceiverSettings | None:
        path = ("receivers", name)
        if not _NAME.fullmatch(name):
            what = "is no name for a receiver; use at most 40 letters, digits, - and _"
            self.urls.complain_of_key(path, what)
        if name == RESERVED:
            what = "is the name of the built-in receiver; choose another"
            self.urls.complain_of_key(path, what)
        if not isinstance(content, dict):
            what = 'is not a mapping; write url: "${NAME}" or url_file: beneath it'
            self.urls.complain(path, what)
            return None
        self.urls.refuse_others(path, content, _OPTIONS)
        return self._with_url(path, content)

    def _with_url(self, path: KeyPath, content: dict[str, Plain]) -> ReceiverSettings | None:
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
        for problem in self._problems(found.url, receiver.format):
            self.urls.complain(found.path, mask(problem, receiver.secrets()))
        return receiver

    def _problems(self, url: str, wanted: str) -> list[str]:
        return self.checks.url(url) if wanted == "auto" else self.checks.url(url, wanted)

    def _options(
        self, path: KeyPath, content: dict[str, Plain]
    ) -> tuple[ReceiverOptions, str | None]:
        """How messages are liked, and the text of the template named."""
        given = {key: value for key, value in content.items() if key in _OPTIONS}
        urls = self.urls
        fitted = fit(urls.document, ReceiverOptions, given, urls.filled.broken, path)
        urls.findings.extend(fitted.findings)
        options = fitted.value
        if options.charts and (missing := missing_for("charts")):
            what = f"needs {', '.join(missing)}; install kie-watcher[charts], or remove the line"
            urls.complain((*path, "charts"), what)
        if options.template is None or ("template",) in fitted.bad:
            return options, None
        return options, self._template((*path, "template"), options.template)

    def _template(self, path: KeyPath, file: Path) -> str | None:
        try:
            text = _text_of(file)
        except ValueError as error:
            self.urls.complain(path, str(error))
            return None
        for problem in [] if self.checks.template is None else self.checks.template(text):
            self.urls.complain(path, problem)
        return text


def _text_of(template: Path) -> str:
    try:
        with template.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise ValueError(f"the file cannot be read ({why}); mend the path or its rights") from None
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"the file is larger than {MOST_BYTES // 1024} KiB; no template needs that"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8; save it as UTF-8") from None
    if not text.strip():
        raise ValueError("the file is empty, and so would be every message; write a template")
    return text


_HEARTBEAT_OPTIONS = tuple(HeartbeatOptions.model_fields)
_PATH = ("heartbeat",)


@dataclass(frozen=True, slots=True)
class HeartbeatReader:
    """Reads the section `heartbeat`; what is wrong with it is among the findings of `urls`."""

    urls: SecretUrls

    def read(self, section: Plain) -> HeartbeatSettings | None:
        """What is set, `None` where nothing is."""
        if section is None:
            return None
        if not isinstance(section, dict):
            self.urls.complain(
                _PATH, 'is not a mapping; write url: "${NAME}" or url_file: beneath it'
            )
            return None
        self.urls.refuse_others(_PATH, section, _HEARTBEAT_OPTIONS)
        given = {key: value for key, value in section.items() if key in _HEARTBEAT_OPTIONS}
        document, broken = self.urls.document, self.urls.filled.broken
        options = fit(document, HeartbeatOptions, given, broken, _PATH)
        self.urls.findings.extend(options.findings)
        return self._with_url(section, options.value)

    def _with_url(
        self, section: dict[str, Plain], options: HeartbeatOptions
    ) -> HeartbeatSettings | None:
        found = self.urls.read(_PATH, section)
        if found is None:
            return None
        try:
            url = parse_heartbeat_url(found.url)
        except ValueError as error:
            self.urls.complain(found.path, str(error))
            return None
        return HeartbeatSettings(url=SecretStr(url), variables=found.variables, every=options.every)

"""The heartbeat of a configuration: a secret URL and how often it is pinged.

Never lets a problem repeat the URL. Refuses to know which monitor answers there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.addresses import parse_heartbeat_url
from watcher.config.settings import HeartbeatOptions, HeartbeatSettings
from watcher.config.typed import fit

if TYPE_CHECKING:
    from watcher.config.positions import Plain
    from watcher.config.secret_urls import SecretUrls

__all__ = ["HeartbeatReader"]

_OPTIONS = tuple(HeartbeatOptions.model_fields)
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
        self.urls.refuse_others(_PATH, section, _OPTIONS)
        given = {key: value for key, value in section.items() if key in _OPTIONS}
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

"""A secret URL of a section: in its `url`, or in the file that its `url_file` names.

Refuses to know what makes a URL a good one, and never lets a problem repeat any of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.errors import Finding, KeyPath, key_text, suggestion

if TYPE_CHECKING:
    from watcher.config.positions import Document, Plain
    from watcher.config.variables import Substituted

__all__ = ["URL_KEYS", "SecretUrl", "SecretUrls"]

URL_KEYS = ("url", "url_file")
MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SecretUrl:
    """A URL, the values of the environment that went into it, and where it was given."""

    path: KeyPath
    url: str
    variables: frozenset[SecretStr]


@dataclass(frozen=True, slots=True)
class SecretUrls:
    """Reads the URL of any section, gathering what is wrong in `findings`."""

    document: Document
    filled: Substituted
    findings: list[Finding] = field(default_factory=list)

    def read(self, section: KeyPath, content: dict[str, Plain]) -> SecretUrl | None:
        """The one URL a section gives; `None` where there is a finding instead."""
        given = [(*section, key) for key in URL_KEYS if key in content]
        if len(given) != 1:
            what = "has neither url nor url_file" if not given else "has both url and url_file"
            self.complain_of_key(section, f"{what}; give it exactly one of the two")
            return None
        path = given[0]
        if path in self.filled.broken:
            return None
        try:
            text = _single(content[str(path[-1])])
            url = _content(Path(text)) if path[-1] == "url_file" else text
        except ValueError as error:
            self.complain(path, str(error))
            return None
        return SecretUrl(path, url, frozenset(map(SecretStr, self.filled.used.get(path, ()))))

    def refuse_others(
        self, section: KeyPath, content: dict[str, Plain], options: tuple[str, ...]
    ) -> None:
        """Complain of every key that is neither for the URL nor among the options."""
        known = (*URL_KEYS, *options)
        for key in content.keys() - set(known):
            near = suggestion(key, known)
            mending = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
            self.complain_of_key((*section, key), f"unknown key; {mending}")

    def complain(self, path: KeyPath, what: str) -> None:
        self.findings.append(Finding(self.document.place_of(path), key_text(path), what))

    def complain_of_key(self, path: KeyPath, what: str) -> None:
        self.findings.append(Finding(self.document.key_place(path), key_text(path), what))


def _single(content: Plain) -> str:
    if isinstance(content, list | dict):
        raise ValueError("is not a single value; write one URL")  # noqa: TRY004
    if content is None or not content.strip():
        raise ValueError("is empty; give it a value")
    return content.strip()


def _content(path: Path) -> str:
    """The URL in a file: its one line."""
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MOST_BYTES).decode("utf-8-sig").strip()
    except OSError as error:
        why = error.strerror or "unreadable"
        raise ValueError(f"the file cannot be read ({why}); mend the path or its rights") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not text; put the URL alone into it") from None
    except (ValueError, RuntimeError):
        raise ValueError("is not a path; write the path of a file") from None
    if not content:
        raise ValueError("the file is empty; put the URL into it")
    if len(content.splitlines()) > 1:
        raise ValueError("the file has several lines; put the URL alone into it")
    return content
